"""What the store knows of one event that somebody looks for; a `ports.whereabouts.WhereaboutsReader`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.contact_rows import is_ref
from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.erasures import find_erasure
from workevo_server.adapters.sql.failed_event_store import failed_record, failed_rows
from workevo_server.adapters.sql.known_world import chunks
from workevo_server.adapters.sql.located_events import located, newest
from workevo_server.adapters.sql.one_sequence import read_sequence
from workevo_server.adapters.sql.person import Person, find_person, read_person
from workevo_server.adapters.sql.queue_stretches import read_stretches
from workevo_server.adapters.sql.queues import PLACE, fitting, install_record, read_queues
from workevo_server.adapters.sql.schema import (
    contacts,
    event_definitions,
    events,
    failed_events,
    installs,
    ledgers,
    workspaces,
)
from workevo_server.adapters.sql.workspaces import read_workspace_no
from workevo_server.domain import limits
from workevo_server.domain.erasure import Erasure
from workevo_server.domain.events import ContactClaim
from workevo_server.domain.identifiers import ContactId, InstallId, NameKey, WorkspaceId
from workevo_server.ports.failed_events import FailedRecord
from workevo_server.ports.people import ContactRef
from workevo_server.ports.whereabouts import PersonRecord, QueueRecord

_SECOND_MICROS = 1_000_000
_table = events.c


class SqlWhereabouts:
    """`erasure_secret` is the key of the hashes that deletions leave."""

    def __init__(self, database: Database, erasure_secret: bytes) -> None:
        self._database = database
        self._erasure_secret = erasure_secret

    async def queues(
        self, workspace_id: WorkspaceId, install_id: InstallId, *, epoch: bytes | None, sequence: int
    ) -> Sequence[QueueRecord]:
        async with self._database.reading(workspace_id) as connection:
            row = (
                await connection.execute(
                    select(installs)
                    .join(workspaces, workspaces.c.workspace_no == installs.c.workspace_no)
                    .where(
                        workspaces.c.workspace_id == workspace_id,
                        installs.c.install_id == install_id.encode(errors="replace"),
                    )
                )
            ).one_or_none()
            if row is None:
                return []
            which = ledgers.c.epoch == epoch if epoch is not None else _may_have(sequence)
            queues = await read_queues(connection, [row], which, count_max=limits.FOUND_QUEUES_MAX + 1)
            found = queues[row.install_no]
            shown = fitting(found.rows, limits.FOUND_QUEUES_MAX, limits.LEDGER_QUEUES_CHARACTERS_MAX)
            return await read_sequence(
                connection, row.workspace_no, install_record(row, found, shown), sequence
            )

    async def around(
        self, workspace_id: WorkspaceId, ref: ContactRef, name_key: NameKey, *, since: int, until: int
    ) -> PersonRecord | None:
        async with self._database.reading(workspace_id) as connection:
            person = await find_person(connection, workspace_id, ref)
            if person is None:
                return None
            contact = await read_person(connection, person.person_no)
            asked = (
                await connection.execute(
                    select(contacts.c.contact_id, contacts.c.merged_at).where(
                        contacts.c.workspace_no == person.workspace_no, is_ref(ref)
                    )
                )
            ).one_or_none()
            if contact is None or asked is None:
                return None  # Deleted between two reads.
            definition = await _definition(connection, person.workspace_no, name_key)
            found = await _around(connection, person, definition, since, until)
            return PersonRecord(
                person=contact,
                asked_for=ContactId(asked.contact_id),
                merged_at_micros=asked.merged_at,
                name_known=definition is not None,
                archived_at_micros=definition.archived_at if definition is not None else None,
                expired_before_micros=await connection.scalar(
                    select(workspaces.c.expired_before).where(workspaces.c.workspace_id == workspace_id)
                ),
                events=await located(connection, found),
                failed=await _failed_of(connection, person, name_key, since),
                queues=await read_stretches(connection, person, since, until),
            )

    async def erasure(self, workspace_id: WorkspaceId, ref: ContactRef) -> Erasure | None:
        if ref.user_id is None and ref.visitor_id is None:
            return None
        claim = ContactClaim(user_id=ref.user_id, visitor_id=ref.visitor_id)
        async with self._database.reading(workspace_id) as connection:
            workspace_no = await read_workspace_no(connection, workspace_id)
            return await connection.run_sync(
                lambda each: find_erasure(
                    each,
                    claim,
                    workspace_no=workspace_no,
                    workspace_id=workspace_id,
                    secret=self._erasure_secret,
                )
            )


def _may_have(sequence: int) -> ColumnElement[bool]:
    """The newest queue too: its ledger is read before the events, which may have come since."""
    return or_(ledgers.c.generated_count >= sequence, PLACE == 1)


# By person -------------------------------------------------------------------


async def _definition(connection: AsyncConnection, workspace_no: int, name_key: NameKey) -> Row[Any] | None:
    names = event_definitions.c
    rows: Sequence[Any] = (
        await connection.execute(
            select(names.definition_no, names.archived_at).where(
                names.workspace_no == workspace_no, names.name_key == name_key.encode()
            )
        )
    ).all()
    return rows[0] if rows else None


async def _around(
    connection: AsyncConnection, person: Person, definition: Row[Any] | None, since: int, until: int
) -> Sequence[Row[Any]]:
    """By the corrected time, and by the device's own: somebody who asks may go by either."""
    if definition is None:
        return []
    spans = (
        _table.occurred_at.between(since, until),
        _table.created_at_seconds.between(since // _SECOND_MICROS, until // _SECOND_MICROS),
    )
    found: dict[int, Row[Any]] = {}
    for chunk in chunks(person.with_events):
        for span in spans:
            rows = await connection.execute(
                newest(
                    _table.workspace_no == person.workspace_no,
                    _table.contact_no.in_(chunk),
                    span,
                    # Plus nothing, so that the contact's own events are read, and not the name's.
                    _table.definition_no + 0 == definition.definition_no,
                )
            )
            found.update((row.receipt_no, row) for row in rows)
    in_order = sorted(found.values(), key=lambda row: (row.occurred_at, row.receipt_no), reverse=True)
    return in_order[: limits.FOUND_EVENTS_MAX]


async def _failed_of(
    connection: AsyncConnection, person: Person, name_key: NameKey, since: int
) -> Sequence[FailedRecord]:
    ids = contacts.c
    table, found = failed_events.c, list[FailedRecord]()
    for chunk in chunks(person.members):
        named = await connection.execute(
            select(ids.id_kind, ids.external_id).where(ids.contact_no.in_(chunk))
        )
        by_id = [and_(table.id_kind == kind, table.external_id == external) for kind, external in named]
        rows = await connection.execute(
            failed_rows()
            .where(
                table.workspace_no == person.workspace_no,
                or_(*by_id),
                table.name_key == name_key.encode(),
                table.received_at >= since,
            )
            .order_by(table.received_at.desc())
            .limit(limits.FOUND_EVENTS_MAX)
        )
        found += [failed_record(row) for row in rows]
    return sorted(found, key=lambda each: each.place.received_at_micros, reverse=True)[
        : limits.FOUND_EVENTS_MAX
    ]
