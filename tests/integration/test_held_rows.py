"""A row that somebody holds stops who needs it, and nobody else for long: one server's writer serves all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from workevo_server.adapters.sql import writer
from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.errors import StoreUnavailable
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.verdicts import Verdict
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.services.workspaces import Workspaces
from workevo_testing.places import DatabasePlace, Place, on_postgres
from workevo_testing.sinks import FixedClock, end_of_test
from workevo_testing.uploads import good_event, upload, user

pytestmark = on_postgres


async def send(store: SqlStore, workspace_id: WorkspaceId, sequence: int, user_id: str) -> UploadAnswer:
    event = good_event(0, sequence, user(user_id), "opened", sequence)
    return await store.sink.append(judge_upload(upload(workspace_id, [event]), WorkspaceSettings()))


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[SqlStore]:
    store = await SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test)
    try:
        yield store
    finally:
        await store.close()


async def test_who_needs_no_held_row_is_answered_while_it_is_held(
    place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R11: those for the held contact are told to come back, and lose nothing by it."""
    monkeypatch.setattr(writer, "LOCK_WAIT", timedelta(milliseconds=200))
    monkeypatch.setattr(writer, "HELD_LOCK_WAIT", timedelta(milliseconds=50))
    async with opened(place) as store:
        workspaces = Workspaces(store=store.workspaces, clock=FixedClock())
        mine, other = [(await workspaces.create(name)).workspace.workspace_id for name in ("mine", "other")]
        await send(store, mine, 1, "u1")
        async with place.held("SELECT * FROM contacts FOR UPDATE"):
            waiting = [asyncio.create_task(send(store, mine, sequence, "u1")) for sequence in range(2, 22)]
            beside = asyncio.create_task(send(store, mine, 30, "u2"))
            await asyncio.sleep(0)  # They are in the queue.
            (verdict,) = (await send(store, other, 1, "u1")).verdicts

            assert verdict.verdict is Verdict.ACCEPTED
            told = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(each, StoreUnavailable) for each in told)
            await asyncio.wait([beside])

        assert (await send(store, mine, 2, "u1")).verdicts[0].verdict is Verdict.ACCEPTED
    assert place.problems() == ()
