"""Every read finds its rows by a key, on both stores: none goes through a table that grows."""

from collections.abc import AsyncIterator

import pytest

from workevo_server.adapters.sql import schema
from workevo_server.domain.verdicts import Reason
from workevo_server.ports.catalogue import DefinitionFilter
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.ports.people import ContactFilter
from workevo_testing.people import DAY, NOW, Town, open_town, phone, user_ref, visitor_ref
from workevo_testing.places import DatabasePlace, Place, on_postgres
from workevo_testing.plans import Access, accesses, noted
from workevo_testing.uploads import good_event, user, visitor

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
        if isinstance(place, DatabasePlace):
            place.execute(*CROWD.split(";"))
        yield opened


def scans(found: list[Access]) -> list[Access]:
    grown = set(schema.metadata.tables) - SMALL
    return [access for access in found if table_of(access) in grown and not access.by_key]


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
    found = await accesses(store, mine, statements)
    assert {"events", "contacts", "summaries"} <= {table_of(access) for access in found}
    assert scans(found) == []


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
