"""People are found by name, address, id, kind and what they did, each once, on both stores."""

from collections.abc import AsyncIterator, Sequence

import pytest

from workevo_server.domain import limits
from workevo_server.domain.errors import PageTokenInvalid
from workevo_server.domain.events import ContactClaim, ContactKind
from workevo_server.domain.metadata import MetadataEntry, MetadataItem, Text
from workevo_server.domain.workspace import KeyCharset
from workevo_server.ports.audit import OPERATOR, Author
from workevo_server.ports.people import ContactRef
from workevo_server.ports.people_search import PersonRow
from workevo_server.services.catalogue import Catalogue
from workevo_server.services.people_search import PeopleSearch
from workevo_testing.people import NOW, SECOND, Town, open_town, operator, phone, user_ref, visitor_ref
from workevo_testing.places import Place
from workevo_testing.uploads import good_event, told_count, user, visitor

SENT_AT = NOW // SECOND - 1000


@pytest.fixture
async def town(place: Place) -> AsyncIterator[Town]:
    async with open_town(place) as opened:
        yield opened


async def find(
    town: Town, text: str = "", *, kind: ContactKind | None = None, did: str = "", page_size: int = 2
) -> list[PersonRow]:
    """All pages of them."""
    search = PeopleSearch(searcher=town.store.people_search, page_token_secret=town.store.page_token_secret)
    found: list[PersonRow] = []
    token = ""
    while True:
        page = await search.find(
            town.workspace_id, text=text, kind=kind, event_name=did, page_size=page_size, page_token=token
        )
        assert len(page.people) <= page_size
        found += page.people
        token = page.next_page_token
        if not token:
            return found


async def ids(town: Town, text: str = "", *, kind: ContactKind | None = None, did: str = "") -> list[str]:
    rows = await find(town, text, kind=kind, did=did)
    return [row.contact.user_id or row.contact.visitor_ids[0] for row in rows]


async def name(town: Town, ref: ContactRef, text: str, *, email: str = "") -> None:
    await town.contacts.describe(
        town.workspace_id,
        ref,
        email=email,
        attributes=[MetadataItem("Name", Text(text))],
        charset=KeyCharset.ANY,
    )


async def settle_people(town: Town, names: Sequence[str]) -> None:
    for number, each in enumerate(names):
        await town.send(good_event(0, number + 1, user(f"u{number}"), "opened", SENT_AT))
        await name(town, user_ref(f"u{number}"), each, email=f"Mail{number}@Example.org")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("anna", ["u2", "u0"]),
        ("ANNA", ["u2", "u0"]),
        ("mull", ["u2", "u0"]),
        ("Müller", ["u2", "u0"]),
        ("muller", ["u2", "u0"]),
        ("mü an", ["u2", "u0"]),
        ("anna muller", ["u2", "u0"]),
        ("anna m lena", ["u2"]),
        ("anna x", []),
        ("nna", []),
        ("o'ne", ["u1"]),
        ("neil", ["u1"]),
        ("东京", ["u3"]),
        ("nul", ["u3"]),
        ("mail1@", ["u1"]),
        ("MAIL1@EXAMPLE.ORG", ["u1"]),
        ("mail", ["u3", "u2", "u1", "u0"]),
        ("u3", ["u3"]),
        ("u", ["u3", "u2", "u1", "u0"]),
        ("U3", []),
        ("", ["u3", "u2", "u1", "u0"]),
        ("\ud800", []),
        ("%", []),
        ("x" * (limits.SEARCH_TEXT_CODE_POINTS_MAX + 1), []),
    ],
)
async def test_a_text_finds_the_people_whose_name_address_or_id_begins_so(
    town: Town, text: str, expected: list[str]
) -> None:
    await settle_people(town, ["Anna Müller", "Sean O'Neil", "Anna-Lena Müller", "东京 Nul\0word"])

    assert await ids(town, text) == expected


