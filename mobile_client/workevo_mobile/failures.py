"""What a failed call teaches, and what an answered one lets us forget. Pure.

The table of failed calls stands in the README of the mobile
client. Nothing is deleted here because a call failed; one single event, proven
unsendable, is put aside and confessed (R14).
"""

import enum
import random
from dataclasses import dataclass, replace
from datetime import timedelta

from workevo_mobile import limits
from workevo_mobile.moments import ZERO, Moment, Wait
from workevo_mobile.policy import Call, Doubt, Progress, Row


class FailureKind(enum.Enum):
    """The statuses of that table which a device tells apart."""

    UNAVAILABLE = "UNAVAILABLE"
    """And every status not named here, and an answer that does not add up (R11)."""
    EXHAUSTED = "EXHAUSTED"
    TOO_LARGE = "TOO_LARGE"
    """RESOURCE_EXHAUSTED with the reason UPLOAD_TOO_LARGE."""
    INVALID = "INVALID"
    KEY_REFUSED = "KEY_REFUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    kind: FailureKind
    retry_delay: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequence:
    """What a failed call changes."""

    progress: Progress
    quiet: timedelta | None = None
    """To be stored: the wait that the server asked for."""
    quarantine: Row | None = None
    """The one row that the server refuses in every upload: to the dead letters, dropped as QUARANTINED."""


def after_failure(
    progress: Progress, call: Call, failure: Failure, *, now: Moment, chance: random.Random
) -> Consequence:
    """Learn from a call that failed. Nothing but one single event, proven unsendable, is ever given up."""
    asked_delay = server_delay(failure.retry_delay)
    match failure.kind:
        case FailureKind.KEY_REFUSED:
            return Consequence(progress=_resting(progress, limits.REFUSED_DELAY, now), quiet=asked_delay)
        case FailureKind.INVALID:
            return _after_invalid(progress, call, now)
        case FailureKind.TOO_LARGE if call.rows:
            return _after_too_large(progress, call, asked_delay)
        case FailureKind.EXHAUSTED if asked_delay is not None:
            return Consequence(progress=progress, quiet=asked_delay)
        case FailureKind.EXHAUSTED:
            halved = replace(progress, events_max=_half(call))
            return Consequence(progress=_backed_off(halved, now, chance))
        case _:
            return Consequence(progress=_backed_off(progress, now, chance), quiet=asked_delay)


def _after_too_large(progress: Progress, call: Call, quiet: timedelta | None) -> Consequence:
    if len(call.rows) == 1:
        return Consequence(progress=progress, quiet=quiet, quarantine=call.rows[0])
    return Consequence(progress=replace(progress, events_max=_half(call)), quiet=quiet)


def _after_invalid(progress: Progress, call: Call, now: Moment) -> Consequence:
    if not call.rows:  # Not even an envelope alone is taken: the fault is in no event.
        return Consequence(progress=_resting(replace(progress, doubt=None), limits.REFUSED_DELAY, now))
    through = max(row.position for row in call.rows)
    if progress.doubts(call.rows[0]) is None:
        doubt = Doubt(through=through, events_max=_half(call))
        return Consequence(progress=replace(progress, doubt=doubt))
    if len(call.rows) == 1:
        return Consequence(progress=replace(progress, doubt=None), quarantine=call.rows[0])
    doubt = Doubt(through=through, events_max=_half(call), envelope_proved=True)
    return Consequence(progress=replace(progress, doubt=doubt))


def _half(call: Call) -> int:
    return max(1, len(call.rows) // 2)


def _resting(progress: Progress, length: timedelta, now: Moment) -> Progress:
    return replace(progress, failures=progress.failures + 1, rest=Wait(now, length), backs_off=False)


def _backed_off(progress: Progress, now: Moment, chance: random.Random) -> Progress:
    return replace(_resting(progress, backoff(progress.failures, chance=chance), now), backs_off=True)


def after_network_came(progress: Progress, *, now: Moment, chance: random.Random) -> Progress:
    """Forget the backoff, which was made for another network; not what the server asked for, nor a refusal.

    What is left of it is drawn anew under the first ceiling: a train that
    leaves a tunnel brings many phones back at once, and a network may flap.
    """
    progress = replace(progress, network_gone=False)
    if progress.rest is None or not progress.backs_off:
        return progress
    left = min(backoff(0, chance=chance), progress.rest.remaining(now))
    return replace(progress, failures=0, rest=Wait(now, left))


def backoff(failures: int, *, chance: random.Random) -> timedelta:
    """Full jitter: a fleet that failed together must not return together. No attempt is the last."""
    ceiling = min(limits.BACKOFF_FIRST * (1 << min(failures, 16)), limits.BACKOFF_LONGEST)
    return ceiling * chance.random()


def server_delay(asked: timedelta | None) -> timedelta | None:
    """What is obeyed of a delay that the server asked for; None when it asked for none."""
    return min(asked, limits.SERVER_DELAY_MAX) if asked is not None and asked > ZERO else None


def after_answer(progress: Progress, call: Call) -> Progress:
    """Forget the failures, dare a larger slice again, and narrow an open doubt."""
    progress = replace(progress, failures=0, rest=None, backs_off=False)
    if progress.doubt is not None:
        progress = replace(progress, doubt=_narrowed(progress.doubt, call))
    if call.rows and not call.is_identify:
        progress = replace(progress, events_max=min(progress.events_max * 2, limits.UPLOAD_EVENTS_MAX))
    return progress


def _narrowed(doubt: Doubt, call: Call) -> Doubt:
    if not call.rows:
        return replace(doubt, envelope_proved=True)
    return replace(doubt, events_max=max(1, doubt.events_max // 2))
