"""The file of a store that is copied: brought up to date and found sound, then read piece by piece."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, func, select

from workevo_server.adapters.sql import integrity, receipts
from workevo_server.adapters.sql.copied_rows import TABLES
from workevo_server.adapters.sql.copy_marks import Source
from workevo_server.adapters.sql.migrate import StoreRefused
from workevo_server.adapters.sql.sqlite_database import SqliteDatabase, looking_engine

T = TypeVar("T")


@asynccontextmanager
async def opened_file(path: Path) -> AsyncIterator[Source]:
    """Migrated and sound. Raises StoreRefused: a copy would only spread what is wrong with it.

    Stays open for as long as it is read: who closes it last takes away what SQLite keeps
    beside an open file, and a reader may not.
    """
    database = SqliteDatabase(path)
    try:
        facts = await database.prepare(simulated_clock=None)
        async with database.reading(None) as connection:
            next_receipt = await connection.run_sync(receipts.next_receipt)
        report = await asyncio.to_thread(integrity.inspect, path)
        if report.problems:
            raise StoreRefused(f"The store to copy does not add up. {' '.join(report.problems)}")
        yield Source.of(facts, next_receipt)
    finally:
        await database.close()


class FileReader:
    """Reads the file on a thread of its own, always a piece ahead of what is asked for."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(1, "store-reader")
        self._engine = looking_engine(path)
        self._connection: Connection | None = None

    def __enter__(self) -> "FileReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    async def ahead(self, make: Callable[[Connection], Iterator[T]]) -> AsyncIterator[T]:
        """What an iterator over the file gives, which is made and asked on the thread."""
        iterator = await self._on_thread(self._run, make)
        coming = self._next(iterator)
        while (one := await coming) is not None:
            coming = self._next(iterator)
            yield one

    async def count_rows(self) -> dict[str, int]:
        """Of each table, by name."""

        def count(connection: Connection) -> dict[str, int]:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in TABLES
            }

        return await self._on_thread(self._run, count)

    def _next(self, iterator: Iterator[T]) -> "asyncio.Future[T | None]":
        return self._on_thread(next, iterator, None)

    def _on_thread(self, work: Callable[..., T], *arguments: object) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _run(self, work: Callable[[Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._engine.connect()
        return work(self._connection)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
