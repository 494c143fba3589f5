"""What the server decides about one event (R11), as data."""

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never


class Verdict(enum.Enum):
    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"
    ARCHIVED = "ARCHIVED"
    REJECTED = "REJECTED"
    RETRY = "RETRY"


class Reason(enum.Enum):
    """Why an event was not plainly accepted; the contract's enum, name for name."""

    EVENT_TOO_LARGE = "EVENT_TOO_LARGE"
    EVENT_MALFORMED = "EVENT_MALFORMED"
    SEQUENCE_INVALID = "SEQUENCE_INVALID"
    NAME_INVALID = "NAME_INVALID"
    CREATED_AT_INVALID = "CREATED_AT_INVALID"
    CREATED_AT_OUT_OF_RANGE = "CREATED_AT_OUT_OF_RANGE"
    CONTACT_MISSING = "CONTACT_MISSING"
    CONTACT_INVALID = "CONTACT_INVALID"
    IDENTITY_UNVERIFIED = "IDENTITY_UNVERIFIED"
    CONTACT_ERASED = "CONTACT_ERASED"
    METADATA_KEY_INVALID = "METADATA_KEY_INVALID"
    METADATA_VALUE_INVALID = "METADATA_VALUE_INVALID"
    EVENT_NAME_LIMIT = "EVENT_NAME_LIMIT"
    EPOCH_FORKED = "EPOCH_FORKED"
    TOO_MANY_GAPS = "TOO_MANY_GAPS"
    VISITOR_TAKEN = "VISITOR_TAKEN"
    VISITOR_SHARED = "VISITOR_SHARED"
    VISITOR_LIMIT = "VISITOR_LIMIT"
    CONTACT_UNKNOWN = "CONTACT_UNKNOWN"


def is_retriable(reason: Reason) -> bool:
    """Whether the reason leaves the event undecided (RETRY) instead of refusing it (REJECTED)."""
    match reason:
        case Reason.IDENTITY_UNVERIFIED | Reason.EPOCH_FORKED | Reason.TOO_MANY_GAPS:
            return True
        case (
            Reason.EVENT_TOO_LARGE
            | Reason.EVENT_MALFORMED
            | Reason.SEQUENCE_INVALID
            | Reason.NAME_INVALID
            | Reason.CREATED_AT_INVALID
            | Reason.CREATED_AT_OUT_OF_RANGE
            | Reason.CONTACT_MISSING
            | Reason.CONTACT_INVALID
            | Reason.CONTACT_ERASED
            | Reason.METADATA_KEY_INVALID
            | Reason.METADATA_VALUE_INVALID
            | Reason.EVENT_NAME_LIMIT
            | Reason.VISITOR_TAKEN
            | Reason.VISITOR_SHARED
            | Reason.VISITOR_LIMIT
            | Reason.CONTACT_UNKNOWN
        ):
            return False
        case _:
            assert_never(reason)


class MatchedIdentity(enum.Enum):
    """By what a repeat was recognised."""

    PRODUCT = "PRODUCT"
    """R6: contact, name and second."""
    TRANSPORT = "TRANSPORT"
    """R7: install, epoch and sequence."""


class WarningCode(enum.Enum):
    METADATA_KEYS_DROPPED = "METADATA_KEYS_DROPPED"
    CLOCK_UNUSABLE = "CLOCK_UNUSABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventWarning:
    """Something of an event was kept differently than it was sent."""

    code: WarningCode
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why one event is not taken; REJECTED or RETRY by `is_retriable(reason)`."""

    reason: Reason
    field: str = ""
    message: str
    """A sentence for the app's developer. It may quote a limit, never a value that was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventVerdict:
    """The answer to the event at `index` of its upload."""

    index: int
    sequence: int
    verdict: Verdict
    refusal: Refusal | None = None
    retry_delay: timedelta | None = None
    identity: MatchedIdentity | None = None
    warnings: tuple[EventWarning, ...] = ()
