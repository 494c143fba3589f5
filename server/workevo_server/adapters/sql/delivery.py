"""Reading installs and their ledgers; a `ports.delivery.DeliveryReader`."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql import ledger_document
from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.install_rows import install_of, read_balance, read_rows, read_troubled
from workevo_server.adapters.sql.prefixes import begins_with
from workevo_server.adapters.sql.schema import installs, ledgers, workspaces
from workevo_server.adapters.sql.workspaces import read_workspace_no
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.ledger import Balance, Ledger
from workevo_server.ports.delivery import Gone, InstallRecord, InstallRow, TroublePlace

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
            return await read_balance(connection, workspace_id)

    async def troubled_installs(
        self, workspace_id: WorkspaceId, *, beyond: TroublePlace | None, count_max: int
    ) -> Sequence[tuple[TroublePlace, InstallRow]]:
        async with self._database.reading(workspace_id) as connection:
            workspace_no = await read_workspace_no(connection, workspace_id)
            places = await read_troubled(connection, workspace_no, beyond, count_max)
            query = select(installs).where(installs.c.install_no.in_([each.install_no for each in places]))
            rows = await read_rows(connection, (await connection.execute(query)).all())
        by_no = {row.install_no: row for row in rows}
        return [(place, by_no[place.install_no]) for place in places]

    async def installs_by_prefix(
        self, workspace_id: WorkspaceId, prefix: str, *, behind_install_no: int | None, count_max: int
    ) -> Sequence[InstallRow]:
        begins = begins_with(installs.c.install_id, prefix)
        if behind_install_no is not None:
            behind = select(installs.c.install_id).where(installs.c.install_no == behind_install_no)
            begins = and_(begins, installs.c.install_id > behind.scalar_subquery())
        query = _installs(workspace_id, begins).order_by(installs.c.install_id).limit(count_max)
        async with self._database.reading(workspace_id) as connection:
            return await read_rows(connection, (await connection.execute(query)).all())

    async def _read(
        self, workspace_id: WorkspaceId, condition: ColumnElement[bool], count_max: int
    ) -> list[InstallRecord]:
        query = _installs(workspace_id, condition).order_by(installs.c.install_no).limit(count_max)
        async with self._database.reading(workspace_id) as connection:
            rows = (await connection.execute(query)).all()
            found = await read_ledgers(connection, rows)
        return [install_record(row, found[row.install_no]) for row in rows]


def _installs(workspace_id: WorkspaceId, condition: ColumnElement[bool]) -> Select[Any]:
    return (
        select(installs)
        .join(workspaces, workspaces.c.workspace_no == installs.c.workspace_no)
        .where(workspaces.c.workspace_id == workspace_id, condition)
    )


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
        install=install_of(row),
        first_seen_micros=row.first_seen,
        last_seen_micros=row.last_seen,
        ledgers=[(epoch, ledger) for epoch, ledger, _ in found],
        gone={epoch: gone for epoch, _, gone in found},
    )
