"""True time, as a lane and each of its phones have it."""

from dataclasses import dataclass
from datetime import timedelta

MICROSECOND = timedelta(microseconds=1)


def micros_of(duration: timedelta) -> int:
    return duration // MICROSECOND


def hours_of(hours: float) -> int:
    """In microseconds."""
    return round(hours * 3600 * 1_000_000)


@dataclass(slots=True)
class VirtualTime:
    """What a perfect clock would show: microseconds since 1970. Only its owner moves it, and only forward."""

    now_micros: int = 0
