"""The SQL store behind the ports, opened as one thing.

sink, workspaces ─▶ Writer ─▶ the writing connection ─┐
people, delivery ────────────▶ reading connections ───┴─▶ workevo.db (WAL)
"""

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from workevo_server.adapters.sql.audit import SqlAudit
from workevo_server.adapters.sql.catalogue import MemoryNames, SqlCatalogue
from workevo_server.adapters.sql.contact_store import SqlContactStore
from workevo_server.adapters.sql.database import checkpoint, reading_engine, writing_engine
from workevo_server.adapters.sql.delivery import SqlDelivery
from workevo_server.adapters.sql.erasing import SCRUB_FACT
from workevo_server.adapters.sql.failed_event_store import SqlFailedEvents
from workevo_server.adapters.sql.identify import IdentifyJob
from workevo_server.adapters.sql.migrate import StoreRefused, upgrade
from workevo_server.adapters.sql.people import SqlPeople
from workevo_server.adapters.sql.retention import SqlRetention
from workevo_server.adapters.sql.schema import store_facts
from workevo_server.adapters.sql.scrub import scrub
from workevo_server.adapters.sql.secrets import SqlSecrets
from workevo_server.adapters.sql.upload_batch import UploadJob, new_id, run_uploads
from workevo_server.adapters.sql.workspaces import MemoryKeyRing, SqlWorkspaces
from workevo_server.adapters.sql.writer import Job, Writer
from workevo_server.domain.identification import Identification, IdentifyAnswer
from workevo_server.domain.judging import JudgedUpload
from workevo_server.domain.requests import ForgetCall
from workevo_server.ports.contact_store import ErasureReceipt
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.ports.fault_point import FaultPoint, no_fault

__all__ = ["SqlStore", "StoreRefused"]

_CLOCK_FACT = "clock"
_SECRET_FACT = "page_token_secret"  # noqa: S105 - the name of the fact, not the secret.
_ERASURE_FACT = "erasure_secret"


def run_group(connection: Connection, jobs: Sequence[Job[Any]]) -> list[Any]:
    """The jobs of one transaction in order, neighbouring uploads as one batch."""
    results: list[Any] = []
    for is_upload, neighbours in groupby(jobs, key=lambda job: isinstance(job, UploadJob)):
        if is_upload:
            results.extend(run_uploads(connection, [job for job in neighbours if isinstance(job, UploadJob)]))
        else:
            results.extend(job.run(connection) for job in neighbours)
    return results


