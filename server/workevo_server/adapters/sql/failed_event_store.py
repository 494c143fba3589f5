"""Finding and giving up failed events; a `ports.failed_events.FailedEventReader` and `FailedEventStore`."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.failed_events import WHOLE_WORKSPACE, FailedEventsWriter
from workevo_server.adapters.sql.replaying import ReplayJob
from workevo_server.adapters.sql.schema import failed_event_usage, failed_events, installs
from workevo_server.adapters.sql.volume_counts import KnownValues
from workevo_server.adapters.sql.workspaces import read_workspace_no, workspace_no_of
from workevo_server.adapters.sql.writer import Writer
from workevo_server.domain import limits
from workevo_server.domain.events import ClockReading
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.verdicts import Reason
from workevo_server.ports.audit import Author
from workevo_server.ports.failed_events import (
    FailedFilter,
    FailedPlace,
    FailedRecord,
    FailedStretch,
    Rejudged,
    Replayed,
)

_failed = failed_events.c
_NOBODY = -1


class SqlFailedEvents:
    def __init__(
        self, *, writer: Writer, database: Database, erasure_secret: bytes, known_values: KnownValues
    ) -> None:
        self._known_values = known_values
        self._writer = writer
        self._database = database
        self._erasure_secret = erasure_secret

    async def failed_events(
        self,
        workspace_id: WorkspaceId,
        narrowed: FailedFilter,
        *,
        beyond: FailedPlace | None,
        count_max: int,
        oldest_first: bool,
    ) -> FailedStretch:
        """Places and sizes first: SQLite tells the length of an event without reading it."""
        async with self._database.reading(workspace_id) as connection:
            scope = await _scope(connection, workspace_id, narrowed)
            query = _places(scope, beyond, count_max + 1, oldest_first=oldest_first)
            found = (await connection.execute(query)).all()
            if not found:
                return FailedStretch(records=(), last=None)
            fitting = found[: min(count_max, _fitting([row.size for row in found]))]
            chosen = {row.failed_no: place for place, row in enumerate(fitting)}
            rows = (await connection.execute(failed_rows().where(_failed.failed_no.in_(chosen)))).all()
        rest = len(found) > len(fitting)
        return FailedStretch(
            records=[failed_record(row) for row in sorted(rows, key=lambda row: chosen[row.failed_no])],
            last=_place(fitting[-1]) if rest else None,
        )

    async def failed_event(self, workspace_id: WorkspaceId, place: FailedPlace) -> FailedRecord | None:
        async with self._database.reading(workspace_id) as connection:
            scope = await _scope(connection, workspace_id, FailedFilter())
            query = failed_rows().where(*scope.conditions, _failed.failed_no == place.failed_no)
            found = (await connection.execute(query)).one_or_none()
        record = failed_record(found) if found is not None else None
        return record if record is not None and record.place == place else None

    async def failed_counts(
        self, workspace_id: WorkspaceId, narrowed: FailedFilter
    ) -> tuple[Mapping[Reason, int], int]:
        async with self._database.reading(workspace_id) as connection:
            scope = await _scope(connection, workspace_id, narrowed)
            rows = await connection.execute(
                select(_failed.reason, func.count()).where(*scope.conditions).group_by(_failed.reason)
            )
            usage = failed_event_usage.c
            unkept = await connection.execute(
                select(usage.unkept_count).where(
                    usage.workspace_no == scope.workspace_no, usage.install_no == scope.install_no
                )
            )
            return {Reason(reason): count for reason, count in rows}, unkept.scalar() or 0

    async def replay(
        self, workspace_id: WorkspaceId, events: Sequence[Rejudged], *, author: Author
    ) -> Sequence[Replayed]:
        job = ReplayJob(workspace_id, events, author, self._erasure_secret, self._known_values)
        return await self._writer.submit(job)

    async def give_up_failed(
        self, workspace_id: WorkspaceId, *, received_before_micros: int, count_max: int
    ) -> int:
        """Looks first beside the writer: most of the time there is nothing to write."""
        narrowed = FailedFilter(received_before_micros=received_before_micros)
        oldest = await self.failed_events(workspace_id, narrowed, beyond=None, count_max=1, oldest_first=True)
        if not oldest.records:
            return 0
        return await self._writer.submit(_GiveUpJob(workspace_id, received_before_micros, count_max))


@dataclass(frozen=True, slots=True)
class _GiveUpJob:
    workspace_id: WorkspaceId
    received_before_micros: int
    count_max: int
    receipts_micros: Collection[int] = ()
    may_share: bool = False

    @property
    def weight(self) -> int:
        return self.count_max

    def run(self, connection: Connection) -> int:
        workspace_no = workspace_no_of(connection, self.workspace_id)
        oldest = connection.execute(
            select(_failed.failed_no)
            .where(_failed.workspace_no == workspace_no, _failed.received_at < self.received_before_micros)
            .order_by(_failed.received_at)
            .limit(self.count_max)
        ).scalars()
        writer = FailedEventsWriter(connection)
        gone = writer.delete(workspace_no, _failed.failed_no.in_(oldest.all()))
        writer.write()
        return gone.total()


@dataclass(frozen=True, slots=True)
class _Scope:
    workspace_no: int
    install_no: int
    """Of the filter's install; that of the whole workspace where it names none."""
    conditions: Sequence[ColumnElement[bool]]


