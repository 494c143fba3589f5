"""What the store knows about one event that somebody looks for."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from workevo_server.domain.erasure import Erasure
from workevo_server.domain.identifiers import ContactId, InstallId, NameKey, WorkspaceId
from workevo_server.domain.ledger import Ledger
from workevo_server.ports.delivery import Gone, InstallRecord
from workevo_server.ports.failed_events import FailedRecord
from workevo_server.ports.people import Contact, ContactRef, StoredEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedEvent:
    event: StoredEvent
    person: Contact
    """Whose timeline shows it, merges resolved."""
    tracked_as: ContactId
    """The contact that it is stored under; after a merge another one than the person's own (R16)."""
    is_shown: bool
    """False where its name is archived (R23), or a lead's profile does not go back so far (R17)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRecord:
    """One epoch of an install, and what is stored and kept of one of its sequences."""

    install: InstallRecord
    epoch: bytes
    ledger: Ledger
    gone: Gone
    event: LocatedEvent | None
    failed: Sequence[FailedRecord]
    """Kept under the sequence: the one that settled it, and those that came when it was taken (R13)."""
    before: LocatedEvent | None
    after: LocatedEvent | None
    """What is stored of the nearest sequences on both sides, where it is not far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStretch:
    """The sequences of a queue between what a person did before a time and what it did after."""

    install: InstallRecord
    epoch: bytes
    ledger: Ledger
    gone: Gone
    first_sequence: int
    last_sequence: int
    """Both included; of very many the last `limits.STRETCH_SEQUENCES_MAX`."""
    present: Collection[int]
    """Those of them that are stored."""
    later_received_at_micros: int | None
    """When what the person did after the time was received by this queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRecord:
    person: Contact
    asked_for: ContactId
    """The contact of the id that was asked for."""
    merged_at_micros: int | None
    """Since when that one is the person; None when it is the person itself (R16)."""
    name_known: bool
    archived_at_micros: int | None
    """Of the name."""
    expired_before_micros: int | None
    """No event received since then went by its age (R32); None when none ever did."""
    events: Sequence[LocatedEvent]
    failed: Sequence[FailedRecord]
    """Kept ones that name the person and the name, received since then, newest first."""
    queues: Sequence[QueueStretch]
    """Of the installs that the person used around the time, or last."""


class WhereaboutsReader(Protocol):
    async def queues(
        self, workspace_id: WorkspaceId, install_id: InstallId, *, epoch: bytes | None, sequence: int
    ) -> Sequence[QueueRecord]:
        """One for each epoch of the install that may have the sequence and for the newest, or the one given,
        oldest first; empty when there is none. Of more than `limits.FOUND_QUEUES_MAX` those, the newest,
        whose `install.older` is set then."""

    async def around(
        self, workspace_id: WorkspaceId, ref: ContactRef, name_key: NameKey, *, since: int, until: int
    ) -> PersonRecord | None:
        """What a person did of a name between two microseconds, ends included, by the corrected clock or
        the device's own, and what may be missing there; None when the workspace has nobody of that id."""

    async def erasure(self, workspace_id: WorkspaceId, ref: ContactRef) -> Erasure | None:
        """When a contact of this user_id or visitor_id was deleted, last; None when none was (R32)."""
