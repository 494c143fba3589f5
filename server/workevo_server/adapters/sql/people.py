"""Reading contacts and their summaries; a `ports.people.PeopleReader` together with `timeline.py`."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, Select, Table, and_, cast, func, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.contact_rows import is_ref
from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.known_world import chunks
from workevo_server.adapters.sql.person import Person, find_person, read_person, read_persons
from workevo_server.adapters.sql.schema import (
    contacts,
    event_definitions,
    events,
    merges,
    summaries,
    told_counts,
)
from workevo_server.adapters.sql.timeline import read_events_of_names, read_timeline
from workevo_server.adapters.sql.types import Whole
from workevo_server.adapters.sql.workspaces import read_workspace_no
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import ContactId, NameKey, WorkspaceId
from workevo_server.ports.people import (
    Contact,
    ContactFilter,
    ContactRef,
    EventSummary,
    Merge,
    MergedBy,
    StoredActivity,
    StoredEvent,
    TimelinePosition,
)


class SqlPeople:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def contact(self, workspace_id: WorkspaceId, ref: ContactRef) -> Contact | None:
        async with self._database.reading(workspace_id) as connection:
            person = await find_person(connection, workspace_id, ref)
            return await read_person(connection, person.person_no) if person is not None else None

    async def contacts(
        self, workspace_id: WorkspaceId, narrowed: ContactFilter, *, after_contact_no: int, count_max: int
    ) -> Sequence[tuple[int, Contact]]:
        async with self._database.reading(workspace_id) as connection:
            workspace_no = await read_workspace_no(connection, workspace_id)
            query = _person_nos(workspace_no, narrowed, after_contact_no, count_max)
            found = (await connection.execute(query)).scalars().all()
            known = await read_persons(connection, found)
            return [(person_no, known[person_no]) for person_no in found if person_no in known]

    async def merges(
        self, workspace_id: WorkspaceId, contact_id: ContactId, *, before_merge_no: int | None, count_max: int
    ) -> Sequence[Merge]:
        async with self._database.reading(workspace_id) as connection:
            person = await find_person(connection, workspace_id, ContactRef(contact_id=contact_id))
            if person is None:
                return []
            rows = await connection.execute(_merges(person, before_merge_no, count_max))
            return [_merge(row) for row in rows]

    async def event_summaries(
        self, workspace_id: WorkspaceId, contact_id: ContactId
    ) -> Sequence[EventSummary]:
        async with self._database.reading(workspace_id) as connection:
            person = await find_person(connection, workspace_id, ContactRef(contact_id=contact_id))
            if person is None:
                return []
            found = (await connection.execute(_sums(person))).all()
            shown_of = await _counts_shown(connection, person, found) if person.shown_from is not None else {}
            told = (await connection.execute(_told(person))).all() if person.with_counts else []
        summed = _added_up(
            *(_summary(row, shown_of.get(row.definition_no)) for row in found),
            *(_summary(row, None) for row in told),
        )
        return sorted(summed, key=lambda summary: summary.last_occurred_at_micros, reverse=True)

    async def timeline(
        self,
        workspace_id: WorkspaceId,
        contact_id: ContactId,
        *,
        before: TimelinePosition | None,
        count_max: int,
        names: Collection[NameKey] | None = None,
    ) -> Sequence[StoredEvent | StoredActivity]:
        async with self._database.reading(workspace_id) as connection:
            person = await find_person(connection, workspace_id, ContactRef(contact_id=contact_id))
            if person is None:
                return []
            if names is None:
                return await read_timeline(connection, person, before, count_max)
            return await read_events_of_names(connection, person, names, before, count_max)


# Contacts --------------------------------------------------------------------


def _person_nos(
    workspace_no: int, narrowed: ContactFilter, after_contact_no: int, count_max: int
) -> Select[Any]:
    """By an id where one is given, else each kind from its own index."""
    table = contacts.c
    behind = and_(table.workspace_no == workspace_no, table.contact_no > after_contact_no)
    ids = [
        ContactRef(user_id=narrowed.user_id),
        ContactRef(visitor_id=narrowed.visitor_id),
        ContactRef(email=narrowed.email),
    ]
    named = [
        select(func.coalesce(table.person_no, table.contact_no)).where(
            table.workspace_no == workspace_no, is_ref(ref)
        )
        for ref in ids
        if ref != ContactRef()
    ]
    kinds = narrowed.kinds or tuple(ContactKind)
    if named:
        is_named = and_(*(table.contact_no.in_(query) for query in named))
        is_of_kind = table.kind.in_([kind.value for kind in kinds])
        # Plus nothing, so that SQLite goes by who is named, and not through all of the workspace.
        behind = and_(table.workspace_no + 0 == workspace_no, table.contact_no > after_contact_no)
        return select(table.contact_no).where(behind, is_named, is_of_kind).limit(count_max)
    pages = [
        select(
            select(table.contact_no)
            .where(behind, table.kind == kind.value, table.person_no.is_(None))
            .order_by(table.contact_no)
            .limit(count_max)
            .subquery()
        )
        for kind in kinds
    ]
    page = union_all(*pages).subquery()
    return select(page.c.contact_no).order_by(page.c.contact_no).limit(count_max)


# Merges ----------------------------------------------------------------------


def _merges(person: Person, before_merge_no: int | None, count_max: int) -> Select[Any]:
    merged, into = contacts.alias("merged"), contacts.alias("into")
    query = (
        select(
            merges,
            merged.c.contact_id,
            merged.c.id_kind,
            merged.c.external_id,
            into.c.contact_id.label("into_contact_id"),
        )
        .join(merged, merged.c.contact_no == merges.c.contact_no)
        .join(into, into.c.contact_no == merges.c.into_no)
        .where(or_(merges.c.contact_no.in_(person.members), merges.c.into_no.in_(person.members)))
    )
    if before_merge_no is not None:
        query = query.where(merges.c.merge_no < before_merge_no)
    return query.order_by(merges.c.merge_no.desc()).limit(count_max)


def _merge(row: Row[Any]) -> Merge:
    external_id = row.external_id.decode()
    return Merge(
        merge_no=row.merge_no,
        merge_id=row.merge_id,
        contact_id=ContactId(row.contact_id),
        user_id=external_id if row.id_kind == "user" else "",
        visitor_id=external_id if row.id_kind == "visitor" else "",
        into_contact_id=ContactId(row.into_contact_id),
        merged_by=MergedBy(row.made_by),
        occurred_at_micros=row.occurred_at,
        split_at_micros=row.split_at,
    )


# Summaries -------------------------------------------------------------------


def _sums(person: Person) -> Select[Any]:
    return _sums_of(summaries, person, person.with_events).where(
        summaries.c.last_occurred_at >= (person.shown_from or 0)
    )


def _told(person: Person) -> Select[Any]:
    """Of a lead only counts all of which its window shows (R17): how much of one it cuts off nobody knows."""
    return _sums_of(told_counts, person, person.with_counts).where(
        told_counts.c.first_occurred_at >= (person.shown_from or 0)
    )


def _sums_of(table: Table, person: Person, contact_nos: Sequence[int]) -> Select[Any]:
    names, sums = event_definitions.c, table.c
    return (
        select(
            names.definition_no,
            names.name,
            names.description,
            cast(func.sum(sums.event_count), Whole).label("event_count"),
            func.min(sums.first_occurred_at).label("first"),
            func.max(sums.last_occurred_at).label("last"),
        )
        .join_from(table, event_definitions, sums.definition_no == names.definition_no)
        .where(
            sums.workspace_no == person.workspace_no,
            sums.contact_no.in_(contact_nos),
            names.archived_at.is_(None),
        )
        .group_by(names.definition_no)
        .order_by(names.definition_no)
    )


_Shown = tuple[int, int]  # How many there are, and when the first occurred.


async def _counts_shown(
    connection: AsyncConnection, person: Person, sums: Sequence[Row[Any]]
) -> dict[int, _Shown]:
    """Of names that a lead's window cuts through, what lies within it: counted from the timeline's index.

    A name whose first occurrence is shown needs no counting, and one whose last is not is left out before.
    """
    cut = [row.definition_no for row in sums if row.first < person.shown_from]
    shown: dict[int, _Shown] = {}
    for chunk in chunks(person.with_events if cut else ()):
        rows = await connection.execute(
            select(events.c.definition_no, func.count(), func.min(events.c.occurred_at))
            .where(
                events.c.workspace_no == person.workspace_no,
                events.c.contact_no.in_(chunk),
                events.c.occurred_at >= person.shown_from,
                events.c.definition_no.in_(cut),
            )
            .group_by(events.c.definition_no)
        )
        for definition_no, count, first in rows:
            known_count, known_first = shown.get(definition_no, (0, first))
            shown[definition_no] = known_count + count, min(known_first, first)
    return shown


def _added_up(*summaries_and_told: EventSummary) -> list[EventSummary]:
    """One for each name: what was stored of it and what was told."""
    by_name: dict[str, EventSummary] = {}
    for each in summaries_and_told:
        other = by_name.get(each.name)
        by_name[each.name] = each if other is None else _sum(each, other)
    return list(by_name.values())


def _sum(one: EventSummary, other: EventSummary) -> EventSummary:
    return replace(
        one,
        count=one.count + other.count,
        first_occurred_at_micros=min(one.first_occurred_at_micros, other.first_occurred_at_micros),
        last_occurred_at_micros=max(one.last_occurred_at_micros, other.last_occurred_at_micros),
    )


def _summary(row: Row[Any], shown: _Shown | None) -> EventSummary:
    count, first = shown if shown is not None else (row.event_count, row.first)
    return EventSummary(
        name=row.name.decode(),
        description=row.description,
        count=count,
        first_occurred_at_micros=first,
        last_occurred_at_micros=row.last,
    )
