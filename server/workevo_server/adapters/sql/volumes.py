"""Reading volumes and latest occurrences; a `ports.volumes.VolumeReader`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, cast, func, select, tuple_

from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.person import read_persons
from workevo_server.adapters.sql.schema import (
    contacts,
    event_definitions,
    event_volumes,
    events,
    installs,
)
from workevo_server.adapters.sql.timeline import EVENT_COLUMNS, stored_event
from workevo_server.adapters.sql.types import Whole
from workevo_server.adapters.sql.workspaces import read_workspace_no
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.volumes import HOUR, LATENESS
from workevo_server.ports.people import TimelinePosition
from workevo_server.ports.volumes import Bar, Facet, FacetBar, Occurrence, Step

_volumes = event_volumes.c
_count = cast(func.sum(_volumes.event_count), Whole).label("event_count")
_DIMENSIONS = {Step.HOUR: HOUR, Step.DAY: LATENESS}
"""Each event of a day is in one bucket of its lateness, and those are fewest."""


class SqlVolumes:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def days(
        self, workspace_id: WorkspaceId, definition_nos: Sequence[int], *, from_seconds: int, end_seconds: int
    ) -> Mapping[int, Sequence[Bar]]:
        found: dict[int, list[Bar]] = defaultdict(list)
        async with self._database.reading(workspace_id) as connection:
            query = _of_days(await read_workspace_no(connection, workspace_id), from_seconds, end_seconds)
            rows = await connection.execute(query.where(_volumes.definition_no.in_(definition_nos)))
            for row in rows:
                found[row.definition_no].append(Bar(row.starts_at, row.event_count))
        return found

    async def first_and_last_day(
        self, workspace_id: WorkspaceId, definition_no: int
    ) -> tuple[int, int] | None:
        async with self._database.reading(workspace_id) as connection:
            workspace_no = await read_workspace_no(connection, workspace_id)
            # Each by itself: both at once go through all days of the name.
            first, last = (
                select(each(_volumes.starts_at))
                .where(
                    _volumes.workspace_no == workspace_no,
                    _volumes.definition_no == definition_no,
                    _volumes.dimension == _DIMENSIONS[Step.DAY],
                )
                .scalar_subquery()
                for each in (func.min, func.max)
            )
            found = (await connection.execute(select(first, last))).one()
        return (found[0], found[1]) if found[0] is not None else None

    async def bars(
        self,
        workspace_id: WorkspaceId,
        definition_no: int,
        *,
        step: Step,
        from_seconds: int,
        end_seconds: int,
    ) -> Sequence[Bar]:
        async with self._database.reading(workspace_id) as connection:
            rows = await connection.execute(
                select(_volumes.starts_at, _count)
                .where(
                    _volumes.workspace_no == await read_workspace_no(connection, workspace_id),
                    _volumes.definition_no == definition_no,
                    _volumes.dimension == _DIMENSIONS[step],
                    _volumes.starts_at >= from_seconds,
                    _volumes.starts_at < end_seconds,
                )
                .group_by(_volumes.starts_at)
                .order_by(_volumes.starts_at)
            )
            return [Bar(starts_at, count) for starts_at, count in rows]

    async def facet_bars(
        self,
        workspace_id: WorkspaceId,
        definition_no: int,
        *,
        facet: Facet,
        from_seconds: int,
        end_seconds: int,
    ) -> Sequence[FacetBar]:
        async with self._database.reading(workspace_id) as connection:
            rows = await connection.execute(
                select(_volumes.starts_at, _volumes.value, _count)
                .where(
                    _volumes.workspace_no == await read_workspace_no(connection, workspace_id),
                    _volumes.definition_no == definition_no,
                    _volumes.dimension == facet.value,
                    _volumes.starts_at >= from_seconds,
                    _volumes.starts_at < end_seconds,
                )
                .group_by(_volumes.starts_at, _volumes.value)
                .order_by(_volumes.starts_at, _volumes.value)
            )
            return [
                FacetBar(value=value.decode(), starts_at_seconds=starts_at, count=count)
                for starts_at, value, count in rows
            ]

    async def occurrences(
        self,
        workspace_id: WorkspaceId,
        definition_no: int,
        *,
        before: TimelinePosition | None,
        count_max: int,
    ) -> Sequence[Occurrence]:
        async with self._database.reading(workspace_id) as connection:
            workspace_no = await read_workspace_no(connection, workspace_id)
            rows = (
                await connection.execute(newest_of_name(workspace_no, definition_no, before, count_max))
            ).all()
            persons = await read_persons(connection, {row.person_no for row in rows})
        return [
            Occurrence(event=stored_event(row), contact=persons[row.person_no])
            for row in rows
            if row.person_no in persons
        ]


def newest_of_name(
    workspace_no: int, definition_no: int, before: TimelinePosition | None, count_max: int
) -> Select[Any]:
    """Events of a name with whose they are now, from the index of their name."""
    table = events.c
    query = (
        select(*EVENT_COLUMNS, func.coalesce(contacts.c.person_no, contacts.c.contact_no).label("person_no"))
        .join_from(events, event_definitions, table.definition_no == event_definitions.c.definition_no)
        .join(contacts, contacts.c.contact_no == table.contact_no)
        .outerjoin(installs, table.install_no == installs.c.install_no)
        .where(table.workspace_no == workspace_no, table.definition_no == definition_no)
        .order_by(table.occurred_at.desc(), table.receipt_no.desc())
        .limit(count_max)
    )
    if before is None:
        return query
    place = tuple_(table.occurred_at, table.receipt_no)
    return query.where(place < tuple_(before.occurred_at_micros, before.receipt_no))


def _of_days(workspace_no: int, from_seconds: int, end_seconds: int) -> Select[Any]:
    return (
        select(_volumes.definition_no, _volumes.starts_at, _count)
        .where(
            _volumes.workspace_no == workspace_no,
            _volumes.dimension == _DIMENSIONS[Step.DAY],
            _volumes.starts_at >= from_seconds,
            _volumes.starts_at < end_seconds,
        )
        .group_by(_volumes.definition_no, _volumes.starts_at)
        .order_by(_volumes.definition_no, _volumes.starts_at)
    )