async def _scope(connection: AsyncConnection, workspace_id: WorkspaceId, narrowed: FailedFilter) -> _Scope:
    """The numbers behind the ids, so that what is asked finds its rows by one index."""
    workspace_no = await read_workspace_no(connection, workspace_id)
    conditions: list[ColumnElement[bool]] = [_failed.workspace_no == workspace_no]
    install_no = WHOLE_WORKSPACE
    if narrowed.install_id is not None:
        found = await connection.execute(
            select(installs.c.install_no).where(
                installs.c.workspace_no == workspace_no,
                installs.c.install_id == narrowed.install_id.encode(),
            )
        )
        install_no = found.scalar() or _NOBODY
        conditions.append(_failed.install_no == install_no)
    if narrowed.reason is not None:
        conditions.append(_failed.reason == narrowed.reason.value)
    if narrowed.name_key is not None:
        conditions.append(_failed.name_key == narrowed.name_key.encode())
    if narrowed.received_from_micros is not None:
        conditions.append(_failed.received_at >= narrowed.received_from_micros)
    if narrowed.received_before_micros is not None:
        conditions.append(_failed.received_at < narrowed.received_before_micros)
    return _Scope(workspace_no, install_no, conditions)


def failed_rows() -> Select[Any]:
    """What `failed_record` reads."""
    return select(failed_events, installs.c.install_id).outerjoin(
        installs, installs.c.install_no == _failed.install_no
    )


def _places(scope: _Scope, beyond: FailedPlace | None, count_max: int, *, oldest_first: bool) -> Select[Any]:
    query = select(
        _failed.received_at, _failed.failed_no, _failed.sequence, func.length(_failed.event).label("size")
    ).where(*scope.conditions)
    columns = (_failed.received_at, _failed.failed_no)
    if beyond is not None:
        place = tuple_(beyond.received_at_micros, beyond.failed_no)
        query = query.where(tuple_(*columns) > place if oldest_first else tuple_(*columns) < place)
    order = columns if oldest_first else [column.desc() for column in columns]
    return query.order_by(*order).limit(count_max)


def _fitting(sizes: Sequence[int]) -> int:
    """How many of them hold no more bytes than a page may; one at least."""
    ends = itertools.accumulate(sizes)
    return max(1, sum(1 for _ in itertools.takewhile(lambda end: end <= limits.FAILED_PAGE_BYTES_MAX, ends)))


def _place(row: Row[Any]) -> FailedPlace:
    return FailedPlace(received_at_micros=row.received_at, failed_no=row.failed_no, sequence=row.sequence)


def failed_record(row: Row[Any]) -> FailedRecord:
    return FailedRecord(
        place=_place(row),
        install_id=InstallId(row.install_id.decode()) if row.install_id is not None else None,
        epoch=row.epoch,
        reason=Reason(row.reason),
        field=row.field.decode(),
        message=row.message,
        send_clock=ClockReading(
            wall_micros=row.send_wall,
            uptime_millis=row.send_uptime_millis,
            boot_id=row.send_boot_id.decode() if row.send_boot_id is not None else None,
        ),
        verified=row.verified,
        settled=row.settled,
        raw=row.event,
    )
