"""When a recorded row happened, in microseconds since 1970."""

from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from workevo_simulator.errors import RecordingUnusable
from workevo_simulator.limits import RECORDED_AT_SECONDS_MAX

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS_BY_SIZE = (  # R3 tells units apart by size, and so do we.
    (Decimal("1e11"), Decimal(1_000_000)),
    (Decimal("1e14"), Decimal(1_000)),
    (Decimal("1e17"), Decimal(1)),
)
_NANOSECOND = Decimal("0.001")


def zone_named(name: str) -> tzinfo:
    """An IANA zone. Raises RecordingUnusable when this machine does not know it."""
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise RecordingUnusable(f"The time zone {name!r} is not known on this machine.") from error


def recorded_micros(value: str | int | float, *, zone: tzinfo) -> int:
    """ISO 8601 (read in `zone` when it names none) or Unix time, its unit told by its size (R3).

    Raises ValueError when it is neither, or is before 1970 or beyond 9999.
    """
    number = _number(value)
    micros = _iso_micros(str(value), zone=zone) if number is None else _unix_micros(number)
    if not 0 <= micros <= RECORDED_AT_SECONDS_MAX * 1_000_000:
        raise ValueError("before 1970 or beyond 9999")
    return micros


def _number(value: str | int | float) -> Decimal | None:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _unix_micros(number: Decimal) -> int:
    for below, micros in _MICROS_BY_SIZE:
        if abs(number) < below:
            return round(number * micros)
    return round(number * _NANOSECOND)


def _iso_micros(text: str, *, zone: tzinfo) -> int:
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return (moment - _EPOCH) // timedelta(microseconds=1)
