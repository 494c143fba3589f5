"""A person's timeline (R21): events and other activities in one order, a page at a time.

Each contact of the person gives its newest rows from its own index, and the pages
are merged here, so that a page reads no more than its own rows of each contact.
"""

import heapq
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, and_, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql import metadata_document
from workevo_server.adapters.sql.known_world import by_first, chunks
from workevo_server.adapters.sql.person import Person
from workevo_server.adapters.sql.schema import activities, event_definitions, events, installs, summaries
from workevo_server.domain.events import ClockMethod, ContactKind
from workevo_server.domain.identifiers import InstallId, NameKey
from workevo_server.ports.people import ActivityKind, StoredActivity, StoredEvent, TimelinePosition

UNION_MAX = 100  # SQLite takes 500 parts of a compound select.

Entry = StoredEvent | StoredActivity

EVENT_KEY = (
    events.c.workspace_no,
    events.c.contact_no,
    events.c.created_at_seconds,
    events.c.definition_no,
    events.c.ordinal,
)
EVENT_COLUMNS = (
    events.c.receipt_no,
    event_definitions.c.name,
    event_definitions.c.description,
    events.c.contact_kind,
    events.c.created_at,
    events.c.occurred_at,
    events.c.received_at,
    events.c.clock_method,
    events.c.metadata,
    installs.c.install_id,
    events.c.epoch,
    events.c.sequence,
)
"""What `stored_event` reads; of events with their definitions, and their installs where they have one."""


async def read_timeline(
    connection: AsyncConnection, person: Person, before: TimelinePosition | None, count_max: int
) -> list[Entry]:
    """At most `count_max` entries behind `before`, newest first."""
    window = _Window(person, before, count_max)
    pages = [
        *await _pages(connection, person.with_events, window.newest_events, stored_event, count_max),
        *await _pages(connection, person.with_activities, window.newest_activities, _activity, count_max),
    ]
    merged = heapq.merge(*pages, key=_place, reverse=True)
    return [entry for entry, _ in zip(merged, range(count_max), strict=False)]


async def read_events_of_names(
    connection: AsyncConnection,
    person: Person,
    names: Collection[NameKey],
    before: TimelinePosition | None,
    count_max: int,
) -> list[Entry]:
    """As `read_timeline`, of events of these names alone.

    The summaries tell which contacts did them, and between when: nothing else is looked through.
    """
    done = await _done(connection, person, names)
    definition_nos = {row.definition_no for row in done}
    spans = {
        contact_no: (min(row.first for row in rows), max(row.last for row in rows))
        for contact_no, rows in _by_contact(done).items()
    }
    window = _Window(person, before, count_max, definition_nos=definition_nos, spans=spans)
    pages = await _pages(connection, list(spans), window.newest_events, stored_event, count_max)
    merged = heapq.merge(*pages, key=_place, reverse=True)
    return [entry for entry, _ in zip(merged, range(count_max), strict=False)]


async def _done(
    connection: AsyncConnection, person: Person, names: Collection[NameKey]
) -> Sequence[Row[Any]]:
    """Which contacts of the person did which of the names, and between when."""
    sums, table, found = summaries.c, event_definitions.c, list[Row[Any]]()
    for chunk in chunks(person.with_events):
        found.extend(
            await connection.execute(
                select(
                    sums.contact_no,
                    sums.definition_no,
                    sums.first_occurred_at.label("first"),
                    sums.last_occurred_at.label("last"),
                )
                .join_from(summaries, event_definitions, sums.definition_no == table.definition_no)
                .where(
                    sums.workspace_no == person.workspace_no,
                    sums.contact_no.in_(chunk),
                    table.workspace_no == person.workspace_no,
                    table.name_key.in_([name.encode() for name in names]),
                )
            )
        )
    return found


def _by_contact(done: Sequence[Row[Any]]) -> dict[int, list[Row[Any]]]:
    return by_first((row.contact_no, row) for row in done)


