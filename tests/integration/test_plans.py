"""Every read finds its rows by a key, on both stores: none goes through a table that grows."""

from collections.abc import AsyncIterator

import pytest

from workevo_server.adapters.sql import schema
from workevo_server.domain.events import ContactClaim, ContactKind
from workevo_server.domain.identifiers import NameKey
from workevo_server.domain.verdicts import Reason
from workevo_server.ports.catalogue import DefinitionFilter
from workevo_server.ports.delivery import TroublePlace
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.ports.people import ContactFilter
from workevo_server.ports.people_search import PeopleFilter
from workevo_server.transport.metrics import Metrics
from workevo_server.wiring import wire_services
from workevo_testing.people import DAY, NOW, Town, open_town, phone, user_ref, visitor_ref
from workevo_testing.places import DatabasePlace, Place, on_postgres
from workevo_testing.plans import Access, accesses, noted, sorts
from workevo_testing.uploads import good_event, told_count, user, visitor

SMALL = {"workspaces"}
"""As many rows as there are workspaces."""


CROWD = """
INSERT INTO contacts (workspace_no, contact_id, kind, id_kind, external_id, attributes, shared, created_at)
SELECT 1, 'c' || n, 'VISITOR', 'visitor', ('x' || n)::bytea, '{}', FALSE, 0
FROM generate_series(1, 20000) AS n;
INSERT INTO merges (workspace_no, merge_id, contact_no, into_no, made_by, occurred_at)
SELECT 1, 'm' || n, 100 + n, 101 + n, 'DEVICE', 0 FROM generate_series(1, 10000) AS n;
INSERT INTO installs (workspace_no, install_id, epoch, description, first_seen, last_seen)
SELECT 1, ('i' || n)::bytea, 'e', '{}', 0, 0 FROM generate_series(1, 10000) AS n;
INSERT INTO ledgers (workspace_no, install_no, epoch, started_at, document, trouble_count)
SELECT 1, install_no, 'e', 0, document, install_no % 50
FROM (SELECT document FROM ledgers LIMIT 1) AS ledger, installs WHERE first_seen = 0;
INSERT INTO contact_words (workspace_no, word, contact_no)
SELECT 1, ('w' || n)::bytea, 100 + n FROM generate_series(1, 20000) AS n;
INSERT INTO summaries (workspace_no, contact_no, definition_no, event_count, first_occurred_at,
    last_occurred_at)
SELECT 1, 100 + n, 1 + n % 5, 1, 0, 0 FROM generate_series(1, 20000) AS n;
INSERT INTO told_counts (workspace_no, contact_no, definition_no, event_count, first_occurred_at,
    last_occurred_at)
SELECT 1, 100 + n, 1 + n % 5, 1, 0, 0 FROM generate_series(1, 20000) AS n;
INSERT INTO events (workspace_no, contact_no, created_at_seconds, definition_no, ordinal, occurred_at,
    created_at, received_at, receipt_no, clock_method, contact_kind, metadata)
SELECT e.workspace_no, e.contact_no, n, e.definition_no, 0, n * 1000000::bigint,
    n * 1000000::bigint, e.received_at, -n, 'DEVICE', 'USER', '{}'
FROM (SELECT * FROM events ORDER BY contact_no LIMIT 1) AS e, generate_series(1, 20000) AS n;
ANALYZE
"""
"""Who stands around: a planner reads a small table whole, and these are not small where it matters."""


