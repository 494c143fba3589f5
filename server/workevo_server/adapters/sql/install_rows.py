"""Installs in numbers: summed up, and in the order of their trouble, without reading a ledger's document."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Integer, Row, RowMapping, Select, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.schema import ledgers, workspaces
from workevo_server.domain.events import Install
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.ledger import Balance
from workevo_server.ports.delivery import InstallRow, TroublePlace

_TOLD = ("generated", "dropped", "open")
"""A device may tell any number up to 2^53 of these, so that many sum up to no integer of SQLite's."""
_COUNTED = ("stored", "duplicate", "archived", "rejected", "resent", "erased", "expired")
_STRETCH_QUEUES_MAX = 4000  # Read at once, two numbers each.
_LOW_BITS = 32
_BITS = literal(_LOW_BITS, Integer)  # PostgreSQL shifts by no other type.

SUMMED: Mapping[str, Any] = {
    **{name: func.sum(ledgers.c[f"{name}_count"]) for name in _COUNTED},
    **{f"{name}_high": func.sum(ledgers.c[f"{name}_count"].bitwise_rshift(_BITS)) for name in _TOLD},
    **{
        f"{name}_low": func.sum(ledgers.c[f"{name}_count"].bitwise_and((1 << _LOW_BITS) - 1))
        for name in _TOLD
    },
}
"""What `summed_balance` reads: what devices tell in halves, which stay small."""


def summed_balance(row: RowMapping) -> Balance:
    """Without the reasons, which no column has."""
    sums: dict[str, Any] = {name: int(row[name] or 0) for name in _COUNTED}
    for name in _TOLD:
        sums[name] = (int(row[f"{name}_high"] or 0) << _LOW_BITS) + int(row[f"{name}_low"] or 0)
    return Balance(**sums)


async def read_balance(connection: AsyncConnection, workspace_id: WorkspaceId) -> Balance:
    return summed_balance((await connection.execute(_sums(workspace_id))).mappings().one())


def _sums(workspace_id: WorkspaceId) -> Select[Any]:
    return (
        select(*(each.label(name) for name, each in SUMMED.items()))
        .join_from(ledgers, workspaces, ledgers.c.workspace_no == workspaces.c.workspace_no)
        .where(workspaces.c.workspace_id == workspace_id)
    )


async def read_troubled(
    connection: AsyncConnection, workspace_no: int, beyond: TroublePlace | None, count_max: int
) -> list[TroublePlace]:
    """By the index that is in this order; of an install the queue alone that has most trouble.

    Nothing is looked up for each queue: an install of very many would take the square of that.
    """
    found: list[TroublePlace] = []
    passed: set[int] = set()
    place, size = beyond, 2 * count_max
    while True:
        stretch = await _stretch(connection, workspace_no, place, size)
        worst_here = {each.install_no: each.trouble_count for each in reversed(stretch)}
        firsts = [no for no in dict.fromkeys(each.install_no for each in stretch) if no not in passed]
        worst = await _worst(connection, workspace_no, firsts) if beyond is not None else worst_here
        found += [
            TroublePlace(trouble_count=worst_here[no], install_no=no)
            for no in firsts
            if worst.get(no, 0) <= worst_here[no]  # Else it stood on an earlier page.
        ]
        if len(found) >= count_max or len(stretch) < size:
            return found[:count_max]
        passed.update(firsts)
        place, size = stretch[-1], min(2 * size, _STRETCH_QUEUES_MAX)


async def _stretch(
    connection: AsyncConnection, workspace_no: int, beyond: TroublePlace | None, count_max: int
) -> list[TroublePlace]:
    """Queues, those with most trouble first."""
    table = ledgers.c
    query = select(table.trouble_count, table.install_no).where(table.workspace_no == workspace_no)
    if beyond is not None:
        place = tuple_(table.trouble_count, table.install_no)
        query = query.where(place < tuple_(beyond.trouble_count, beyond.install_no))
    query = query.order_by(table.trouble_count.desc(), table.install_no.desc()).limit(count_max)
    return [
        TroublePlace(trouble_count=trouble_count, install_no=install_no)
        for trouble_count, install_no in await connection.execute(query)
    ]


async def _worst(
    connection: AsyncConnection, workspace_no: int, install_nos: Sequence[int]
) -> dict[int, int]:
    """Of all queues of each install."""
    table = ledgers.c
    rows = await connection.execute(
        select(table.install_no, func.max(table.trouble_count).label("most"))
        .where(table.workspace_no == workspace_no, table.install_no.in_(install_nos))
        .group_by(table.install_no)
    )
    return {row.install_no: row.most for row in rows}


async def read_rows(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[InstallRow]:
    """Of rows of `installs`, in their order."""
    if not rows:
        return []
    table, nos = ledgers.c, [row.install_no for row in rows]
    sums = (
        await connection.execute(
            select(
                table.install_no,
                func.count().label("queue_count"),
                *(each.label(name) for name, each in SUMMED.items()),
            )
            .where(table.workspace_no == rows[0].workspace_no, table.install_no.in_(nos))
            .group_by(table.install_no)
        )
    ).mappings()
    by_no = {each["install_no"]: each for each in sums}
    return [
        InstallRow(
            install_no=row.install_no,
            install=install_of(row),
            first_seen_micros=row.first_seen,
            last_seen_micros=row.last_seen,
            balance=summed_balance(by_no[row.install_no]),
            queue_count=by_no[row.install_no]["queue_count"],
        )
        for row in rows
    ]


def install_of(row: Row[Any]) -> Install:
    """As last told, of a row of `installs`."""
    return Install(
        install_id=InstallId(row.install_id.decode()), epoch=row.epoch, **json.loads(row.description)
    )
