"""Deletes that say what went, so that what counts those rows can be set right.

Counted first and then deleted, rows that another server deletes in between would be
counted by both. Nor are they brought here one by one: there may be millions.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, cast, delete, func, literal, select

from workevo_server.adapters.sql.locks import is_shared
from workevo_server.adapters.sql.types import Whole


def delete_counted(
    connection: Connection,
    table: Table,
    condition: ColumnElement[bool],
    *columns: ColumnElement[Any],
    size: ColumnElement[int] = literal(0),  # noqa: B008 - an expression, which nobody changes.
) -> Sequence[Any]:
    """Delete the rows, and return what they have in the columns, each with how many and how large in all.

    In the columns' order, in which what counts the rows is to be written.
    """
    if is_shared(connection):
        gone = delete(table).where(condition).returning(*columns, size.label("size")).cte("gone")
        *keys, gone_size = gone.c
        return connection.execute(_grouped(keys, gone_size)).all()
    there = connection.execute(_grouped(columns, size).where(condition)).all()
    connection.execute(delete(table).where(condition))
    return there


def _grouped(keys: Sequence[ColumnElement[Any]], size: ColumnElement[int]) -> Any:
    return select(*keys, func.count(), cast(func.sum(size), Whole)).group_by(*keys).order_by(*keys)
