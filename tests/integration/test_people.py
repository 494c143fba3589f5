"""People on each store: who they are, become and were (R15 to R18, R24), seen from outside."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from workevo_server.adapters.sql.sqlite_database import SqliteDatabase
from workevo_server.domain.errors import MergeRefused, NotFound, PageTokenInvalid, RequestInvalid
from workevo_server.domain.events import ContactKind, Install, ReceivedEvent
from workevo_server.domain.verdicts import Reason, Verdict
from workevo_server.ports.contact_store import Conversation
from workevo_server.ports.people import ContactFilter, ContactRef, Merge, MergedBy, StoredEvent
from workevo_testing.people import DAY, NOW, SECOND, Town, open_town, operator, phone, user_ref, visitor_ref
from workevo_testing.places import Place, on_sqlite, tell_what_is_touched
from workevo_testing.uploads import PHONE, good_event, user, visitor


@pytest.fixture
async def town(place: Place) -> AsyncIterator[Town]:
    async with open_town(place) as opened:
        yield opened


def at_day(day: float) -> int:
    """A whole second so many days before now."""
    return (NOW - int(day * DAY)) // SECOND


def seen_by(who: str, sequence: int, name: str, day: float) -> ReceivedEvent:
    contact = user(who) if who.startswith("u") else visitor(who)
    return good_event(0, sequence, contact, name, at_day(day))


async def make_lead(town: Town, visitor_id: str, *, day: float = 0) -> None:
    await town.contacts.make_lead(
        town.workspace_id,
        visitor_ref(visitor_id),
        occurred_at_micros=at_day(day) * SECOND,
        author=operator(),
    )


async def make_user(town: Town, visitor_id: str, user_id: str, email: str = "") -> None:
    await town.contacts.make_user(
        town.workspace_id,
        visitor_ref(visitor_id),
        user_id=user_id,
        email=email,
        occurred_at_micros=None,
        author=operator(),
    )


async def merge(town: Town, ref: ContactRef, into: ContactRef) -> str:
    merged = await town.contacts.merge(town.workspace_id, ref, into, preview=False, author=operator())
    return merged.joining.merge_id


async def seen(town: Town, *refs: ContactRef) -> list[Any]:
    """All that anybody can see of these contacts."""
    shown: list[Any] = []
    for ref in refs:
        shown += [await town.people.event_summary(town.workspace_id, ref), await town.timeline(ref)]
    return shown


# R17


async def test_a_lead_shows_the_90_days_before_its_first_contact_and_a_user_all(town: Town) -> None:
    """The visitor of the issue: events 10, 89, 91 and 400 days before."""
    days = (10, 89, 91, 400)
    await town.send(*(seen_by("v1", n + 1, f"{day} days", day) for n, day in enumerate(days)))
    assert len(await town.names(visitor_ref("v1"))) == 4

    await make_lead(town, "v1")

    assert await town.names(visitor_ref("v1")) == ["10 days", "89 days"]
    assert [each.name for each in await town.summary(visitor_ref("v1"))] == ["10 days", "89 days"]
    assert await town.log_in("v1", "u1") is None
    assert await town.names(user_ref("u1")) == [f"{day} days" for day in days]
    assert len(await town.summary(user_ref("u1"))) == 4


async def test_a_leads_summary_counts_within_the_window_what_it_cuts_through(town: Town) -> None:
    days = (1, 89.9, 90, 90.1, 300)
    await town.send(*(seen_by("v1", n + 1, "opened", day) for n, day in enumerate(days)))
    await make_lead(town, "v1")
    (opened,) = await town.summary(visitor_ref("v1"))
    assert (opened.count, opened.first_occurred_at_micros) == (3, at_day(90) * SECOND)
    assert opened.last_occurred_at_micros == at_day(1) * SECOND


async def test_of_two_leads_that_are_merged_the_earlier_first_contact_counts(town: Town) -> None:
    await town.send(seen_by("v1", 1, "a", 120), seen_by("v2", 2, "b", 95), seen_by("v2", 3, "c", 200))
    await make_lead(town, "v1", day=40)
    await make_lead(town, "v2", day=0)
    before = await seen(town, visitor_ref("v1"), visitor_ref("v2"))
    assert await town.names(visitor_ref("v2")) == []

    merge_id = await merge(town, visitor_ref("v1"), visitor_ref("v2"))

    assert await town.names(visitor_ref("v2")) == ["b", "a"]
    assert await town.kinds(visitor_ref("v2")) == ["FIRST_CONTACT"]
    await town.contacts.split(town.workspace_id, merge_id, author=operator())
    assert await seen(town, visitor_ref("v1"), visitor_ref("v2")) == before


async def test_an_earlier_first_contact_moves_the_window_and_a_later_one_does_not(town: Town) -> None:
    await town.send(seen_by("v1", 1, "a", 120))
    for day, names in ((10, []), (5, []), (40, ["a"])):
        await make_lead(town, "v1", day=day)
        assert await town.names(visitor_ref("v1")) == names
        assert await town.kinds(visitor_ref("v1")) == ["FIRST_CONTACT"]


# R16, R24


async def test_a_conversation_makes_a_visitor_a_lead_and_stands_on_its_timeline_once(town: Town) -> None:
    await town.send(seen_by("v1", 1, "opened", 1))
    for _ in range(2):
        contact = await town.contacts.record_conversation(
            town.workspace_id,
            visitor_ref("v1"),
            Conversation(conversation_id="c1", title="Where is my order?"),
            occurred_at_micros=NOW - SECOND,
            now_micros=NOW,
        )
        assert contact.kind is ContactKind.LEAD
    assert await town.kinds(visitor_ref("v1")) == ["FIRST_CONTACT", "CONVERSATION"]


async def test_an_event_keeps_the_kind_that_its_contact_was_when_it_was_tracked(town: Town) -> None:
    await town.send(seen_by("v1", 1, "as visitor", 20))
    await make_lead(town, "v1", day=10)
    await town.send(seen_by("v1", 2, "late, as visitor", 15), seen_by("v1", 3, "as lead", 5))
    await town.log_in("v1", "u1")
    await town.send(seen_by("u1", 4, "as user", 1), seen_by("v1", 5, "late, as lead", 6))
    kinds = {
        e.name: e.contact_kind.value
        for e in await town.timeline(user_ref("u1"))
        if isinstance(e, StoredEvent)
    }
    assert kinds == {
        "as visitor": "VISITOR",
        "late, as visitor": "VISITOR",
        "as lead": "LEAD",
        "late, as lead": "LEAD",
        "as user": "USER",
    }


async def test_splitting_restores_summaries_and_timelines_exactly(town: Town) -> None:
    """Through chains of merges too, undone in another order than they were made."""
    for n, who in enumerate(("v1", "v2", "v3", "u1")):
        await town.send(
            *(seen_by(who, 10 * n + k, f"e{k % 3}", 30 * k + n) for k in range(1, 5)), install=phone(n)
        )
    await make_lead(town, "v3", day=50)
    refs = [visitor_ref("v1"), visitor_ref("v2"), visitor_ref("v3"), user_ref("u1")]
    before = await seen(town, *refs)
    merges = [
        await merge(town, visitor_ref("v1"), visitor_ref("v2")),
        await merge(town, visitor_ref("v2"), visitor_ref("v3")),
        await merge(town, visitor_ref("v3"), user_ref("u1")),
    ]
    together = await seen(town, *refs)
    assert together[0] == together[2] == together[4] == together[6]
    assert sum(each.count for each in together[0][1]) == 16

    for merge_id in (merges[1], merges[0], merges[2]):
        await town.contacts.split(town.workspace_id, merge_id, author=operator())
        await town.contacts.split(town.workspace_id, merge_id, author=operator())

    assert await seen(town, *refs) == before


async def test_a_split_takes_along_what_was_merged_below_and_nothing_else(town: Town) -> None:
    await town.send(*(seen_by(f"v{n}", n, f"of v{n}", n) for n in range(1, 5)))
    lower = await merge(town, visitor_ref("v1"), visitor_ref("v2"))
    upper = await merge(town, visitor_ref("v2"), visitor_ref("v3"))
    await merge(town, visitor_ref("v4"), visitor_ref("v3"))
    await town.contacts.split(town.workspace_id, upper, author=operator())
    assert await town.names(visitor_ref("v1")) == ["of v1", "of v2"]
    assert await town.names(visitor_ref("v3")) == ["of v3", "of v4"]
    await town.contacts.split(town.workspace_id, lower, author=operator())
    assert await town.names(visitor_ref("v2")) == ["of v2"]


async def test_a_late_upload_for_a_merged_visitor_goes_with_it_when_it_is_split_off(town: Town) -> None:
    await town.send(seen_by("v1", 1, "early", 5), seen_by("u1", 2, "the user's", 4))
    merge_id = await merge(town, visitor_ref("v1"), user_ref("u1"))
    await town.send(seen_by("v1", 3, "late", 3))
    assert await town.names(user_ref("u1")) == ["late", "the user's", "early"]
    await town.contacts.split(town.workspace_id, merge_id, author=operator())
    assert await town.names(visitor_ref("v1")) == ["late", "early"]
    assert await town.names(user_ref("u1")) == ["the user's"]


async def test_a_preview_tells_what_a_merge_would_join_and_changes_nothing(town: Town) -> None:
    await town.send(
        seen_by("v1", 1, "a", 1), seen_by("v1", 2, "a", 2), seen_by("v1", 3, "b", 3), seen_by("u1", 4, "c", 4)
    )
    before = await seen(town, visitor_ref("v1"), user_ref("u1"))
    told = await town.contacts.merge(
        town.workspace_id, visitor_ref("v1"), user_ref("u1"), preview=True, author=operator()
    )
    assert (told.joining.event_count, told.joining.event_name_count, told.joining.merge_id) == (3, 2, "")
    assert (told.merged.visitor_ids, told.contact.user_id) == (("v1",), "u1")
    assert await seen(town, visitor_ref("v1"), user_ref("u1")) == before


async def test_two_users_are_never_merged_and_the_refusal_says_why(town: Town) -> None:
    await town.send(seen_by("u1", 1, "a", 1), seen_by("u2", 2, "b", 2), seen_by("v1", 3, "c", 3))
    with pytest.raises(MergeRefused, match="Both are users, and two users are two people"):
        await merge(town, user_ref("u1"), user_ref("u2"))
    with pytest.raises(MergeRefused, match=r"known less well\. Merge them the other way round"):
        await merge(town, user_ref("u1"), visitor_ref("v1"))
    await town.log_in("v1", "u1")
    with pytest.raises(MergeRefused, match="Both are users"):
        await make_user(town, "v1", "u2")
    assert await town.names(user_ref("u2")) == ["b"]


async def test_merging_what_is_one_already_is_harmless(town: Town) -> None:
    await town.send(seen_by("v1", 1, "a", 1), seen_by("u1", 2, "b", 2))
    first = await merge(town, visitor_ref("v1"), user_ref("u1"))
    shown = await seen(town, user_ref("u1"))
    assert first != ""
    assert await merge(town, visitor_ref("v1"), user_ref("u1")) == ""
    assert await seen(town, user_ref("u1")) == shown


async def test_the_history_of_merges_is_kept_splits_included(town: Town) -> None:
    await town.send(*(seen_by(f"v{n}", n, "a", n) for n in range(1, 8)), seen_by("u1", 9, "b", 9))
    await town.log_in("v1", "u1")
    merge_ids = [await merge(town, visitor_ref(f"v{n}"), user_ref("u1")) for n in range(2, 8)]
    await town.contacts.split(town.workspace_id, merge_ids[0], author=operator(NOW + 5))
    found: list[Merge] = []
    token = ""
    while True:
        page = await town.people.merges(town.workspace_id, user_ref("u1"), page_size=3, page_token=token)
        found += page.merges
        token = page.next_page_token
        if not token:
            break
    assert [each.visitor_id for each in found] == ["v7", "v6", "v5", "v4", "v3", "v2", "v1"]
    assert [each.split_at_micros for each in found] == [None] * 5 + [NOW + 5, None]
    assert {each.merged_by for each in found[:-1]} == {MergedBy.BACK_END}
    assert found[-1].merged_by is MergedBy.DEVICE
    split_off = await town.people.merges(town.workspace_id, visitor_ref("v2"), page_size=3, page_token="")
    assert [each.merge_id for each in split_off.merges] == [merge_ids[0]]


# Log-ins (R15, R16, R31)


async def test_two_devices_that_log_in_as_one_user_at_one_time_are_one_user(town: Town) -> None:
    await asyncio.gather(
        *(town.send(seen_by(f"v{n}", 1, f"on {n}", n + 1), install=phone(n)) for n in range(8))
    )
    answers = await asyncio.gather(*(town.log_in(f"v{n}", "u1", install=phone(n)) for n in range(8)))
    assert answers == [None] * 8
    assert town.rows("SELECT count(*) FROM contacts WHERE id_kind = 'user'") == [(1,)]
    assert sorted(await town.names(user_ref("u1"))) == [f"on {n}" for n in range(8)]


async def test_two_people_who_use_one_device_in_turn_stay_two(town: Town) -> None:
    """With a new visitor at log-out each keeps its own; without one the first keeps the visitor."""
    await town.send(seen_by("v1", 1, "before a", 9), seen_by("u-a", 2, "a", 8))
    assert await town.log_in("v1", "u-a") is None
    await town.send(seen_by("v2", 3, "before b", 7), seen_by("u-b", 4, "b", 6))
    assert await town.log_in("v2", "u-b") is None
    await town.send(seen_by("u-a", 5, "a again", 5))
    assert await town.log_in("v1", "u-b") is Reason.VISITOR_TAKEN
    assert await town.names(user_ref("u-a")) == ["a again", "a", "before a"]
    assert await town.names(user_ref("u-b")) == ["b", "before b"]


async def test_a_device_claims_no_visitor_that_was_merged_with_another_installs(town: Town) -> None:
    await town.send(seen_by("v1", 1, "a", 1), install=phone(1))
    await town.send(seen_by("v2", 1, "b", 2), install=phone(2))
    await merge(town, visitor_ref("v1"), visitor_ref("v2"))
    assert await town.log_in("v1", "u1", install=phone(1)) is Reason.VISITOR_SHARED


async def test_converting_keeps_the_email_of_whoever_had_it_first(town: Town) -> None:
    await make_user(town, "v1", "u1", "Ada@Example.org")
    with pytest.raises(RequestInvalid, match="Another user"):
        await make_user(town, "v2", "u2", "ada@example.ORG")
    with pytest.raises(RequestInvalid, match="email"):
        await make_user(town, "v2", "u2", "nobody")
    found = await town.people.contact(town.workspace_id, ContactRef(email="ada@example.org"))
    assert (found.user_id, found.visitor_ids) == ("u1", ("v1",))
    with pytest.raises(NotFound):
        await town.people.contact(town.workspace_id, user_ref("u2"))


# Lists, tokens, strangers


async def test_contacts_are_listed_by_kind_email_and_id_a_person_once(town: Town) -> None:
    for n in range(6):
        await town.send(seen_by(f"v{n}", n + 1, "a", n))
    await make_user(town, "v0", "u0", "ada@example.org")
    await make_lead(town, "v1")

    async def listed(narrowed: ContactFilter) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            page = await town.people.contacts(town.workspace_id, narrowed, page_size=2, page_token=token)
            found += [contact.user_id or contact.visitor_ids[0] for contact in page.contacts]
            token = page.next_page_token
            if not token:
                return found

    assert await listed(ContactFilter()) == ["v1", "v2", "v3", "v4", "v5", "u0"]
    assert await listed(ContactFilter(kinds=(ContactKind.VISITOR,))) == ["v2", "v3", "v4", "v5"]
    assert await listed(ContactFilter(kinds=(ContactKind.LEAD,))) == ["v1"]
    assert await listed(ContactFilter(email="ada@example.org")) == ["u0"]
    assert await listed(ContactFilter(visitor_id="v0")) == ["u0"]
    assert await listed(ContactFilter(visitor_id="v0", kinds=(ContactKind.VISITOR,))) == []
    assert await listed(ContactFilter(user_id="u0", email="eve@example.org")) == []


async def test_an_id_of_another_workspace_is_as_good_as_none_and_says_what_was_looked_for(town: Town) -> None:
    await town.send(seen_by("v1", 1, "a", 1), seen_by("u1", 2, "b", 1))
    merge_id = await merge(town, visitor_ref("v1"), user_ref("u1"))
    contact = await town.people.contact(town.workspace_id, user_ref("u1"))
    other = (await town.workspaces.create("other")).workspace.workspace_id
    strangers = [
        (user_ref("u1"), "contact with this user_id"),
        (user_ref("nobody"), "contact with this user_id"),
        (ContactRef(contact_id=contact.contact_id), "contact with this contact_id"),
    ]
    for ref, looked_for in strangers:
        for asking in (
            town.people.contact(other, ref),
            town.contacts.delete(other, ref, suppress=True, author=operator()),
            town.contacts.merge(other, ref, ref, preview=False, author=operator()),
            town.people.merges(other, ref, page_size=1, page_token=""),
        ):
            with pytest.raises(NotFound) as refused:
                await asking
            assert str(refused.value) == f"There is no such {looked_for} in this workspace."
    with pytest.raises(NotFound, match="merge_id"):
        await town.contacts.split(other, merge_id, author=operator())
    assert await town.names(user_ref("u1")) == ["b", "a"]


async def test_a_token_of_another_list_contact_or_workspace_opens_nothing(town: Town) -> None:
    await town.send(*(seen_by("u1", n, "a", n) for n in range(1, 5)))
    await town.send(*(seen_by("u2", n, "a", n) for n in range(5, 9)))
    mine = await town.people.activities(town.workspace_id, user_ref("u1"), page_size=2, page_token="")
    token = mine.next_page_token
    other = (await town.workspaces.create("other")).workspace.workspace_id
    for asking in (
        town.people.activities(town.workspace_id, user_ref("u2"), page_size=2, page_token=token),
        town.people.activities(other, user_ref("u1"), page_size=2, page_token=token),
        town.people.merges(town.workspace_id, user_ref("u1"), page_size=2, page_token=token),
        town.people.contacts(town.workspace_id, ContactFilter(), page_size=2, page_token=token),
        town.people.activities(town.workspace_id, user_ref("u1"), page_size=2, page_token=token[:-1] + "A"),
    ):
        with pytest.raises(PageTokenInvalid):
            await asking


FILL = """
WITH RECURSIVE n(n) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM n WHERE n < 99999)
INSERT INTO events (workspace_no, contact_no, created_at_seconds, definition_no, ordinal, occurred_at,
    created_at, received_at, receipt_no, clock_method, contact_kind, metadata)
