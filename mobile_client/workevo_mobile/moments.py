"""A reading of the device's clocks, and waits that are measured on it. Pure."""

from dataclasses import dataclass
from datetime import timedelta

from workevo_mobile import limits

ZERO = timedelta(0)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the clocks showed. Uptimes are compared only between equal boot ids (R8)."""

    wall_micros: int
    """Microseconds since 1970, UTC; may be wrong, may jump."""
    uptime_millis: int | None
    """Milliseconds since boot, sleep included; None when unknown."""
    boot_id: str


def elapsed(since: Moment, now: Moment) -> timedelta | None:
    """How long ago `since` was: by uptime within one boot, else by the wall clock; None when it went back.

    A reading that no clock shows comes from a damaged file, and counts as unknown.
    """
    began, uptime = _believed_uptime(since), _believed_uptime(now)
    if since.boot_id == now.boot_id and began is not None and uptime is not None:
        # Uptime never goes back: `now` was read just before `since`, by another thread.
        return max(ZERO, timedelta(milliseconds=uptime - began))
    if max(abs(since.wall_micros), abs(now.wall_micros)) > limits.CLOCK_MICROS_MAX:
        return None
    passed = timedelta(microseconds=now.wall_micros - since.wall_micros)
    return passed if passed >= ZERO else None


def _believed_uptime(moment: Moment) -> int | None:
    uptime = moment.uptime_millis
    return uptime if uptime is not None and abs(uptime) <= limits.UPTIME_MILLIS_MAX else None


@dataclass(frozen=True, slots=True)
class Wait:
    began: Moment
    length: timedelta

    def remaining(self, now: Moment) -> timedelta:
        """What is left, never more than `length`.

        Where no clock can tell (another boot, and the wall clock went back) the
        wait is over: a delay must never grow longer by a restart or a clock
        change, and ending it early only costs the server one call.
        """
        passed = elapsed(self.began, now)
        return max(ZERO, self.length - passed) if passed is not None else ZERO
