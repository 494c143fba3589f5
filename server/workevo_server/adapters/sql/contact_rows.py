"""The contacts of one workspace inside a transaction: found by an id, made, and read as persons (R16)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    delete,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from workevo_server.adapters.sql import metadata_document
from workevo_server.adapters.sql.known_world import external_id, id_kind
from workevo_server.adapters.sql.locks import hold_members
from workevo_server.adapters.sql.schema import contact_words, contacts
from workevo_server.domain import limits, naming
from workevo_server.domain.contacts import email_of, kind_of
from workevo_server.domain.events import ContactClaim, ContactKind
from workevo_server.domain.identifiers import NameKey
from workevo_server.domain.metadata import MetadataEntry, Text
from workevo_server.domain.words import words_of_contact
from workevo_server.ports.people import ContactRef

_LEAD, _VISITOR = literal(ContactKind.LEAD.value), literal(ContactKind.VISITOR.value)

EMAIL = naming.name_key("email")
"""The attribute that says a user's address, or one that another user has."""

ContactRow = Row[Any]
"""A row of `contacts`."""


def is_ref(ref: ContactRef) -> ColumnElement[bool]:
    """Whether a row is the contact of this id itself, not of what it was merged into."""
    table = contacts.c
    if ref.contact_id is not None:
        # Ours never have NUL, and PostgreSQL takes none in a text.
        return table.contact_id == ref.contact_id if "\0" not in ref.contact_id else false()
    if ref.email is not None:
        return table.email == ref.email.encode()
    kind, external = ("user", ref.user_id) if ref.user_id is not None else ("visitor", ref.visitor_id or "")
    return and_(table.id_kind == kind, table.external_id == external.encode())


def email_in(entry: MetadataEntry) -> str | None:
    """The address that an attribute says, as it is compared; None when it says none."""
    return email_of(entry.value.value) if isinstance(entry.value, Text) else None


def _attributes(row: ContactRow) -> dict[NameKey, MetadataEntry]:
    return {naming.name_key(entry.key): entry for entry in metadata_document.decode(row.attributes)}


def claim_of(row: ContactRow) -> ContactClaim:
    """How a device names this contact."""
    external = row.external_id.decode()
    return ContactClaim(user_id=external) if row.id_kind == "user" else ContactClaim(visitor_id=external)


def is_of_person(person_no: int) -> ColumnElement[bool]:
    return or_(contacts.c.contact_no == person_no, contacts.c.person_no == person_no)


@dataclass(frozen=True, slots=True)
class ContactRows:
    connection: Connection
    workspace_no: int
    new_id: Callable[[], str]

    def find(self, ref: ContactRef) -> ContactRow | None:
        """The contact of an id itself; None when the workspace has none."""
        return self.connection.execute(
            select(contacts).where(contacts.c.workspace_no == self.workspace_no, is_ref(ref))
        ).one_or_none()

    def hold(self, *refs: ContactRef) -> None:
        """Nobody else changes who they are until the transaction ends; called before they are read."""
        found = (self.find(ref) for ref in refs)
        hold_members(self.connection, [row.contact_no for row in found if row is not None])

    def of_claim(self, claim: ContactClaim, *, now_micros: int) -> ContactRow:
        """The contact of an id itself, made when the workspace has none (R18)."""
        ref = ContactRef(user_id=claim.user_id, visitor_id=claim.visitor_id)
        found = self.find(ref)
        if found is not None:
            return found
        self.connection.execute(
            insert(contacts),
            {
                "workspace_no": self.workspace_no,
                "contact_id": self.new_id(),
                "kind": kind_of(claim).value,
                "id_kind": id_kind(claim),
                "external_id": external_id(claim),
                "created_at": now_micros,
            },
        )
        made = self.find(ref)
        assert made is not None
        return made

    def by_no(self, contact_no: int) -> ContactRow:
        return self.connection.execute(select(contacts).where(contacts.c.contact_no == contact_no)).one()

    def person(self, row: ContactRow) -> ContactRow:
        """The contact that stands for the person."""
        return row if row.person_no is None else self.by_no(row.person_no)

    def members(self, person_no: int) -> Sequence[ContactRow]:
        """All contacts that are this person, its own included, oldest first."""
        return self.connection.execute(
            select(contacts).where(is_of_person(person_no)).order_by(contacts.c.contact_no)
        ).all()

    def keep_email(self, contact_no: int, email: str) -> bool:
        """Give a user its address; False, and nothing changes, when another user has it.

        An attribute that says another one says this one from then on: whoever reads it,
        or looks for people by it, meets one address.
        """
        owner = self.find(ContactRef(email=email))
        if owner is not None and owner.contact_no != contact_no:
            return False
        self.connection.execute(
            update(contacts).where(contacts.c.contact_no == contact_no).values(email=email.encode())
        )
        known = _attributes(self.by_no(contact_no))
        told = known.get(EMAIL)
        if told is not None and email_in(told) != email:
            known[EMAIL] = MetadataEntry(key=told.key, value=Text(email))
            self._write_attributes(contact_no, known)
        return True

    def keep_attributes(self, contact: ContactRow, told: Sequence[MetadataEntry]) -> None:
        """Add what was told to what is known, keys matched as in R1 and as many as an event may have."""
        if not told:
            return
        known = _attributes(contact)
        for entry in told:
            key = naming.name_key(entry.key)
            if key in known or len(known) < limits.METADATA_KEYS_SETTING_MAX:
                known[key] = entry
        self._write_attributes(contact.contact_no, known)

    def _write_attributes(self, contact_no: int, known: Mapping[NameKey, MetadataEntry]) -> None:
        self.connection.execute(
            update(contacts)
            .where(contacts.c.contact_no == contact_no)
            .values(attributes=metadata_document.encode(tuple(known.values())))
        )
        self._keep_words(contact_no, words_of_contact(tuple(known.values())))

    def _keep_words(self, contact_no: int, words: Sequence[bytes]) -> None:
        """So that the contact is found by its name."""
        self.connection.execute(delete(contact_words).where(contact_words.c.contact_no == contact_no))
        if words:
            place = {"workspace_no": self.workspace_no, "contact_no": contact_no}
            self.connection.execute(insert(contact_words), [{**place, "word": word} for word in words])

    def refresh_kind(self, person_no: int) -> None:
        """A visitor any of whose contacts made first contact is a lead, and none other is (R16)."""
        member = contacts.alias("member")
        first_contact = (
            select(func.min(member.c.first_contact_at))
            .where(or_(member.c.contact_no == person_no, member.c.person_no == person_no))
            .scalar_subquery()
        )
        kind = case((first_contact.is_not(None), _LEAD), else_=_VISITOR)
        self.connection.execute(
            update(contacts)
            .where(contacts.c.contact_no == person_no, contacts.c.id_kind == "visitor")
            .values(kind=kind)
        )
