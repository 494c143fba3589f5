"""A page of failed events or of the catalogue reads its own rows and no others, however many there are."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as hooks
from sqlalchemy.ext.asyncio import AsyncEngine

from workevo_server.adapters.sql.sqlite_database import SqliteDatabase
from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.naming import name_key
from workevo_server.domain.verdicts import Reason
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.catalogue import DefinitionFilter
from workevo_server.ports.failed_events import FailedFilter, FailedPlace
from workevo_server.services.workspaces import Workspaces
from workevo_testing.sinks import FixedClock, end_of_test
from workevo_testing.uploads import good_event, upload, user

BEYOND = FailedPlace(received_at_micros=5, failed_no=3, sequence=0)
FILTERS = [
    FailedFilter(),
    FailedFilter(reason=Reason.NAME_INVALID),
    FailedFilter(name_key=name_key("opened")),
    FailedFilter(install_id=InstallId("phone")),
    FailedFilter(received_from_micros=1, received_before_micros=9),
    FailedFilter(reason=Reason.NAME_INVALID, received_from_micros=1),
]


def _reader(store: SqlStore) -> AsyncEngine:
    assert isinstance(store._database, SqliteDatabase)
    return store._database._reader


class Watched:
    """A store, and how SQLite finds the rows of what is read from it."""

    def __init__(self, store: SqlStore, workspace_id: WorkspaceId) -> None:
        self.store = store
        self.workspace_id = workspace_id
        self.statements: list[tuple[str, Any]] = []

        @hooks.listens_for(_reader(store).sync_engine, "before_cursor_execute")
        def _note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            if not statement.startswith("EXPLAIN"):
                self.statements.append((statement, parameters))

    async def plans(self) -> list[str]:
        """Of all statements so far; each row of a plan says how one table is read, or that it is sorted."""
        found: list[str] = []
        async with _reader(self.store).connect() as connection:
            for statement, parameters in self.statements:
                plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                found += [row.detail for row in plan]
        return found


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    store = await SqlStore.open(tmp_path / "workevo.db", simulated_clock=False, fatal=end_of_test)
    made = await Workspaces(store=store.workspaces, clock=FixedClock()).create("acme")
    workspace_id = made.workspace.workspace_id
    events = [good_event(0, 1, user("u1"), "opened", 1), good_event(1, 2, user("u1"), "", 1)]
    await store.sink.append(judge_upload(upload(workspace_id, events), WorkspaceSettings()))
    yield Watched(store, workspace_id)
    await store.close()


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("narrowed", FILTERS)
async def test_a_page_of_failed_events_is_read_in_order_from_one_index(
    watched: Watched, narrowed: FailedFilter, *, oldest_first: bool
) -> None:
    await watched.store.failed_events.failed_events(
        watched.workspace_id, narrowed, beyond=BEYOND, count_max=50, oldest_first=oldest_first
    )

    plans = await watched.plans()

    assert any("failed_events USING INDEX" in plan for plan in plans)
    assert [plan for plan in plans if plan.startswith(("SCAN", "USE TEMP"))] == []


@pytest.mark.parametrize("narrowed", FILTERS)
async def test_failed_events_are_counted_without_reading_those_of_other_workspaces(
    watched: Watched, narrowed: FailedFilter
) -> None:
    await watched.store.failed_events.failed_counts(watched.workspace_id, narrowed)

    assert [plan for plan in await watched.plans() if plan.startswith("SCAN")] == []


@pytest.mark.parametrize("which", DefinitionFilter)
async def test_a_page_of_the_catalogue_is_read_in_order_from_one_index(
    watched: Watched, which: DefinitionFilter
) -> None:
    await watched.store.catalogue.definitions(
        watched.workspace_id, which=which, seen_kind=ContactKind.USER, after_definition_no=3, count_max=50
    )

    plans = await watched.plans()

    assert any("definitions_in_order" in plan for plan in plans)
    assert [plan for plan in plans if plan.startswith(("SCAN", "USE TEMP"))] == []
