"""Moves a store from a SQLite file to PostgreSQL, whole and verified.

    check the file ─▶ mark the database ─▶ rows, table by table ─▶ compare both sides ─▶ take the mark away
                            └─ a copy that was interrupted goes on here

Where each table stands is written in the transaction of its rows, so that whatever
interrupts a copy, the next run goes on behind the last row that is there. Servers are
kept out until the copy is verified, and so is the role that they work as: row-level
security comes last, as PostgreSQL takes no COPY into a table that has it.
"""

import asyncio
import enum
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, NullPool, Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql import copy_marks, integrity, receipts
from workevo_server.adapters.sql.copied_file import FileReader, opened_file
from workevo_server.adapters.sql.copied_rows import (
    TABLES,
    Batch,
    Digest,
    Row,
    batches,
    for_postgres,
    pieces,
    rows_in_order,
)
from workevo_server.adapters.sql.copy_marks import MOVE_MARK, NEW_MARK, Mark, Source, encode_key
from workevo_server.adapters.sql.migrate import StoreRefused, upgrade
from workevo_server.adapters.sql.partitions import Month, known_months, make_months, month_of
from workevo_server.adapters.sql.postgres_address import engine
from workevo_server.adapters.sql.postgres_database import UNREACHABLE, told
from workevo_server.adapters.sql.preparation import SCHEMA_LOCK, refuse_what_forgets
from workevo_server.adapters.sql.schema import events
from workevo_server.adapters.sql.tenant_wall import build_wall

BATCH_ROWS_DEFAULT = 10_000
READ_ROWS = 2_000  # Of a cursor on PostgreSQL, at once.
CONNECT_SECONDS_MAX = 10
LOCK_TRIES = 20  # A copy that was killed a moment ago may still be ending on the server.
LOCK_PAUSE_SECONDS = 0.5
_COPY_LOCK = 0x57_45_56_43  # Held by the one copy that writes to this database.

T = TypeVar("T")


class Step(enum.Enum):
    COPY = "copy"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one table is within a step; told after every transaction, or piece that was compared."""

    step: Step
    table: str
    rows: int
    rows_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReport:
    """What both sides have of a table."""

    rows: int
    digest: str


Telling = Callable[[Progress], None]


async def copy_store(
    source: Path, target: URL, *, tell: Telling, batch_rows: int = BATCH_ROWS_DEFAULT
) -> Mapping[str, TableReport]:
    """Copy the store in a file, which nobody else may write meanwhile; return what was verified, by table.

    The file is brought to the schema of this version first, and changed in nothing else.
    Raises StoreRefused, with a sentence for the operator: for a file that does not add
    up, a database that is in use, one that went away, and a copy that differs.
    """
    async with opened_file(source) as begun:
        try:
            with FileReader(source) as reader:
                async with _connected(target) as connection:
                    return await _Copy(reader, connection, target, tell, batch_rows).run(begun)
        except UNREACHABLE as error:
            raise StoreRefused(
                f"The copy stopped: {told(error)} Run the same command again, and it goes on where it stands."
            ) from None


@asynccontextmanager
async def _connected(url: URL) -> AsyncIterator[AsyncConnection]:
    """The one connection of a copy, without the deadlines of a server's calls."""
    settings = {
        "application_name": "workevo store copy",
        "synchronous_commit": "on",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "jit": "off",
    }
    pool = engine(url, settings=settings, deadlines={"timeout": CONNECT_SECONDS_MAX}, poolclass=NullPool)
    try:
        async with pool.connect() as connection:
            yield connection
    finally:
        await pool.dispose()