@pytest.fixture
async def town(place: Place) -> AsyncIterator[Town]:
    """Enough people and events that a planner takes an index where there is one."""
    async with open_town(place) as opened:
        for number in range(20):
            sent = [
                good_event(n, n + 1, visitor(f"v{number}"), f"name {n % 7}", NOW // 1_000_000 - n * 60)
                for n in range(60)
            ]
            await opened.send(*sent, good_event(60, 61, user(f"u{number}"), "", 1), install=phone(number))
            await opened.log_in(f"v{number}", f"u{number % 10}", install=phone(number))
            await opened.tell(user(f"u{number}"), *(told_count(f"name {n}", n + 1, 1, 2) for n in range(7)))
        if isinstance(place, DatabasePlace):
            place.execute(*CROWD.split(";"))
        yield opened


LARGE = {"events", "events_2027_01", "contacts", "summaries", "told_counts", "contact_words"}
"""Of which nobody may go through all that a workspace has either; of the months of events the one that has
any, as in an empty one any index will do."""


def scans(found: list[Access]) -> list[Access]:
    grown = set(schema.metadata.tables) - SMALL
    return [
        access
        for access in found
        if table_of(access) in grown
        and (not access.by_key or (access.table in LARGE and is_of_whole_workspace(access)))
    ]


def is_of_whole_workspace(access: Access) -> bool:
    return access.condition.strip("()").replace(" ", "") in {"workspace_no=?", "workspace_no=$0"}


async def test_reads_look_their_rows_up(town: Town) -> None:
    store, mine = town.store, town.workspace_id
    with noted(store) as statements:
        page = await town.people.activities(mine, user_ref("u0"), page_size=5, page_token="")
        await town.people.activities(mine, user_ref("u0"), page_size=5, page_token=page.next_page_token)
        await town.people.event_summary(mine, user_ref("u0"))
        for narrowed in (ContactFilter(), ContactFilter(user_id="u1"), ContactFilter(email="a@b.c")):
            await town.people.contacts(mine, narrowed, page_size=5, page_token="")
        await town.people.merges(mine, visitor_ref("v3"), page_size=5, page_token="")
        await store.delivery.installs(mine, after_install_no=3, count_max=5)
        await store.delivery.install(mine, phone(3).install_id)
        for filtered in (
            FailedFilter(),
            FailedFilter(reason=Reason.NAME_INVALID),
            FailedFilter(install_id=phone(3).install_id),
        ):
            await store.failed_events.failed_events(
                mine, filtered, beyond=None, count_max=5, oldest_first=False
            )
        await store.catalogue.definitions(
            mine, which=DefinitionFilter.ACTIVE, seen_kind=None, after_definition_no=0, count_max=5
        )
        await store.audit.audit_entries(mine, before_entry_no=None, count_max=5)
        await read_what_the_console_reads(town)
    found = await accesses(store, mine, statements)
    assert {"events", "contacts", "summaries", "told_counts"} <= {table_of(access) for access in found}
    assert scans(found) == []


async def read_what_the_console_reads(town: Town) -> None:
    store, mine, at = town.store, town.workspace_id, NOW // 1_000_000
    place = TroublePlace(trouble_count=3, install_no=7)
    for beyond in (None, place):
        await store.delivery.troubled_installs(mine, beyond=beyond, count_max=5)
    await store.delivery.installs_by_prefix(mine, "phone 1", behind_install_no=2, count_max=5)
    for narrowed in (
        PeopleFilter(),
        PeopleFilter(kind=ContactKind.USER),
        PeopleFilter(text="anna mu"),
        PeopleFilter(text="anna@example.org"),
        PeopleFilter(event_name=NameKey("name 1")),
        PeopleFilter(text="v", kind=ContactKind.USER, event_name=NameKey("name 1")),
    ):
        for before in (None, 1000):
            await store.people_search.find_people(mine, narrowed, beyond=before, count_max=5)
    page = await town.people.activities(
        mine, user_ref("u0"), page_size=5, page_token="", event_names=["name 1"]
    )
    await town.people.activities(
        mine, user_ref("u0"), page_size=5, page_token=page.next_page_token, event_names=["name 1"]
    )
    whereabouts = wire_services(store, simulated_clock=False, metrics=Metrics(version="test")).whereabouts
    for sequence in (3, 61, 99):
        assert await whereabouts.by_sequence(mine, phone(3).install_id, sequence)
    assert await whereabouts.by_person(mine, user_ref("u0"), "name 1", (at - 300) * 1_000_000)
    assert await whereabouts.by_person(mine, user_ref("gone"), "name 1", (at - 300) * 1_000_000)


async def test_the_balance_of_a_workspace_reads_its_own_ledgers(town: Town) -> None:
    """All of them, in numbers: one row a queue."""
    with noted(town.store) as statements:
        await town.store.delivery.balance(town.workspace_id)
    found = await accesses(town.store, town.workspace_id, statements)
    assert {table_of(access) for access in found} == {"ledgers", "workspaces"}
    assert scans(found) == []


@pytest.mark.parametrize(
    ("index", "table"),
    [
        ("ledgers_by_trouble", "ledgers"),
        ("summaries_by_name", "summaries"),
        ("told_counts_by_name", "told_counts"),
        ("events_by_sequence", "events"),
    ],
)
async def test_what_the_console_reads_goes_by_its_own_index(town: Town, index: str, table: str) -> None:
    with noted(town.store) as statements:
        await read_what_the_console_reads(town)
    found = await accesses(town.store, town.workspace_id, statements)
    used = {access.index for access in found if table_of(access) == table}
    if table == "events" and isinstance(town.place, DatabasePlace):
        assert any("install_no_sequence" in each or index in each for each in used), used
    else:
        assert index in used


async def test_a_page_of_installs_in_order_of_trouble_sorts_nothing(town: Town) -> None:
    with noted(town.store) as statements:
        await town.store.delivery.troubled_installs(
            town.workspace_id, beyond=TroublePlace(trouble_count=3, install_no=7), count_max=5
        )
    ordered = [each for each in statements if "trouble_count DESC" in each[0]]
    assert len(ordered) == 1
    (access,) = await accesses(town.store, town.workspace_id, ordered)  # And nothing for each of its rows.
    assert access.index == "ledgers_by_trouble"
    assert "trouble_count" in access.condition
    assert await sorts(town.store, town.workspace_id, ordered) == 0


async def test_events_of_a_person_and_a_name_are_looked_for_among_the_persons_own(town: Town) -> None:
    """Not among all that anybody did of the name, for which there is an index too."""
    whereabouts = wire_services(
        town.store, simulated_clock=False, metrics=Metrics(version="test")
    ).whereabouts
    with noted(town.store) as statements:
        await town.people.activities(
            town.workspace_id, user_ref("u0"), page_size=5, page_token="", event_names=["name 1"]
        )
        await whereabouts.by_person(town.workspace_id, user_ref("u0"), "name 1", NOW)
    found = await accesses(town.store, town.workspace_id, statements)
    # Of the months the one that has them: where nothing is, any index will do.
    events = [access for access in found if access.table in {"events", "events_2027_01"}]
    assert events
    for access in events:
        assert "contact_no" in access.condition or "install_no" in access.condition, access


async def test_a_page_of_the_timeline_reads_its_own_rows_alone(town: Town) -> None:
    """By the index that is in the order of the page, from where the last one ended."""
    first = await town.people.activities(town.workspace_id, user_ref("u0"), page_size=50, page_token="")
    with noted(town.store) as statements:
        await town.people.activities(
            town.workspace_id, user_ref("u0"), page_size=50, page_token=first.next_page_token
        )
    found = await accesses(town.store, town.workspace_id, statements)
    events = [access for access in found if table_of(access) == "events"]
    assert events
    for access in events:
        assert "timeline" in access.index or "occurred_at" in access.index, access
        assert "occurred_at" in access.condition, access
        assert "receipt_no" in access.condition, access


@on_postgres  # SQLite's way is explained on the writer's own connection: test_sql_store.py.
async def test_an_upload_looks_its_rows_up(town: Town) -> None:
    with noted(town.store) as statements:
        await town.send(
            good_event(0, 100, user("u1"), "name 1", NOW // 1_000_000),
            good_event(1, 101, visitor("new"), "name new", DAY),
            good_event(2, 1, visitor("v1"), "name 0", NOW // 1_000_000),
            install=phone(1),
        )
    found = await accesses(town.store, town.workspace_id, statements)
    assert "events" in {table_of(access) for access in found}
    assert scans(found) == []


async def test_telling_a_count_looks_its_rows_up(town: Town) -> None:
    contact = await town.people.contact(town.workspace_id, user_ref("u2"))
    with noted(town.store) as statements:
        for claim in (
            user("u1"),
            ContactClaim(contact_id=contact.contact_id),
            ContactClaim(email="a@b.c"),
            user("nobody"),
        ):
            await town.tell(claim, told_count("name 1", 9, 1, 2), told_count("name new", 1, 1, 1))
            await town.tell(claim, told_count("name 1", 0))
    found = await accesses(town.store, town.workspace_id, statements)
    assert "told_counts" in {table_of(access) for access in found}
    assert scans(found) == []


@on_postgres
async def test_the_control_a_read_without_an_index_is_seen(town: Town) -> None:
    town.place.execute("DROP INDEX timeline CASCADE")
    with noted(town.store) as statements:
        await town.people.activities(town.workspace_id, user_ref("u0"), page_size=5, page_token="")
    found = await accesses(town.store, town.workspace_id, statements)
    assert all("occurred_at" not in access.condition for access in found if table_of(access) == "events")


def table_of(access: Access) -> str:
    """Of a partition, the table that it is a part of."""
    return "events" if access.table.startswith("events_2") else access.table


@on_postgres
async def test_an_upload_into_a_month_that_has_just_begun_finds_copies_by_their_key(place: Place) -> None:
    """Of a table that was never looked at PostgreSQL takes any index for as good as another; the control."""
    async with open_town(place) as town:
        for first in range(0, 3_000, 500):
            events = [
                good_event(n, first + n + 1, user("busy"), "opened", NOW // 1_000_000 - first - n)
                for n in range(500)
            ]
            await town.send(*events)
        before = await conditions_of_copies(town)
        await town.store._database.keep_up()
        after = await conditions_of_copies(town)

    assert not any("created_at_seconds" in condition for condition in before)
    assert any("created_at_seconds" in condition for condition in after)  # Other months are empty.


async def conditions_of_copies(town: Town) -> list[str]:
    """How an upload that brings nothing new looks for what is stored already."""
    with noted(town.store) as statements:
        await town.send(good_event(0, 9_000, user("busy"), "opened", NOW // 1_000_000 - 7), install=phone(9))
    found = await accesses(town.store, town.workspace_id, statements)
    conditions = [
        access.condition
        for access in found
        if table_of(access) == "events" and "wanted_copies" in access.statement
    ]
    assert conditions
    return conditions
