"""Reading installs and their ledgers; a `ports.delivery.DeliveryReader`."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql import ledger_document
from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.schema import installs, ledgers, workspaces
from workevo_server.domain.events import Install
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.ledger import Ledger
from workevo_server.ports.delivery import Gone, InstallRecord

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

    async def _read(
        self, workspace_id: WorkspaceId, condition: ColumnElement[bool], count_max: int
    ) -> list[InstallRecord]:
        async with self._database.reading(workspace_id) as connection:
            rows = (
                await connection.execute(
                    select(installs)
                    .join(workspaces, workspaces.c.workspace_no == installs.c.workspace_no)
                    .where(workspaces.c.workspace_id == workspace_id, condition)
                    .order_by(installs.c.install_no)
                    .limit(count_max)
                )
            ).all()
            found = await _ledgers(connection, rows)
        return [_record(row, found[row.install_no]) for row in rows]


async def _ledgers(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> dict[int, list[_Queue]]:
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


def _record(row: Row[Any], found: Sequence[_Queue]) -> InstallRecord:
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
