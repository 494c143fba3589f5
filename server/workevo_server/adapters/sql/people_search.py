"""Finding people; a `ports.people_search.PeopleSearcher`.

    text ──▶ contact_words, e-mails, ids: contacts by what they begin with, so many and no more ─┐
    event ─▶ summaries_by_name, told_counts_by_name, newest contact first, a stretch at a time ──┼─▶ persons
    kind, or nothing ─▶ contacts_by_kind, newest first ──────────────────────────────────────────┘

Each stretch of contacts is brought to persons, and what else was asked for is looked at
on those: the cost follows the stretch and not the store, whoever is looked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, Select, func, select, union, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.known_world import chunks
from workevo_server.adapters.sql.people_matches import Matches, find_matches
from workevo_server.adapters.sql.person import kind_of_person, read_members, shown_from_of
from workevo_server.adapters.sql.person_rows import read_rows
from workevo_server.adapters.sql.schema import contacts, event_definitions, summaries, told_counts
from workevo_server.adapters.sql.workspaces import read_workspace_no
from workevo_server.domain import limits
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import NameKey, WorkspaceId
from workevo_server.ports.people_search import PeopleFilter, PeopleStretch

BATCH_ROWS = 200  # Candidates that are looked at together: some milliseconds.
_NEWEST = 2**63 - 1  # Behind every number of a contact.
_table = contacts.c

Candidate = tuple[int, int]
"""The place in the list, and the contact that stands for the person there."""


class SqlPeopleSearch:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_people(
        self, workspace_id: WorkspaceId, narrowed: PeopleFilter, *, beyond: int | None, count_max: int
    ) -> PeopleStretch:
        async with self._database.reading(workspace_id) as connection:
            workspace_no = await read_workspace_no(connection, workspace_id)
            definition_no = None
            if narrowed.event_name is not None:
                definition_no = await _active_definition(connection, workspace_no, narrowed.event_name)
                if definition_no is None:
                    return PeopleStretch(people=(), next_place=None)
            search = _Search(connection, workspace_no, narrowed, definition_no)
            return await search.run(beyond, count_max)


async def _active_definition(connection: AsyncConnection, workspace_no: int, name_key: NameKey) -> int | None:
    found: int | None = await connection.scalar(
        select(event_definitions.c.definition_no).where(
            event_definitions.c.workspace_no == workspace_no,
            event_definitions.c.name_key == name_key.encode(),
            event_definitions.c.archived_at.is_(None),
        )
    )
    return found


@dataclass(slots=True)
class _Search:
    connection: AsyncConnection
    workspace_no: int
    narrowed: PeopleFilter
    definition_no: int | None
    """Of the event that was asked for."""
    _known: dict[int, Sequence[Row[Any]]] = field(default_factory=dict)
    """The rows of the persons that were looked at."""

    async def run(self, beyond: int | None, count_max: int) -> PeopleStretch:
        """Look through candidates, a batch at a time, until there are enough, or it was enough looking."""
        matches = None
        if self.narrowed.text:
            matches = await find_matches(self.connection, self.workspace_no, self.narrowed.text)
        chosen: list[Candidate] = []
        rows_seen, more, rows_max = 0, True, BATCH_ROWS if self._leaves_out else count_max + 1
        while more and len(chosen) < count_max and rows_seen < limits.SEARCH_STRETCH_ROWS:
            batch = await self._candidates(matches, beyond, rows_max)
            chosen += await self._chosen(batch)
            rows_seen += len(batch)
            more = len(batch) == rows_max
            beyond = batch[-1][0] if batch else beyond
        page = chosen[:count_max]
        if len(chosen) > count_max:
            more, beyond = True, page[-1][0]
        members = {person: self._known[person] for _, person in page}
        return PeopleStretch(
            people=await read_rows(self.connection, self.workspace_no, members),
            next_place=beyond if more else None,
            is_partial=matches is not None and matches.is_partial,
        )

    @property
    def _leaves_out(self) -> bool:
        """Whether not every candidate is one that was asked for."""
        return self.definition_no is not None or bool(self.narrowed.text and self.narrowed.kind)

    async def _candidates(
        self, matches: Matches | None, beyond: int | None, rows_max: int
    ) -> Sequence[Candidate]:
        if matches is not None:
            behind = [no for no in matches.person_nos if beyond is None or no < beyond]
            return [(no, no) for no in behind[:rows_max]]
        listed = self._of_kind if self.definition_no is None else self._of_event
        return [(row[0], row[1]) for row in await self.connection.execute(listed(beyond, rows_max))]

    def _of_event(self, beyond: int | None, rows_max: int) -> Select[Any]:
        """The contacts that did it, or of which it was told, newest first: each kind from its own index."""
        done = [
            select(
                select(table.c.contact_no)
                .where(
                    table.c.workspace_no == self.workspace_no,
                    table.c.definition_no == self.definition_no,
                    table.c.contact_no < (_NEWEST if beyond is None else beyond),
                )
                .order_by(table.c.contact_no.desc())
                .limit(rows_max)
                .subquery()
            )
            for table in (summaries, told_counts)
        ]
        both = union(*done).subquery()
        page = select(both).order_by(both.c.contact_no.desc()).limit(rows_max).subquery()
        return (
            select(page.c.contact_no, func.coalesce(_table.person_no, _table.contact_no))
            .join_from(page, contacts, _table.contact_no == page.c.contact_no)
            .order_by(page.c.contact_no.desc())
        )

    def _of_kind(self, beyond: int | None, rows_max: int) -> Select[Any]:
        """Each kind from its own index."""
        kinds = [self.narrowed.kind] if self.narrowed.kind is not None else list(ContactKind)
        behind = (
            _table.workspace_no == self.workspace_no,
            _table.person_no.is_(None),
            _table.contact_no < (_NEWEST if beyond is None else beyond),
        )
        pages = [
            select(
                select(_table.contact_no)
                .where(*behind, _table.kind == kind.value)
                .order_by(_table.contact_no.desc())
                .limit(rows_max)
                .subquery()
            )
            for kind in kinds
        ]
        page = union_all(*pages).subquery()
        newest = page.c.contact_no.desc()
        return select(page.c.contact_no, page.c.contact_no.label("person")).order_by(newest).limit(rows_max)

    async def _chosen(self, batch: Sequence[Candidate]) -> Sequence[Candidate]:
        """Those that are all that was asked for, in their order."""
        members = await read_members(self.connection, {person for _, person in batch})
        self._known.update(members)
        last_done = await self._last_done(members)
        return [
            (place, person)
            for place, person in batch
            if person in members and self._is_wanted(place, person, members[person], last_done)
        ]

    async def _last_done(self, members: Mapping[int, Sequence[Row[Any]]]) -> Mapping[int, int]:
        """When each contact of the persons did the event last; of what was told as a count, all of which has
        to be shown for any to be (R17), when that began."""
        done = dict[int, int]()
        nos = [row.contact_no for rows in members.values() for row in rows]
        for chunk in chunks(nos if self.definition_no is not None else ()):
            for table, moment in (
                (summaries.c, summaries.c.last_occurred_at),
                (told_counts.c, told_counts.c.first_occurred_at),
            ):
                rows = await self.connection.execute(
                    select(table.contact_no, moment).where(
                        table.workspace_no == self.workspace_no,
                        table.contact_no.in_(chunk),
                        table.definition_no == self.definition_no,
                    )
                )
                for contact_no, at in rows:
                    done[contact_no] = max(at, done.get(contact_no, at))
        return done

    def _is_wanted(
        self, place: int, person: int, rows: Sequence[Row[Any]], last_done: Mapping[int, int]
    ) -> bool:
        if self.narrowed.kind is not None and kind_of_person(person, rows) is not self.narrowed.kind:
            return False
        if self.definition_no is None:
            return True
        done = {row.contact_no: last_done[row.contact_no] for row in rows if row.contact_no in last_done}
        if not done or max(done.values()) < (shown_from_of(person, rows) or 0):
            return False
        # Found by the event, a person stands at the newest of its contacts that did it, and there alone.
        return bool(self.narrowed.text) or place == max(done)