async def test_a_name_that_changed_is_found_by_its_new_words_alone(town: Town) -> None:
    await settle_people(town, ["Anna Müller"])

    await name(town, user_ref("u0"), "Anna Schmidt")

    assert await ids(town, "schmidt") == ["u0"]
    assert await ids(town, "müller") == []


async def test_a_visitor_is_found_by_the_address_among_its_attributes(town: Town) -> None:
    await town.send(good_event(0, 1, visitor("v1"), "opened", SENT_AT))
    await name(town, visitor_ref("v1"), "Anna", email="Lead.1@Example.org")

    assert await ids(town, "lead.1@ex") == ["v1"]
    assert await ids(town, "lead.1") == []  # Without the @ they are words, and none of a name.
    assert await ids(town, "anna") == ["v1"]


async def test_a_person_of_several_ids_is_found_by_each_and_comes_once(town: Town) -> None:
    for number, who in enumerate(("v1", "v2", "v3"), start=1):
        await town.send(good_event(0, number, visitor(who), "opened", SENT_AT + number))
    await name(town, visitor_ref("v1"), "Anna Visitor")
    await town.send(good_event(0, 4, user("u1"), "opened", SENT_AT + 4))
    for who in ("v1", "v2"):
        await town.log_in(who, "u1")
    await name(town, user_ref("u1"), "Anna User")

    assert await ids(town) == ["u1", "v3"]
    assert await ids(town, "v") == ["u1", "v3"]
    assert await ids(town, "anna") == ["u1"]
    assert await ids(town, "anna visitor") == ["u1"]
    assert await ids(town, did="opened") == ["u1", "v3"]
    assert await ids(town, kind=ContactKind.USER, did="opened") == ["u1"]
    assert await ids(town, kind=ContactKind.VISITOR, did="opened") == ["v3"]
    assert await ids(town, "v", kind=ContactKind.VISITOR, did="opened") == ["v3"]

    (person, _) = await find(town, did="opened")
    assert (person.event_count, person.last_occurred_at_micros) == (3, (SENT_AT + 4) * SECOND)


async def test_who_did_an_event_is_told_by_its_name_as_r1_compares_it_and_not_when_it_is_archived(
    town: Town,
) -> None:
    await town.send(
        good_event(0, 1, user("u1"), "Bought", SENT_AT),
        good_event(1, 2, user("u2"), "opened", SENT_AT + 1),
        good_event(2, 3, user("u1"), "opened", SENT_AT + 2),
    )
    assert await ids(town, did="bought") == ["u1"]
    assert await ids(town, did="BOUGHT ") == ["u1"]
    assert await ids(town, did="nothing") == []
    assert await ids(town, did="x" * 256) == []
    assert [row.event_count for row in await find(town, "u1")] == [2]

    catalogue = Catalogue(
        reader=town.store.catalogue,
        store=town.store.catalogue,
        key_ring=town.store.key_ring,
        page_token_secret=town.store.page_token_secret,
    )
    await catalogue.archive(town.workspace_id, "bought", author=Author(made_by=OPERATOR, made_at_micros=NOW))

    assert await ids(town, did="bought") == []
    assert [row.event_count for row in await find(town, "u1")] == [1]


async def test_a_lead_did_what_its_profile_shows_and_its_row_counts_no_more(town: Town) -> None:
    """R17: what occurred over 90 days before the first contact is not shown."""
    old, new = NOW // SECOND - 100 * 86_400, NOW // SECOND - 80 * 86_400
    await town.send(
        good_event(0, 1, visitor("lead"), "long ago", old),
        good_event(1, 2, visitor("lead"), "both", old),
        good_event(2, 3, visitor("lead"), "both", new),
        good_event(3, 4, visitor("lead"), "lately", new + 1),
        good_event(4, 5, visitor("visitor"), "long ago", old),
        at=NOW,
    )
    await town.contacts.make_lead(
        town.workspace_id, visitor_ref("lead"), occurred_at_micros=NOW, author=operator()
    )

    assert await ids(town, did="long ago") == ["visitor"]
    assert await ids(town, did="both") == ["lead"]
    assert await ids(town, did="lately", kind=ContactKind.LEAD) == ["lead"]
    (row,) = await find(town, "lead")
    assert (row.event_count, row.last_occurred_at_micros) == (2, (new + 1) * SECOND)
    assert row.event_count == sum(each.count for each in await town.summary(visitor_ref("lead")))

    await town.log_in("lead", "u1")
    assert await ids(town, did="long ago") == ["visitor", "u1"]  # By when the contact that did it came.
    assert [row.event_count for row in await find(town, "u1")] == [4]


