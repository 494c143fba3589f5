"""Reading contacts, their summaries and timelines; a `ports.people.PeopleReader`."""

import heapq
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, or_, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from workevo_server.adapters.sql import metadata_document
from workevo_server.adapters.sql.database import reading
from workevo_server.adapters.sql.known_world import chunks
from workevo_server.adapters.sql.schema import (
    contacts,
    event_definitions,
    events,
    installs,
    summaries,
    workspaces,
)
from workevo_server.domain import limits
from workevo_server.domain.events import ClockMethod, ContactKind
from workevo_server.domain.identifiers import ContactId, InstallId, WorkspaceId
from workevo_server.ports.people import Contact, ContactRef, EventSummary, StoredEvent, TimelinePosition

UNION_MAX = 100  # SQLite takes 500 parts of a compound select.


class SqlPeople:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def contact(self, workspace_id: WorkspaceId, ref: ContactRef) -> Contact | None:
        async with reading(self._engine) as connection:
            person_no = await self._person_no(connection, workspace_id, ref)
            if person_no is None:
                return None
            table = contacts.c
            person = (
                await connection.execute(
                    select(table.contact_id, table.kind, table.id_kind, table.external_id).where(
                        table.contact_no == person_no
                    )
                )
            ).one()
            visitors = await connection.execute(
                select(table.external_id)
                .where(_is_of_person(person_no), table.id_kind == "visitor")
                .order_by(table.contact_no)
                .limit(limits.CONTACT_VISITOR_IDS_MAX)
            )
            return Contact(
                contact_id=ContactId(person.contact_id),
                kind=ContactKind(person.kind),
                user_id=person.external_id.decode() if person.id_kind == "user" else "",
                visitor_ids=tuple(visitor.decode() for (visitor,) in visitors),
            )

    async def event_summaries(
        self, workspace_id: WorkspaceId, contact_id: ContactId
    ) -> Sequence[EventSummary]:
        names, sums = event_definitions.c, summaries.c
        async with reading(self._engine) as connection:
            workspace_no, contact_nos = await self._contact_nos(connection, workspace_id, contact_id)
            last = func.max(sums.last_occurred_at)
            rows = await connection.execute(
                select(
                    names.name,
                    names.description,
                    func.sum(sums.event_count),
                    func.min(sums.first_occurred_at),
                    last,
                )
                .join_from(summaries, event_definitions, sums.definition_no == names.definition_no)
                .where(
                    sums.workspace_no == workspace_no,
                    sums.contact_no.in_(contact_nos),
                    names.archived_at.is_(None),
                )
                .group_by(names.definition_no)
                .order_by(last.desc(), names.definition_no)
            )
            return [
                EventSummary(
                    name=name.decode(),
                    description=description,
                    count=count,
                    first_occurred_at_micros=first,
                    last_occurred_at_micros=newest,
                )
                for name, description, count, first, newest in rows
            ]

    async def events(
        self,
        workspace_id: WorkspaceId,
        contact_id: ContactId,
        *,
        before: TimelinePosition | None,
        count_max: int,
    ) -> Sequence[StoredEvent]:
        """Each contact of the person gives its newest from its own index; the pages are merged here."""
        async with reading(self._engine) as connection:
            workspace_no, contact_nos = await self._contact_nos(connection, workspace_id, contact_id)
            pages: list[Sequence[Row[Any]]] = []
            for chunk in chunks(contact_nos, UNION_MAX):
                parts = [
                    select(_newest(workspace_no, contact_no, before, count_max).subquery())
                    for contact_no in chunk
                ]
                page = union_all(*parts).subquery()
                newest_first = (page.c.occurred_at.desc(), page.c.receipt_no.desc())
                rows = await connection.execute(select(page).order_by(*newest_first).limit(count_max))
                pages.append(rows.all())
        merged = heapq.merge(*pages, key=lambda row: (row.occurred_at, row.receipt_no), reverse=True)
        return [_stored_event(row) for row, _ in zip(merged, range(count_max), strict=False)]

    async def _person_no(
        self, connection: AsyncConnection, workspace_id: WorkspaceId, ref: ContactRef
    ) -> int | None:
        table = contacts.c
        found = await connection.execute(
            select(func.coalesce(table.person_no, table.contact_no))
            .join_from(contacts, workspaces, table.workspace_no == workspaces.c.workspace_no)
            .where(workspaces.c.workspace_id == workspace_id, _is_ref(ref))
        )
        person_no: int | None = found.scalar_one_or_none()
        return person_no

    async def _contact_nos(
        self, connection: AsyncConnection, workspace_id: WorkspaceId, contact_id: ContactId
    ) -> tuple[int, list[int]]:
        """The workspace and those contacts of the person that did something; none for an unknown person."""
        person_no = await self._person_no(connection, workspace_id, ContactRef(contact_id=contact_id))
        if person_no is None:
            return 0, []
        rows = await connection.execute(
            select(contacts.c.workspace_no, contacts.c.contact_no).where(
                _is_of_person(person_no), _did_something()
            )
        )
        found = rows.all()
        return (found[0].workspace_no if found else 0), [row.contact_no for row in found]


def _is_ref(ref: ContactRef) -> ColumnElement[bool]:
    table = contacts.c
    if ref.contact_id is not None:
        return table.contact_id == ref.contact_id
    kind, external = ("user", ref.user_id) if ref.user_id is not None else ("visitor", ref.visitor_id or "")
    return and_(table.id_kind == kind, table.external_id == external.encode())


def _is_of_person(person_no: int) -> ColumnElement[bool]:
    return or_(contacts.c.contact_no == person_no, contacts.c.person_no == person_no)


def _did_something() -> ColumnElement[bool]:
    """Most visitors that were merged log in at once and leave nothing to read."""
    return exists().where(
        summaries.c.workspace_no == contacts.c.workspace_no, summaries.c.contact_no == contacts.c.contact_no
    )


def _newest(
    workspace_no: int, contact_no: int, before: TimelinePosition | None, count_max: int
) -> Select[Any]:
    table, names = events.c, event_definitions.c
    query = (
        select(
            table.receipt_no,
            names.name,
            names.description,
            table.contact_kind,
            table.created_at,
            table.occurred_at,
            table.received_at,
            table.clock_method,
            table.metadata,
            installs.c.install_id,
            table.epoch,
            table.sequence,
        )
        .join_from(events, event_definitions, table.definition_no == names.definition_no)
        .outerjoin(installs, table.install_no == installs.c.install_no)
        .where(
            table.workspace_no == workspace_no,
            table.contact_no == contact_no,
            names.archived_at.is_(None),
        )
    )
    if before is not None:
        query = query.where(
            tuple_(table.occurred_at, table.receipt_no) < tuple_(before.occurred_at_micros, before.receipt_no)
        )
    return query.order_by(table.occurred_at.desc(), table.receipt_no.desc()).limit(count_max)


def _stored_event(row: Row[Any]) -> StoredEvent:
    return StoredEvent(
        receipt_no=row.receipt_no,
        name=row.name.decode(),
        description=row.description,
        contact_kind=ContactKind(row.contact_kind),
        created_at_micros=row.created_at,
        occurred_at_micros=row.occurred_at,
        received_at_micros=row.received_at,
        clock_method=ClockMethod(row.clock_method),
        metadata=metadata_document.decode(row.metadata),
        install_id=InstallId(row.install_id.decode()) if row.install_id is not None else None,
        epoch=row.epoch or b"",
        sequence=row.sequence or 0,
    )
