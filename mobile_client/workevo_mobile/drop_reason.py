"""Why the device gives an event up (R14)."""

import enum


class DropReason(enum.Enum):
    """Under the names that the server is told."""

    QUEUE_FULL = "QUEUE_FULL"
    EXPIRED = "EXPIRED"
    OPTED_OUT = "OPTED_OUT"
    CORRUPT = "CORRUPT"
    QUARANTINED = "QUARANTINED"
    ARCHIVED = "ARCHIVED"
    DISABLED = "DISABLED"


def reason_from_file(text: object) -> DropReason:
    """Never fails: a damaged one is CORRUPT."""
    return DropReason(text) if text in DropReason.__members__ else DropReason.CORRUPT