@dataclass(slots=True)
class _Copy:
    reader: FileReader
    connection: AsyncConnection
    url: URL
    tell: Telling
    batch_rows: int
    _marks: dict[str, Mark] = field(default_factory=dict)
    _totals: dict[str, int] = field(default_factory=dict)
    _months: set[Month] = field(default_factory=set)

    async def run(self, source: Source) -> Mapping[str, TableReport]:
        await refuse_what_forgets(self.connection)
        await self.connection.commit()
        await self._hold()
        await self._in_transaction(lambda connection: self._begin(connection, source))
        self._totals = await self.reader.count_rows()
        for table in TABLES:
            await self._copy(table)
        await self._in_transaction(_analyze)
        verified = {table.name: await self._compared(table) for table in TABLES}
        _refuse_differences(verified)
        await self._check_counts()
        await self._in_transaction(_let_servers_in)
        return {name: here for name, (here, _) in verified.items()}

    async def _hold(self) -> None:
        """Until the connection ends, this is the one copy to this database. Raises StoreRefused."""
        for _ in range(LOCK_TRIES):
            held = await self.connection.execute(select(func.pg_try_advisory_lock(_COPY_LOCK)))
            await self.connection.commit()
            if held.scalar_one():
                return
            await asyncio.sleep(LOCK_PAUSE_SECONDS)
        raise StoreRefused("Another copy to this database is running.")

    async def _in_transaction(self, work: Callable[[Connection], T]) -> T:
        async with self.connection.begin():
            return await self.connection.run_sync(work)

    def _begin(self, connection: Connection, source: Source) -> None:
        """A server that starts at this moment waits for the lock, and then finds the mark."""
        connection.execute(select(func.pg_advisory_xact_lock(SCHEMA_LOCK)))
        if copy_marks.is_marked(connection):
            copy_marks.refuse_another(connection, source)
        else:
            copy_marks.begin(connection, source)
        upgrade(connection)
        self._marks = copy_marks.read_marks(connection)
        unmarked = [table.name for table in TABLES if table.name not in self._marks]
        for name in unmarked:
            connection.execute(NEW_MARK, {"table_name": name, "row_count": 0})
        self._months = set(known_months(connection))

    async def _copy(self, table: Table) -> None:
        mark = self._marks.get(table.name, Mark(0, None))
        count = mark.row_count

        def read(connection: Connection) -> Iterator[Batch]:
            return batches(table, pieces(connection, table, mark.behind), rows_max=self.batch_rows)

        async for batch in self.reader.ahead(read):
            count += len(batch.rows)
            await self._write(table, batch, count)
            self._tell(Step.COPY, table, count)

    async def _write(self, table: Table, batch: Batch, count: int) -> None:
        async with self.connection.begin():
            # First the mark: by it the transaction is begun that COPY, past SQLAlchemy, then writes in.
            await self.connection.execute(
                MOVE_MARK, {"table": table.name, "count": count, "key": encode_key(batch.last_key)}
            )
            if table is events:
                await self._make_months(batch)
            raw: Any = (await self.connection.get_raw_connection()).driver_connection
            await raw.copy_records_to_table(
                table.name,
                columns=[column.name for column in table.columns],
                records=for_postgres(table, batch.rows, self.connection.dialect),
            )

    async def _make_months(self, batch: Batch) -> None:
        place = list(events.columns).index(events.c.received_at)
        missing = {month_of(row[place]) for row in batch.rows} - self._months
        if missing:
            await self.connection.run_sync(make_months, missing)
            self._months.update(missing)

    async def _compared(self, table: Table) -> tuple[TableReport, TableReport]:
        """What the file has, and what the database has; read side by side, in the same order."""
        here, there = Digest(), Digest()
        async with aclosing(self._pieces_there(table)) as others:
            async for piece in self.reader.ahead(lambda connection: pieces(connection, table)):
                here.add(piece)
                while there.row_count < here.row_count and (other := await anext(others, None)):
                    there.add(other)
                self._tell(Step.VERIFY, table, here.row_count)
            async for other in others:
                there.add(other)
        return _report(here), _report(there)

    async def _pieces_there(self, table: Table) -> AsyncGenerator[Sequence[Row], None]:
        query = rows_in_order(table, self.connection.dialect).execution_options(yield_per=READ_ROWS)
        async with self.connection.begin(), self.connection.stream(query) as found:
            async for piece in found.partitions():
                yield [tuple(row) for row in piece]

    async def _check_counts(self) -> None:
        """What `workevo check` says."""
        report = await asyncio.to_thread(integrity.inspect, self.url)
        if report.problems:
            raise StoreRefused(f"The copy does not add up. {' '.join(report.problems)}")

    def _tell(self, step: Step, table: Table, rows: int) -> None:
        self.tell(Progress(step=step, table=table.name, rows=rows, rows_total=self._totals[table.name]))


def _report(digest: Digest) -> TableReport:
    return TableReport(rows=digest.row_count, digest=digest.text)


def _refuse_differences(verified: Mapping[str, tuple[TableReport, TableReport]]) -> None:
    different = [
        f"{name} ({here.rows:,} rows here, {there.rows:,} there)"
        for name, (here, there) in verified.items()
        if here != there
    ]
    if different:
        raise StoreRefused(
            f"The copy differs from the store in {', '.join(different)}. Something else changed one of the "
            "two since it was begun. Make a new database and copy to that."
        )


def _analyze(connection: Connection) -> None:
    """So that the rows are read by their keys from here on, by us and by servers."""
    for table in TABLES:
        connection.execute(text(f"ANALYZE {table.name}"))


def _let_servers_in(connection: Connection) -> None:
    """The numbers go on behind those that were copied; then the wall, and the mark goes."""
    connection.execute(select(func.pg_advisory_xact_lock(SCHEMA_LOCK)))
    _set_sequences(connection)
    receipts.number_behind_what_is_there(connection)
    build_wall(connection)
    copy_marks.marks.drop_all(connection)


def _set_sequences(connection: Connection) -> None:
    for table in TABLES:
        column = table.autoincrement_column
        if column is None:
            continue
        last = f"SELECT max({column.name}) AS last FROM {table.name}"  # noqa: S608 - names of our schema.
        sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')::regclass"
        connection.execute(
            text(f"SELECT setval({sequence}, coalesce(last, 1), last IS NOT NULL) FROM ({last}) AS found")  # noqa: S608
        )
