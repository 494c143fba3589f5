"""Counts that back ends tell (R20, R29): set and not added, read with what is stored, erased with it."""

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from workevo_server.adapters.sql import erasing, schema, statements
from workevo_server.domain.events import ContactClaim, ContactKind
from workevo_server.domain.limits import TOLD_COUNT_MAX
from workevo_server.domain.metadata import MetadataItem, Text
from workevo_server.domain.naming import name_key
from workevo_server.domain.told_counts import CountsAnswer
from workevo_server.domain.verdicts import Reason, Verdict
from workevo_server.domain.workspace import KeyCharset
from workevo_server.ports.catalogue import EventDefinition
from workevo_server.ports.contact_store import Conversation
from workevo_server.ports.people import ContactRef
from workevo_testing.full_store import OPERATOR_NOW
from workevo_testing.people import DAY, NOW, SECOND, Town, open_town, operator, phone, user_ref, visitor_ref
from workevo_testing.places import Place, on_sqlite
from workevo_testing.sinks import catalogue_of
from workevo_testing.uploads import good_event, told_count, user

NOW_SECONDS = NOW // SECOND
Summed = tuple[str, int, int, int]


@pytest.fixture
async def town(place: Place) -> AsyncIterator[Town]:
    """With one user, u1, and its visitor v1."""
    async with open_town(place) as opened:
        await opened.contacts.make_user(
            opened.workspace_id,
            visitor_ref("v1"),
            user_id="u1",
            email="ada@example.org",
            occurred_at_micros=None,
            author=operator(NOW - DAY),
        )
        yield opened
        assert opened.place.problems() == ()


async def summed(town: Town, ref: ContactRef) -> list[Summed]:
    """Name, count, first and last second, as anybody reads them."""
    return [
        (
            each.name,
            each.count,
            each.first_occurred_at_micros // SECOND,
            each.last_occurred_at_micros // SECOND,
        )
        for each in await town.summary(ref)
    ]


def reason(answer: CountsAnswer) -> Reason | None:
    assert (answer.refusal is not None) == (answer.verdict is Verdict.REJECTED)
    return answer.refusal.reason if answer.refusal is not None else None


async def definition(town: Town, name: str) -> EventDefinition | None:
    return await town.store.catalogue.definition(town.workspace_id, name_key(name))


async def contact_id(town: Town, ref: ContactRef) -> str:
    return (await town.people.contact(town.workspace_id, ref)).contact_id


# Telling and reading


async def test_a_count_is_read_with_its_first_and_last_and_is_no_event(town: Town) -> None:
    answer = await town.tell(user("u1"), told_count("invited-friend", 7, 1000, 5000))

    assert answer.verdict is Verdict.ACCEPTED
    assert await summed(town, user_ref("u1")) == [("invited-friend", 7, 1000, 5000)]
    assert await town.names(user_ref("u1")) == []


async def test_what_was_stored_and_what_was_told_add_up(town: Town) -> None:
    await town.send(
        *(good_event(n, n + 1, user("u1"), "bought", second) for n, second in enumerate((2000, 9000)))
    )
    await town.send(good_event(0, 3, user("u1"), "closed", 3000))

    await town.tell(user("u1"), told_count("Bought", 7, 1000, 5000), told_count("opened", 1, 6000, 6000))

    assert await summed(town, user_ref("u1")) == [
        ("bought", 9, 1000, 9000),
        ("opened", 1, 6000, 6000),
        ("closed", 1, 3000, 3000),
    ]


async def test_telling_again_sets_and_never_adds(town: Town) -> None:
    first = told_count("bought", 7, 1000, 5000)
    verdicts = [(await town.tell(user("u1"), each)).verdict for each in (first, first)]
    assert verdicts == [Verdict.ACCEPTED, Verdict.DUPLICATE]
    assert await summed(town, user_ref("u1")) == [("bought", 7, 1000, 5000)]

    assert (await town.tell(user("u1"), told_count("BOUGHT", 3, 2000, 4000))).verdict is Verdict.ACCEPTED
    assert await summed(town, user_ref("u1")) == [("bought", 3, 2000, 4000)]


