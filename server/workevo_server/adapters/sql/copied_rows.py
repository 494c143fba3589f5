"""The rows of a table as they are copied and compared: in the order of its key, a bounded piece at a time.

Both databases give a row as the same values, so that its digest is the same on both:
JSON as it was written, text without the escapes that PostgreSQL needs for NUL.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Select,
    Table,
    Text,
    cast,
    select,
    tuple_,
)

from workevo_server.adapters.sql.copy_marks import Key
from workevo_server.adapters.sql.schema import metadata
from workevo_server.adapters.sql.types import AnyText

TABLES = metadata.sorted_tables
"""Every table of a store; none refers to another by a constraint, so any order does."""
PIECE_ROWS = 256
BATCH_BYTES_MAX = 8 * 1024 * 1024  # A failed event may hold 32 KiB, and most rows a hundred bytes.

Row = tuple[Any, ...]
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    rows: Sequence[Row]
    last_key: Key


@dataclass(slots=True)
class Digest:
    """Of the rows that it was given, in their order, however they were cut into pieces."""

    row_count: int = 0
    _hash: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=32))

    def add(self, rows: Sequence[Row]) -> None:
        self._hash.update(b"".join(map(_encode, rows)))
        self.row_count += len(rows)

    @property
    def text(self) -> str:
        digest: str = self._hash.hexdigest()
        return digest


def rows_in_order(table: Table, dialect: Dialect, behind: Key | None = None) -> Select[Any]:
    """All rows, or those behind a key, by the table's key; the order is that of bytes on both databases."""
    columns = [
        cast(column, Text).label(column.name) if isinstance(column.type, JSON) else column
        for column in table.columns
    ]
    key = [_in_bytes_order(column, dialect) for column in table.primary_key.columns]
    query = select(*columns).order_by(*key)
    return query if behind is None else query.where(tuple_(*key) > tuple_(*behind))


def _in_bytes_order(column: Column[Any], dialect: Dialect) -> ColumnElement[Any]:
    by_language = isinstance(column.type, Text) and dialect.name == "postgresql"
    return column.collate("C") if by_language else column


def pieces(connection: Connection, table: Table, behind: Key | None = None) -> Iterator[Sequence[Row]]:
    """The rows of a SQLite store, read as they are asked for."""
    found = connection.execute(rows_in_order(table, connection.dialect, behind))
    for piece in found.partitions(PIECE_ROWS):
        yield [tuple(row) for row in piece]


def batches(table: Table, rows: Iterable[Sequence[Row]], *, rows_max: int) -> Iterator[Batch]:
    """Pieces gathered to what one transaction writes: so many rows, fewer where they are large."""
    key_of = _key_reader(table)
    gathered: list[Row] = []
    size = 0
    for piece in rows:
        for row in piece:
            gathered.append(row)
            size += len(_encode(row))
            if len(gathered) >= rows_max or size >= BATCH_BYTES_MAX:
                yield Batch(rows=gathered, last_key=key_of(row))
                gathered, size = [], 0
    if gathered:
        yield Batch(rows=gathered, last_key=key_of(gathered[-1]))


def _key_reader(table: Table) -> Callable[[Row], Key]:
    places = [list(table.columns).index(column) for column in table.primary_key.columns]
    return lambda row: tuple(row[place] for place in places)


def for_postgres(table: Table, rows: Sequence[Row], dialect: Dialect) -> Sequence[Row]:
    """As the driver's COPY takes them, which knows nothing of our types."""
    texts = {
        place: column.type for place, column in enumerate(table.columns) if isinstance(column.type, AnyText)
    }
    if not texts:
        return rows
    return [
        tuple(
            texts[place].process_bind_param(value, dialect) if place in texts else value
            for place, value in enumerate(row)
        )
        for row in rows
    ]
