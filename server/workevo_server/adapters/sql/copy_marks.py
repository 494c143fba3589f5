"""The mark of a database that a store is being copied to, and where each table of the copy stands.

It is there from the first transaction of a copy until all of it is verified, in tables
of its own: the store's own tables hold nothing but what was copied.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Self

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    insert,
    select,
    text,
    update,
)

from workevo_server.adapters.sql.facts import Facts
from workevo_server.adapters.sql.migrate import StoreRefused
from workevo_server.adapters.sql.types import Whole

Key = tuple[Any, ...]
"""The primary key of a row: whole numbers, bytes, text."""

marks = MetaData()

store_copy = Table(
    "store_copy",
    marks,
    Column("source", LargeBinary, primary_key=True),
    Column("state", LargeBinary, nullable=False),
)
"""Of which store this is a copy, and what that store had received when the copy was begun."""

copied_tables = Table(
    "store_copy_tables",
    marks,
    Column("table_name", Text, primary_key=True),
    Column("row_count", Whole, nullable=False),
    Column("behind", LargeBinary),
)
"""How many rows are there, and the key of the last of them; moved in the transaction of the rows."""

_IS_MARKED = text("SELECT to_regclass('store_copy') IS NOT NULL")
_IS_IN_USE = text(
    """SELECT EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = current_schema()::regnamespace
        AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e'))"""
)
"""Whatever is there, but for what came with an extension of the server."""


@dataclass(frozen=True, slots=True)
class Source:
    """Which store is copied, told by what no other store has; and the last receipt that it numbered."""

    store: bytes
    state: bytes

    @classmethod
    def of(cls, facts: Facts, next_receipt: bytes) -> Self:
        secrets = facts.page_token_secret + facts.erasure_secret
        return cls(hashlib.blake2b(secrets, digest_size=16).digest(), next_receipt)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the copy of one table stands."""

    row_count: int
    behind: Key | None


def refuse_unfinished_copy(connection: Connection) -> None:
    """Raises StoreRefused where a copy has not been verified: events taken now would be in its way."""
    if is_marked(connection):
        raise StoreRefused(
            "A store is being copied to this database, or was, and the copy has not been verified. "
            "Finish it first: run the same `workevo store copy FROM TO` again."
        )


def is_marked(connection: Connection) -> bool:
    return bool(connection.execute(_IS_MARKED).scalar_one())


def begin(connection: Connection, source: Source) -> None:
    """Mark an empty database. Raises StoreRefused for one that holds anything."""
    if connection.execute(_IS_IN_USE).scalar_one():
        raise StoreRefused(
            "The database to copy to is in use: it holds tables already. Make a new one and name that."
        )
    marks.create_all(connection)
    connection.execute(insert(store_copy), {"source": source.store, "state": source.state})


def refuse_another(connection: Connection, source: Source) -> None:
    """Raises StoreRefused when the copy that was begun here is not of this store as it is."""
    begun = connection.execute(select(store_copy)).one()
    if begun.source != source.store:
        raise StoreRefused(
            "Another store is being copied to this database. Finish that copy, or name a new database."
        )
    if begun.state != source.state:
        raise StoreRefused(
            "The store has received events since this copy of it was begun, so the copy cannot go on. "
            "Make a new database and copy to that."
        )


def read_marks(connection: Connection) -> dict[str, Mark]:
    """Of each table that was begun, by its name."""
    return {
        row.table_name: Mark(
            row.row_count, None if row.behind is None else msgspec.msgpack.decode(row.behind)
        )
        for row in connection.execute(select(copied_tables))
    }


NEW_MARK = insert(copied_tables)
MOVE_MARK = (
    update(copied_tables)
    .where(copied_tables.c.table_name == bindparam("table"))
    .values(row_count=bindparam("count"), behind=bindparam("key"))
)


def encode_key(key: Key) -> bytes:
    return msgspec.msgpack.encode(key)
