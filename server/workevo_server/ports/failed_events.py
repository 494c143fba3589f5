"""Rejected events that are kept whole: found, judged again, given up after a time (R13)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from workevo_server.domain.events import ClockReading
from workevo_server.domain.identifiers import InstallId, NameKey, WorkspaceId
from workevo_server.domain.judging import JudgedUpload
from workevo_server.domain.verdicts import EventVerdict, Reason
from workevo_server.ports.audit import Author


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedFilter:
    """All that is given has to hold; None narrows nothing."""

    reason: Reason | None = None
    name_key: NameKey | None = None
    install_id: InstallId | None = None
    received_from_micros: int | None = None
    received_before_micros: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedPlace:
    """Where one stands in the order of receipt; the three together name it for ever."""

    received_at_micros: int
    failed_no: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRecord:
    place: FailedPlace
    install_id: InstallId | None
    """None when a back end sent it; then there is no epoch, and the bytes are JSON."""
    epoch: bytes
    reason: Reason
    field: str
    message: str
    send_clock: ClockReading
    verified: bool
    settled: bool
    """Whether its sequence has this rejection as its outcome; else another event has the sequence."""
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedStretch:
    records: Sequence[FailedRecord]
    last: FailedPlace | None
    """Beyond which the next stretch lies; None when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """One that was judged again on its own; the store decides the rest."""

    place: FailedPlace
    judged: JudgedUpload


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    place: FailedPlace
    verdict: EventVerdict


class FailedEventReader(Protocol):
    async def failed_events(
        self,
        workspace_id: WorkspaceId,
        narrowed: FailedFilter,
        *,
        beyond: FailedPlace | None,
        count_max: int,
        oldest_first: bool,
    ) -> FailedStretch:
        """In the order of receipt, those beyond a place: at most `count_max`, and of them no more than
        `limits.FAILED_PAGE_BYTES_MAX` hold, but one at least."""

    async def failed_event(self, workspace_id: WorkspaceId, place: FailedPlace) -> FailedRecord | None:
        """None when it is not kept any more."""

    async def failed_counts(
        self, workspace_id: WorkspaceId, narrowed: FailedFilter
    ) -> tuple[Mapping[Reason, int], int]:
        """Kept ones by reason; how many of the workspace, or of the filter's install, were only counted."""


class FailedEventStore(Protocol):
    async def replay(
        self, workspace_id: WorkspaceId, events: Sequence[Rejudged], *, author: Author
    ) -> Sequence[Replayed]:
        """Decide them, in order, in one transaction with all that changes by it; durable when it returns.

        Those that are not kept any more are left out. Raises StoreUnavailable, Overloaded.
        """

    async def give_up_failed(
        self, workspace_id: WorkspaceId, *, received_before_micros: int, count_max: int
    ) -> int:
        """Delete the oldest that were received before that, and say how many. They stay counted."""
