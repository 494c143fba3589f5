"""The SQLite store: what is answered is durable, what fails harms no other, no tenant sees another."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import OperationalError

from workevo_server.adapters.sql import schema
from workevo_server.adapters.sql.database import reading_engine
from workevo_server.adapters.sql.store import SqlStore, StoreRefused
from workevo_server.adapters.sql.upload_batch import UploadBatch
from workevo_server.domain.admission import JudgedUpload, judge_upload
from workevo_server.domain.errors import NotFound, StoreUnavailable
from workevo_server.domain.events import Install, ReceivedEvent
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.verdicts import Verdict
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.ports.key_ring import KeyKind
from workevo_server.ports.people import ContactRef
from workevo_server.services.people import People
from workevo_server.services.workspaces import Workspaces
from workevo_testing.sinks import FixedClock, end_of_test
from workevo_testing.uploads import PHONE, good_event, upload, user, visitor


@dataclass
class Opened:
    store: SqlStore
    path: Path
    workspace_id: WorkspaceId

    async def send(self, *events: ReceivedEvent, install: Install = PHONE) -> UploadAnswer:
        sent = upload(self.workspace_id, events, install=install)
        return await self.store.sink.append(judge_upload(sent, WorkspaceSettings()))

    def rows(self, query: str) -> list[Any]:
        """What another program finds in the file right now: only what is committed."""
        with closing(sqlite3.connect(self.path)) as other:
            return other.execute(query).fetchall()


async def open_store(path: Path) -> SqlStore:
    return await SqlStore.open(path, simulated_clock=False, fatal=end_of_test)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    path = tmp_path / "workevo.db"
    store = await open_store(path)
    made = await Workspaces(store=store.workspaces, clock=FixedClock()).create("acme")
    yield Opened(store, path, made.workspace.workspace_id)
    await store.close()


def event(sequence: int, name: str = "opened", user_id: str = "u1") -> ReceivedEvent:
    return good_event(0, sequence, user(user_id), name, 1_000 + sequence)


def phone(number: int) -> Install:
    return Install(install_id=InstallId(f"phone {number}"), epoch=b"e" * 16)


async def test_what_was_answered_is_committed(opened: Opened) -> None:
    answer = await opened.send(event(1))
    assert answer.verdicts[0].verdict is Verdict.ACCEPTED
    assert opened.rows("SELECT count(*) FROM events") == [(1,)]
    assert opened.rows("SELECT event_count FROM summaries") == [(1,)]


async def test_uploads_that_wait_together_share_a_transaction(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    run = UploadBatch.run

    def counted(batch: UploadBatch, uploads: Sequence[JudgedUpload]) -> list[UploadAnswer]:
        groups.append(len(uploads))
        return run(batch, uploads)

    monkeypatch.setattr(UploadBatch, "run", counted)
    await asyncio.gather(*(opened.send(event(1, user_id=f"u{n}"), install=phone(n)) for n in range(50)))
    assert sum(groups) == 50
    assert len(groups) <= 3
    assert opened.rows("SELECT count(*) FROM events") == [(50,)]


async def test_a_group_that_fails_is_tried_again_upload_by_upload(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R12: one upload that cannot be written costs those beside it nothing."""
    write_events = UploadBatch._write_events

    def failing(batch: UploadBatch) -> None:
        if any(row["sequence"] == 666 for row in batch._events):
            raise OperationalError("insert", {}, sqlite3.OperationalError("planted"))
        write_events(batch)

    monkeypatch.setattr(UploadBatch, "_write_events", failing)
    sent = [opened.send(event(666 if n == 3 else n + 1), install=phone(n)) for n in range(8)]
    results = await asyncio.gather(*sent, return_exceptions=True)
    assert [isinstance(result, StoreUnavailable) for result in results] == [n == 3 for n in range(8)]
    monkeypatch.undo()
    assert (await opened.send(event(666), install=phone(3))).verdicts[0].verdict is Verdict.ACCEPTED
    assert opened.rows("SELECT count(*) FROM events") == [(8,)]
    assert opened.rows("SELECT count(*) FROM installs") == [(8,)]