SELECT workspace_no, contact_no, created_at_seconds - n, definition_no, 0, occurred_at - n * 1000000,
    created_at - n * 1000000, received_at, -n, clock_method, contact_kind, metadata
FROM events, n WHERE receipt_no > 0
"""
"""What uploads would have brought, each a second before the last, in a moment."""


async def test_a_timeline_of_100000_events_pages_without_skip_or_repeat_while_1000_arrive(town: Town) -> None:
    await town.send(good_event(0, 1, user("u1"), "old", at_day(100)), at=NOW)
    town.place.execute(FILL)
    assert await arrived_while_paging(town, total=100_000) >= 1_000


async def arrived_while_paging(town: Town, *, total: int) -> int:
    """Page by 50 through so many events while a hundredth as many arrive, anywhere; says how many did."""
    chance = random.Random(7)
    sequence, token, seen_places, old = total, "", [], []
    for number in itertools.count():
        page = await town.people.activities(town.workspace_id, user_ref("u1"), page_size=50, page_token=token)
        places = [(entry.occurred_at_micros, entry.receipt_no) for entry in page.entries]
        old += [
            place
            for place, entry in zip(places, page.entries, strict=True)
            if isinstance(entry, StoredEvent) and entry.name == "old"
        ]
        seen_places += places
        token = page.next_page_token
        if not token:
            break
        if number % 20 == 0:  # Somewhere in what was read and what is still to be read.
            arriving = [
                good_event(n, sequence + n + 1, user("u1"), "new", at_day(chance.uniform(0.001, 101.1)))
                for n in range(10)
            ]
            sequence += len(arriving)
            await town.send(*arriving)
    assert len(old) == len(set(old)) == total
    assert len(set(seen_places)) == len(seen_places)
    assert seen_places == sorted(seen_places, reverse=True)
    return sequence - total


@on_sqlite
async def test_a_page_reads_only_its_own_rows(town: Town) -> None:
    """By the query plan: each contact's newest from its own index, none scanned."""
    from sqlalchemy import event as hooks

    await town.send(*(seen_by("v1", n, "a", n) for n in range(1, 20)))
    await make_lead(town, "v1", day=3)
    await town.log_in("v1", "u1")
    await make_lead(town, "v2", day=3)
    statements: list[tuple[str, Any]] = []
    assert isinstance(town.store._database, SqliteDatabase)
    engine = town.store._database._reader.sync_engine

    @hooks.listens_for(engine, "before_cursor_execute")
    def _note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    first = await town.people.activities(town.workspace_id, user_ref("u1"), page_size=5, page_token="")
    await town.people.activities(
        town.workspace_id, user_ref("u1"), page_size=5, page_token=first.next_page_token
    )
    await town.people.event_summary(town.workspace_id, visitor_ref("v2"))
    await town.people.contacts(town.workspace_id, ContactFilter(), page_size=5, page_token="")
    await town.people.merges(town.workspace_id, user_ref("u1"), page_size=5, page_token="")
    hooks.remove(engine, "before_cursor_execute", _note)
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(str(town.place.where))) as connection:
        plans = [
            (row[3], statement)
            for statement, parameters in statements
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    tables = ("events", "activities", "contacts", "summaries", "merges", "installs", "event_definitions")
    scans = [plan for plan in plans if any(plan[0].startswith(f"SCAN {table}") for table in tables)]
    assert scans == []
    events = [plan for plan, _ in plans if plan.startswith("SEARCH events")]
    assert events
    assert all("USING INDEX timeline (workspace_no=? AND contact_no=?" in plan for plan in events)
    assert any("(occurred_at,receipt_no)<(?,?)" in plan for plan in events)


# What a merge costs


async def test_a_merge_and_a_split_write_no_event_and_no_summary(town: Town) -> None:
    """Whatever the number of events: counted by triggers on the tables themselves."""
    await town.send(*(seen_by("v1", n, f"e{n % 5}", n) for n in range(1, 101)), seen_by("u1", 200, "b", 1))
    connection_rows = "SELECT count(*) FROM touched"
    town.place.execute(*tell_what_is_touched(town.place, "events", "summaries"))
    merge_id = await merge(town, visitor_ref("v1"), user_ref("u1"))
    assert len(await town.names(user_ref("u1"))) == 101
    await town.contacts.split(town.workspace_id, merge_id, author=operator())
    assert town.rows(connection_rows) == [(0,)]
    await town.send(seen_by("u1", 300, "b", 2))  # The control: the triggers see what is written.
    assert town.rows(connection_rows) != [(0,)]


async def test_a_copy_is_known_across_a_merge_and_no_longer_after_the_split(town: Town) -> None:
    """R6 looks across aliases."""
    await town.send(seen_by("v1", 1, "a", 1))
    merge_id = await merge(town, visitor_ref("v1"), user_ref("u1")) if await made(town, "u1") else ""
    (copy,) = (await town.send(seen_by("u1", 2, "a", 1))).verdicts
    assert copy.verdict is Verdict.DUPLICATE
    await town.contacts.split(town.workspace_id, merge_id, author=operator())
    (alone,) = (await town.send(seen_by("u1", 3, "a", 1))).verdicts
    assert alone.verdict is Verdict.ACCEPTED


async def made(town: Town, user_id: str, install: Install = PHONE) -> bool:
    answer = await town.send(seen_by(user_id, 99, "made", 50), install=install)
    return answer.verdicts[0].verdict is Verdict.ACCEPTED
