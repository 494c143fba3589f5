"""Each store: what is answered is durable, what fails harms no other, no tenant sees another."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from workevo_server.adapters.sql import schema
from workevo_server.adapters.sql.database import TryAgain
from workevo_server.adapters.sql.sqlite_database import SqliteDatabase, reading_engine
from workevo_server.adapters.sql.store import SqlStore, StoreRefused
from workevo_server.adapters.sql.upload_batch import UploadBatch
from workevo_server.adapters.sql.writer import Change, Job, Writer
from workevo_server.domain.errors import NotFound, Overloaded, StoreUnavailable
from workevo_server.domain.events import Install, ReceivedEvent
from workevo_server.domain.identification import Identification
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.judging import JudgedUpload, judge_upload
from workevo_server.domain.metadata import MetadataEntry, Text
from workevo_server.domain.verdicts import Reason, Refusal, Verdict
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.audit import OPERATOR, Author
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.ports.key_ring import KeyKind, KeyRecord
from workevo_server.ports.people import ContactRef, StoredEvent
from workevo_server.services.people import People
from workevo_server.services.workspaces import Workspaces
from workevo_testing.places import Place, on_sqlite
from workevo_testing.sinks import FixedClock, end_of_test
from workevo_testing.uploads import PHONE, good_event, upload, user, visitor

OPERATOR_THEN = Author(made_by=OPERATOR, made_at_micros=0)
KEY = KeyRecord(prefix="wk_server_x", kind=KeyKind.SERVER, created_at_micros=0, revoked_at_micros=None)


@dataclass
class Opened:
    store: SqlStore
    place: Place
    workspace_id: WorkspaceId

    async def send(
        self,
        *events: ReceivedEvent,
        install: Install = PHONE,
        settings: WorkspaceSettings = WorkspaceSettings(),  # noqa: B008 - frozen.
    ) -> UploadAnswer:
        sent = upload(self.workspace_id, events, install=install)
        return await self.store.sink.append(judge_upload(sent, settings))

    def rows(self, query: str) -> list[Any]:
        return self.place.rows(query)


async def open_store(where: Path | URL) -> SqlStore:
    return await SqlStore.open(where, simulated_clock=False, fatal=end_of_test)


@pytest.fixture
async def opened(place: Place) -> AsyncIterator[Opened]:
    store = await open_store(place.where)
    made = await Workspaces(store=store.workspaces, clock=FixedClock()).create("acme")
    yield Opened(store, place, made.workspace.workspace_id)
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


@on_sqlite
async def test_a_refusal_costs_those_in_its_transaction_nothing(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R12: where jobs of all kinds share a transaction they share its fsync too, whoever is refused."""
    transactions: list[object] = []
    transact = SqliteDatabase._transaction

    def counted(database: SqliteDatabase, work: Callable[[Connection], object]) -> object:
        transactions.append(work)
        return transact(database, work)

    def write(number: int, connection: Connection) -> int:
        connection.execute(text(f"INSERT INTO store_facts VALUES ('fact {number}', x'00')"))
        if number % 5 == 3:
            raise NotFound("contact")
        return number

    monkeypatch.setattr(SqliteDatabase, "_transaction", counted)
    changes = [Change(opened.workspace_id, partial(write, number)) for number in range(20)]
    submitted = [opened.store._writer.submit(change) for change in changes]
    results = await asyncio.gather(*submitted, return_exceptions=True)
    assert [result for result in results if isinstance(result, int)] == [n for n in range(20) if n % 5 != 3]
    assert sum(isinstance(result, NotFound) for result in results) == 4
    assert opened.rows("SELECT count(*) FROM store_facts WHERE name LIKE 'fact %'") == [(16,)]
    assert len(transactions) <= 2


@on_sqlite
async def test_what_may_take_long_shares_no_transaction(opened: Opened) -> None:
    """SQLite keeps every page in memory that it changes behind a savepoint, and a deletion may change all."""
    writer = opened.store._writer
    run, groups = writer.runner, list[int]()

    def counted(connection: Connection, jobs: Sequence[Job[Any]]) -> list[Any]:
        groups.append(len(jobs))
        return run(connection, jobs)

    def answered(number: int, _connection: Connection) -> int:
        return number

    writer.runner = counted
    changes = [Change(opened.workspace_id, partial(answered, number)) for number in range(5)]
    submitted = [
        (writer.submit_apart if number == 2 else writer.submit)(change)
        for number, change in enumerate(changes)
    ]
    assert await asyncio.gather(*submitted) == [0, 1, 2, 3, 4]
    assert groups == [2, 1, 2]


