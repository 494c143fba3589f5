"""Changing who people are; a `ports.contact_store.ContactStore`. Each change is one transaction."""

import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, and_, cast, delete, exists, func, insert, not_, select, update

from workevo_server.adapters.sql.audit import note
from workevo_server.adapters.sql.contact_rows import ContactRow, ContactRows
from workevo_server.adapters.sql.erasing import Erasing
from workevo_server.adapters.sql.erasures import find_erasure
from workevo_server.adapters.sql.locks import hold_members
from workevo_server.adapters.sql.merging import Merging
from workevo_server.adapters.sql.receipts import take_receipt_numbers
from workevo_server.adapters.sql.schema import (
    activities,
    contacts,
    event_definitions,
    installs,
    ledgers,
    summaries,
)
from workevo_server.adapters.sql.types import Whole
from workevo_server.adapters.sql.workspaces import workspace_no_of
from workevo_server.adapters.sql.writer import Change, Writer
from workevo_server.domain.errors import ContactSuppressed, FieldViolation, NotFound, RequestInvalid
from workevo_server.domain.events import ContactClaim
from workevo_server.domain.identifiers import ContactId, WorkspaceId
from workevo_server.domain.metadata import MetadataEntry
from workevo_server.domain.requests import ForgetCall
from workevo_server.ports.audit import Author
from workevo_server.ports.contact_store import Conversation, ErasureReceipt, Joining
from workevo_server.ports.people import ActivityKind, ContactRef, MergedBy

T = TypeVar("T")