async def test_nothing_of_an_upload_is_kept_when_its_transaction_fails(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_batch: UploadBatch) -> None:
        raise OperationalError("upsert", {}, sqlite3.OperationalError("planted"))

    monkeypatch.setattr(UploadBatch, "_write_ledgers", failing)
    with pytest.raises(StoreUnavailable):
        await opened.send(event(1), good_event(1, 2, user("u1"), "", 1))
    for table in ("events", "summaries", "installs", "ledgers", "contacts", "failed_events"):
        assert opened.rows(f"SELECT count(*) FROM {table}") == [(0,)]


async def test_a_caller_that_goes_away_takes_nothing_back(opened: Opened) -> None:
    sending = asyncio.create_task(opened.send(event(1)))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    again = await opened.send(event(1))
    assert again.verdicts[0].verdict is Verdict.DUPLICATE
    assert opened.rows("SELECT count(*) FROM events") == [(1,)]


async def test_a_full_disk_promises_nothing_and_heals_by_itself(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = opened.rows("PRAGMA page_count")[0][0]
    run = UploadBatch.run

    def on_a_full_disk(batch: UploadBatch, uploads: Sequence[JudgedUpload]) -> list[UploadAnswer]:
        batch._connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        return run(batch, uploads)

    monkeypatch.setattr(UploadBatch, "run", on_a_full_disk)
    many = [good_event(n, n + 1, user(f"u{n}"), f"name {n}" * 20, n) for n in range(400)]
    with pytest.raises(StoreUnavailable):
        await opened.send(*many)
    monkeypatch.undo()
    assert opened.rows("SELECT count(*) FROM events") == [(0,)]
    answer = await opened.send(*many)
    assert {verdict.verdict for verdict in answer.verdicts} == {Verdict.ACCEPTED}


async def test_the_readers_cannot_write(opened: Opened) -> None:
    engine = reading_engine(opened.path)
    async with engine.connect() as connection:
        with pytest.raises(OperationalError, match="readonly"):
            await connection.exec_driver_sql("DELETE FROM workspaces")
    await engine.dispose()


async def test_the_file_is_its_owners_alone_and_complete_after_closing(tmp_path: Path) -> None:
    path = tmp_path / "workevo.db"
    store = await open_store(path)
    await Workspaces(store=store.workspaces, clock=FixedClock()).create("acme")
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    await store.close()
    assert [file.name for file in tmp_path.iterdir()] == ["workevo.db"]


async def test_another_workspace_sees_nothing_of_it(opened: Opened) -> None:
    other = await Workspaces(store=opened.store.workspaces, clock=FixedClock()).create("other")
    await opened.send(event(1))
    reader = opened.store.people
    contact = await reader.contact(opened.workspace_id, ContactRef(user_id="u1"))
    assert contact is not None
    elsewhere = other.workspace.workspace_id
    assert await reader.contact(elsewhere, ContactRef(user_id="u1")) is None
    assert await reader.contact(elsewhere, ContactRef(contact_id=contact.contact_id)) is None
    assert await reader.event_summaries(elsewhere, contact.contact_id) == []
    assert await reader.events(elsewhere, contact.contact_id, before=None, count_max=5) == []
    assert await opened.store.delivery.install(elsewhere, PHONE.install_id) is None
    assert await opened.store.delivery.installs(elsewhere, after_install_no=0, count_max=5) == []


async def test_one_id_in_two_workspaces_is_two_people(opened: Opened) -> None:
    other = await Workspaces(store=opened.store.workspaces, clock=FixedClock()).create("other")
    await opened.send(event(1))
    same = upload(other.workspace.workspace_id, [event(1)])
    answer = await opened.store.sink.append(judge_upload(same, WorkspaceSettings()))
    assert answer.verdicts[0].verdict is Verdict.ACCEPTED
    assert opened.rows("SELECT count(*) FROM contacts") == [(2,)]


async def test_a_timeline_is_read_through_aliases_in_pages_that_hold_while_events_arrive(
    opened: Opened,
) -> None:
    people = People(reader=opened.store.people, page_token_secret=opened.store.page_token_secret)
    await opened.send(
        *(good_event(n, n + 1, visitor("v1") if n % 2 else user("u1"), f"e{n}", n + 1) for n in range(20))
    )
    await opened.store.sink.identify(identification(opened.workspace_id, "v1", "u1"))
    seen: list[str] = []
    token = ""
    for page_number in range(100):
        page = await people.activities(
            opened.workspace_id, ContactRef(user_id="u1"), page_size=3, page_token=token
        )
        seen.extend(stored.name for stored in page.events)
        await opened.send(good_event(0, 100 + page_number, user("u1"), "newer", 5_000 + page_number))
        token = page.next_page_token
        if not token:
            break
    assert seen == [f"e{n}" for n in reversed(range(20))]


def identification(workspace_id: WorkspaceId, visitor_id: str, user_id: str, install: Install = PHONE) -> Any:
    from workevo_server.domain.identification import Identification

    return Identification(
        workspace_id=workspace_id,
        install=install,
        visitor_id=visitor_id,
        user_id=user_id,
        occurred_at_micros=1,
        received_at_micros=1,
    )


async def test_a_log_in_adds_the_visitors_summary_to_the_users_and_repeats_harmlessly(opened: Opened) -> None:
    await opened.send(event(1), good_event(1, 2, visitor("v1"), "opened", 50))
    for _ in range(2):
        answer = await opened.store.sink.identify(identification(opened.workspace_id, "v1", "u1"))
        assert answer.refusal is None
    people = People(reader=opened.store.people, page_token_secret=opened.store.page_token_secret)
    by_visitor = await people.event_summary(opened.workspace_id, ContactRef(visitor_id="v1"))
    by_user = await people.event_summary(opened.workspace_id, ContactRef(user_id="u1"))
    assert by_visitor == by_user
    assert by_user[0].visitor_ids == ("v1",)
    assert [(s.count, s.first_occurred_at_micros) for s in by_user[1]] == [(2, 50_000_000)]


async def test_a_late_upload_for_a_merged_visitor_is_read_through_the_user(opened: Opened) -> None:
    await opened.store.sink.identify(identification(opened.workspace_id, "v1", "u1"))
    await opened.send(good_event(0, 1, visitor("v1"), "late", 50))
    people = People(reader=opened.store.people, page_token_secret=opened.store.page_token_secret)
    _, summaries = await people.event_summary(opened.workspace_id, ContactRef(user_id="u1"))
    assert [summary.name for summary in summaries] == ["late"]


async def test_a_visitor_of_another_user_or_of_other_installs_is_not_merged(opened: Opened) -> None:
    """R16 and R31: what a public key may claim."""
    identify = opened.store.sink.identify
    await identify(identification(opened.workspace_id, "v1", "u1"))
    taken = await identify(identification(opened.workspace_id, "v1", "u2"))
    assert taken.refusal is not None
    assert taken.refusal.reason.value == "VISITOR_TAKEN"
    await opened.send(good_event(0, 1, visitor("v2"), "opened", 1), install=phone(1))
    await opened.send(good_event(0, 1, visitor("v2"), "opened", 2), install=phone(2))
    shared = await identify(identification(opened.workspace_id, "v2", "u1", phone(1)))
    assert shared.refusal is not None
    assert shared.refusal.reason.value == "VISITOR_SHARED"


async def test_an_unknown_contact_is_not_found(opened: Opened) -> None:
    people = People(reader=opened.store.people, page_token_secret=opened.store.page_token_secret)
    with pytest.raises(NotFound, match="contact"):
        await people.event_summary(opened.workspace_id, ContactRef(user_id="nobody"))


async def test_failed_events_are_kept_whole_within_their_share_and_counted_beyond(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R13: a tenth of the room for one install."""
    monkeypatch.setattr("workevo_server.domain.limits.FAILED_EVENTS_BYTES_DEFAULT", 10_000)
    for sequence in range(1, 21):
        await opened.send(good_event(0, sequence, user("u1"), "", 1))
    kept = opened.rows("SELECT count(*) FROM failed_events")[0][0]
    assert 0 < kept < 20
    usage = "SELECT kept_count, unkept_count FROM failed_event_usage ORDER BY install_no"
    assert opened.rows(usage) == [(kept, 20 - kept)] * 2
    assert opened.rows("SELECT DISTINCT event, reason FROM failed_events") == [(b"as sent", "NAME_INVALID")]
    await opened.send(good_event(0, 1, user("u1"), "", 1), install=phone(2))
    assert opened.rows("SELECT count(*) FROM failed_events") == [(kept + 1,)]


async def test_a_revoked_key_opens_nothing_and_is_still_listed(opened: Opened) -> None:
    workspaces = Workspaces(store=opened.store.workspaces, clock=FixedClock(5))
    key = await workspaces.create_key(opened.workspace_id, KeyKind.SERVER)
    principal = opened.store.key_ring.principal(key)
    assert principal is not None
    await workspaces.revoke_key(opened.workspace_id, principal.key_prefix)
    assert opened.store.key_ring.principal(key) is None
    listed = {
        record.prefix: record.revoked_at_micros for record in await workspaces.keys(opened.workspace_id)
    }
    assert listed[principal.key_prefix] == 5
    assert key.encode() not in opened.path.read_bytes()


async def test_keys_and_settings_are_known_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "workevo.db"
    store = await open_store(path)
    workspaces = Workspaces(store=store.workspaces, clock=FixedClock())
    made = await workspaces.create("acme")
    workspace_id = made.workspace.workspace_id
    await workspaces.update_settings(workspace_id, {"metadata_keys_max": "7", "key_charset": "strict"})
    await workspaces.revoke_key(workspace_id, made.keys[KeyKind.ADMIN][:17])
    await store.close()
    again = await open_store(path)
    assert again.key_ring.principal(made.keys[KeyKind.SDK]) is not None
    assert again.key_ring.principal(made.keys[KeyKind.ADMIN]) is None
    assert again.key_ring.settings(workspace_id).metadata_keys_max == 7
    await again.close()


async def test_a_store_of_a_newer_version_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "workevo.db"
    await (await open_store(path)).close()
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
        newer.commit()
    with pytest.raises(StoreRefused, match="newer version of Workevo"):
        await open_store(path)


async def test_a_store_keeps_the_kind_of_clock_it_was_made_with(tmp_path: Path) -> None:
    path = tmp_path / "workevo.db"
    await (await open_store(path)).close()
    with pytest.raises(StoreRefused, match="--simulated-clock with a new, empty data directory"):
        await SqlStore.open(path, simulated_clock=True, fatal=end_of_test)


async def test_the_migrations_make_the_schema_of_the_code(tmp_path: Path) -> None:
    path = tmp_path / "workevo.db"
    await (await open_store(path)).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    engine.dispose()
    assert differences == []


async def test_an_uploads_cost_does_not_follow_the_size_of_the_store(opened: Opened) -> None:
    """Every statement of an upload looks its rows up by a key: none scans a table."""
    plans: list[str] = []
    await opened.send(event(1), good_event(1, 2, user("u1"), "", 1))
    run = UploadBatch.run

    def explained(batch: UploadBatch, uploads: Sequence[JudgedUpload]) -> list[UploadAnswer]:
        statements: list[tuple[str, Any]] = []
        _watch(batch._connection, statements)
        answers = run(batch, uploads)
        for statement, parameters in statements:
            one = parameters[0] if isinstance(parameters, list) else parameters
            plan = batch._connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", one)
            plans.extend(f"{row[3]} for {statement}" for row in plan)
        return answers

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UploadBatch, "run", explained)
        await opened.send(event(1), event(3, "closed"), good_event(2, 4, visitor("v"), "opened", 3))
    scans = [plan for plan in plans if plan.startswith("SCAN") and not plan.startswith("SCAN wanted_copies")]
    assert plans
    assert scans == []


def _watch(connection: Connection, statements: list[tuple[str, Any]]) -> None:
    from sqlalchemy import event as hooks

    @hooks.listens_for(connection, "before_cursor_execute")
    def _note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith("EXPLAIN"):
            statements.append((statement, parameters))
