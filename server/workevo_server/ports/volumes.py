"""How much of an event there was, when, from where and how late; and its latest occurrences.

Counted as events are stored, by when they occurred; what is deleted or expires later
stays counted, as it names nobody (decisions/0013).
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.people import Contact, StoredEvent, TimelinePosition


class Step(enum.Enum):
    """How long each bar of a volume is; all begin at UTC."""

    HOUR = "hour"
    """Only of what was received within `limits.HOURS_COUNTED_FOR` of when it occurred."""
    DAY = "day"


class Facet(enum.Enum):
    """What a day's volume is told apart by."""

    PLATFORM = "platform"
    APP_VERSION = "app_version"
    LATENESS = "lateness"
    """By the bucket of `limits.LATENESS_BUCKETS_SECONDS` that the time from occurrence to receipt lies in."""


@dataclass(frozen=True, slots=True)
class Bar:
    starts_at_seconds: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetBar:
    value: str
    """Empty when there was none to tell, as of what back ends send; of LATENESS the bucket's number.
    `domain.volumes.OTHER` stands for values beyond as many as are told apart in a day."""
    starts_at_seconds: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    event: StoredEvent
    contact: Contact
    """Who did it, merges resolved."""


class VolumeReader(Protocol):
    """Definitions by `EventDefinition.definition_no`; times in Unix seconds, the end not included."""

    async def days(
        self, workspace_id: WorkspaceId, definition_nos: Sequence[int], *, from_seconds: int, end_seconds: int
    ) -> Mapping[int, Sequence[Bar]]:
        """Of several names at once, the days on which there was any, oldest first."""

    async def first_and_last_day(
        self, workspace_id: WorkspaceId, definition_no: int
    ) -> tuple[int, int] | None:
        """When the first and the last day begin on which there was any; None when there is none."""

    async def bars(
        self,
        workspace_id: WorkspaceId,
        definition_no: int,
        *,
        step: Step,
        from_seconds: int,
        end_seconds: int,
    ) -> Sequence[Bar]:
        """Those with any, oldest first."""

    async def facet_bars(
        self,
        workspace_id: WorkspaceId,
        definition_no: int,
        *,
        facet: Facet,
        from_seconds: int,
        end_seconds: int,
    ) -> Sequence[FacetBar]:
        """By day, oldest first."""

    async def occurrences(
        self,
        workspace_id: WorkspaceId,
        definition_no: int,
        *,
        before: TimelinePosition | None,
        count_max: int,
    ) -> Sequence[Occurrence]:
        """What is stored of the name behind `before`, newest first."""
