"""What the store knows about everything a group of uploads names, read in a few statements.

`domain.admission.decide` asks it (StoreView) and `UploadBatch` adds each decision, so
that a later upload of the same group sees what an earlier one changed.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection

from workevo_server.adapters.sql import statements
from workevo_server.adapters.sql.copies import stored_copies
from workevo_server.adapters.sql.database import TryAgain
from workevo_server.adapters.sql.locks import (
    hold_names,
    hold_new_ids,
    hold_persons,
    hold_unread,
    is_shared,
)
from workevo_server.domain.admission import DefinitionState, StoredCopy
from workevo_server.domain.drops import unsent_name
from workevo_server.domain.erasure import Erasure, id_hash
from workevo_server.domain.events import ContactClaim, Event, ProductIdentity
from workevo_server.domain.identifiers import NameKey, WorkspaceId
from workevo_server.domain.judging import JudgedUpload

VALUES_MAX = 1000  # Of one IN list: SQLite takes 32,766 values a statement.

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)


def chunks(items: Iterable[T], size: int = VALUES_MAX) -> Iterator[Sequence[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def by_first(pairs: Iterable[tuple[H, T]]) -> dict[H, list[T]]:
    """The second ones of all pairs with one first."""
    grouped: dict[H, list[T]] = defaultdict(list)
    for first, second in pairs:
        grouped[first].append(second)
    return grouped


def id_kind(claim: ContactClaim) -> str:
    return "user" if claim.user_id is not None else "visitor"


def external_id(claim: ContactClaim) -> bytes:
    return (claim.user_id if claim.user_id is not None else claim.visitor_id or "").encode()


@dataclass(slots=True)
class KnownContact:
    contact_no: int
    person_no: int
    """The contact it was merged into, or itself."""
    first_install_no: int | None
    shared: bool
    first_contact_at: int | None = None
    """Of the person; where that is a user, the contact's own: it was a lead before it logged in (R24)."""


@dataclass(slots=True)
class KnownDefinition:
    definition_no: int
    archived: bool


@dataclass(frozen=True, slots=True)
class KnownCopy:
    contact_no: int
    ordinal: int
    received_at: int
    install_no: int | None


WorkspaceClaim = tuple[int, ContactClaim]
WorkspaceName = tuple[int, NameKey]
_CopyKey = tuple[int, int, int]  # person_no, definition_no, created_at_seconds