async def _pages(
    connection: AsyncConnection,
    contact_nos: Sequence[int],
    newest: Callable[[int], Select[Any]],
    read: Callable[[Row[Any]], Entry],
    count_max: int,
) -> list[Iterable[Entry]]:
    pages: list[Iterable[Entry]] = []
    for chunk in chunks(contact_nos, UNION_MAX):
        page = union_all(*(select(newest(contact_no).subquery()) for contact_no in chunk)).subquery()
        newest_first = (page.c.occurred_at.desc(), page.c.receipt_no.desc())
        rows = await connection.execute(select(page).order_by(*newest_first).limit(count_max))
        pages.append([read(row) for row in rows])
    return pages


def _place(entry: Entry) -> tuple[int, int]:
    return entry.occurred_at_micros, entry.receipt_no


class _Window:
    """What of one contact belongs on the page."""

    def __init__(
        self,
        person: Person,
        before: TimelinePosition | None,
        count_max: int,
        *,
        definition_nos: Collection[int] | None = None,
        spans: Mapping[int, tuple[int, int]] | None = None,
    ) -> None:
        self._person = person
        self._before = before
        self._count_max = count_max
        self._definition_nos = definition_nos
        self._spans = spans or {}
        """By contact, between when anything wanted can be."""

    def newest_events(self, contact_no: int) -> Select[Any]:
        table, names = events.c, event_definitions.c
        query = (
            select(*EVENT_COLUMNS)
            .join_from(events, event_definitions, table.definition_no == names.definition_no)
            .outerjoin(installs, table.install_no == installs.c.install_no)
            .where(names.archived_at.is_(None))
        )
        if self._definition_nos is None:
            return self._newest(query.where(*self._within(events, contact_no)), events)
        wanted = self._newest_keys(contact_no).subquery()
        return query.join(wanted, and_(*(table[column.name] == column for column in wanted.columns)))

    def _newest_keys(self, contact_no: int) -> Select[Any]:
        """Of events of the names that were asked for, from the index of the timeline alone: on SQLite it
        has their whole keys, so that no other event is read, however many there are."""
        # Plus nothing, so that no index of names is taken, which has all other contacts' events too.
        is_wanted = (events.c.definition_no + 0).in_(self._definition_nos or ())
        keys = select(*EVENT_KEY).where(*self._within(events, contact_no), is_wanted)
        return self._newest(keys, events)

    def newest_activities(self, contact_no: int) -> Select[Any]:
        """Of several first contacts the earliest counts (R17) and is shown."""
        table = activities.c
        query = select(table.receipt_no, table.kind, table.occurred_at, table.document).where(
            *self._within(activities, contact_no),
            (table.kind != ActivityKind.FIRST_CONTACT.value)
            | (table.occurred_at == self._person.first_contact_at),
        )
        return self._newest(query, activities)

    def _within(self, table: Table, contact_no: int) -> list[ColumnElement[bool]]:
        columns = table.c
        within = [
            columns.workspace_no == self._person.workspace_no,
            columns.contact_no == contact_no,
        ]
        if self._person.shown_from is not None:
            within.append(columns.occurred_at >= self._person.shown_from)
        if self._before is not None:
            place = tuple_(columns.occurred_at, columns.receipt_no)
            within.append(place < tuple_(self._before.occurred_at_micros, self._before.receipt_no))
        if self._definition_nos is not None:
            within.append(columns.occurred_at.between(*self._spans[contact_no]))
        return within

    def _newest(self, query: Select[Any], table: Table) -> Select[Any]:
        return query.order_by(table.c.occurred_at.desc(), table.c.receipt_no.desc()).limit(self._count_max)


def stored_event(row: Row[Any]) -> StoredEvent:
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


def _activity(row: Row[Any]) -> StoredActivity:
    told = json.loads(row.document)
    return StoredActivity(
        receipt_no=row.receipt_no,
        kind=ActivityKind(row.kind),
        occurred_at_micros=row.occurred_at,
        conversation_id=told.get("conversation_id", ""),
        title=told.get("title", ""),
        from_kind=ContactKind(told["from_kind"]) if "from_kind" in told else None,
        merge_id=told.get("merge_id", ""),
    )
