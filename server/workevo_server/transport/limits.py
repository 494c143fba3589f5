"""Bounds that hold on every door, whatever it speaks."""

from datetime import timedelta

CALL_DEADLINE_MAX = timedelta(seconds=30)  # A call without a deadline lives for ever.
DEADLINE_RETRY_AFTER = timedelta(seconds=5)
OVERLOAD_RETRY_FIRST = timedelta(seconds=1)
OVERLOAD_RETRY_LAST = timedelta(
    seconds=6
)  # A herd that was refused together returns spread over five seconds.
STRANGERS_ARRIVING_MAX = 64  # Bodies on their way of callers who have shown no key.
MEMORY_PER_BODY_BYTE = 56  # Measured: a 2-byte element becomes 113 bytes of memory when parsed.