class SqlContactStore:
    """`new_id` makes public ids; `erasure_secret` is the key of the hashes that deletions leave."""

    def __init__(self, *, writer: Writer, new_id: Callable[[], str], erasure_secret: bytes) -> None:
        self._writer = writer
        self._new_id = new_id
        self._erasure_secret = erasure_secret

    async def _changed(
        self, workspace_id: WorkspaceId, change: Callable[[ContactRows], T], *refs: ContactRef
    ) -> T:
        return await self._writer.submit(self._change(workspace_id, change, *refs))

    def _change(
        self, workspace_id: WorkspaceId, change: Callable[[ContactRows], T], *refs: ContactRef
    ) -> Change[T]:
        """In one transaction that holds the persons of `refs`."""

        def run(connection: Connection) -> T:
            rows = ContactRows(connection, workspace_no_of(connection, workspace_id), self._new_id)
            rows.hold(*refs)
            return change(rows)

        return Change(workspace_id, run)

    async def make_user(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        *,
        user_id: str,
        email: str | None,
        attributes: Sequence[MetadataEntry],
        occurred_at_micros: int,
        author: Author,
    ) -> None:
        def change(rows: ContactRows) -> None:
            now_micros = author.made_at_micros
            self._refuse_suppressed(rows, workspace_id, ref, ContactRef(user_id=user_id))
            user = rows.of_claim(ContactClaim(user_id=user_id), now_micros=now_micros)
            person = rows.person(_found_or_made(rows, ref, now_micros))
            if person.contact_no != user.contact_no:
                merging = Merging(rows)
                merging.check(person, user)
                merging.merge(person, user, by=MergedBy.BACK_END, occurred_at=occurred_at_micros)
                _note(rows, author, "contact.convert", person, old=person.kind, new=user.kind)
            rows.keep_attributes(user, attributes)
            if email is not None and not rows.keep_email(user.contact_no, email):
                raise RequestInvalid(_EMAIL_TAKEN)

        await self._changed(workspace_id, change, ref, ContactRef(user_id=user_id))

    async def describe(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        *,
        email: str | None,
        attributes: Sequence[MetadataEntry],
    ) -> None:
        def change(rows: ContactRows) -> None:
            person = rows.person(_found(rows, ref))
            rows.keep_attributes(person, attributes)
            if email is not None and not rows.keep_email(person.contact_no, email):
                raise RequestInvalid(_EMAIL_TAKEN)

        await self._changed(workspace_id, change, ref)

    async def make_lead(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        *,
        attributes: Sequence[MetadataEntry],
        occurred_at_micros: int,
        author: Author,
    ) -> None:
        def change(rows: ContactRows) -> None:
            self._refuse_suppressed(rows, workspace_id, ref)
            contact = _found_or_made(rows, ref, author.made_at_micros)
            before = rows.person(contact).kind
            _keep_first_contact(rows, contact, occurred_at_micros)
            person = rows.person(rows.by_no(contact.contact_no))
            rows.keep_attributes(person, attributes)
            if person.kind != before:
                _note(rows, author, "contact.convert", person, old=before, new=person.kind)

        await self._changed(workspace_id, change, ref)

    async def record_conversation(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        conversation: Conversation,
        *,
        occurred_at_micros: int,
    ) -> None:
        def change(rows: ContactRows) -> None:
            contact = _found(rows, ref)
            if not _knows_conversation(rows, contact, conversation):
                document = {"conversation_id": conversation.conversation_id, "title": conversation.title}
                _tell(rows, contact, ActivityKind.CONVERSATION, occurred_at_micros, document)
            _keep_first_contact(rows, contact, occurred_at_micros)

        await self._changed(workspace_id, change, ref)

    async def merge(
        self, workspace_id: WorkspaceId, ref: ContactRef, into: ContactRef, *, preview: bool, author: Author
    ) -> Joining:
        def change(rows: ContactRows) -> Joining:
            person, target = rows.person(_found(rows, ref)), rows.person(_found(rows, into))
            event_count, name_count = _totals(rows, person)
            merge_id = ""
            if person.contact_no != target.contact_no:
                merging = Merging(rows)
                merging.check(person, target)
                if not preview:
                    at = author.made_at_micros
                    merge_id = merging.merge(person, target, by=MergedBy.BACK_END, occurred_at=at)
                    _note(rows, author, "contact.merge", person, new=target.contact_id)
            return Joining(
                person_id=ContactId(person.contact_id),
                into_id=ContactId(target.contact_id),
                event_count=event_count,
                event_name_count=name_count,
                merge_id=merge_id,
            )

        return await self._changed(workspace_id, change, ref, into)

    async def split(
        self, workspace_id: WorkspaceId, merge_id: str, *, author: Author
    ) -> tuple[ContactId, ContactId]:
        def change(rows: ContactRows) -> tuple[ContactId, ContactId]:
            merging = Merging(rows)

            def found() -> ContactRow:
                merge = merging.find(merge_id)
                if merge is None:
                    raise NotFound("merge with this merge_id")
                return merge

            hold_members(rows.connection, [found().contact_no])
            merge = found()  # As another server may have split it, and merged its contact elsewhere.
            apart, rest = (rows.by_no(no) for no in (merge.contact_no, merge.into_no))
            if merge.split_at is None:
                merging.split(merge, now_micros=author.made_at_micros)
                _note(rows, author, "contact.split", apart, old=rest.contact_id)
            return ContactId(apart.contact_id), ContactId(rest.contact_id)

        return await self._changed(workspace_id, change)

    async def delete(
        self, workspace_id: WorkspaceId, ref: ContactRef, *, suppress: bool, author: Author
    ) -> ErasureReceipt:
        def change(rows: ContactRows) -> ErasureReceipt:
            def members() -> Sequence[ContactRow]:
                """Of whoever the contact is by then: it may have logged in while this waited."""
                return rows.members(rows.person(_found(rows, ref)).contact_no)

            person = rows.person(_found(rows, ref))
            erasing = self._erasing(
                rows, workspace_id, author.made_at_micros, suppress=suppress, with_back_ends=True
            )
            _note(rows, author, "contact.delete", person, new="suppress" if suppress else None)
            return erasing.erase(members)

        receipt = await self._writer.submit_apart(self._change(workspace_id, change))
        await self._writer.leave_nothing_deleted()
        return receipt

    async def forget(self, call: ForgetCall) -> ErasureReceipt:
        def change(rows: ContactRows) -> ErasureReceipt:
            install_no = _install_no(rows, call)
            if install_no is None:
                return ErasureReceipt()
            rows.connection.execute(
                update(installs).where(installs.c.install_no == install_no).values(description="{}")
            )
            erasing = self._erasing(
                rows, call.workspace_id, call.received_at_micros, suppress=False, with_back_ends=False
            )
            return erasing.erase(lambda: _own_visitors(rows, install_no), install_nos=[install_no])

        receipt = await self._writer.submit_apart(self._change(call.workspace_id, change))
        await self._writer.leave_nothing_deleted()
        return receipt

    def _refuse_suppressed(self, rows: ContactRows, workspace_id: WorkspaceId, *refs: ContactRef) -> None:
        """R32: a back end brings nobody back whose deletion asked for more. Raises ContactSuppressed."""
        for ref in refs:
            if ref.user_id is None and ref.visitor_id is None:
                continue  # By our own id, or an address, only those are named who are there.
            erasure = find_erasure(
                rows.connection,
                ContactClaim(user_id=ref.user_id, visitor_id=ref.visitor_id),
                workspace_no=rows.workspace_no,
                workspace_id=workspace_id,
                secret=self._erasure_secret,
            )
            if erasure is not None and erasure.suppressed:
                raise ContactSuppressed

    def _erasing(
        self,
        rows: ContactRows,
        workspace_id: WorkspaceId,
        now_micros: int,
        *,
        suppress: bool,
        with_back_ends: bool,
    ) -> Erasing:
        return Erasing(
            rows=rows,
            workspace_id=workspace_id,
            erasure_secret=self._erasure_secret,
            erased_at=now_micros,
            suppress=suppress,
            with_back_ends=with_back_ends,
        )


