"""Reading contacts and what they did. Every call names its workspace and sees no other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from workevo_server.domain.events import ClockMethod, ContactKind
from workevo_server.domain.identifiers import ContactId, InstallId, WorkspaceId
from workevo_server.domain.metadata import MetadataEntry


@dataclass(frozen=True, slots=True)
class ContactRef:
    """Names a contact by exactly one of its ids; a merged one names the contact it was merged into."""

    contact_id: ContactId | None = None
    user_id: str | None = None
    visitor_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    contact_id: ContactId
    kind: ContactKind
    user_id: str
    """Empty unless a user."""
    visitor_ids: tuple[str, ...]
    """Merged ones included, oldest first, at most `limits.CONTACT_VISITOR_IDS_MAX`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSummary:
    """R20: exact, however old the events are."""

    name: str
    description: str
    count: int
    first_occurred_at_micros: int
    last_occurred_at_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    receipt_no: int
    """Order of receipt in the whole store; breaks ties of `occurred_at_micros`."""
    name: str
    description: str
    contact_kind: ContactKind
    created_at_micros: int
    occurred_at_micros: int
    received_at_micros: int
    clock_method: ClockMethod
    metadata: tuple[MetadataEntry, ...]
    install_id: InstallId | None
    epoch: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class TimelinePosition:
    """The last activity of a page; the next page starts behind it."""

    occurred_at_micros: int
    receipt_no: int


class PeopleReader(Protocol):
    async def contact(self, workspace_id: WorkspaceId, ref: ContactRef) -> Contact | None:
        """The contact, merges resolved; None when the workspace has none of that id."""

    async def event_summaries(
        self, workspace_id: WorkspaceId, contact_id: ContactId
    ) -> Sequence[EventSummary]:
        """One for each name that is not archived, last occurred first; merged contacts added up."""

    async def events(
        self,
        workspace_id: WorkspaceId,
        contact_id: ContactId,
        *,
        before: TimelinePosition | None,
        count_max: int,
    ) -> Sequence[StoredEvent]:
        """Events behind `before`, newest first; names that are archived left out."""