async def test_what_a_back_end_told_as_a_count_is_counted_and_found_as_the_profile_shows_it(
    town: Town,
) -> None:
    """R20, R29: whether events stand behind it, counts, or both, by whichever of the person's contacts."""
    await town.log_in("v1", "u1")
    await town.send(good_event(0, 1, visitor("v1"), "opened", SENT_AT), good_event(1, 2, user("u2"), "a", 1))
    await town.tell(
        user("u1"), told_count("bought", 7, 1000, 5000), told_count("Opened", 2, 1000, SENT_AT + 9)
    )
    await town.tell(user("u2"), told_count("bought", 1, 1000, 1000))

    assert await ids(town, did="bought") == ["u2", "u1"]
    assert await ids(town, did="opened") == ["u1"]
    assert await ids(town, "u1", did="bought") == ["u1"]
    assert await ids(town, did="bought", kind=ContactKind.LEAD) == []
    (row,) = await find(town, "u1")
    assert (row.event_count, row.last_occurred_at_micros) == (10, (SENT_AT + 9) * SECOND)
    assert row.event_count == sum(each.count for each in await town.summary(user_ref("u1")))

    await town.tell(user("u1"), told_count("bought", 0, 1000, 5000))
    assert await ids(town, did="bought") == ["u2"]
    assert [row.event_count for row in await find(town, "u1")] == [3]


