"""Events with whose timeline shows them, merges resolved."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Row, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.person import contact_of, read_members, shown_from_of
from workevo_server.adapters.sql.schema import contacts, event_definitions, events, installs
from workevo_server.adapters.sql.timeline import EVENT_COLUMNS, EVENT_KEY, stored_event
from workevo_server.domain import limits
from workevo_server.domain.identifiers import ContactId
from workevo_server.ports.whereabouts import LocatedEvent

_table = events.c


def newest(*conditions: ColumnElement[bool]) -> Select[Any]:
    """What `located` reads, of the newest events that are so."""
    found = select(*EVENT_KEY).where(*conditions).order_by(_table.occurred_at.desc())
    return of_keys(found.limit(limits.FOUND_EVENTS_MAX).subquery())


def of_keys(found: FromClause) -> Select[Any]:
    """What `located` reads, of events found by themselves: joined at once, SQLite goes through all events of
    each name to find one by its sequence."""
    return (
        select(
            *EVENT_COLUMNS,
            _table.contact_no,
            event_definitions.c.archived_at,
            contacts.c.contact_id,
            func.coalesce(contacts.c.person_no, contacts.c.contact_no).label("person_no"),
        )
        .join_from(found, events, and_(*(_table[column.name] == column for column in found.columns)))
        .join(event_definitions, _table.definition_no == event_definitions.c.definition_no)
        .join(contacts, contacts.c.contact_no == _table.contact_no)
        .outerjoin(installs, _table.install_no == installs.c.install_no)
    )


async def located(connection: AsyncConnection, found: Sequence[Row[Any]]) -> list[LocatedEvent]:
    members = await read_members(connection, {row.person_no for row in found})
    return [
        LocatedEvent(
            event=stored_event(row),
            person=contact_of(row.person_no, members[row.person_no]),
            tracked_as=ContactId(row.contact_id),
            is_shown=row.archived_at is None
            and row.occurred_at >= (shown_from_of(row.person_no, members[row.person_no]) or 0),
        )
        for row in found
        if row.person_no in members
    ]
