"""The SQLite file: one connection that writes, a few that read beside it.

Measured facts behind the settings stand in docs/RELIABILITY.md: WAL with
synchronous=FULL loses nothing at a power cut where NORMAL does, and SQLite before
3.51.3 corrupts a WAL that two connections write or checkpoint, so only one does.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import URL, Connection, Engine, create_engine, delete, event, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool
from sqlalchemy.schema import CreateTable

from workevo_server.adapters.sql.absence import Absence
from workevo_server.adapters.sql.copies import wanted_copies
from workevo_server.adapters.sql.database import LOCK_WAIT, Reachable
from workevo_server.adapters.sql.facts import Facts, read_or_make_facts
from workevo_server.adapters.sql.migrate import upgrade
from workevo_server.adapters.sql.schema import SCRUB_FACT, store_facts
from workevo_server.adapters.sql.scrub import scrub
from workevo_server.domain.errors import Overloaded, StoreUnavailable
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.live_relay import Alone, LiveRelay

READERS_MAX = 4  # SQLite reads on threads of this process, and there are few cores to run them.
READER_WAIT_SECONDS = 10.0
READERS_BUSY_RETRY = timedelta(seconds=2)
BUSY_TIMEOUT_MILLIS = 5_000  # Nobody else writes; this covers a backup tool that holds a lock for a moment.
CACHE_KIB = 65_536  # The inner pages of the clustered tables stay in memory.
WAL_BYTES_MAX = 64 * 1024 * 1024  # The file is cut back to this after a checkpoint.

log = structlog.get_logger()
T = TypeVar("T")

_FSYNC_FAILURES = {
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
}


class SqliteDatabase:
    """A `database.Database` on one file. Takes the file at once, for its owner alone."""

    shares_transactions = True
    writes_apart = False
    has_months = False

    def __init__(self, path: Path) -> None:
        # It holds people's events: its owner's alone, as are the log and index that SQLite adds to it.
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        """For scrubbing; open as long as any connection, as closing a file gives up all locks on it."""
        self.relay: LiveRelay = Alone()
        self.absence = Absence()
        self._engine = writing_engine(path)
        self._reader = reading_engine(path)
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(1, "store-writer")
        """The one thread that touches the connection."""

    async def prepare(self, *, simulated_clock: bool | None) -> Facts:
        def prepare() -> Facts:
            with self._engine.connect() as connection:
                with connection.begin():
                    upgrade(connection)
                with connection.begin():
                    facts = read_or_make_facts(connection, simulated_clock=simulated_clock)
                    is_due = connection.execute(
                        select(store_facts.c.name).where(store_facts.c.name == SCRUB_FACT)
                    ).first()
                checkpoint(connection)
            if is_due is not None:  # A crash may have come before a deletion's own scrub (R32).
                scrub(self._file)
                self._forget_scrub()
            return facts

        return await self._on_thread(prepare)

    def _forget_scrub(self) -> None:
        """After it is done, so that a crash during a start leaves it to the next one."""
        with self._engine.connect() as connection, connection.begin():
            connection.execute(delete(store_facts).where(store_facts.c.name == SCRUB_FACT))

    @asynccontextmanager
    async def reading(self, workspace_id: WorkspaceId | None) -> AsyncIterator[AsyncConnection]:  # noqa: ARG002
        try:
            async with self._reader.connect() as connection:
                yield connection
        except PoolTimeout:
            raise Overloaded(READERS_BUSY_RETRY) from None
        except DBAPIError as error:
            raise StoreUnavailable from error

    async def transact(
        self,
        work: Callable[[Connection], T],
        workspace_id: WorkspaceId | None,  # noqa: ARG002
        *,
        lock_wait: timedelta = LOCK_WAIT,  # noqa: ARG002 - nobody else writes the file.
        apart: bool = False,  # noqa: ARG002 - nor does another thread of ours.
    ) -> T:
        return await self._on_thread(self._transaction, work)

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._engine.connect()
        with self._connection.begin():
            return work(self._connection)

    async def drop_connection(self) -> None:
        await self._on_thread(self._drop_connection)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception as error:  # noqa: BLE001 - it is given up either way.
                log.warning("connection_close_failed", error=type(error).__name__)

    async def make_room(self, received_at_micros: Collection[int]) -> None:
        """A file has room for all times."""

    @asynccontextmanager
    async def house_held(self) -> AsyncIterator[bool]:
        """Nobody else writes the file."""
        yield True

    async def leave_nothing_deleted(self) -> bool:
        return await self._on_thread(self._scrub)

    def _scrub(self) -> bool:
        """Nothing writes meanwhile: this is the one thread that does."""
        if self._connection is None:
            self._connection = self._engine.connect()
        if not checkpoint(self._connection):
            return False
        self._drop_connection()
        try:
            scrub(self._file)
        except ValueError:
            log.warning("store_too_large_to_scrub")
        return True

    def is_fatal(self, error: BaseException) -> bool:
        """Whether the disk refused to keep what was written; nothing in memory may be believed any more."""
        original = error.orig if isinstance(error, DBAPIError) else error
        return getattr(original, "sqlite_errorcode", None) in _FSYNC_FAILURES

    def is_passing(self, error: BaseException) -> bool:  # noqa: ARG002
        return False

    def is_held(self, error: BaseException) -> bool:  # noqa: ARG002
        return False

    def is_unreachable(self, error: BaseException) -> bool:  # noqa: ARG002
        return False

    async def watch(self, changed: Callable[[], object], reachable: Reachable) -> None:
        """Nobody else writes the file."""

    async def keep_up(self) -> None:
        """Its counters are always up to date, and it has room for all times."""

    def announce(self, connection: Connection) -> None:
        """There is nobody to tell."""

    async def close(self) -> None:
        """Close the readers, and bring the log into the file last."""
        await self._reader.dispose()
        await self._on_thread(self._close_connection)
        self._thread.shutdown()
        os.close(self._file)

    def _close_connection(self) -> None:
        if self._connection is not None:
            checkpoint(self._connection)
            self._connection.close()

    async def _on_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def writing_engine(path: Path) -> Engine:
    """An engine whose transactions take the write lock at once; open exactly one connection of it.

    It is driven from the writer's own thread and not through aiosqlite, which hands
    every statement over to a thread and back: see decisions/0003-the-writers-thread.md.
    """
    engine = create_engine(_url("sqlite", path), poolclass=NullPool, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        _pragmas(
            connection,
            "journal_mode = WAL",
            "synchronous = FULL",
            "secure_delete = ON",
            "foreign_keys = ON",
            "temp_store = MEMORY",  # What is deleted within a savepoint is written to no other file (R32).
            f"busy_timeout = {BUSY_TIMEOUT_MILLIS}",
            f"cache_size = -{CACHE_KIB}",
            f"journal_size_limit = {WAL_BYTES_MAX}",
        )
        _run(connection, str(CreateTable(wanted_copies)))

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def reading_engine(path: Path) -> AsyncEngine:
    """An engine that cannot write, with a bounded pool. Its connections never checkpoint."""
    engine = create_async_engine(
        _url("sqlite+aiosqlite", path),
        pool_size=READERS_MAX,
        max_overflow=0,
        pool_timeout=READER_WAIT_SECONDS,
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        _pragmas(
            connection,
            "query_only = ON",
            "wal_autocheckpoint = 0",
            f"busy_timeout = {BUSY_TIMEOUT_MILLIS}",
        )

    return engine


def looking_engine(path: Path) -> Engine:
    """An engine for who reads a whole file, in one transaction of its own making; it changes nothing."""
    return create_engine(
        URL.create("sqlite", database=path.absolute().as_uri(), query={"mode": "ro", "uri": "true"}),
        poolclass=NullPool,
        hide_parameters=True,
    )


def checkpoint(connection: Connection) -> bool:
    """Bring the whole log into the database file, so that a copy of it alone is complete.

    False when a reader kept it from that; then part of it may still be in the log.
    """
    cursor = connection.connection.cursor()  # Below SQLAlchemy, which would begin a transaction first.
    (busy, _, _) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    cursor.close()
    return not busy


def _url(driver: str, path: Path) -> URL:
    return URL.create(driver, database=str(path))


def _pragmas(connection: DBAPIConnection, *pragmas: str) -> None:
    connection.isolation_level = None  # We begin and end transactions ourselves.
    _run(connection, *(f"PRAGMA {pragma}" for pragma in pragmas))


def _run(connection: DBAPIConnection, *commands: str) -> None:
    cursor = connection.cursor()
    for command in commands:
        cursor.execute(command)
    cursor.close()
