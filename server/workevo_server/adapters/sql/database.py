"""The SQLite file: one connection that writes, a few that read beside it.

Measured facts behind the settings stand in RELIABILITY.md: WAL with
synchronous=FULL loses nothing at a power cut where NORMAL does, and SQLite before
3.51.3 corrupts a WAL that two connections write or checkpoint, so only one does.
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool
from sqlalchemy.schema import CreateTable

from workevo_server.adapters.sql.statements import wanted_copies
from workevo_server.domain.errors import Overloaded, StoreUnavailable

READERS_MAX = 4  # SQLite reads on threads of this process, and there are few cores to run them.
READER_WAIT_SECONDS = 10.0
READERS_BUSY_RETRY = timedelta(seconds=2)
BUSY_TIMEOUT_MILLIS = 5_000  # Nobody else writes; this covers a backup tool that holds a lock for a moment.
CACHE_KIB = 65_536  # The inner pages of the clustered tables stay in memory.
WAL_BYTES_MAX = 64 * 1024 * 1024  # The file is cut back to this after a checkpoint.

_FSYNC_FAILURES = {
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
}


def is_fsync_failure(error: BaseException) -> bool:
    """Whether the disk refused to keep what was written; then nothing in memory may be believed any more."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return getattr(original, "sqlite_errorcode", None) in _FSYNC_FAILURES


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
            "temp_store = MEMORY",
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


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection to read with. Raises Overloaded when all are busy, StoreUnavailable when reading fails."""
    try:
        async with engine.connect() as connection:
            yield connection
    except PoolTimeout:
        raise Overloaded(READERS_BUSY_RETRY) from None
    except DBAPIError as error:
        raise StoreUnavailable from error


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
