"""How much the queue may hold. Pure."""

from dataclasses import dataclass
from datetime import timedelta

from workevo_mobile import limits
from workevo_mobile.moments import ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """At a cap the oldest event is given up and the server told so (R14), or the new one refused.

    Log-ins count, but go only where no event is left to go: those behind them
    are the user's by their own word (R15), the visitor's past is not. An event
    is too old by the uptime within one boot, else by the wall clock; where that
    went back it is not.
    """

    count: int = limits.QUEUE_EVENTS_MAX
    bytes: int = limits.QUEUE_BYTES_MAX
    """Of the rows themselves; the file is a little larger."""
    age: timedelta = limits.QUEUE_AGE_MAX
    refuse_new: bool = False
    """At `count` or `bytes` raise QueueFull instead of giving up the oldest."""

    def __post_init__(self) -> None:
        if self.count < 1 or self.age <= ZERO:
            raise ValueError("The queue must have room for one event, and keep it for some time.")
        if self.bytes < limits.EVENT_BYTES_MAX + limits.ROW_OVERHEAD_BYTES:
            raise ValueError("The queue must have room for the largest event.")
