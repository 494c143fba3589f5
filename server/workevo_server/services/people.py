"""What people did, for those who look (R20, R21)."""

from collections.abc import Sequence
from dataclasses import dataclass

from workevo_server.domain import page_token as tokens
from workevo_server.domain.errors import NotFound
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.people import (
    Contact,
    ContactRef,
    EventSummary,
    PeopleReader,
    StoredEvent,
    TimelinePosition,
)
from workevo_server.services.pages import page_size_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityPage:
    contact: Contact
    events: Sequence[StoredEvent]
    """Newest first; what occurred at one time by order of receipt."""
    next_page_token: str
    """Empty on the last page."""


class People:
    def __init__(self, *, reader: PeopleReader, page_token_secret: bytes) -> None:
        self._reader = reader
        self._secret = page_token_secret

    async def event_summary(
        self, workspace_id: WorkspaceId, ref: ContactRef
    ) -> tuple[Contact, Sequence[EventSummary]]:
        """A contact and its summaries, last occurred first. Raises NotFound."""
        contact = await self._contact(workspace_id, ref)
        return contact, await self._reader.event_summaries(workspace_id, contact.contact_id)

    async def activities(
        self, workspace_id: WorkspaceId, ref: ContactRef, *, page_size: int, page_token: str
    ) -> ActivityPage:
        """A page of the timeline. Raises NotFound, or PageTokenInvalid for a token of another list."""
        scope = _timeline_scope(workspace_id, ref)
        before = self._position(page_token, scope) if page_token else None
        contact = await self._contact(workspace_id, ref)
        size = page_size_of(page_size)
        events = await self._reader.events(
            workspace_id, contact.contact_id, before=before, count_max=size + 1
        )
        page = events[:size]
        return ActivityPage(
            contact=contact,
            events=page,
            next_page_token=self._token(page[-1], scope) if len(events) > size else "",
        )

    async def _contact(self, workspace_id: WorkspaceId, ref: ContactRef) -> Contact:
        contact = await self._reader.contact(workspace_id, ref)
        if contact is None:
            raise NotFound("contact")
        return contact

    def _position(self, token: str, scope: str) -> TimelinePosition:
        return TimelinePosition(*tokens.decode(token, scope=scope, secret=self._secret, length=2))

    def _token(self, last: StoredEvent, scope: str) -> str:
        position = last.occurred_at_micros, last.receipt_no
        return tokens.encode(position, scope=scope, secret=self._secret)


def _timeline_scope(workspace_id: WorkspaceId, ref: ContactRef) -> str:
    """By the id that was asked with, so that a merge between two pages does not break the reading."""
    return f"timeline {workspace_id} {ref.contact_id!r} {ref.user_id!r} {ref.visitor_id!r}"
