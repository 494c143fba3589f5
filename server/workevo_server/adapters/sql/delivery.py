"""Reading installs and their ledgers; a `ports.delivery.DeliveryReader`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, select, true, tuple_

from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.install_rows import read_balance, read_rows, read_troubled
from workevo_server.adapters.sql.prefixes import begins_with
from workevo_server.adapters.sql.queues import PLACE, fitting, install_record, read_queues
from workevo_server.adapters.sql.schema import installs, ledgers, workspaces
from workevo_server.adapters.sql.workspaces import read_workspace_no
from workevo_server.domain import limits
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.ledger import Balance
from workevo_server.ports.delivery import InstallRecord, InstallRow, QueuePlace, TroublePlace


class SqlDelivery:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def installs(
        self, workspace_id: WorkspaceId, *, after_install_no: int, count_max: int
    ) -> Sequence[InstallRecord]:
        query = _installs(workspace_id, installs.c.install_no > after_install_no)
        async with self._database.reading(workspace_id) as connection:
            rows = (await connection.execute(query.order_by(installs.c.install_no).limit(count_max))).all()
            found = await read_queues(
                connection,
                rows,
                PLACE <= limits.LISTED_QUEUES_MAX,
                count_max=len(rows) * limits.LISTED_QUEUES_MAX,
                document_characters_max=limits.LISTED_LEDGER_CHARACTERS_MAX,
            )
        return [install_record(row, found[row.install_no], found[row.install_no].rows) for row in rows]

    async def install(
        self,
        workspace_id: WorkspaceId,
        install_id: InstallId,
        *,
        epoch: bytes | None = None,
        beyond: QueuePlace | None = None,
        count_max: int = limits.LEDGER_QUEUES_MAX,
    ) -> InstallRecord | None:
        query = _installs(workspace_id, installs.c.install_id == install_id.encode())
        async with self._database.reading(workspace_id) as connection:
            row = (await connection.execute(query)).one_or_none()
            if row is None:
                return None
            which = _which(epoch, beyond)
            queues = (await read_queues(connection, [row], which, count_max=count_max + 1))[row.install_no]
        shown = fitting(queues.rows, count_max, limits.LEDGER_QUEUES_CHARACTERS_MAX)
        return install_record(row, queues, shown)

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


def _which(epoch: bytes | None, beyond: QueuePlace | None) -> ColumnElement[bool]:
    if epoch is not None:
        return ledgers.c.epoch == epoch
    if beyond is None:
        return true()
    return tuple_(ledgers.c.started_at, ledgers.c.epoch) < tuple_(beyond.started_at_micros, beyond.epoch)


def _installs(workspace_id: WorkspaceId, condition: ColumnElement[bool]) -> Select[Any]:
    return (
        select(installs)
        .join(workspaces, workspaces.c.workspace_no == installs.c.workspace_no)
        .where(workspaces.c.workspace_id == workspace_id, condition)
    )
