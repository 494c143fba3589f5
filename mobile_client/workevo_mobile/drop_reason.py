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