class SqlSink:
    """`ports.event_sink.EventSink`: what comes back from here is on disk (R12)."""

    def __init__(self, writer: Writer, contacts: SqlContactStore, erasure_secret: bytes) -> None:
        self._writer = writer
        self._contacts = contacts
        self._erasure_secret = erasure_secret

    async def append(self, upload: JudgedUpload) -> UploadAnswer:
        return await self._writer.submit(UploadJob(upload, self._erasure_secret))

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
    workspaces: SqlWorkspaces
    secrets: SqlSecrets
    audit: SqlAudit
    catalogue: SqlCatalogue
    retention: SqlRetention
    failed_events: SqlFailedEvents
    names: MemoryNames
    key_ring: MemoryKeyRing
    page_token_secret: bytes
    _writer: Writer
    _reader: AsyncEngine

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        simulated_clock: bool | None,
        fatal: Callable[[BaseException], None],
        faults: FaultPoint = no_fault,
    ) -> "SqlStore":
        """Open or make the store at `path`, migrated to this version.

        A store keeps the kind of clock it was made with; None takes it as it is.
        `fatal` is called when an fsync failed or the writer ended: what is on disk is
        unknown then, and the process must end at once and recover by starting again.

        Raises StoreRefused, with a sentence for the operator, when the store was
        written by a newer version or for another kind of clock.
        """
        file = _open_private(path)
        engine = writing_engine(path)
        try:
            facts = await asyncio.to_thread(_prepare, engine, file, simulated_clock=simulated_clock)
        except BaseException:
            os.close(file)
            raise
        writer = Writer(engine=engine, runner=run_group, faults=faults, fatal=fatal, file=file)
        reader, key_ring = reading_engine(path), MemoryKeyRing()
        workspaces = SqlWorkspaces(writer=writer, reader=reader, key_ring=key_ring)
        contact_store = SqlContactStore(writer=writer, new_id=new_id, erasure_secret=facts[_ERASURE_FACT])
        identity = SqlSecrets(workspaces=workspaces, reader=reader, key_ring=key_ring)
        await workspaces.load_key_ring()
        await identity.load_key_ring()
        names = MemoryNames()
        catalogue = SqlCatalogue(workspaces=workspaces, reader=reader, names=names)
        await catalogue.load_names()
        writer.start()
        return cls(
            sink=SqlSink(writer, contact_store, facts[_ERASURE_FACT]),
            people=SqlPeople(reader),
            contacts=contact_store,
            delivery=SqlDelivery(reader),
            workspaces=workspaces,
            secrets=identity,
            audit=SqlAudit(reader),
            catalogue=catalogue,
            retention=SqlRetention(writer=writer, reader=reader),
            failed_events=SqlFailedEvents(writer=writer, reader=reader, erasure_secret=facts[_ERASURE_FACT]),
            names=names,
            key_ring=key_ring,
            page_token_secret=facts[_SECRET_FACT],
            _writer=writer,
            _reader=reader,
        )

    async def close(self) -> None:
        """Write what waits, close the readers, and bring the log into the file last."""
        await self._reader.dispose()
        await self._writer.close()
        os.close(self._writer.file)


def _open_private(path: Path) -> int:
    """The file holds people's events: its owner's alone, as are the log and index that SQLite adds to it."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _prepare(engine: Engine, file: int, *, simulated_clock: bool | None) -> dict[str, bytes]:
    """Migrate, and read or make the facts of the store, before anybody else opens it."""
    with engine.connect() as connection:
        with connection.begin():
            upgrade(connection)
        with connection.begin():
            facts = _facts(connection)
            if facts[_CLOCK_FACT] == b"":
                facts = _make_facts(connection, b"simulated" if simulated_clock else b"real")
            if _ERASURE_FACT not in facts:  # A store of before deletions.
                facts |= _add_facts(connection, {_ERASURE_FACT: secrets.token_bytes(32)})
            connection.execute(delete(store_facts).where(store_facts.c.name == SCRUB_FACT))
        checkpoint(connection)
    if SCRUB_FACT in facts:  # A crash may have come before a deletion's own scrub (R32).
        scrub(file)
    _refuse_other_clock(facts[_CLOCK_FACT], simulated_clock=simulated_clock)
    return facts


def _refuse_other_clock(clock: bytes, *, simulated_clock: bool | None) -> None:
    if simulated_clock is None or simulated_clock == (clock == b"simulated"):
        return
    remedy = (
        "Use --simulated-clock with a new, empty data directory."
        if simulated_clock
        else "Start it with --simulated-clock, or use another data directory."
    )
    raise StoreRefused(f"This store was made with a {clock.decode()} clock. {remedy}")


def _facts(connection: Connection) -> dict[str, bytes]:
    rows = connection.execute(select(store_facts.c.name, store_facts.c.value))
    return {_CLOCK_FACT: b""} | {row.name: row.value for row in rows}


def _make_facts(connection: Connection, clock: bytes) -> dict[str, bytes]:
    return _add_facts(connection, {_CLOCK_FACT: clock, _SECRET_FACT: secrets.token_bytes(32)})


def _add_facts(connection: Connection, facts: dict[str, bytes]) -> dict[str, bytes]:
    connection.execute(insert(store_facts), [{"name": name, "value": value} for name, value in facts.items()])
    return facts
