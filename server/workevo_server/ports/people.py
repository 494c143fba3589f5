"""Reading contacts and what they did. Every call names its workspace and sees no other."""

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from workevo_server.domain.events import ClockMethod, ContactKind
from workevo_server.domain.identifiers import ContactId, InstallId, NameKey, WorkspaceId
from workevo_server.domain.metadata import MetadataEntry


@dataclass(frozen=True, slots=True)
class ContactRef:
    """Names a contact by exactly one of its ids; a merged one names the contact it was merged into."""

    contact_id: ContactId | None = None
    user_id: str | None = None
    visitor_id: str | None = None
    email: str | None = None
    """In lower case."""

    @property
    def looked_for(self) -> str:
        """By which id it names the contact, and not the id: the sentence may end up in somebody's log."""
        fields = {"contact_id": self.contact_id, "user_id": self.user_id, "visitor_id": self.visitor_id}
        given = next((name for name, value in fields.items() if value is not None), "email")
        return f"contact with this {given}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    contact_id: ContactId
    kind: ContactKind
    user_id: str
    """Empty unless a user."""
    visitor_ids: tuple[str, ...]
    """Merged ones included, oldest first, at most `limits.CONTACT_VISITOR_IDS_MAX`."""
    email: str = ""
    created_at_micros: int = 0
    first_contact_micros: int | None = None
    """Of all that were merged the earliest (R17)."""
    attributes: tuple[MetadataEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactFilter:
    """What a list of contacts is narrowed to; all that is given has to hold."""

    kinds: tuple[ContactKind, ...] = ()
    """Any of them; of all where it is empty."""
    email: str | None = None
    """In lower case."""
    user_id: str | None = None
    visitor_id: str | None = None


class MergedBy(enum.Enum):
    DEVICE = "DEVICE"
    BACK_END = "BACK_END"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """One merge of the history, undone or not (R16)."""

    merge_no: int
    """Order in which the store saw them."""
    merge_id: str
    contact_id: ContactId
    user_id: str
    visitor_id: str
    into_contact_id: ContactId
    merged_by: MergedBy
    occurred_at_micros: int
    split_at_micros: int | None


class ActivityKind(enum.Enum):
    """What a timeline shows beside events (R21)."""

    FIRST_CONTACT = "FIRST_CONTACT"
    CONVERSATION = "CONVERSATION"
    CONVERSION = "CONVERSION"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredActivity:
    receipt_no: int
    kind: ActivityKind
    occurred_at_micros: int
    conversation_id: str = ""
    title: str = ""
    from_kind: ContactKind | None = None
    """Of a conversion."""
    merge_id: str = ""


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


class ContactFinder(Protocol):
    async def contact(self, workspace_id: WorkspaceId, ref: ContactRef) -> Contact | None:
        """The contact, merges resolved; None when the workspace has none of that id."""


class PeopleReader(ContactFinder, Protocol):
    async def contacts(
        self, workspace_id: WorkspaceId, narrowed: ContactFilter, *, after_contact_no: int, count_max: int
    ) -> Sequence[tuple[int, Contact]]:
        """Persons in the order first seen, each with its place in it, those behind `after_contact_no`."""

    async def merges(
        self, workspace_id: WorkspaceId, contact_id: ContactId, *, before_merge_no: int | None, count_max: int
    ) -> Sequence[Merge]:
        """Merges from or into any contact of the person, newest first, those that were undone included."""

    async def event_summaries(
        self, workspace_id: WorkspaceId, contact_id: ContactId
    ) -> Sequence[EventSummary]:
        """One for each name that is not archived, last occurred first; merged contacts added up, and what
        back ends told as counts.

        Of a lead only what R17 shows of it.
        """

    async def timeline(
        self,
        workspace_id: WorkspaceId,
        contact_id: ContactId,
        *,
        before: TimelinePosition | None,
        count_max: int,
        names: Collection[NameKey] | None = None,
    ) -> Sequence[StoredEvent | StoredActivity]:
        """What stands behind `before`, newest first; archived names left out, of a lead what R17 shows.

        With `names` only events of those.
        """