async def test_a_refusal_costs_the_store_no_connection_and_a_failure_does(opened: Opened) -> None:
    """On a file it has 64 MiB of what is read most; on a server it takes several journeys to make one."""
    connections: list[Any] = []

    def write(connection: Connection, error: Exception | None = None) -> None:
        connections.append(connection.connection.dbapi_connection)
        connection.execute(text("UPDATE workspaces SET name = 'refused'"))
        if error is not None:
            raise error
        connection.execute(text("UPDATE workspaces SET name = 'written'"))

    def refuse(connection: Connection) -> None:
        write(connection, NotFound("contact"))

    def meet_another_once(connection: Connection) -> None:
        write(connection, TryAgain() if len(connections) == 2 else None)

    def fail(connection: Connection) -> None:
        write(connection, RuntimeError())

    async def submit(change: Callable[[Connection], None]) -> None:
        await opened.store._writer.submit(Change(opened.workspace_id, change))

    await submit(write)
    with pytest.raises(NotFound):
        await submit(refuse)
    assert opened.rows("SELECT name FROM workspaces") == [("written",)]
    await submit(meet_another_once)
    assert len(connections) == 4
    assert all(each is connections[0] for each in connections)
    with pytest.raises(StoreUnavailable):
        await submit(fail)
    await submit(write)
    assert connections[-1] is not connections[0]


async def test_a_caller_that_goes_away_takes_nothing_back(opened: Opened) -> None:
    sending = asyncio.create_task(opened.send(event(1)))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    again = await opened.send(event(1))
    assert again.verdicts[0].verdict is Verdict.DUPLICATE
    assert opened.rows("SELECT count(*) FROM events") == [(1,)]


@on_sqlite
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
    with pytest.raises(StoreUnavailable), capture_logs() as lines:
        await opened.send(*many)
    monkeypatch.undo()
    assert [(line["event"], line["reason"]) for line in lines] == [("write_failed", "SQLITE_FULL")]
    assert opened.rows("SELECT count(*) FROM events") == [(0,)]
    answer = await opened.send(*many)
    assert {verdict.verdict for verdict in answer.verdicts} == {Verdict.ACCEPTED}


@on_sqlite
async def test_the_readers_cannot_write(opened: Opened) -> None:
    assert isinstance(opened.place.where, Path)
    engine = reading_engine(opened.place.where)
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
    assert await reader.timeline(elsewhere, contact.contact_id, before=None, count_max=5) == []
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
        seen.extend(stored.name for stored in page.entries if isinstance(stored, StoredEvent))
        await opened.send(good_event(0, 100 + page_number, user("u1"), "newer", 5_000 + page_number))
        token = page.next_page_token
        if not token:
            break
    assert seen == [f"e{n}" for n in reversed(range(20))]


