"""What a workspace may set, with the defaults of PRODUCT.md."""

import enum
from dataclasses import dataclass
from datetime import timedelta


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