async def test_the_control_counts_that_added_up_would_be_seen(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same call twice, with the write of a summary in the place of its own."""
    told = schema.told_counts.c
    adding = statements._told.on_conflict_do_update(
        index_elements=[told.workspace_no, told.contact_no, told.definition_no],
        set_={"event_count": told.event_count + statements._told.excluded.event_count},
    )
    monkeypatch.setattr(statements, "KEEP_TOLD_COUNT", adding)
    for last in (5000, 5001):
        await town.tell(user("u1"), told_count("bought", 7, 1000, last))
    assert (await summed(town, user_ref("u1")))[0][1] == 14


async def test_a_call_that_comes_many_times_at_once_is_told_once(town: Town) -> None:
    counts = [told_count(f"n{n}", n + 1, 1000, 2000) for n in range(5)]
    answers = await asyncio.gather(
        *(town.tell(user("u1"), *counts) for _ in range(8)),
        *(town.tell(user("u1"), *reversed(counts)) for _ in range(8)),
    )
    assert [each.verdict for each in answers].count(Verdict.ACCEPTED) == 1
    assert sorted(await summed(town, user_ref("u1"))) == [(f"n{n}", n + 1, 1000, 2000) for n in range(5)]


async def test_a_count_of_none_takes_back_what_was_told(town: Town) -> None:
    await town.tell(user("u1"), told_count("bought", 7, 1000, 5000))
    assert (await town.tell(user("u1"), told_count("bought", 0))).verdict is Verdict.ACCEPTED
    assert await summed(town, user_ref("u1")) == []
    for name in ("bought", "never told"):
        assert (await town.tell(user("u1"), told_count(name, 0))).verdict is Verdict.DUPLICATE
    assert await definition(town, "never told") is None


async def test_without_times_it_was_when_it_was_told(town: Town) -> None:
    """R3: what is missing is the time of receipt; a first that is missing is the last."""
    await town.tell(
        user("u1"),
        told_count("neither", 1),
        told_count("no last", 2, 1000),
        told_count("no first", 3, None, 2000),
    )
    assert await summed(town, user_ref("u1")) == [
        ("neither", 1, NOW_SECONDS, NOW_SECONDS),
        ("no last", 2, 1000, NOW_SECONDS),
        ("no first", 3, 2000, 2000),
    ]


async def test_times_are_read_at_any_resolution(town: Town) -> None:
    """R3."""
    await town.tell(user("u1"), told_count("bought", 2, "1700000000", 1_700_000_001_000))
    assert await summed(town, user_ref("u1")) == [("bought", 2, 1_700_000_000, 1_700_000_001)]


async def test_of_two_for_one_name_in_a_call_the_last_counts(town: Town) -> None:
    await town.tell(user("u1"), told_count("bought", 7, 1, 2), told_count("Bought", 3, 4, 5))
    assert await summed(town, user_ref("u1")) == [("Bought", 3, 4, 5)]


# Whom it is told of (R16, R17, R18)


async def test_nobody_is_made_by_a_count_unless_the_workspace_says_so(town: Town) -> None:
    nobody = user("nobody"), ContactClaim(email="x@y.z"), ContactClaim(contact_id="f" * 32)
    strange = ContactClaim(email="a\0@b.c"), ContactClaim(contact_id="\ud800"), ContactClaim(contact_id="\0")
    for claim in (*nobody, *strange):
        assert reason(await town.tell(claim, told_count("bought", 1, 1, 1))) is Reason.CONTACT_UNKNOWN
    assert await definition(town, "bought") is None

    await town.workspaces.update_settings(town.workspace_id, {"create_unknown_users": "yes"})
    assert reason(await town.tell(user("nobody"), told_count("bought", 1, 1, 1))) is None
    assert await summed(town, user_ref("nobody")) == [("bought", 1, 1, 1)]
    await town.tell(user("never there"), told_count("bought", 0))
    assert await town.store.people.contact(town.workspace_id, user_ref("never there")) is None
    for claim in nobody[1:]:
        assert reason(await town.tell(claim, told_count("bought", 1, 1, 1))) is Reason.CONTACT_UNKNOWN


async def test_a_contact_is_named_as_in_an_event(town: Town) -> None:
    mine = ContactClaim(contact_id=await contact_id(town, user_ref("u1")))
    for count, claim in enumerate((user("u1"), mine, ContactClaim(email="ada@example.org")), start=1):
        assert reason(await town.tell(claim, told_count("bought", count, 1, 1))) is None
        assert (await summed(town, user_ref("u1")))[0][1] == count
    for claim, wrong in (
        (ContactClaim(), Reason.CONTACT_MISSING),
        (user(""), Reason.CONTACT_INVALID),
        (user("\ud800"), Reason.CONTACT_INVALID),
    ):
        assert reason(await town.tell(claim, told_count("bought", 1, 1, 1))) is wrong


async def make_leads(town: Town, *visitor_ids: str, days: int = 0) -> list[ContactClaim]:
    """Each by our own id, as a back end knows it."""
    for visitor_id in visitor_ids:
        await town.contacts.make_lead(
            town.workspace_id,
            visitor_ref(visitor_id),
            occurred_at_micros=NOW - days * DAY,
            author=operator(),
        )
    return [
        ContactClaim(contact_id=await contact_id(town, visitor_ref(visitor_id))) for visitor_id in visitor_ids
    ]


async def test_merged_contacts_add_up_and_a_split_takes_each_its_own(town: Town) -> None:
    """R16: a merge rewrites nothing, and what is told of an id again replaces what was told of that id."""
    (lead,) = await make_leads(town, "lead")
    recent = NOW_SECONDS - 100
    await town.tell(user("u1"), told_count("bought", 3, recent, recent + 10))
    await town.tell(
        lead, told_count("bought", 5, recent - 10, recent), told_count("asked", 1, recent, recent)
    )
    before = [await summed(town, ref) for ref in (user_ref("u1"), visitor_ref("lead"))]

    merged = await town.contacts.merge(
        town.workspace_id, visitor_ref("lead"), user_ref("u1"), preview=False, author=operator()
    )
    together = [("bought", 8, recent - 10, recent + 10), ("asked", 1, recent, recent)]
    assert await summed(town, user_ref("u1")) == together
    await town.tell(lead, told_count("bought", 5, recent - 10, recent))
    assert await summed(town, user_ref("u1")) == together

    await town.contacts.split(town.workspace_id, merged.joining.merge_id, author=operator())
    assert [await summed(town, ref) for ref in (user_ref("u1"), visitor_ref("lead"))] == before


async def test_a_lead_shows_only_counts_that_lie_within_its_window(town: Town) -> None:
    """R17: how much of a sum its window cuts off nobody knows. As a user it shows all."""
    (lead,) = await make_leads(town, "lead")
    edge = NOW_SECONDS - 90 * DAY // SECOND
    await town.tell(
        lead,
        told_count("within", 2, edge, NOW_SECONDS),
        told_count("cut", 5, edge - 1, NOW_SECONDS),
        told_count("before", 5, edge - 9, edge - 1),
    )
    assert [each[0] for each in await summed(town, visitor_ref("lead"))] == ["within"]
    assert await town.log_in("lead", "u1") is None
    assert sorted(each[0] for each in await summed(town, user_ref("u1"))) == ["before", "cut", "within"]


# The catalogue (R1, R10, R23, R24)


async def test_a_name_is_made_in_the_catalogue_and_counts_no_event(town: Town) -> None:
    await town.tell(user("u1"), told_count(" Invited ", 7, 1000, 5000))
    (lead,) = await make_leads(town, "lead")
    await town.tell(lead, told_count("invited", 7, 1000, 5000), at=NOW + SECOND)

    found = await definition(town, "invited")

    assert found is not None
    assert (found.name, found.stored_count, found.duplicate_count, found.archived_count) == (
        "Invited",
        0,
        0,
        0,
    )
    assert set(found.seen_kinds) == {ContactKind.LEAD, ContactKind.USER}
    assert (found.first_seen_micros, found.last_seen_micros) == (NOW, NOW + SECOND)


async def test_what_changes_nothing_does_not_touch_the_catalogue(town: Town) -> None:
    for at in (NOW, NOW + SECOND):
        await town.tell(user("u1"), told_count("invited", 7, 1000, 5000), at=at)
    found = await definition(town, "invited")
    assert found is not None
    assert found.last_seen_micros == NOW


async def test_an_archived_name_is_neither_told_nor_shown_until_it_is_back(town: Town) -> None:
    """R23."""
    catalogue = catalogue_of(town.store)
    await town.tell(user("u1"), told_count("invited", 7, 1000, 5000))
    await catalogue.archive(town.workspace_id, "invited", author=OPERATOR_NOW)
    assert await summed(town, user_ref("u1")) == []

    assert (await town.tell(user("u1"), told_count("invited", 9, 1, 2))).verdict is Verdict.ARCHIVED
    both = await town.tell(user("u1"), told_count("invited", 9, 1, 2), told_count("bought", 1, 3, 3))
    assert both.verdict is Verdict.ACCEPTED

    await catalogue.unarchive(town.workspace_id, "invited", author=OPERATOR_NOW)
    assert await summed(town, user_ref("u1")) == [("invited", 7, 1000, 5000), ("bought", 1, 3, 3)]


async def test_the_name_that_is_one_too_many_is_refused_and_all_with_it(town: Town) -> None:
    """R10: all of a call or nothing."""
    await town.workspaces.update_settings(town.workspace_id, {"event_names_max": "2"})
    await town.tell(user("u1"), told_count("a", 1, 1, 1))

    refused = await town.tell(user("u1"), told_count("a", 2, 1, 1), *(told_count(n, 1, 1, 1) for n in "bc"))

    assert reason(refused) is Reason.EVENT_NAME_LIMIT
    assert await summed(town, user_ref("u1")) == [("a", 1, 1, 1)]
    assert reason(await town.tell(user("u1"), told_count("b", 1, 1, 1), told_count("c", 0))) is None
    answer = await town.send(good_event(0, 1, user("u1"), "c", 1))
    assert answer.verdicts[0].verdict is Verdict.REJECTED


@pytest.mark.parametrize(
    ("told", "wrong", "field"),
    [
        (told_count("", 1), Reason.NAME_INVALID, "name"),
        (told_count("x" * 256, 1), Reason.NAME_INVALID, "name"),
        (told_count("\ud800", 1), Reason.NAME_INVALID, "name"),
        (told_count("a", None), Reason.EVENT_MALFORMED, "count"),
        (told_count("a", True), Reason.EVENT_MALFORMED, "count"),
        (told_count("a", "1"), Reason.EVENT_MALFORMED, "count"),
        (told_count("a", 1.5), Reason.EVENT_MALFORMED, "count"),
        (told_count("a", -1), Reason.EVENT_MALFORMED, "count"),
        (told_count("a", TOLD_COUNT_MAX + 1), Reason.EVENT_MALFORMED, "count"),
        (told_count("a", 10**5000), Reason.EVENT_MALFORMED, "count"),
        (told_count("a", 1, "yesterday", 5), Reason.CREATED_AT_INVALID, "first"),
        (told_count("a", 1, 5, -1), Reason.CREATED_AT_OUT_OF_RANGE, "last"),
        (told_count("a", 1, 5, NOW_SECONDS + 25 * 3600), Reason.CREATED_AT_OUT_OF_RANGE, "last"),
        (told_count("a", 2, 6, 5), Reason.CREATED_AT_INVALID, "last"),
    ],
)
async def test_what_is_wrong_is_told_with_its_place_and_nothing_is_kept(
    town: Town, told: Any, wrong: Reason, field: str
) -> None:
    answer = await town.tell(user("u1"), told_count("good", 1, 1, 1), told)

    assert answer.refusal is not None
    assert (answer.refusal.reason, answer.refusal.field, answer.index) == (wrong, field, 1)
    assert await summed(town, user_ref("u1")) == []


async def test_a_strict_workspace_takes_no_special_characters(town: Town) -> None:
    """R1."""
    await town.tell(user("u1"), told_count("a.b\0", 1, 1, 1))
    assert await summed(town, user_ref("u1")) == [("a.b\0", 1, 1, 1)]
    await town.workspaces.update_settings(town.workspace_id, {"key_charset": "strict"})
    assert reason(await town.tell(user("u1"), told_count("a.c", 1, 1, 1))) is Reason.NAME_INVALID


async def test_the_greatest_count_of_many_ids_adds_up(town: Town) -> None:
    recent = NOW_SECONDS - 100
    await town.tell(user("u1"), told_count("bought", TOLD_COUNT_MAX, recent, recent))
    for lead, claim in zip("abc", await make_leads(town, *"abc"), strict=True):
        await town.tell(claim, told_count("bought", TOLD_COUNT_MAX, recent, recent))
        assert await town.log_in(lead, "u1") is None
    assert await summed(town, user_ref("u1")) == [("bought", 4 * TOLD_COUNT_MAX, recent, recent)]


# Deletions (R32)

FIRST, LAST = 1_712_345_678, 1_712_987_654
CANARIES = [struct.pack(">q", second * SECOND) for second in (FIRST, LAST)]
"""As SQLite writes a time in microseconds."""


def bytes_found(place: Place) -> int:
    assert isinstance(place.where, Path)
    files = [file.read_bytes() for file in place.where.parent.iterdir() if file.is_file()]
    return sum(file.count(canary) for file in files for canary in CANARIES)


@on_sqlite
async def test_a_deletion_leaves_nothing_of_a_count_in_any_file(town: Town) -> None:
    await town.tell(user("u1"), told_count("bought", 7, FIRST, LAST))
    assert bytes_found(town.place) >= len(CANARIES)
    await town.contacts.delete(town.workspace_id, user_ref("u1"), suppress=False, author=operator())
    assert bytes_found(town.place) == 0


async def live(town: Town) -> int:
    """Something of the user in every table that holds anything of a contact; its number there."""
    await town.send(good_event(0, 1, user("u1"), "opened", 1), install=phone(1))
    await town.tell(user("u1"), told_count("bought", 7, FIRST, LAST))
    named = [MetadataItem("name", Text("Ada"))]
    await town.contacts.describe(
        town.workspace_id, user_ref("u1"), email="", attributes=named, charset=KeyCharset.ANY
    )
    conversation = Conversation(conversation_id="c", title="")
    await town.contacts.record_conversation(
        town.workspace_id, user_ref("u1"), conversation, occurred_at_micros=None, now_micros=NOW
    )
    await make_leads(town, "lead")
    await town.contacts.merge(
        town.workspace_id, visitor_ref("lead"), user_ref("u1"), preview=False, author=operator()
    )
    ((number,),) = town.rows("SELECT contact_no FROM contacts WHERE id_kind = 'user'")
    return int(number)


def tables_with(town: Town, contact_no: int) -> set[str]:
    columns = [
        (table.name, column.name)
        for table in schema.metadata.sorted_tables
        for column in table.columns
        if column.name in {"contact_no", "into_no", "person_no", "merged_into_no"}
    ]
    return {
        table
        for table, column in columns
        if town.rows(f"SELECT count(*) FROM {table} WHERE {column} = {contact_no}") != [(0,)]
    }


async def test_a_deletion_empties_every_table_that_holds_anything_of_a_contact(town: Town) -> None:
    """Found in the schema, so that a table which is made later is not forgotten."""
    contact_no = await live(town)
    holding = {table.name for table in schema.metadata.sorted_tables if "contact_no" in table.columns}
    assert tables_with(town, contact_no) == holding

    await town.contacts.delete(town.workspace_id, user_ref("u1"), suppress=False, author=operator())

    assert tables_with(town, contact_no) == set()


async def test_the_control_a_table_that_a_deletion_forgets_is_seen(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "told_counts", schema.activities)
    async with open_town(place) as town:
        contact_no = await live(town)
        await town.contacts.delete(town.workspace_id, user_ref("u1"), suppress=False, author=operator())
        assert tables_with(town, contact_no) == {"told_counts"}
        assert "1 told counts of no contact." in place.problems()


@pytest.mark.parametrize("suppress", [False, True])
async def test_what_may_have_been_before_a_deletion_is_told_in_vain(town: Town, suppress: bool) -> None:
    """R32: a sum that reaches back beyond it, or may; of what was after it only where it asked for more."""
    await town.workspaces.update_settings(town.workspace_id, {"create_unknown_users": "yes"})
    await town.contacts.delete(town.workspace_id, user_ref("u1"), suppress=suppress, author=operator())
    later = NOW + 100 * SECOND

    for told in (
        told_count("bought", 7, NOW_SECONDS - 1, NOW_SECONDS + 50),
        told_count("bought", 7, None, NOW_SECONDS + 50),
        told_count("bought", 7),
    ):
        assert reason(await town.tell(user("u1"), told, at=later)) is Reason.CONTACT_ERASED
    assert await town.store.people.contact(town.workspace_id, user_ref("u1")) is None

    answer = await town.tell(user("u1"), told_count("bought", 2, NOW_SECONDS, NOW_SECONDS + 50), at=later)
    assert reason(answer) is (Reason.CONTACT_ERASED if suppress else None)


async def test_a_count_told_while_its_contact_is_deleted_is_gone_or_refused(town: Town) -> None:
    async def tell(second: int) -> Reason | None:
        return reason(await town.tell(user("u1"), told_count("bought", second, second, second)))

    refusals = await asyncio.gather(
        *(tell(second) for second in range(1, 6)),
        town.contacts.delete(town.workspace_id, user_ref("u1"), suppress=False, author=operator()),
        *(tell(second) for second in range(6, 11)),
    )
    assert set(refusals[6:]) <= {Reason.CONTACT_ERASED, None}
    assert await tell(11) is Reason.CONTACT_ERASED
    assert town.rows("SELECT count(*) FROM told_counts") == [(0,)]


async def test_counts_of_one_workspace_are_none_of_another_s(town: Town) -> None:
    other = await town.workspaces.create("other")
    await town.tell(user("u1"), told_count("bought", 7, 1, 2))
    mine = ContactClaim(contact_id=await contact_id(town, user_ref("u1")))
    town.workspace_id = other.workspace.workspace_id
    for claim in (user("u1"), mine):
        assert reason(await town.tell(claim, told_count("bought", 1, 1, 1))) is Reason.CONTACT_UNKNOWN
    assert town.rows("SELECT event_count FROM told_counts") == [(7,)]
