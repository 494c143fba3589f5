"""What a workspace may set, with the defaults of docs/RULES.md."""

import enum
from dataclasses import dataclass
from datetime import timedelta

from workevo_server.domain import limits


class KeyCharset(enum.Enum):
    """Which characters event names and metadata keys may have (R1)."""

    ANY = "any"
    STRICT = "strict"


class SameInstallTwins(enum.Enum):
    """Whether two sequences of one install can be copies of each other (R6)."""

    MERGE = "merge"
    KEEP = "keep"


class IdentityVerification(enum.Enum):
    """Whether who claims to be a user with a public key must show a proof (R19)."""

    OFF = "off"
    REPORT = "report"
    """Nobody is refused; who would be is counted."""
    ENFORCED = "enforced"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceSettings:
    key_charset: KeyCharset = KeyCharset.ANY
    metadata_keys_max: int = 5
    product_identity_window: timedelta = timedelta(hours=48)
    same_install_twins: SameInstallTwins = SameInstallTwins.MERGE
    event_names_max: int = 500
    identity_verification: IdentityVerification = IdentityVerification.OFF
    create_unknown_users: bool = False
    """Whether a back end's event makes the user it names (R18)."""
    failed_events_age: timedelta = limits.FAILED_EVENTS_AGE_DEFAULT
    failed_events_bytes_max: int = limits.FAILED_EVENTS_BYTES_DEFAULT
    event_retention: timedelta | None = None
    """How long after its receipt an event is kept (R32); None is for ever."""
    flush_event_count: int = limits.FLUSH_EVENT_COUNT_DEFAULT
    """When devices upload without being asked: as soon as so many events wait,"""
    flush_interval: timedelta = limits.FLUSH_INTERVAL_DEFAULT
    """or one has waited so long."""
    rest_rate_limit: int = limits.REST_RATE_LIMIT_DEFAULT
    """Requests of REST in 10 seconds (R29)."""
