"""When an event was: its created_at as told (R3), and where its clocks place it (R8)."""

from dataclasses import dataclass
from datetime import timedelta

from workevo_server.domain import unix_time
from workevo_server.domain.events import ClockMethod, ClockReading, JsonTime, WireTime
from workevo_server.domain.limits import CLOCK_SKEW_TOLERANCE, REST_CLOCK_AHEAD_SECONDS_MAX
from workevo_server.domain.unix_time import MICROS_A_SECOND
from workevo_server.domain.verdicts import EventWarning, Reason, Refusal, WarningCode

_MICROS_A_MILLI = 1000
_SKEW_TOLERANCE_MICROS = CLOCK_SKEW_TOLERANCE // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where an event stands in time: never before 1970, never after its receipt (R8)."""

    occurred_at_micros: int
    method: ClockMethod
    warning: EventWarning | None = None


def created_at_from_wire(time: WireTime | None) -> int | Refusal:
    """Microseconds since 1970 by the rules for devices (R3): required, any age, any time ahead."""
    if time is None:
        return _refusal(Reason.CREATED_AT_INVALID)
    return _judged(unix_time.from_timestamp(time.seconds, time.nanos))


def created_at_from_json(value: object, *, now_seconds: int, absent: bool = False) -> int | Refusal:
    """Microseconds since 1970 by the rules for REST (R3); missing or null is the time of receipt."""
    if absent or value is None:
        return now_seconds * MICROS_A_SECOND
    created_at = _judged(unix_time.from_json(value))
    if isinstance(created_at, Refusal):
        return created_at
    if identity_seconds(created_at) > now_seconds + REST_CLOCK_AHEAD_SECONDS_MAX:
        return _refusal(Reason.CREATED_AT_OUT_OF_RANGE)
    return created_at


def created_at_of(time: WireTime | JsonTime | None, *, received_at_micros: int) -> int | Refusal:
    """By the rules of the channel that it came by."""
    if isinstance(time, JsonTime):
        return created_at_from_json(time.value, now_seconds=received_at_micros // MICROS_A_SECOND)
    return created_at_from_wire(time)


def identity_seconds(created_at_micros: int) -> int:
    """The second by which an event is recognised (R6): the nearest one, halves up (R3)."""
    return unix_time.rounded_seconds(created_at_micros)


def place(
    created_at_micros: int, *, event_clock: ClockReading, send_clock: ClockReading, received_at_micros: int
) -> Placement:
    """Correct the device's clock as far as its readings allow (R8).

    Uptimes can claim more time than has passed since 1970, and so can two wall
    clocks: R8 is silent there, and a result before 1970 is treated as one after
    the receipt is, for neither says anything of when the event was.
    """
    uptime = _uptime_between(event_clock, send_clock)
    if uptime is not None:
        return _bounded(received_at_micros - uptime, ClockMethod.UPTIME, received_at_micros)
    skew = _skew(send_clock, received_at_micros)
    if skew is not None and created_at_micros + skew <= received_at_micros:
        return _bounded(created_at_micros + skew, ClockMethod.SKEW, received_at_micros)
    return _bounded(created_at_micros, ClockMethod.DEVICE, received_at_micros)


def _uptime_between(event_clock: ClockReading, send_clock: ClockReading) -> int | None:
    """Microseconds from event to upload; None when no monotonic clock spans the two."""
    if event_clock.uptime_millis is None or send_clock.uptime_millis is None:
        return None
    if not event_clock.boot_id or event_clock.boot_id != send_clock.boot_id:
        return None
    return (send_clock.uptime_millis - event_clock.uptime_millis) * _MICROS_A_MILLI


def _skew(send_clock: ClockReading, received_at_micros: int) -> int | None:
    """What the device's wall clock lacks; None when unknown, or within what a network may take."""
    if send_clock.wall_micros is None:
        return None
    skew = received_at_micros - send_clock.wall_micros
    return skew if abs(skew) > _SKEW_TOLERANCE_MICROS else None


def _bounded(occurred_at_micros: int, method: ClockMethod, received_at_micros: int) -> Placement:
    if 0 <= occurred_at_micros <= received_at_micros:
        return Placement(occurred_at_micros=occurred_at_micros, method=method)
    warning = EventWarning(code=WarningCode.CLOCK_UNUSABLE)
    return Placement(occurred_at_micros=received_at_micros, method=method, warning=warning)


def _judged(time: int | Reason) -> int | Refusal:
    return _refusal(time) if isinstance(time, Reason) else time


def _refusal(reason: Reason) -> Refusal:
    if reason is Reason.CREATED_AT_INVALID:
        message = "created_at is required and is a Unix time in UTC; nanos are 0 to 999,999,999."
    else:
        message = (
            "created_at lies in the years 1970 to 9999; on REST at most "
            f"{REST_CLOCK_AHEAD_SECONDS_MAX // 3600} hours ahead."
        )
    return Refusal(reason=reason, field="created_at", message=message)
