"""A person as readers see it: all contacts that are one, and how far back its profile goes (R16, R17)."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.contact_rows import is_of_person, is_ref
from workevo_server.adapters.sql.schema import activities, contacts, summaries, workspaces
from workevo_server.domain.contacts import shown_from
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.people import ContactRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    workspace_no: int
    person_no: int
    first_contact_at: int | None
    shown_from: int | None
    """What occurred before is not shown; None when all is."""
    members: Sequence[int]
    """All contacts that are the person, its own included."""
    with_events: Sequence[int]
    """Those of its contacts that have events: most visitors log in at once and leave nothing to read."""
    with_activities: Sequence[int]


async def find_person(
    connection: AsyncConnection, workspace_id: WorkspaceId, ref: ContactRef
) -> Person | None:
    """The person that an id belongs to; None when the workspace has no such id."""
    table = contacts.c
    found = (
        await connection.execute(
            select(table.workspace_no, func.coalesce(table.person_no, table.contact_no).label("person_no"))
            .join_from(contacts, workspaces, table.workspace_no == workspaces.c.workspace_no)
            .where(workspaces.c.workspace_id == workspace_id, is_ref(ref))
        )
    ).one_or_none()
    if found is None:
        return None
    members = (
        await connection.execute(
            select(
                table.contact_no,
                table.kind,
                table.first_contact_at,
                _has(summaries).label("has_events"),
                _has(activities).label("has_activities"),
            ).where(is_of_person(found.person_no))
        )
    ).all()
    kind = next(ContactKind(row.kind) for row in members if row.contact_no == found.person_no)
    first_contact = min(
        (row.first_contact_at for row in members if row.first_contact_at is not None), default=None
    )
    return Person(
        workspace_no=found.workspace_no,
        person_no=found.person_no,
        first_contact_at=first_contact,
        shown_from=shown_from(kind, first_contact),
        members=[row.contact_no for row in members],
        with_events=[row.contact_no for row in members if row.has_events],
        with_activities=[row.contact_no for row in members if row.has_activities],
    )


def _has(table: Table) -> ColumnElement[bool]:
    return exists().where(
        table.c.workspace_no == contacts.c.workspace_no, table.c.contact_no == contacts.c.contact_no
    )
