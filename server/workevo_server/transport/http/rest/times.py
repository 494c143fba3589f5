"""Times as REST tells them: Unix seconds, milliseconds in cursors, ISO 8601 in summaries."""

from datetime import UTC, datetime, timedelta

from workevo_server.domain.unix_time import MICROS_A_SECOND, rounded_seconds

MICROS_A_MILLI = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

seconds_of = rounded_seconds


def optional_seconds_of(micros: int | None) -> int | None:
    return None if micros is None else seconds_of(micros)


def iso_of(micros: int) -> str:
    """As Intercom writes it: `2014-01-16T23:12:21.000+00:00`."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="milliseconds")


def micros_of_seconds(seconds: int) -> int:
    return seconds * MICROS_A_SECOND
