"""What a stored event counts towards: its hour, its day, and the day's facets."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from workevo_server.domain import limits

HOUR, DAY, PLATFORM, APP_VERSION, LATENESS = "hour", "day", "platform", "app_version", "lateness"
OTHER = "\u2026"
"""Stands for whatever is beyond as many values as are told apart."""
_HOUR_SECONDS, _DAY_SECONDS = 3600, 86_400
_MICROS = 1_000_000
_HOURS_COUNTED_FOR_MICROS = limits.HOURS_COUNTED_FOR // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Counted:
    dimension: str
    value: str
    starts_at_seconds: int


def counted(
    occurred_at_micros: int, received_at_micros: int, *, platform: str, app_version: str
) -> Iterator[Counted]:
    """One of each dimension; no hour for what came so late that its hours are not kept apart."""
    at = occurred_at_micros // _MICROS
    hour, day = at - at % _HOUR_SECONDS, at - at % _DAY_SECONDS
    late = received_at_micros - occurred_at_micros
    if late <= _HOURS_COUNTED_FOR_MICROS:
        yield Counted(HOUR, "", hour)
    yield Counted(DAY, "", day)
    yield Counted(PLATFORM, platform, day)
    yield Counted(APP_VERSION, app_version, day)
    yield Counted(LATENESS, str(lateness_bucket(late)), day)


def lateness_bucket(late_micros: int) -> int:
    """The number of the bucket in `limits.LATENESS_BUCKETS_SECONDS`, from 0; the last one has no end."""
    return bisect_right(limits.LATENESS_BUCKETS_SECONDS, late_micros / _MICROS)
