"""Persons as a list shows them: who they are, how many events, when last."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, Table, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.known_world import chunks
from workevo_server.adapters.sql.person import contact_of, shown_from_of
from workevo_server.adapters.sql.schema import event_definitions, events, summaries, told_counts
from workevo_server.ports.people_search import PersonRow


@dataclass(slots=True)
class _Total:
    event_count: int = 0
    last_occurred_at: int | None = None


async def read_rows(
    connection: AsyncConnection, workspace_no: int, members: Mapping[int, Sequence[Row[Any]]]
) -> Sequence[PersonRow]:
    """In the order of `members`, which has each person's rows of `contacts`."""
    person_of = {row.contact_no: person for person, rows in members.items() for row in rows}
    shown_from = {person: shown_from_of(person, rows) or 0 for person, rows in members.items()}
    totals: dict[int, _Total] = defaultdict(_Total)
    cut: dict[int, list[int]] = defaultdict(list)
    for chunk in chunks(person_of):
        for row in await connection.execute(_sums_of(summaries, workspace_no, chunk)):
            person = person_of[row.contact_no]
            if row.last_occurred_at < shown_from[person]:
                continue
            total = totals[person]
            total.last_occurred_at = max(total.last_occurred_at or 0, row.last_occurred_at)
            if row.first_occurred_at < shown_from[person]:
                cut[row.contact_no].append(row.definition_no)
            else:
                total.event_count += row.event_count
        for row in await connection.execute(_sums_of(told_counts, workspace_no, chunk)):
            if row.first_occurred_at >= shown_from[person_of[row.contact_no]]:
                total = totals[person_of[row.contact_no]]
                total.last_occurred_at = max(total.last_occurred_at or 0, row.last_occurred_at)
                total.event_count += row.event_count
    for chunk in chunks(cut):
        since = {no: shown_from[person_of[no]] for no in chunk}
        for contact_no, count in await connection.execute(_counts(workspace_no, cut, since)):
            totals[person_of[contact_no]].event_count += count
    return [
        PersonRow(
            contact=contact_of(person, rows),
            event_count=totals[person].event_count,
            last_occurred_at_micros=totals[person].last_occurred_at,
        )
        for person, rows in members.items()
    ]


def _sums_of(table: Table, workspace_no: int, contact_nos: Sequence[int]) -> Select[Any]:
    sums = table.c
    return (
        select(
            sums.contact_no,
            sums.definition_no,
            sums.event_count,
            sums.first_occurred_at,
            sums.last_occurred_at,
        )
        .join_from(table, event_definitions, sums.definition_no == event_definitions.c.definition_no)
        .where(
            sums.workspace_no == workspace_no,
            sums.contact_no.in_(contact_nos),
            event_definitions.c.archived_at.is_(None),
        )
    )


def _counts(workspace_no: int, cut: Mapping[int, Sequence[int]], since: Mapping[int, int]) -> Select[Any]:
    """Of names that a lead's window cuts through (R17), what lies within it, from the timeline's index."""
    table = events.c
    of_contacts = [
        and_(
            table.contact_no == contact_no,
            table.occurred_at >= start,
            table.definition_no.in_(cut[contact_no]),
        )
        for contact_no, start in since.items()
    ]
    return (
        select(table.contact_no, func.count())
        .where(table.workspace_no == workspace_no, or_(*of_contacts))
        .group_by(table.contact_no)
    )
