"""What a stored event counts towards: its hour, and its day by what that is told apart by."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

from workevo_server.domain import limits

HOUR, PLATFORM, APP_VERSION, LATENESS = "hour", "platform", "app_version", "lateness"
"""An event counts once in each; so a day's volume is that of its LATENESS, whatever the bucket."""
OTHER = "\u2026"
"""Stands for whatever is beyond as many values as are told apart."""
_HOUR_SECONDS, _DAY_SECONDS = 3600, 86_400
_MICROS = 1_000_000
_HOURS_COUNTED_FOR_MICROS = limits.HOURS_COUNTED_FOR // timedelta(microseconds=1)
_LATENESS_MICROS = tuple(seconds * _MICROS for seconds in limits.LATENESS_BUCKETS_SECONDS)


class Moment(NamedTuple):
    """All that counts of when an event occurred and came; many of an upload have the same."""

    hour_seconds: int
    lateness: int
    """The bucket of `limits.LATENESS_BUCKETS_SECONDS`, from 0; the last one has no end."""
    counts_for_hour: bool
    """False of what came so late that its hours are not kept apart."""


class Counted(NamedTuple):
    dimension: str
    value: str
    starts_at_seconds: int


def moment_of(occurred_at_micros: int, received_at_micros: int) -> Moment:
    at = occurred_at_micros // _MICROS
    late = received_at_micros - occurred_at_micros
    return Moment(
        hour_seconds=at - at % _HOUR_SECONDS,
        lateness=bisect_right(_LATENESS_MICROS, late),
        counts_for_hour=late <= _HOURS_COUNTED_FOR_MICROS,
    )


def counted(moment: Moment, *, platform: str, app_version: str) -> Iterator[Counted]:
    """One of each dimension, but for an hour that is not kept apart."""
    hour = moment.hour_seconds
    day = hour - hour % _DAY_SECONDS
    if moment.counts_for_hour:
        yield Counted(HOUR, "", hour)
    yield Counted(PLATFORM, platform, day)
    yield Counted(APP_VERSION, app_version, day)
    yield Counted(LATENESS, str(moment.lateness), day)