def identification(
    workspace_id: WorkspaceId,
    visitor_id: str,
    user_id: str,
    install: Install = PHONE,
    attributes: tuple[MetadataEntry, ...] = (),
) -> Identification:
    return Identification(
        attributes=attributes,
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


async def test_whoever_sends_a_visitors_events_has_used_it_copies_included(opened: Opened) -> None:
    """R31: a copy stores nothing, and still shows that another install knows the visitor."""
    same = good_event(0, 1, visitor("v1"), "opened", 1)
    await opened.send(same, install=phone(1))
    copy = await opened.send(same, install=phone(2))
    assert copy.verdicts[0].verdict is Verdict.DUPLICATE
    answer = await opened.store.sink.identify(identification(opened.workspace_id, "v1", "u1", phone(1)))
    assert answer.refusal is not None
    assert answer.refusal.reason is Reason.VISITOR_SHARED


async def test_a_visitor_made_by_its_log_in_is_shared_only_when_a_second_install_uses_it(
    opened: Opened,
) -> None:
    await opened.store.sink.identify(identification(opened.workspace_id, "v1", "u1"))
    shared = "SELECT shared FROM contacts WHERE id_kind = 'visitor'"
    for number, expected in ((1, 0), (1, 0), (2, 1)):
        created_at = number * 100 + len(opened.rows("SELECT 1 FROM events"))
        sequence = 1 + len(opened.rows("SELECT 1 FROM events"))
        await opened.send(good_event(0, sequence, visitor("v1"), "opened", created_at), install=phone(number))
        assert opened.rows(shared) == [(expected,)]


async def test_devices_merge_only_so_many_visitors_into_one_user(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every one of them is read through at each upload, so a public key must not add them without end."""
    monkeypatch.setattr("workevo_server.domain.limits.CONTACT_VISITOR_IDS_MAX", 2)
    answers = [
        await opened.store.sink.identify(identification(opened.workspace_id, f"v{n}", "u1")) for n in range(3)
    ]
    again = await opened.store.sink.identify(identification(opened.workspace_id, "v0", "u1"))
    refusals = [answer.refusal.reason if answer.refusal else None for answer in [*answers, again]]
    assert refusals == [None, None, Reason.VISITOR_LIMIT, None]


async def test_what_is_known_of_a_user_is_added_to_matched_as_names_are_and_bounded(opened: Opened) -> None:
    def told(*keys: str) -> Identification:
        entries = tuple(MetadataEntry(key, Text(key)) for key in keys)
        return identification(opened.workspace_id, "v1", "u1", attributes=entries)

    await opened.store.sink.identify(told("Name", *(f"k{n}" for n in range(10))))
    await opened.store.sink.identify(told("NAME", *(f"m{n}" for n in range(19))))
    ((attributes,),) = opened.rows("SELECT attributes FROM contacts WHERE id_kind = 'user'")
    known = json.loads(attributes)
    assert len(known) == 20
    assert "NAME" in known
    assert "Name" not in known


async def test_a_rejected_log_in_changes_nothing_of_the_user(opened: Opened) -> None:
    await opened.store.sink.identify(identification(opened.workspace_id, "v1", "u1"))
    email = (MetadataEntry("email", Text("mallory@example.org")),)
    refused = await opened.store.sink.identify(
        identification(opened.workspace_id, "v1", "u2", attributes=email)
    )
    assert refused.refusal is not None
    assert opened.rows("SELECT DISTINCT attributes FROM contacts") == [("{}",)]


async def test_an_unknown_contact_is_not_found(opened: Opened) -> None:
    people = People(reader=opened.store.people, page_token_secret=opened.store.page_token_secret)
    with pytest.raises(NotFound, match="contact"):
        await people.event_summary(opened.workspace_id, ContactRef(user_id="nobody"))


async def test_failed_events_are_kept_whole_within_their_share_and_counted_beyond(
    opened: Opened,
) -> None:
    """R13: a tenth of the room for one install."""
    settings = WorkspaceSettings(failed_events_bytes_max=10_000)
    for sequence in range(1, 21):
        await opened.send(good_event(0, sequence, user("u1"), "", 1), settings=settings)
    kept = opened.rows("SELECT count(*) FROM failed_events")[0][0]
    assert 0 < kept < 20
    usage = "SELECT kept_count, unkept_count FROM failed_event_usage ORDER BY install_no"
    assert opened.rows(usage) == [(kept, 20 - kept)] * 2
    assert opened.rows("SELECT DISTINCT event, reason FROM failed_events") == [(b"as sent", "NAME_INVALID")]
    await opened.send(good_event(0, 1, user("u1"), "", 1), install=phone(2))
    assert opened.rows("SELECT count(*) FROM failed_events") == [(kept + 1,)]


async def test_a_broken_event_under_a_settled_sequence_is_kept_too(opened: Opened) -> None:
    await opened.send(event(1))
    malformed = Refusal(reason=Reason.EVENT_MALFORMED, message="Its bytes do not parse.")
    answer = await opened.send(replace(event(1), refusal=malformed, raw=b"another phone's"))
    assert answer.verdicts[0].verdict is Verdict.REJECTED
    assert opened.rows("SELECT event FROM failed_events") == [(b"another phone's",)]
    assert opened.rows("SELECT count(*) FROM events") == [(1,)]


async def test_a_writer_that_ends_takes_the_process_with_it(tmp_path: Path) -> None:
    ended: list[BaseException] = []
    store = await SqlStore.open(tmp_path / "workevo.db", simulated_clock=False, fatal=ended.append)
    task = store._writer._task
    assert task is not None

    def broken(_first: object) -> None:
        raise RuntimeError("planted")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Writer, "_gather", lambda _self, first: broken(first))
        doomed = asyncio.create_task(
            store.workspaces.add_key(WorkspaceId("ws"), "hash", KEY, author=OPERATOR_THEN)
        )
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert [str(error) for error in ended] == ["planted"]
    doomed.cancel()


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
    assert key not in str(opened.rows("SELECT * FROM api_keys"))


async def test_settings_changed_at_once_lose_nothing_of_each_other(opened: Opened) -> None:
    workspaces = Workspaces(store=opened.store.workspaces, clock=FixedClock())
    await asyncio.gather(
        workspaces.update_settings(opened.workspace_id, {"metadata_keys_max": "7"}),
        workspaces.update_settings(opened.workspace_id, {"event_names_max": "77"}),
    )
    settings = opened.store.key_ring.settings(opened.workspace_id)
    assert (settings.metadata_keys_max, settings.event_names_max) == (7, 77)


async def test_a_key_is_revoked_for_the_server_too_when_the_operator_goes_away(opened: Opened) -> None:
    workspaces = Workspaces(store=opened.store.workspaces, clock=FixedClock(5))
    key = await workspaces.create_key(opened.workspace_id, KeyKind.SERVER)
    principal = opened.store.key_ring.principal(key)
    assert principal is not None
    revoking = asyncio.create_task(workspaces.revoke_key(opened.workspace_id, principal.key_prefix))
    await asyncio.sleep(0)
    revoking.cancel()
    await asyncio.gather(revoking, return_exceptions=True)
    await workspaces.create_key(opened.workspace_id, KeyKind.SERVER)  # The next in the writer's queue.
    assert opened.store.key_ring.principal(key) is None


async def test_readers_that_are_all_busy_say_when_to_come_back(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = opened.store._database
    engine: Any = getattr(database, "_reader", None) or getattr(database, "_readers", None)
    monkeypatch.setattr(engine.sync_engine.pool, "_timeout", 0.05)
    async with AsyncExitStack() as busy:
        for _ in range(engine.sync_engine.pool.size()):
            await busy.enter_async_context(database.reading(opened.workspace_id))
        with pytest.raises(Overloaded) as refused:
            await busy.enter_async_context(database.reading(opened.workspace_id))
    assert refused.value.retry_after.total_seconds() > 0
    with pytest.raises(StoreUnavailable):
        async with database.reading(opened.workspace_id) as connection:
            await connection.exec_driver_sql("SELECT * FROM nowhere")


async def test_keys_and_settings_are_known_again_after_a_restart(place: Place) -> None:
    store = await open_store(place.where)
    workspaces = Workspaces(store=store.workspaces, clock=FixedClock())
    made = await workspaces.create("acme")
    workspace_id = made.workspace.workspace_id
    await workspaces.update_settings(workspace_id, {"metadata_keys_max": "7", "key_charset": "strict"})
    await workspaces.revoke_key(workspace_id, made.keys[KeyKind.ADMIN][:17])
    await store.close()
    again = await open_store(place.where)
    assert again.key_ring.principal(made.keys[KeyKind.SDK]) is not None
    assert again.key_ring.principal(made.keys[KeyKind.ADMIN]) is None
    assert again.key_ring.settings(workspace_id).metadata_keys_max == 7
    await again.close()


async def test_a_store_of_a_newer_version_is_refused_with_a_sentence(place: Place) -> None:
    await (await open_store(place.where)).close()
    place.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreRefused, match="newer version of Workevo"):
        await open_store(place.where)


async def test_a_store_keeps_the_kind_of_clock_it_was_made_with(place: Place) -> None:
    await (await open_store(place.where)).close()
    with pytest.raises(StoreRefused, match="--simulated-clock with a new, empty store"):
        await SqlStore.open(place.where, simulated_clock=True, fatal=end_of_test)


async def test_the_migrations_make_the_schema_of_the_code(tmp_path: Path) -> None:
    path = tmp_path / "workevo.db"
    await (await open_store(path)).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    engine.dispose()
    assert differences == []


@on_sqlite
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
    scans = [plan for plan in plans if plan.startswith("SCAN") and not plan.startswith("SCAN wanted_")]
    assert plans
    assert scans == []
    # A search by the workspace alone finds its rows by a key too, and goes through all that it has.
    searches = [plan for plan in plans if plan.startswith("SEARCH events")]
    assert searches
    assert all("workspace_no=? AND contact_no=? AND created_at_seconds=?" in plan for plan in searches)


def _watch(connection: Connection, statements: list[tuple[str, Any]]) -> None:
    from sqlalchemy import event as hooks

    @hooks.listens_for(connection, "before_cursor_execute")
    def _note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith("EXPLAIN"):
            statements.append((statement, parameters))
