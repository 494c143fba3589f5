"""A row that somebody holds stops who needs it, and nobody else for long: one server's writer serves all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from workevo_server.adapters.sql import postgres_database, writer
from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.errors import StoreUnavailable
from workevo_server.domain.events import Install
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.verdicts import Verdict
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.ports.people import ContactRef
from workevo_server.services.workspaces import Workspaces
from workevo_testing.people import operator, phone
from workevo_testing.places import DatabasePlace, Place, on_postgres
from workevo_testing.sinks import FixedClock, end_of_test
from workevo_testing.uploads import PHONE, good_event, upload, user

pytestmark = on_postgres


async def send(
    store: SqlStore, workspace_id: WorkspaceId, sequence: int, user_id: str, install: Install = PHONE
) -> UploadAnswer:
    sent = upload(workspace_id, [good_event(0, sequence, user(user_id), "opened", sequence)], install=install)
    return await store.sink.append(judge_upload(sent, WorkspaceSettings()))


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


_SLOWLY = """CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    WHILE NOT pg_try_advisory_xact_lock_shared(7) LOOP PERFORM pg_sleep(0.01); END LOOP;
    RETURN NULL; END $$"""


async def test_a_deletion_that_takes_long_keeps_no_upload_waiting(
    place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R32: of a person with millions of events it takes longer than a call may, and is done all the same."""
    monkeypatch.setattr(postgres_database, "STATEMENT_SECONDS_MAX", 1)
    async with opened(place) as store:
        workspaces = Workspaces(store=store.workspaces, clock=FixedClock())
        mine = (await workspaces.create("mine")).workspace.workspace_id
        await send(store, mine, 1, "u1")
        place.execute(
            _SLOWLY,
            "CREATE TRIGGER slowly AFTER DELETE ON summaries FOR EACH STATEMENT EXECUTE FUNCTION slowly()",
        )
        async with place.held("SELECT pg_advisory_xact_lock(7)"):
            deleting = asyncio.create_task(
                store.contacts.delete(mine, ContactRef(user_id="u1"), suppress=False, author=operator(1))
            )
            slow = (
                "query LIKE 'DELETE FROM summaries%' AND clock_timestamp() - query_start > interval '1.2 s'"
            )
            async with asyncio.timeout(20):
                while not place.rows(f"SELECT FROM pg_stat_activity WHERE {slow}"):
                    assert not deleting.done(), await deleting
                    await asyncio.sleep(0.02)
            assert (await send(store, mine, 2, "u2", phone(2))).verdicts[0].verdict is Verdict.ACCEPTED
            assert not deleting.done()

        assert (await deleting).event_count == 1
    assert place.rows("SELECT count(*) FROM events") == [(1,)]
    assert place.problems() == ()
