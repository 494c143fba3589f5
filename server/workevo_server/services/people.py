"""What people did, for those who look (R20, R21)."""

from collections.abc import Sequence
from dataclasses import dataclass

from workevo_server.domain import naming
from workevo_server.domain import page_token as tokens
from workevo_server.domain.errors import NotFound
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.people import (
    Contact,
    ContactFilter,
    ContactRef,
    EventSummary,
    Merge,
    PeopleReader,
    StoredActivity,
    StoredEvent,
    TimelinePosition,
)
from workevo_server.services.pages import page_size_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityPage:
    contact: Contact
    entries: Sequence[StoredEvent | StoredActivity]
    """Newest first; what occurred at one time by order of receipt."""
    next_page_token: str
    """Empty on the last page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    contact: Contact
    events: Sequence[StoredEvent]
    """Newest first."""
    next_page_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPage:
    contacts: Sequence[Contact]
    next_page_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MergePage:
    merges: Sequence[Merge]
    next_page_token: str


class People:
    def __init__(self, *, reader: PeopleReader, page_token_secret: bytes) -> None:
        self._reader = reader
        self._secret = page_token_secret

    async def event_summary(
        self, workspace_id: WorkspaceId, ref: ContactRef
    ) -> tuple[Contact, Sequence[EventSummary]]:
        """A contact and its summaries, last occurred first. Raises NotFound."""
        contact = await self.contact(workspace_id, ref)
        return contact, await self._reader.event_summaries(workspace_id, contact.contact_id)

    async def activities(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        *,
        page_size: int,
        page_token: str,
        event_names: Sequence[str] = (),
    ) -> ActivityPage:
        """A page of the timeline; with `event_names` of the events of those names alone (R1).

        Raises NotFound, or PageTokenInvalid for a token of another list or of other names.
        """
        names = (naming.comparable_key(name) for name in event_names)
        what = f"timeline {sorted(event_names)}" if event_names else "timeline"
        scope = _scope(what, workspace_id, ref)
        position = self._position(page_token, scope, length=2)
        before = TimelinePosition(*position) if position else None
        contact = await self.contact(workspace_id, ref)
        size = page_size_of(page_size)
        found = await self._reader.timeline(
            workspace_id,
            contact.contact_id,
            before=before,
            count_max=size + 1,
            names=[name for name in names if name is not None] if event_names else None,
        )
        page = found[:size]
        return ActivityPage(
            contact=contact,
            entries=page,
            next_page_token=(
                self._token(scope, page[-1].occurred_at_micros, page[-1].receipt_no)
                if len(found) > size
                else ""
            ),
        )

    async def events(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        *,
        page_size: int,
        page_token: str,
        before_micros: int | None = None,
        since_micros: int | None = None,
    ) -> EventPage:
        """A page of the timeline's events alone, of those that occurred before and since. Raises as
        `activities`."""
        scope = _scope(f"events {since_micros}", workspace_id, ref)
        position = self._position(page_token, scope, length=2)
        before = TimelinePosition(*position) if position else _just_before(before_micros)
        contact = await self.contact(workspace_id, ref)
        size = page_size_of(page_size)
        found: list[StoredEvent] = []
        while len(found) <= size:
            stretch = await self._reader.timeline(
                workspace_id, contact.contact_id, before=before, count_max=size + 1
            )
            found += [entry for entry in stretch if isinstance(entry, StoredEvent)]
            if len(stretch) <= size:
                break
            before = TimelinePosition(stretch[-1].occurred_at_micros, stretch[-1].receipt_no)
        recent = [each for each in found if each.occurred_at_micros >= (since_micros or 0)]
        page = recent[:size]
        return EventPage(
            contact=contact,
            events=page,
            next_page_token=(
                self._token(scope, page[-1].occurred_at_micros, page[-1].receipt_no)
                if len(recent) > size
                else ""
            ),
        )

    async def contacts(
        self, workspace_id: WorkspaceId, narrowed: ContactFilter, *, page_size: int, page_token: str
    ) -> ContactPage:
        """A page of persons in the order first seen. Raises PageTokenInvalid for a token of another list."""
        scope = f"contacts {workspace_id} {narrowed!r}"
        (after,) = self._position(page_token, scope, length=1) or (0,)
        size = page_size_of(page_size)
        found = await self._reader.contacts(
            workspace_id, narrowed, after_contact_no=after, count_max=size + 1
        )
        page = found[:size]
        return ContactPage(
            contacts=[contact for _, contact in page],
            next_page_token=self._token(scope, page[-1][0]) if len(found) > size else "",
        )

    async def merges(
        self, workspace_id: WorkspaceId, ref: ContactRef, *, page_size: int, page_token: str
    ) -> MergePage:
        """The merges of a contact, newest first (R16). Raises NotFound, PageTokenInvalid."""
        scope = _scope("merges", workspace_id, ref)
        position = self._position(page_token, scope, length=1)
        contact = await self.contact(workspace_id, ref)
        size = page_size_of(page_size)
        found = await self._reader.merges(
            workspace_id,
            contact.contact_id,
            before_merge_no=position[0] if position else None,
            count_max=size + 1,
        )
        page = found[:size]
        return MergePage(
            merges=page, next_page_token=self._token(scope, page[-1].merge_no) if len(found) > size else ""
        )

    async def contact(self, workspace_id: WorkspaceId, ref: ContactRef) -> Contact:
        """The contact, merges resolved. Raises NotFound."""
        contact = await self._reader.contact(workspace_id, ref)
        if contact is None:
            raise NotFound(ref.looked_for)
        return contact

    def _position(self, token: str, scope: str, *, length: int) -> tuple[int, ...]:
        """Empty at the beginning of the list."""
        return tokens.decode(token, scope=scope, secret=self._secret, length=length) if token else ()

    def _token(self, scope: str, *position: int) -> str:
        return tokens.encode(position, scope=scope, secret=self._secret)


def _just_before(micros: int | None) -> TimelinePosition | None:
    return None if micros is None else TimelinePosition(micros, 0)


def _scope(what: str, workspace_id: WorkspaceId, ref: ContactRef) -> str:
    """By the id that was asked with, so that a merge between two pages does not break the reading."""
    return f"{what} {workspace_id} {ref!r}"
