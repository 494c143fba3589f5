"""The SQL store behind the ports, opened as one thing.

sink, workspaces ─▶ Writer ─▶ transactions ─┐
people, delivery ───────────▶ readings ─────┴─▶ Database: a SQLite file or a PostgreSQL server
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import URL, Connection

from workevo_server.adapters.sql.audit import SqlAudit
from workevo_server.adapters.sql.catalogue import SqlCatalogue
from workevo_server.adapters.sql.contact_store import SqlContactStore
from workevo_server.adapters.sql.database import Database, Reachable
from workevo_server.adapters.sql.delivery import SqlDelivery
from workevo_server.adapters.sql.error_codes import error_code
from workevo_server.adapters.sql.failed_event_store import SqlFailedEvents
from workevo_server.adapters.sql.identify import IdentifyJob
from workevo_server.adapters.sql.migrate import StoreRefused
from workevo_server.adapters.sql.people import SqlPeople
from workevo_server.adapters.sql.people_search import SqlPeopleSearch
from workevo_server.adapters.sql.retention import SqlRetention
from workevo_server.adapters.sql.rings import MemoryKeyRing, MemoryNames, load_rings
from workevo_server.adapters.sql.secrets import SqlSecrets
from workevo_server.adapters.sql.sessions import SqlSessions
from workevo_server.adapters.sql.sqlite_database import SqliteDatabase
from workevo_server.adapters.sql.told_counts import CountsJob
from workevo_server.adapters.sql.upload_batch import UploadJob, new_id, run_uploads
from workevo_server.adapters.sql.volume_counts import KnownValues
from workevo_server.adapters.sql.volumes import SqlVolumes
from workevo_server.adapters.sql.whereabouts import SqlWhereabouts
from workevo_server.adapters.sql.workspaces import SqlWorkspaces
from workevo_server.adapters.sql.writer import Job, Refused, Writer
from workevo_server.adapters.system_clock import SystemClock
from workevo_server.domain.errors import WorkevoError
from workevo_server.domain.identification import Identification, IdentifyAnswer
from workevo_server.domain.judging import JudgedUpload
from workevo_server.domain.requests import ForgetCall
from workevo_server.domain.told_counts import CountsAnswer, JudgedCounts
from workevo_server.ports.contact_store import ErasureReceipt
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.ports.fault_point import FaultPoint, no_fault
from workevo_server.ports.live_relay import LiveRelay

__all__ = ["SqlStore", "StoreRefused"]

KEEP_UP_EVERY_SECONDS = 5.0
READ_AGAIN_SECONDS = 1.0  # After a change was heard of and could not be read.

log = structlog.get_logger()


def run_group(connection: Connection, jobs: Sequence[Job[Any]]) -> list[Any]:
    """The jobs of one transaction in order, neighbouring uploads as one batch.

    One that is refused costs those beside it nothing: they are not written again, one by one.
    """
    results: list[Any] = []
    for is_upload, neighbours in groupby(jobs, key=lambda job: isinstance(job, UploadJob)):
        if is_upload:
            results.extend(run_uploads(connection, [job for job in neighbours if isinstance(job, UploadJob)]))
        else:
            alone = len(jobs) == 1
            results.extend(
                job.run(connection) if alone else _run_beside(connection, job) for job in neighbours
            )
    return results


def _run_beside(connection: Connection, job: Job[Any]) -> Any:
    """Its result, or that it was refused and left nothing."""
    try:
        with connection.begin_nested():
            return job.run(connection)
    except WorkevoError as why:
        return Refused(why)


class SqlSink:
    """`ports.event_sink.EventSink`: what comes back from here is on disk (R12)."""

    def __init__(
        self, writer: Writer, contacts: SqlContactStore, erasure_secret: bytes, known_values: KnownValues
    ) -> None:
        self._known_values = known_values
        self._writer = writer
        self._contacts = contacts
        self._erasure_secret = erasure_secret

    async def append(self, upload: JudgedUpload) -> UploadAnswer:
        return await self._writer.submit(UploadJob(upload, self._erasure_secret, self._known_values))

    async def tell_counts(self, told: JudgedCounts) -> CountsAnswer:
        return await self._writer.submit(CountsJob(told, new_id, self._erasure_secret))

    async def identify(self, identification: Identification) -> IdentifyAnswer:
        return await self._writer.submit(IdentifyJob(identification, new_id, self._erasure_secret))

    async def forget(self, call: ForgetCall) -> ErasureReceipt:
        return await self._contacts.forget(call)


@dataclass(slots=True, kw_only=True)
class SqlStore:
    sink: SqlSink
    people: SqlPeople
    contacts: SqlContactStore
    delivery: SqlDelivery
    people_search: SqlPeopleSearch
    whereabouts: SqlWhereabouts
    workspaces: SqlWorkspaces
    secrets: SqlSecrets
    audit: SqlAudit
    catalogue: SqlCatalogue
    retention: SqlRetention
    failed_events: SqlFailedEvents
    volumes: SqlVolumes
    sessions: SqlSessions
    names: MemoryNames
    key_ring: MemoryKeyRing
    page_token_secret: bytes
    relay: LiveRelay
    _writer: Writer
    _database: Database

    @classmethod
    async def open(
        cls,
        where: Path | URL,
        *,
        simulated_clock: bool | None,
        fatal: Callable[[BaseException], None],
        faults: FaultPoint = no_fault,
    ) -> "SqlStore":
        """Open or make the store in a file or at a PostgreSQL URL, migrated to this version.

        A store keeps the kind of clock it was made with; None takes it as it is.
        `fatal` is called when an fsync failed or the writer ended: what is on disk is
        unknown then, and the process must end at once and recover by starting again.

        Raises StoreRefused, with a sentence for the operator, when the store was
        written by a newer version or for another kind of clock, or cannot be reached.
        """
        database = open_database(where)
        try:
            facts = await database.prepare(simulated_clock=simulated_clock)
            key_ring, names = MemoryKeyRing(), MemoryNames()
            await load_rings(database, key_ring, names)
        except BaseException:
            await database.close()
            raise
        writer = Writer(database=database, runner=run_group, faults=faults, fatal=fatal)
        workspaces = SqlWorkspaces(writer=writer, database=database, key_ring=key_ring)
        contact_store = SqlContactStore(writer=writer, new_id=new_id, erasure_secret=facts.erasure_secret)
        known_values = KnownValues()
        writer.start()
        return cls(
            sink=SqlSink(writer, contact_store, facts.erasure_secret, known_values),
            people=SqlPeople(database),
            contacts=contact_store,
            delivery=SqlDelivery(database),
            people_search=SqlPeopleSearch(database),
            whereabouts=SqlWhereabouts(database, facts.erasure_secret),
            workspaces=workspaces,
            secrets=SqlSecrets(workspaces=workspaces, database=database, key_ring=key_ring),
            audit=SqlAudit(database),
            catalogue=SqlCatalogue(workspaces=workspaces, database=database, names=names),
            retention=SqlRetention(writer=writer, database=database),
            failed_events=SqlFailedEvents(
                writer=writer,
                database=database,
                erasure_secret=facts.erasure_secret,
                known_values=known_values,
            ),
            volumes=SqlVolumes(database),
            sessions=SqlSessions(writer=writer, database=database),
            names=names,
            key_ring=key_ring,
            page_token_secret=facts.page_token_secret,
            relay=database.relay,
            _writer=writer,
            _database=database,
        )

    async def watch(self, reachable: Reachable) -> None:
        """Until cancelled, follow what other processes change, and say whether the store answers.

        Anything else that ends it is fatal: a key that is revoked elsewhere would be taken for good (R31).
        """
        changed = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow(changed), name="follow changes")
                tasks.create_task(self._keep_up(), name="keep up")
                tasks.create_task(self._database.watch(changed.set, reachable), name="watch the store")
        except ExceptionGroup as failed:
            self._writer.fatal(failed.exceptions[0])
            raise

    async def _follow(self, changed: asyncio.Event) -> None:
        """A change is said once, so that reading it is tried until it is done (R31)."""
        while await changed.wait():
            changed.clear()
            if not await _done_unless_away(load_rings(self._database, self.key_ring, self.names)):
                changed.set()
                await asyncio.sleep(READ_AGAIN_SECONDS)

    async def _keep_up(self) -> None:
        while True:
            await _done_unless_away(self._database.keep_up())
            await asyncio.sleep(KEEP_UP_EVERY_SECONDS)

    def answers(self) -> bool:
        """False from when it was found out of reach until it has answered again."""
        return not self._database.absence.is_going_on

    def jobs_waiting(self) -> int:
        """For the next transaction."""
        return self._writer.jobs_waiting

    async def close(self) -> None:
        """Write what waits, then close the database."""
        await self._writer.close()
        await self._database.close()


async def _done_unless_away(work: Awaitable[None]) -> bool:
    """Of what is done again soon, and may fail while the store does not answer: whether it was done."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - a server outlives its store's absence.
        log.warning("put_off", error=type(error).__name__, reason=error_code(error))
        return False
    return True


NO_DRIVER = (
    "PostgreSQL needs its driver. Install Workevo with it: the extra `postgres`, "
    "as in pip install '.[server,postgres]' within a clone."
)


def open_database(where: Path | URL) -> Database:
    """Of a file or a PostgreSQL URL. The driver is in an extra, so it is imported where it is asked for."""
    if isinstance(where, Path):
        return SqliteDatabase(where)
    try:
        from workevo_server.adapters.sql.postgres_database import PostgresDatabase
    except ModuleNotFoundError:
        raise StoreRefused(NO_DRIVER) from None
    return PostgresDatabase(where, clock=SystemClock())