_EMAIL_TAKEN = FieldViolation("email", "Another user of this workspace has this email.")


def _note(
    rows: ContactRows,
    author: Author,
    action: str,
    contact: ContactRow,
    *,
    old: str | None = None,
    new: str | None = None,
) -> None:
    """By contact_id alone, which is ours: the audit is kept for ever, and people's own ids are not."""
    note(rows.connection, rows.workspace_no, author, action, contact.contact_id, old=old, new=new)


def _found(rows: ContactRows, ref: ContactRef) -> ContactRow:
    found = rows.find(ref)
    if found is None:
        raise NotFound(ref.looked_for)
    return found


def _found_or_made(rows: ContactRows, ref: ContactRef, now_micros: int) -> ContactRow:
    """A visitor that is new is made (R18); a contact_id is ours, so an unknown one is nobody's."""
    if ref.visitor_id is None:
        return _found(rows, ref)
    return rows.of_claim(ContactClaim(visitor_id=ref.visitor_id), now_micros=now_micros)


def _keep_first_contact(rows: ContactRows, contact: ContactRow, occurred_at: int) -> None:
    """The earliest one told counts; a user's is no news."""
    earlier = contact.first_contact_at is not None and contact.first_contact_at <= occurred_at
    if contact.id_kind == "user" or earlier:
        return
    rows.connection.execute(
        delete(activities).where(
            activities.c.workspace_no == rows.workspace_no,
            activities.c.contact_no == contact.contact_no,
            activities.c.occurred_at == contact.first_contact_at,
            activities.c.kind == ActivityKind.FIRST_CONTACT.value,
        )
    )
    _tell(rows, contact, ActivityKind.FIRST_CONTACT, occurred_at, {})
    rows.connection.execute(
        update(contacts)
        .where(contacts.c.contact_no == contact.contact_no)
        .values(first_contact_at=occurred_at)
    )
    rows.refresh_kind(contact.contact_no)
    rows.refresh_kind(rows.person(contact).contact_no)


def _tell(
    rows: ContactRows, contact: ContactRow, kind: ActivityKind, occurred_at: int, document: dict[str, str]
) -> None:
    rows.connection.execute(
        insert(activities),
        {
            "workspace_no": rows.workspace_no,
            "contact_no": contact.contact_no,
            "occurred_at": occurred_at,
            "receipt_no": take_receipt_numbers(rows.connection, 1),
            "kind": kind.value,
            "document": json.dumps(document),
        },
    )


def _knows_conversation(rows: ContactRows, contact: ContactRow, conversation: Conversation) -> bool:
    """Told before for this contact. Its activities lie together and are few."""
    documents = rows.connection.execute(
        select(activities.c.document).where(
            activities.c.workspace_no == rows.workspace_no,
            activities.c.contact_no == contact.contact_no,
            activities.c.kind == ActivityKind.CONVERSATION.value,
        )
    ).scalars()
    return any(json.loads(each)["conversation_id"] == conversation.conversation_id for each in documents)


def _totals(rows: ContactRows, person: ContactRow) -> tuple[int, int]:
    """Events, and names of them, that stand on a person: from its summaries, so at no cost."""
    members = [member.contact_no for member in rows.members(person.contact_no)]
    found = rows.connection.execute(
        select(
            cast(func.coalesce(func.sum(summaries.c.event_count), 0), Whole),
            func.count(summaries.c.definition_no.distinct()),
        )
        .join_from(
            summaries, event_definitions, summaries.c.definition_no == event_definitions.c.definition_no
        )
        .where(
            summaries.c.workspace_no == rows.workspace_no,
            summaries.c.contact_no.in_(members),
            event_definitions.c.archived_at.is_(None),
        )
    ).one()
    return found[0], found[1]


def _install_no(rows: ContactRows, call: ForgetCall) -> int | None:
    """Who names the epoch of one of its queues is the device, or has its secrets (R31)."""
    found: int | None = rows.connection.execute(
        select(installs.c.install_no)
        .join(ledgers, ledgers.c.install_no == installs.c.install_no)
        .where(
            installs.c.workspace_no == rows.workspace_no,
            installs.c.install_id == call.install.install_id.encode(),
            ledgers.c.workspace_no == rows.workspace_no,
            ledgers.c.epoch == call.install.epoch,
        )
    ).scalar()
    return found


def _own_visitors(rows: ContactRows, install_no: int) -> list[ContactRow]:
    """Visitors that this install alone has used, and that are nobody else's."""
    table, other = contacts.c, contacts.alias("other")
    return list(
        rows.connection.execute(
            select(contacts).where(
                table.first_install_no == install_no,
                table.id_kind == "visitor",
                table.person_no.is_(None),
                not_(table.shared),
                not_(exists().where(and_(other.c.person_no == table.contact_no))),
            )
        ).all()
    )
