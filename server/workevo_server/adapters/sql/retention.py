"""Events that the workspace keeps no longer (R32); a `ports.retention.RetentionStore`.

Found by walking through the events in the order in which they lie, beside the writer:
an index by receipt would cost every upload for what happens once a day.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, tuple_, update

from workevo_server.adapters.sql.aged_months import DroppedMonth, drop_aged_month
from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.schema import events, ledgers, workspaces
from workevo_server.adapters.sql.types import greatest
from workevo_server.adapters.sql.workspaces import read_workspace_no, workspace_no_of
from workevo_server.adapters.sql.writer import Change, Writer
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.retention import AgedEvents, DroppedEvents, EventKey

STRETCH_ROWS = 5000  # Looked through at once: some milliseconds of a reader's time.

_key = (events.c.contact_no, events.c.created_at_seconds, events.c.definition_no, events.c.ordinal)


class SqlRetention:
    def __init__(self, *, writer: Writer, database: Database) -> None:
        self._writer = writer
        self._database = database

    def alone(self) -> AbstractAsyncContextManager[bool]:
        return self._database.house_held()

    async def drop_aged_events(self, kept_from_micros: Mapping[WorkspaceId, int | None]) -> DroppedEvents:
        keeps_all = all(start is None for start in kept_from_micros.values())
        if keeps_all or not self._database.has_months:
            return DroppedEvents()

        def drop(connection: Connection) -> DroppedMonth | None:
            nos = connection.execute(select(workspaces.c.workspace_id, workspaces.c.workspace_no))
            kept_from = {no: kept_from_micros.get(WorkspaceId(each)) for each, no in nos}
            return drop_aged_month(connection, kept_from)

        month = await self._writer.submit_apart(Change(None, drop))
        if month is None:
            return DroppedEvents()
        return DroppedEvents(count=month.events, is_more=not month.is_put_off, is_put_off=month.is_put_off)

    async def aged_events(
        self, workspace_id: WorkspaceId, *, received_before_micros: int, behind: EventKey | None
    ) -> AgedEvents:
        async with self._database.reading(workspace_id) as connection:
            workspace_no = await read_workspace_no(connection, workspace_id)
            query = (
                select(*_key, events.c.received_at)
                .where(events.c.workspace_no == workspace_no)
                .order_by(*_key)
                .limit(STRETCH_ROWS)
            )
            if behind is not None:
                query = query.where(tuple_(*_key) > tuple_(*behind))
            rows = (await connection.execute(query)).all()
        expired = [
            EventKey((row[0], row[1], row[2], row[3])) for row in rows if row[4] < received_before_micros
        ]
        last = rows[-1] if len(rows) == STRETCH_ROWS else None
        return AgedEvents(
            expired=expired, behind=EventKey((last[0], last[1], last[2], last[3])) if last else None
        )

    async def expire_events(
        self, workspace_id: WorkspaceId, keys: Sequence[EventKey], *, received_before_micros: int
    ) -> int:
        return await self._writer.submit(ExpireJob(workspace_id, keys, received_before_micros))


@dataclass(frozen=True, slots=True)
class ExpireJob:
    workspace_id: WorkspaceId
    keys: Sequence[EventKey]
    received_before_micros: int
    receipts_micros: Collection[int] = ()
    may_share: bool = False

    @property
    def weight(self) -> int:
        return max(1, len(self.keys))

    def run(self, connection: Connection) -> int:
        workspace_no = workspace_no_of(connection, self.workspace_id)
        before = greatest(func.coalesce(workspaces.c.expired_before, 0), self.received_before_micros)
        connection.execute(
            update(workspaces).where(workspaces.c.workspace_no == workspace_no).values(expired_before=before)
        )
        expired = [row for key in self.keys for row in self._delete(connection, workspace_no, key)]
        _count_in_ledgers(connection, workspace_no, expired)
        return len(expired)

    def _delete(self, connection: Connection, workspace_no: int, key: EventKey) -> Sequence[Row[Any]]:
        """Its contact and name and its queue; nothing when it has gone, or is younger than it was."""
        found: Sequence[Any] = connection.execute(
            delete(events)
            .where(
                events.c.workspace_no == workspace_no,
                *(column == value for column, value in zip(_key, key, strict=True)),
                events.c.received_at < self.received_before_micros,
            )
            .returning(events.c.contact_no, events.c.definition_no, events.c.install_no, events.c.epoch)
        ).all()
        return found


def _count_in_ledgers(connection: Connection, workspace_no: int, expired: Sequence[Row[Any]]) -> None:
    """Their ledgers go on calling them stored: stored is present, erased and expired (R14)."""
    queues = Counter((row.install_no, row.epoch) for row in expired if row.install_no is not None)
    for (install_no, epoch), count in sorted(queues.items()):  # As uploads write them, or two would deadlock.
        connection.execute(
            update(ledgers)
            .where(
                ledgers.c.workspace_no == workspace_no,
                ledgers.c.install_no == install_no,
                ledgers.c.epoch == epoch,
            )
            .values(expired_count=ledgers.c.expired_count + count)
        )
