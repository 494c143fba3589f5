"""An upload as it came in, and an event as it is kept.

Times are Unix times in UTC as integers whose unit is in their name: microseconds
where an instant matters, whole seconds where R3's identity does.
"""

import enum
from dataclasses import dataclass, field

from workevo_server.domain.identifiers import InstallId, NameKey, WorkspaceId
from workevo_server.domain.metadata import MetadataEntry, MetadataItem
from workevo_server.domain.verdicts import EventWarning, Refusal


class ContactKind(enum.Enum):
    VISITOR = "VISITOR"
    LEAD = "LEAD"
    USER = "USER"


class ClockMethod(enum.Enum):
    """How `occurred_at` came about (R8)."""

    UPTIME = "UPTIME"
    SKEW = "SKEW"
    DEVICE = "DEVICE"


class DropReason(enum.Enum):
    """Why a device gave an event up (R14); the contract's enum, name for name."""

    UNSPECIFIED = "UNSPECIFIED"
    QUEUE_FULL = "QUEUE_FULL"
    EXPIRED = "EXPIRED"
    OPTED_OUT = "OPTED_OUT"
    CORRUPT = "CORRUPT"
    QUARANTINED = "QUARANTINED"
    ARCHIVED = "ARCHIVED"
    DISABLED = "DISABLED"


@dataclass(frozen=True, slots=True)
class ContactClaim:
    """Who an event says did it: exactly one of the ids, as sent and not yet judged.

    By one of the last two a back end names a contact that it knows to be here; before
    judging they give way to one of the first two, and one that does not names nobody.
    """

    user_id: str | None = None
    visitor_id: str | None = None
    contact_id: str | None = None
    email: str | None = None

    @property
    def is_unresolved(self) -> bool:
        return self.contact_id is not None or self.email is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class WireTime:
    """A protobuf Timestamp as sent; nanos may be out of range (R3 judges)."""

    seconds: int
    nanos: int


@dataclass(frozen=True, slots=True)
class JsonTime:
    """`created_at` as a back end's JSON had it, whatever that is; None when it was missing or null (R3)."""

    value: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """The device's clocks at one moment; None is unknown (R8)."""

    wall_micros: int | None = None
    uptime_millis: int | None = None
    boot_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedEvent:
    """One event of an upload, translated and not judged.

    `refusal` is set when the codec could not read it (EVENT_TOO_LARGE,
    EVENT_MALFORMED); then only `index`, `sequence` (0 when unreadable) and
    `raw` mean anything, and `contact` and `created_at` where a back end's told
    them all the same.
    """

    index: int
    sequence: int
    raw: bytes
    """The event's own bytes as they came, for the failed-events store (R13)."""
    refusal: Refusal | None = None
    name: str = ""
    created_at: WireTime | JsonTime | None = None
    contact: ContactClaim = ContactClaim()
    metadata: tuple[MetadataItem, ...] = ()
    uptime_millis: int | None = None
    boot_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedRange:
    """Sequences that the device will not send, both ends included."""

    first_sequence: int
    last_sequence: int
    reason: DropReason
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """One installation and its queue. The texts are empty when not told, cut at 255 code points."""

    install_id: InstallId
    epoch: bytes
    platform: str = ""
    app_version: str = ""
    os_version: str = ""
    sdk_name: str = ""
    sdk_version: str = ""
    locale: str = ""
    time_zone: str = ""


@dataclass(frozen=True, slots=True)
class IdentityProof:
    """What the app's own back end gave a device to show that it is this user (R19); not yet judged."""

    user_id: str
    user_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload, translated and not judged."""

    workspace_id: WorkspaceId
    upload_id: str
    install: Install | None
    """None for a back end's: it has no queue, so no sequences and no ledger, and its key is secret."""
    received_at_micros: int
    send_clock: ClockReading
    events: tuple[ReceivedEvent, ...]
    last_sequence: int = 0
    applied_through: int = 0
    dropped: tuple[DroppedRange, ...] = ()
    identity_proofs: tuple[IdentityProof, ...] = ()
    config_version: str = ""


@dataclass(frozen=True, slots=True)
class ProductIdentity:
    """What makes two events the same one (R6), before aliases are resolved."""

    contact: ContactClaim
    name_key: NameKey
    created_at_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event that was judged good on its own; what is kept of it."""

    index: int
    sequence: int
    identity: ProductIdentity
    name: str
    """As sent, trimmed (R1)."""
    contact_kind: ContactKind
    created_at_micros: int
    """The device's wall clock as sent."""
    occurred_at_micros: int
    clock_method: ClockMethod
    metadata: tuple[MetadataEntry, ...]
    warnings: tuple[EventWarning, ...] = field(default=())
