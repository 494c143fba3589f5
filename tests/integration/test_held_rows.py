"""A row that somebody holds stops who needs it, and nobody else for long: one server's writer serves all."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from workevo_server.adapters.sql import postgres_database, writer
from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.errors import StoreUnavailable
from workevo_server.domain.events import ContactClaim, Install
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.verdicts import Reason, Refusal, Verdict
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.contact_store import ErasureReceipt
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.ports.people import ContactRef
from workevo_server.services.contacts import Contacts
from workevo_server.services.workspaces import Workspaces
from workevo_testing.people import operator, phone
from workevo_testing.places import DatabasePlace, on_postgres
from workevo_testing.sinks import FixedClock
from workevo_testing.stores import opened_store
from workevo_testing.uploads import PHONE, back_end_event, good_event, upload, user

pytestmark = on_postgres


async def send(
    store: SqlStore, workspace_id: WorkspaceId, sequence: int, user_id: str, install: Install = PHONE
) -> UploadAnswer:
    sent = upload(workspace_id, [good_event(0, sequence, user(user_id), "opened", sequence)], install=install)
    return await store.sink.append(judge_upload(sent, WorkspaceSettings()))


async def delete(store: SqlStore, workspace_id: WorkspaceId, user_id: str) -> ErasureReceipt:
    return await store.contacts.delete(
        workspace_id, ContactRef(user_id=user_id), suppress=False, author=operator(1)
    )


async def test_who_needs_no_held_row_is_answered_while_it_is_held(
    place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R11: those for the held contact are told to come back, and lose nothing by it."""
    monkeypatch.setattr(writer, "LOCK_WAIT", timedelta(milliseconds=200))
    monkeypatch.setattr(writer, "HELD_LOCK_WAIT", timedelta(milliseconds=50))
    async with opened_store(place) as store:
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
    async with opened_store(place) as store:
        workspaces = Workspaces(store=store.workspaces, clock=FixedClock())
        mine = (await workspaces.create("mine")).workspace.workspace_id
        await send(store, mine, 1, "u1")
        place.execute(
            _SLOWLY,
            "CREATE TRIGGER slowly AFTER DELETE ON summaries FOR EACH STATEMENT EXECUTE FUNCTION slowly()",
        )
        async with place.held("SELECT pg_advisory_xact_lock(7)"):
            deleting = asyncio.create_task(delete(store, mine, "u1"))
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


EVENTS_OF_U1 = (
    "SELECT FROM events JOIN contacts USING (contact_no) WHERE external_id = 'u1' FOR UPDATE OF events"
)
UNREADABLE = Refusal(reason=Reason.EVENT_MALFORMED, message="Its bytes do not parse.")


@pytest.fixture
async def served(place: DatabasePlace) -> AsyncIterator[tuple[SqlStore, WorkspaceId]]:
    """With an event of each of two users."""
    async with opened_store(place) as store:
        made = await Workspaces(store=store.workspaces, clock=FixedClock()).create("mine")
        mine = made.workspace.workspace_id
        await send(store, mine, 1, "u1")
        await send(store, mine, 1, "u2", phone(2))
        yield store, mine


async def test_a_deletion_that_takes_long_stops_no_other_and_nothing_that_nobody_can_read(
    place: DatabasePlace, served: tuple[SqlStore, WorkspaceId], monkeypatch: pytest.MonkeyPatch
) -> None:
    """R32: until its events are gone it holds nothing that all of the workspace need."""
    monkeypatch.setattr(writer, "LOCK_WAIT", timedelta(seconds=20))
    store, mine = served
    async with place.held(EVENTS_OF_U1) as held:
        deleting = asyncio.create_task(delete(store, mine, "u1"))
        await held.waited_for_by(1)
        unread = replace(back_end_event(0, ContactClaim(), ""), refusal=UNREADABLE)
        sent = judge_upload(upload(mine, [unread], install=None), WorkspaceSettings())
        assert (await store.sink.append(sent)).verdicts[0].verdict is Verdict.REJECTED
        assert (await delete(store, mine, "u2")).event_count == 1
        assert not deleting.done()
    assert (await deleting).event_count == 1
    assert place.rows("SELECT count(*) FROM failed_events") == [(0,)]
    assert place.problems() == ()


async def test_a_deletion_that_met_a_held_row_leaves_uploads_their_whole_wait(
    place: DatabasePlace, served: tuple[SqlStore, WorkspaceId], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LOCK_WAIT", timedelta(milliseconds=50))
    monkeypatch.setattr(writer, "HELD_LOCK_WAIT", timedelta(milliseconds=1))
    store, mine = served
    async with place.held("SELECT FROM contacts FOR UPDATE") as held:
        with pytest.raises(StoreUnavailable):
            await delete(store, mine, "u1")
        monkeypatch.setattr(writer, "LOCK_WAIT", timedelta(seconds=20))
        sending = asyncio.create_task(send(store, mine, 2, "u1"))
        await held.waited_for_by(1)
    assert (await sending).verdicts[0].verdict is Verdict.ACCEPTED


async def test_a_deletion_whose_caller_has_gone_is_forgotten_once_it_is_done(
    place: DatabasePlace, served: tuple[SqlStore, WorkspaceId], monkeypatch: pytest.MonkeyPatch
) -> None:
    """R32: what Live was shown meanwhile goes too."""
    monkeypatch.setattr(writer, "LOCK_WAIT", timedelta(seconds=20))
    store, mine = served
    forgotten: asyncio.Queue[WorkspaceId] = asyncio.Queue()
    contacts = Contacts(store=store.contacts, reader=store.people, forgotten=forgotten.put_nowait)
    async with place.held(EVENTS_OF_U1) as held:
        deleting = asyncio.create_task(
            contacts.delete(mine, ContactRef(user_id="u1"), suppress=False, author=operator(1))
        )
        await held.waited_for_by(1)
        deleting.cancel()
        await asyncio.wait([deleting])
        assert forgotten.empty()
    assert await asyncio.wait_for(forgotten.get(), 10) == mine
    assert place.rows("SELECT count(*) FROM events") == [(1,)]
