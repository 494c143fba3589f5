"""Changing who people are. Every method returns after what it changed is durable.

Who converted, merged, split or deleted whom is noted in the transaction of the change,
by contact_id and never by an id of the workspace's own (`ports.audit`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from workevo_server.domain.identifiers import ContactId, WorkspaceId
from workevo_server.domain.metadata import MetadataEntry
from workevo_server.ports.audit import Author
from workevo_server.ports.people import ContactRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    conversation_id: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """What a merge joined, or would."""

    person_id: ContactId
    """Who was merged, as it was called before."""
    into_id: ContactId
    event_count: int
    event_name_count: int
    merge_id: str
    """Empty when nothing was merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReceipt:
    contact_count: int = 0
    event_count: int = 0
    failed_event_count: int = 0
    activity_count: int = 0


class ContactStore(Protocol):
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
        """Merge the contact into the user, both made where an id is new, and add to what is known of it: all
        of it or, raising, nothing.

        Raises NotFound for a contact_id, MergeRefused, ContactSuppressed, and RequestInvalid for
        another user's email.
        """

    async def describe(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        *,
        email: str | None,
        attributes: Sequence[MetadataEntry],
    ) -> None:
        """Add to what is known of the contact; an email is a user's. Raises NotFound, and RequestInvalid
        for another user's email."""

    async def make_lead(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        *,
        attributes: Sequence[MetadataEntry],
        occurred_at_micros: int,
        author: Author,
    ) -> None:
        """Keep a first contact, the earliest told, and add to what is known of the contact.

        Raises NotFound for a contact_id, ContactSuppressed.
        """

    async def record_conversation(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        conversation: Conversation,
        *,
        occurred_at_micros: int,
    ) -> None:
        """Keep that a conversation was started, once by its id. Raises NotFound."""

    async def merge(
        self, workspace_id: WorkspaceId, ref: ContactRef, into: ContactRef, *, preview: bool, author: Author
    ) -> Joining:
        """Make the two one; with `preview` only say what that would join. Raises NotFound, MergeRefused."""

    async def split(
        self, workspace_id: WorkspaceId, merge_id: str, *, author: Author
    ) -> tuple[ContactId, ContactId]:
        """Undo a merge: who was split off, and from whom. Raises NotFound; repeating is harmless."""

    async def delete(
        self, workspace_id: WorkspaceId, ref: ContactRef, *, suppress: bool, author: Author
    ) -> ErasureReceipt:
        """Erase the person; when this returns no file of the store holds anything of it. Raises NotFound."""
