"""A person as readers see it: all contacts that are one, and how far back its profile goes (R16, R17)."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql import metadata_document
from workevo_server.adapters.sql.contact_rows import is_of_person, is_ref
from workevo_server.adapters.sql.schema import activities, contacts, summaries, told_counts, workspaces
from workevo_server.domain import limits
from workevo_server.domain.contacts import shown_from
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import ContactId, WorkspaceId
from workevo_server.ports.people import Contact, ContactRef


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
    with_counts: Sequence[int]
    """Those of which a back end told counts."""
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
                _has(told_counts).label("has_counts"),
                _has(activities).label("has_activities"),
            ).where(is_of_person(found.person_no))
        )
    ).all()
    return Person(
        workspace_no=found.workspace_no,
        person_no=found.person_no,
        first_contact_at=first_contact_of(members),
        shown_from=shown_from_of(found.person_no, members),
        members=[row.contact_no for row in members],
        with_events=[row.contact_no for row in members if row.has_events],
        with_counts=[row.contact_no for row in members if row.has_counts],
        with_activities=[row.contact_no for row in members if row.has_activities],
    )


def _has(table: Table) -> ColumnElement[bool]:
    return exists().where(
        table.c.workspace_no == contacts.c.workspace_no, table.c.contact_no == contacts.c.contact_no
    )


async def read_person(connection: AsyncConnection, person_no: int) -> Contact | None:
    return (await read_persons(connection, [person_no])).get(person_no)


async def read_persons(connection: AsyncConnection, person_nos: Collection[int]) -> Mapping[int, Contact]:
    """All of a page together, by the contact that stands for each; without who was deleted, or merged
    into another, since the page was found."""
    return {no: contact_of(no, rows) for no, rows in (await read_members(connection, person_nos)).items()}


async def read_members(
    connection: AsyncConnection, person_nos: Collection[int]
) -> Mapping[int, Sequence[Row[Any]]]:
    """The rows of all contacts that are these persons, by person, oldest first; as `read_persons`."""
    table = contacts.c
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    if person_nos:
        for row in await connection.execute(
            select(contacts)
            .where(or_(table.contact_no.in_(person_nos), table.person_no.in_(person_nos)))
            .order_by(table.contact_no)
        ):
            found[row.person_no if row.person_no is not None else row.contact_no].append(row)
    return {no: rows for no, rows in found.items() if any(row.contact_no == no for row in rows)}


def kind_of_person(person_no: int, members: Sequence[Row[Any]]) -> ContactKind:
    return next(ContactKind(row.kind) for row in members if row.contact_no == person_no)


def shown_from_of(person_no: int, members: Sequence[Row[Any]]) -> int | None:
    """What occurred before is not shown; None when all is (R17)."""
    return shown_from(kind_of_person(person_no, members), first_contact_of(members))


def contact_of(person_no: int, members: Sequence[Row[Any]]) -> Contact:
    person = next(row for row in members if row.contact_no == person_no)
    visitors = [row.external_id.decode() for row in members if row.id_kind == "visitor"]
    return Contact(
        contact_id=ContactId(person.contact_id),
        kind=ContactKind(person.kind),
        user_id=person.external_id.decode() if person.id_kind == "user" else "",
        visitor_ids=tuple(visitors[: limits.CONTACT_VISITOR_IDS_MAX]),
        email=(person.email or b"").decode(),
        created_at_micros=person.created_at,
        first_contact_micros=first_contact_of(members),
        attributes=metadata_document.decode(person.attributes),
    )


def first_contact_of(members: Sequence[Row[Any]]) -> int | None:
    """Of all contacts that are one person the earliest (R17)."""
    return min((row.first_contact_at for row in members if row.first_contact_at is not None), default=None)
