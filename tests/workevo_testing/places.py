"""Where a store is in a test, and what others find there: a file, or a database of a real server."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Protocol, TypeVar

import asyncpg
import pytest
from sqlalchemy import URL, make_url

from workevo_server.adapters.sql.integrity import inspect
from workevo_testing.postgres import PostgresCluster

T = TypeVar("T")

on_sqlite = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
"""For a test of what only a file has."""
on_postgres = pytest.mark.parametrize("place", ["postgresql"], indirect=True)
"""For a test of what only a server has."""


STORES = ("sqlite", "postgresql")

on_postgres_when_long = pytest.mark.parametrize(
    "on_each_store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)
"""For journeys of the simulator's own, or of a size, whose outcome the store has little part in."""


def store_of(request: pytest.FixtureRequest) -> str | None:
    """For a fixture whose params are STORES: the URL of a new database, or None for a file."""
    if request.param == "sqlite":
        return None
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    return cluster.make_database()


class Place(Protocol):
    @property
    def where(self) -> Path | URL:
        """For `SqlStore.open`."""

    def rows(self, query: str) -> list[Any]:
        """What another program finds in the store right now: only what is committed."""

    def execute(self, *statements: str) -> None:
        """What another program does to the store, past everything that guards it."""

    def found(self, text: str) -> int:
        """How often a text stands in the files of the store; in its rows, where the files are another's."""

    def problems(self) -> tuple[str, ...]:
        """What `workevo check` says of it."""


class FilePlace:
    def __init__(self, path: Path) -> None:
        self.where = path

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.where)) as other:
            return other.execute(query).fetchall()

    def execute(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.where)) as other:
            for statement in statements:
                other.execute(statement)
            other.commit()

    def found(self, text: str) -> int:
        files = [file for file in self.where.parent.iterdir() if file.is_file()]
        return sum(file.read_bytes().count(text.encode()) for file in files)

    def problems(self) -> tuple[str, ...]:
        return inspect(self.where).problems


class Held:
    """A transaction of another program, which ends when its context does."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def execute(self, *statements: str) -> None:
        """What it writes that has it."""
        for statement in statements:
            await self._connection.execute(statement)

    async def waited_for_by(self, count: int) -> None:
        """Return as soon as so many wait, for it or for each other."""
        async with asyncio.timeout(10):
            while await self._connection.fetchval(_WAITING) < count:  # noqa: ASYNC110 - another process.
                await asyncio.sleep(0.005)


_WAITING = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"  # A cluster is one worker's alone.


class DatabasePlace:
    def __init__(self, url: str) -> None:
        self.where = make_url(url)

    def rows(self, query: str) -> list[Any]:
        async def read(connection: asyncpg.Connection) -> list[Any]:
            return [tuple(row.values()) for row in await connection.fetch(query)]

        found: list[Any] = self._apart(read)
        return found

    def execute(self, *statements: str) -> None:
        async def change(connection: asyncpg.Connection) -> None:
            for statement in statements:
                await connection.execute(statement)

        self._apart(change)

    @asynccontextmanager
    async def held(self, *statements: str) -> AsyncIterator["Held"]:
        """What another program keeps open in a transaction meanwhile."""
        connection = await asyncpg.connect(self._address)
        try:
            async with connection.transaction():
                held = Held(connection)
                await held.execute(*statements)
                yield held
        finally:
            await connection.close()

    def found(self, text: str) -> int:
        tables = self.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        wanted = f"strpos(t::text, '{text}') > 0 OR strpos(t::text, '{text.encode().hex()}') > 0"
        return sum(
            self.rows(f"SELECT count(*) FROM {table} AS t WHERE {wanted}")[0][0] for (table,) in tables
        )

    def problems(self) -> tuple[str, ...]:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(inspect, self.where).result().problems

    @property
    def _address(self) -> str:
        return self.where.set(drivername="postgresql").render_as_string(hide_password=False)

    def _apart(self, work: Any) -> Any:
        """On a thread of its own, as the caller may be within a loop."""

        async def connected() -> Any:
            connection = await asyncpg.connect(self._address)
            try:
                return await work(connection)
            finally:
                await connection.close()

        return run_apart(connected())


_TOUCH = """CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO touched VALUES (TG_OP); RETURN NULL; END $$"""


def tell_what_is_touched(place: Place, *tables: str) -> list[str]:
    """Triggers that write a row of `touched` for every row of these tables that is written."""
    made = ["CREATE TABLE touched (what TEXT)"]
    if isinstance(place, DatabasePlace):
        made += [
            "GRANT INSERT ON touched TO PUBLIC",
            _TOUCH,
        ]
    for table in tables:
        for verb in ("INSERT", "UPDATE", "DELETE"):
            what = (
                "FOR EACH ROW EXECUTE FUNCTION touch()"
                if isinstance(place, DatabasePlace)
                else f"BEGIN INSERT INTO touched VALUES ('{verb}'); END"
            )
            made.append(f"CREATE TRIGGER {table}_{verb} AFTER {verb} ON {table} {what}")
    return made


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
