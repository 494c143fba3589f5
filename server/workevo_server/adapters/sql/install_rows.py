"""Installs in numbers: summed up, and in the order of their trouble, without reading a ledger's document."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Integer, Row, Select, exists, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.schema import ledgers, workspaces
from workevo_server.domain.events import Install
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.ledger import Balance
from workevo_server.ports.delivery import InstallRow, TroublePlace

_TOLD = ("generated", "dropped", "open")
"""A device may tell any number up to 2^53 of these, so that many sum up to no integer of SQLite's."""
_COUNTED = ("stored", "duplicate", "archived", "rejected", "resent", "erased", "expired")
_LOW_BITS = 32


async def read_balance(connection: AsyncConnection, workspace_id: WorkspaceId) -> Balance:
    row = (await connection.execute(_sums(workspace_id))).mappings().one()
    sums = {name: int(row[name] or 0) for name in _COUNTED}
    halves = {name: int(row[f"{name}_high"] or 0) << _LOW_BITS for name in _TOLD}
    return _balance(sums | {name: high + int(row[f"{name}_low"] or 0) for name, high in halves.items()})


def _sums(workspace_id: WorkspaceId) -> Select[Any]:
    """What devices tell in halves, which stay small."""
    low, bits = (1 << _LOW_BITS) - 1, literal(_LOW_BITS, Integer)  # PostgreSQL shifts by no other type.
    told = {name: ledgers.c[f"{name}_count"] for name in _TOLD}
    return (
        select(
            *(func.sum(ledgers.c[f"{name}_count"]).label(name) for name in _COUNTED),
            *(func.sum(each.bitwise_rshift(bits)).label(f"{name}_high") for name, each in told.items()),
            *(func.sum(each.bitwise_and(low)).label(f"{name}_low") for name, each in told.items()),
        )
        .join_from(ledgers, workspaces, ledgers.c.workspace_no == workspaces.c.workspace_no)
        .where(workspaces.c.workspace_id == workspace_id)
    )


async def read_troubled(
    connection: AsyncConnection, workspace_no: int, beyond: TroublePlace | None, count_max: int
) -> list[TroublePlace]:
    """By the index that is in this order; of an install the queue alone that has most trouble."""
    table, other = ledgers.c, ledgers.alias("other")
    # Plus nothing, so that its queues are found by the install, and not by what has more trouble anywhere.
    worse = tuple_(other.c.trouble_count + 0, other.c.epoch) > tuple_(table.trouble_count, table.epoch)
    query = select(table.trouble_count, table.install_no).where(
        table.workspace_no == workspace_no,
        ~exists().where(
            other.c.workspace_no == table.workspace_no, other.c.install_no == table.install_no, worse
        ),
    )
    if beyond is not None:
        place = tuple_(table.trouble_count, table.install_no)
        query = query.where(place < tuple_(beyond.trouble_count, beyond.install_no))
    query = query.order_by(table.trouble_count.desc(), table.install_no.desc()).limit(count_max)
    return [
        TroublePlace(trouble_count=trouble_count, install_no=install_no)
        for trouble_count, install_no in await connection.execute(query)
    ]


async def read_rows(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[InstallRow]:
    """Of rows of `installs`, in their order."""
    if not rows:
        return []
    sums: dict[int, Counter[str]] = {row.install_no: Counter() for row in rows}
    queues = Counter[int]()
    columns = [ledgers.c[f"{name}_count"] for name in (*_TOLD, *_COUNTED)]
    for install_no, *totals in await connection.execute(
        select(ledgers.c.install_no, *columns).where(
            ledgers.c.workspace_no == rows[0].workspace_no, ledgers.c.install_no.in_(list(sums))
        )
    ):
        sums[install_no].update(dict(zip((*_TOLD, *_COUNTED), totals, strict=True)))
        queues[install_no] += 1
    return [
        InstallRow(
            install_no=row.install_no,
            install=install_of(row),
            first_seen_micros=row.first_seen,
            last_seen_micros=row.last_seen,
            balance=_balance(sums[row.install_no]),
            queue_count=queues[row.install_no],
        )
        for row in rows
    ]


def install_of(row: Row[Any]) -> Install:
    """As last told, of a row of `installs`."""
    return Install(
        install_id=InstallId(row.install_id.decode()), epoch=row.epoch, **json.loads(row.description)
    )


def _balance(sums: Any) -> Balance:
    """Of numbers by name; without the reasons, which no column has."""
    return Balance(**sums)