class KnownWorld:
    """Contacts, definitions and stored copies that the uploads of a group may meet."""

    def __init__(self, connection: Connection, *, erasure_secret: bytes) -> None:
        self._connection = connection
        self._erasure_secret = erasure_secret
        self.erasures: dict[WorkspaceClaim, Erasure] = {}
        self.with_deletions: set[int] = set()
        """Workspaces that had one, of those in which a back end sent what nobody can read."""
        self.contacts: dict[WorkspaceClaim, KnownContact] = {}
        self.definitions: dict[WorkspaceName, KnownDefinition] = {}
        self._copies: dict[_CopyKey, list[KnownCopy]] = defaultdict(list)
        self._active_counts: dict[int, int] = {}

    def load(self, uploads: Sequence[tuple[int, JudgedUpload]]) -> None:
        """Read all that the uploads, each with its workspace_no, name."""
        identities = {
            (workspace_no, candidate.identity)
            for workspace_no, judged in uploads
            for candidate in judged.candidates
            if candidate.identity is not None
        }
        claims = {
            (workspace_no, candidate.claim): judged.upload.workspace_id
            for workspace_no, judged in uploads
            for candidate in judged.candidates
            if candidate.claim is not None
        }
        self.load_named(claims, {(no, identity.name_key) for no, identity in identities})
        self._load_deletions({no for no, judged in uploads if _has_unread(judged)})
        self._load_definitions(
            {
                (no, name_key)
                for no, judged in uploads
                for name_key in map(unsent_name, judged.upload.dropped)
                if name_key is not None
            }
        )
        self._load_copies(identities)

    def load_named(self, claims: Mapping[WorkspaceClaim, WorkspaceId], names: set[WorkspaceName]) -> None:
        """Contacts and names, held in the order of `locks`, and what deletions left of those contacts."""
        self._load_contacts(set(claims))
        self._load_names(names)
        self._load_erasures(claims)

    def _load_names(self, names: set[WorkspaceName]) -> None:
        """Held while one of them is new: whoever makes it next is this transaction."""
        self._load_definitions(names)
        unknown = names - self.definitions.keys()
        if unknown and is_shared(self._connection):
            for no in sorted({no for no, _ in unknown}):
                hold_names(self._connection, no)
            self._load_definitions(unknown)

    def _load_definitions(self, names: set[WorkspaceName]) -> None:
        for no, name_keys in by_first(names).items():
            for chunk in chunks(name_key.encode() for name_key in name_keys):
                rows = self._connection.execute(
                    statements.DEFINITIONS, {"workspace_no": no, "name_keys": chunk}
                )
                for name_key, definition_no, archived_at in rows:
                    self.definitions[no, NameKey(name_key.decode())] = KnownDefinition(
                        definition_no, archived_at is not None
                    )

    def _load_contacts(self, claims: set[WorkspaceClaim]) -> None:
        """Held, with the persons they are; who is unknown is made by no other process until then."""
        self._read_contacts(claims)
        if not is_shared(self._connection):
            return
        unknown = claims - self.contacts.keys()
        hold_persons(self._connection, {each.contact_no: each.person_no for each in self.contacts.values()})
        for no, of_workspace in by_first(unknown).items():
            hold_new_ids(self._connection, no, of_workspace)
        known = set(self.contacts)
        self._read_contacts(claims)
        if known != self.contacts.keys():
            raise TryAgain

    def _read_contacts(self, claims: set[WorkspaceClaim]) -> None:
        wanted = by_first(((no, id_kind(claim)), claim) for no, claim in claims)
        for (no, kind), of_kind in wanted.items():
            claim_of = {external_id(claim): claim for claim in of_kind}
            for chunk in chunks(claim_of):
                rows = self._connection.execute(
                    statements.CONTACTS, {"workspace_no": no, "kind": kind, "external_ids": chunk}
                )
                for external, *known in rows:
                    self.contacts[no, claim_of[external]] = KnownContact(*known)

    def _load_erasures(self, claims: Mapping[WorkspaceClaim, WorkspaceId]) -> None:
        wanted = by_first((no, (claim, workspace_id)) for (no, claim), workspace_id in claims.items())
        for no, of_workspace in wanted.items():
            claim_of = {
                id_hash(claim, workspace_id=workspace_id, secret=self._erasure_secret): claim
                for claim, workspace_id in of_workspace
            }
            for chunk in chunks(claim_of):
                for hashed, erased_at, suppressed in self._connection.execute(
                    statements.ERASURES, {"workspace_no": no, "id_hashes": chunk}
                ):
                    self.erasures[no, claim_of[hashed]] = Erasure(
                        erased_at_micros=erased_at, suppressed=suppressed
                    )

    def _load_deletions(self, workspace_nos: set[int]) -> None:
        """Which of the workspaces ever had one; nobody else deletes there until this transaction ends."""
        for no in sorted(workspace_nos):
            hold_unread(self._connection, no)
            if self._connection.execute(statements.ANY_ERASURE, {"workspace_no": no}).first() is not None:
                self.with_deletions.add(no)

    def _load_copies(self, identities: set[tuple[int, ProductIdentity]]) -> None:
        """Those of all contacts that are one person, so that R6 looks across aliases."""
        keys = (
            (workspace_no, self._copy_key(workspace_no, identity)) for workspace_no, identity in identities
        )
        wanted = {(workspace_no, *key) for workspace_no, key in keys if key is not None}
        if not wanted:
            return
        for person_no, contact_no, definition_no, created_at, *copy in stored_copies(
            self._connection, wanted
        ):
            self._copies[person_no, definition_no, created_at].append(KnownCopy(contact_no, *copy))

    def _copy_key(self, workspace_no: int, identity: ProductIdentity) -> _CopyKey | None:
        """None when the contact or the name is unknown, so that nothing like it can be stored."""
        definition = self.definitions.get((workspace_no, identity.name_key))
        contact = self.contacts.get((workspace_no, identity.contact))
        if definition is None or contact is None:
            return None
        return contact.person_no, definition.definition_no, identity.created_at_seconds

    def person(self, workspace_no: int, claim: ContactClaim) -> Hashable:
        contact = self.contacts.get((workspace_no, claim))
        return contact.person_no if contact is not None else claim

    def copies(self, workspace_no: int, identity: ProductIdentity) -> Sequence[KnownCopy]:
        key = self._copy_key(workspace_no, identity)
        return self._copies.get(key, ()) if key is not None else ()

    def active_definition_count(self, workspace_no: int) -> int:
        """Counted once a group, and only when it meets a name that is new."""
        if workspace_no not in self._active_counts:
            self._active_counts[workspace_no] = self._connection.execute(
                statements.ACTIVE_DEFINITION_COUNT, {"workspace_no": workspace_no}
            ).scalar_one()
        return self._active_counts[workspace_no]

    # What a decision adds

    def add_contact(self, workspace_no: int, claim: ContactClaim, contact: KnownContact) -> None:
        self.contacts[workspace_no, claim] = contact

    def add_definition(self, workspace_no: int, name_key: NameKey, definition_no: int) -> None:
        self.definitions[workspace_no, name_key] = KnownDefinition(definition_no, archived=False)
        if workspace_no in self._active_counts:
            self._active_counts[workspace_no] += 1

    def add_copy(self, workspace_no: int, event: Event, *, received_at: int, install_no: int | None) -> int:
        """Remember a stored event; returns its ordinal among its contact's copies."""
        contact_no = self.contacts[workspace_no, event.identity.contact].contact_no
        key = self._copy_key(workspace_no, event.identity)
        assert key is not None, "contact and definition were made before"
        copies = self._copies[key]
        ordinals = (copy.ordinal for copy in copies if copy.contact_no == contact_no)
        ordinal = max(ordinals, default=-1) + 1
        copies.append(KnownCopy(contact_no, ordinal, received_at, install_no))
        return ordinal


