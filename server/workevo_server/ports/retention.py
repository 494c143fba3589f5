"""Giving up events by age of receipt (R32)."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NewType, Protocol

from workevo_server.domain.identifiers import WorkspaceId

EventKey = NewType("EventKey", tuple[int, int, int, int])
"""Where an event lies in its workspace: contact, second, name, ordinal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgedEvents:
    """A stretch of a workspace's events, looked through."""

    expired: Sequence[EventKey]
    behind: EventKey | None
    """Where the next stretch begins; None when this was the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedEvents:
    """What went at once."""

    count: int = 0
    is_more: bool = False
    """Whether something went, so that the next may be asked for."""
    is_put_off: bool = False
    """Whether it would have gone, had nobody been using it: it is to be asked for again, soon."""


class RetentionStore(Protocol):
    def alone(self) -> AbstractAsyncContextManager[bool]:
        """Whether no other process of this store does what goes by age, nor begins to within the context."""

    async def drop_aged_events(self, kept_from_micros: Mapping[WorkspaceId, int | None]) -> DroppedEvents:
        """Delete at once what lies together and no workspace keeps: one month; nothing when none is left.

        The receipt from which on each workspace keeps events; None where it keeps all. A
        store whose events do not lie by receipt deletes nothing here. Raises StoreUnavailable,
        and Overloaded when it is doing too much else that takes long.
        """

    async def aged_events(
        self, workspace_id: WorkspaceId, *, received_before_micros: int, behind: EventKey | None
    ) -> AgedEvents:
        """Look through a bounded stretch for events received before that. Writes nothing."""

    async def expire_events(
        self, workspace_id: WorkspaceId, keys: Sequence[EventKey], *, received_before_micros: int
    ) -> int:
        """Delete those of the keys that were received before that, in one transaction, and say how many.

        The ledgers count them as expired, so that every balance holds; summaries go on counting them.
        """
