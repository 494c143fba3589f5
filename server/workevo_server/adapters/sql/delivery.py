"""Reading installs and their ledgers; a `ports.delivery.DeliveryReader`."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql import ledger_document
from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.prefixes import begins_with
from workevo_server.adapters.sql.schema import installs, ledgers, workspaces
from workevo_server.adapters.sql.workspaces import read_workspace_no
from workevo_server.domain.events import Install
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.ledger import Balance, Ledger
from workevo_server.ports.delivery import Gone, InstallRecord, TroublePlace

_IN_ORDER = installs.c.install_no
_Queue = tuple[bytes, Ledger, Gone]
"""Epoch, what became of its sequences, and what of it is gone."""


class SqlDelivery:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def installs(
        self, workspace_id: WorkspaceId, *, after_install_no: int, count_max: int
    ) -> Sequence[InstallRecord]:
        return await self._read(workspace_id, installs.c.install_no > after_install_no, count_max)

    async def install(self, workspace_id: WorkspaceId, install_id: InstallId) -> InstallRecord | None:
        found = await self._read(workspace_id, installs.c.install_id == install_id.encode(), 1)
        return found[0] if found else None

    async def balance(self, workspace_id: WorkspaceId) -> Balance:
        async with self._database.reading(workspace_id) as connection:
            row = (await connection.execute(_sums(workspace_id))).one()
        halves = zip(_SUMMED, row[::2], row[1::2], strict=True)
        sums: dict[str, Any] = {
            name: (int(high or 0) << _LOW_BITS) + int(low or 0) for name, high, low in halves
        }
        return replace(Balance(), **sums)

    async def troubled_installs(
        self, workspace_id: WorkspaceId, *, beyond: TroublePlace | None, count_max: int
    ) -> Sequence[tuple[TroublePlace, InstallRecord]]:
        async with self._database.reading(workspace_id) as connection:
            workspace_no = await read_workspace_no(connection, workspace_id)
            query = _troubled(workspace_no, beyond, count_max)
            places = {
                row.install_no: TroublePlace(trouble_count=row.trouble_count, install_no=row.install_no)
                for row in await connection.execute(query)
            }
            rows = (await connection.execute(select(installs).where(installs.c.install_no.in_(places)))).all()
            found = await read_ledgers(connection, rows)
        records = {row.install_no: install_record(row, found[row.install_no]) for row in rows}
        return [(place, records[no]) for no, place in places.items()]

    async def installs_by_prefix(
        self, workspace_id: WorkspaceId, prefix: str, *, behind_install_no: int | None, count_max: int
    ) -> Sequence[InstallRecord]:
        begins = begins_with(installs.c.install_id, prefix)
        if behind_install_no is not None:
            behind = select(installs.c.install_id).where(installs.c.install_no == behind_install_no)
            begins = and_(begins, installs.c.install_id > behind.scalar_subquery())
        return await self._read(workspace_id, begins, count_max, order=installs.c.install_id)

    async def _read(
        self,
        workspace_id: WorkspaceId,
        condition: ColumnElement[bool],
        count_max: int,
        *,
        order: ColumnElement[Any] = _IN_ORDER,
    ) -> list[InstallRecord]:
        async with self._database.reading(workspace_id) as connection:
            rows = (
                await connection.execute(
                    select(installs)
                    .join(workspaces, workspaces.c.workspace_no == installs.c.workspace_no)
                    .where(workspaces.c.workspace_id == workspace_id, condition)
                    .order_by(order)
                    .limit(count_max)
                )
            ).all()
            found = await read_ledgers(connection, rows)
        return [install_record(row, found[row.install_no]) for row in rows]


_SUMMED = (
    "generated",
    "stored",
    "duplicate",
    "archived",
    "rejected",
    "dropped",
    "open",
    "resent",
    "erased",
    "expired",
)
_LOW_BITS = 32


def _sums(workspace_id: WorkspaceId) -> Select[Any]:
    """In halves: devices may tell any number up to 2^53, and the sum of many is no integer of SQLite's."""
    columns = [ledgers.c[f"{name}_count"] for name in _SUMMED]
    low = (1 << _LOW_BITS) - 1
    halves = [half for each in columns for half in (each.bitwise_rshift(_LOW_BITS), each.bitwise_and(low))]
    return (
        select(*(func.sum(half) for half in halves))
        .join_from(ledgers, workspaces, ledgers.c.workspace_no == workspaces.c.workspace_no)
        .where(workspaces.c.workspace_id == workspace_id)
    )


def _troubled(workspace_no: int, beyond: TroublePlace | None, count_max: int) -> Select[Any]:
    """By the index that is in this order; of an install the queue alone that has most trouble."""
    table, other = ledgers.c, ledgers.alias("other")
    worse = tuple_(other.c.trouble_count, other.c.epoch) > tuple_(table.trouble_count, table.epoch)
    query = select(table.trouble_count, table.install_no).where(
        table.workspace_no == workspace_no,
        ~exists().where(
            other.c.workspace_no == table.workspace_no, other.c.install_no == table.install_no, worse
        ),
    )
    if beyond is not None:
        place = tuple_(table.trouble_count, table.install_no)
        query = query.where(place < tuple_(beyond.trouble_count, beyond.install_no))
    return query.order_by(table.trouble_count.desc(), table.install_no.desc()).limit(count_max)


async def read_ledgers(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> dict[int, list[_Queue]]:
    found: dict[int, list[_Queue]] = defaultdict(list)
    if not rows:
        return found
    table = ledgers.c
    for install_no, epoch, document, erased, expired in await connection.execute(
        select(table.install_no, table.epoch, table.document, table.erased_count, table.expired_count)
        .where(
            table.workspace_no == rows[0].workspace_no, table.install_no.in_([row.install_no for row in rows])
        )
        .order_by(table.install_no, table.started_at)
    ):
        gone = Gone(erased=erased, expired=expired)
        found[install_no].append((epoch, ledger_document.decode(document), gone))
    return found


def install_record(row: Row[Any], found: Sequence[_Queue]) -> InstallRecord:
    return InstallRecord(
        install_no=row.install_no,
        install=Install(
            install_id=InstallId(row.install_id.decode()), epoch=row.epoch, **json.loads(row.description)
        ),
        first_seen_micros=row.first_seen,
        last_seen_micros=row.last_seen,
        ledgers=[(epoch, ledger) for epoch, ledger, _ in found],
        gone={epoch: gone for epoch, _, gone in found},
    )