def _has_unread(judged: JudgedUpload) -> bool:
    """Whether it is a back end's, of which nobody can say of whom some event is."""
    return judged.upload.install is None and any(
        candidate.claim is None and candidate.received.refusal is not None for candidate in judged.candidates
    )


@dataclass(frozen=True, slots=True)
class UploadView:
    """The known world as one upload of one install sees it: a `domain.admission.StoreView`."""

    world: KnownWorld
    workspace_no: int
    install_no: int | None
    """None for a back end's upload."""
    install_is_marked: bool
    """Whether somebody who used it was deleted (R32)."""
    expired_before_micros: int | None = None
    kept_failed: Callable[[int], Sequence[bytes]] = lambda _sequence: ()
    """Failed events kept under a sequence; a replay never asks, as it skips R7."""

    def person(self, contact: ContactClaim) -> Hashable:
        return self.world.person(self.workspace_no, contact)

    def copies(self, identity: ProductIdentity) -> Sequence[StoredCopy]:
        return [
            StoredCopy(received_at_micros=copy.received_at, same_install=self._is_mine(copy))
            for copy in self.world.copies(self.workspace_no, identity)
        ]

    def _is_mine(self, copy: KnownCopy) -> bool:
        return self.install_no is not None and copy.install_no == self.install_no

    def knows(self, contact: ContactClaim) -> bool:
        return (self.workspace_no, contact) in self.world.contacts

    def definition(self, name_key: NameKey) -> DefinitionState | None:
        known = self.world.definitions.get((self.workspace_no, name_key))
        return DefinitionState(archived=known.archived) if known is not None else None

    def active_definition_count(self) -> int:
        return self.world.active_definition_count(self.workspace_no)

    def erasure(self, contact: ContactClaim) -> Erasure | None:
        return self.world.erasures.get((self.workspace_no, contact))

    def first_contact(self, contact: ContactClaim) -> int | None:
        known = self.world.contacts.get((self.workspace_no, contact))
        return known.first_contact_at if known is not None else None

    def install_saw_a_deletion(self) -> bool:
        return self.install_is_marked

    def workspace_saw_a_deletion(self) -> bool:
        return self.workspace_no in self.world.with_deletions

    def expired_before(self) -> int | None:
        return self.expired_before_micros

    def failed(self, sequence: int) -> Sequence[bytes]:
        return self.kept_failed(sequence)