async def test_a_lead_s_row_counts_what_was_told_only_where_its_profile_shows_it(town: Town) -> None:
    """R17: how much of a sum its window cuts off nobody knows."""
    lead = await town.contacts.make_lead(
        town.workspace_id, visitor_ref("lead"), occurred_at_micros=NOW, author=operator()
    )
    edge = NOW // SECOND - 90 * 86_400
    await town.tell(
        ContactClaim(contact_id=lead.contact_id),
        told_count("within", 2, edge, NOW // SECOND - 5),
        told_count("cut", 5, edge - 1, NOW // SECOND),
    )

    assert await ids(town, did="within") == ["lead"]
    assert await ids(town, did="cut") == []
    (row,) = await find(town, "lead")
    assert (row.event_count, row.last_occurred_at_micros) == (2, NOW - 5 * SECOND)

    await town.log_in("lead", "u1")
    assert await ids(town, did="cut") == ["u1"]
    assert [row.event_count for row in await find(town, "u1")] == [7]


async def test_a_deleted_person_is_not_found_and_leaves_no_word(town: Town) -> None:
    await settle_people(town, ["Anna Canary", "Anna Other"])
    assert town.found("canary") > 0
    assert town.rows("SELECT count(*) FROM contact_words") == [(4,)]

    await town.contacts.delete(town.workspace_id, user_ref("u0"), suppress=False, author=operator())

    assert await ids(town, "anna") == ["u1"]
    assert town.rows("SELECT count(*) FROM contact_words") == [(2,)]
    assert town.found("canary") == 0


async def test_of_very_many_who_match_only_so_many_are_looked_at_and_it_says_so(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workevo_server.adapters.sql import people_matches

    monkeypatch.setattr(limits, "SEARCH_MATCHES_MAX", 2)
    monkeypatch.setattr(people_matches, "_ROWS_MAX", 3)
    await settle_people(town, ["Anna A", "Anna B", "Berta A", "Anna D"])
    search = PeopleSearch(searcher=town.store.people_search, page_token_secret=town.store.page_token_secret)

    async def told(text: str) -> tuple[int, bool]:
        page = await search.find(town.workspace_id, text=text, page_size=10, page_token="")
        return len(page.people), page.is_partial

    assert await told("anna") == (2, True)
    assert await told("berta") == (1, False)
    assert await told("berta a") == (1, False)
    assert await told("anna d") == (1, False)
    assert await told("mail") == (2, True)


async def test_a_search_looks_through_so_many_and_goes_on_where_it_stopped(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few of those who did an event are what else was asked for."""
    from workevo_server.adapters.sql import people_search

    monkeypatch.setattr(people_search, "BATCH_ROWS", 3)
    monkeypatch.setattr(limits, "SEARCH_STRETCH_ROWS", 6)
    events = [good_event(n, n + 1, visitor(f"v{n}"), "opened", SENT_AT + n) for n in range(20)]
    await town.send(good_event(0, 1, user("u1"), "opened", SENT_AT), install=phone(1))
    await town.send(*events)

    search = PeopleSearch(searcher=town.store.people_search, page_token_secret=town.store.page_token_secret)
    first = await search.find(
        town.workspace_id, kind=ContactKind.USER, event_name="opened", page_size=2, page_token=""
    )
    assert (first.people, bool(first.next_page_token)) == ([], True)
    assert await ids(town, kind=ContactKind.USER, did="opened") == ["u1"]
    assert len(await ids(town, did="opened")) == 21


async def test_people_who_come_between_two_pages_move_nobody(town: Town) -> None:
    await settle_people(town, ["a", "b", "c"])
    search = PeopleSearch(searcher=town.store.people_search, page_token_secret=town.store.page_token_secret)
    first = await search.find(town.workspace_id, event_name="opened", page_size=2, page_token="")
    await town.send(good_event(0, 10, user("u9"), "opened", SENT_AT + 9))

    rest = await search.find(
        town.workspace_id, event_name="opened", page_size=2, page_token=first.next_page_token
    )

    assert [row.contact.user_id for row in (*first.people, *rest.people)] == ["u2", "u1", "u0"]
    assert rest.next_page_token == ""
    with pytest.raises(PageTokenInvalid):
        await search.find(
            town.workspace_id, event_name="other", page_size=2, page_token=first.next_page_token
        )


async def test_nobody_of_another_workspace_is_found(town: Town) -> None:
    from workevo_testing.people import settle

    other = await settle(town.store, town.place, "other")
    await settle_people(other, ["Anna Other"])
    await settle_people(town, ["Anna Mine"])

    assert [row.contact.attributes for row in await find(town, "anna")] == [
        (MetadataEntry("Name", Text("Anna Mine")),)
    ]
    assert len(await find(town, did="opened")) == 1
    assert len(await find(town)) == 1


async def test_a_timeline_shows_the_events_of_the_names_that_are_asked_for(town: Town) -> None:
    names = ("opened", "bought", "left")
    await town.send(
        *(good_event(n, n + 1, visitor("v1"), names[n % 3], SENT_AT + n) for n in range(30)),
        *(good_event(30 + n, n + 31, user("u1"), names[n % 2], SENT_AT + 50 + n) for n in range(9)),
    )
    await town.log_in("v1", "u1", at=NOW)

    async def pages(*wanted: str) -> list[str]:
        found, token = list[str](), ""
        while True:
            page = await town.people.activities(
                town.workspace_id, user_ref("u1"), page_size=4, page_token=token, event_names=wanted
            )
            found += [entry.name for entry in page.entries]  # type: ignore[union-attr]
            token = page.next_page_token
            if not token:
                return found

    whole = await town.names(user_ref("u1"))
    assert await pages("Bought") == [each for each in whole if each == "bought"]
    assert await pages("left", "bought") == [each for each in whole if each != "opened"]
    assert await pages("never") == []
    assert await pages("x" * 300) == []
