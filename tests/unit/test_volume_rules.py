"""What a stored event counts towards, and how many values a day tells apart."""

import pytest

from workevo_server.adapters.sql.volume_counts import KnownValues
from workevo_server.domain import limits
from workevo_server.domain.volumes import (
    APP_VERSION,
    HOUR,
    LATENESS,
    OTHER,
    PLATFORM,
    Counted,
    counted,
    moment_of,
)

_SECOND = 1_000_000
_AT = (20_000 * 86_400 + 5 * 3600 + 59) * _SECOND


def test_an_event_counts_once_in_every_dimension() -> None:
    found = list(counted(moment_of(_AT, _AT + 11 * _SECOND), platform="ios", app_version="1.2"))
    day, hour = 20_000 * 86_400, 20_000 * 86_400 + 5 * 3600
    assert found == [
        Counted(HOUR, "", hour),
        Counted(PLATFORM, "ios", day),
        Counted(APP_VERSION, "1.2", day),
        Counted(LATENESS, "1", day),
    ]


def test_what_comes_very_late_counts_for_its_day_alone() -> None:
    latest = limits.HOURS_COUNTED_FOR.days * 86_400 * _SECOND
    in_time = counted(moment_of(_AT, _AT + latest), platform="", app_version="")
    too_late = counted(moment_of(_AT, _AT + latest + 1), platform="", app_version="")
    assert [each.dimension for each in in_time] == [HOUR, PLATFORM, APP_VERSION, LATENESS]
    assert [each.dimension for each in too_late] == [PLATFORM, APP_VERSION, LATENESS]


@pytest.mark.parametrize(
    ("late_seconds", "bucket"),
    [(0, 0), (9.9, 0), (10, 1), (59, 1), (60, 2), (3599, 3), (86_399, 5), (86_400, 6), (10**9, 7)],
)
def test_lateness_is_told_in_buckets(late_seconds: float, bucket: int) -> None:
    assert moment_of(_AT, _AT + int(late_seconds * _SECOND)).lateness == bucket


def test_a_device_that_tells_a_new_version_with_each_event_makes_no_more_rows_than_the_limit() -> None:
    known = KnownValues()
    told = {
        known.admitted(1, Counted(APP_VERSION, str(number), 0))
        for number in range(limits.FACET_VALUES_MAX * 3)
    }
    assert len(told) == limits.FACET_VALUES_MAX + 1
    assert OTHER in told
    assert known.admitted(1, Counted(APP_VERSION, "0", 0)) == "0"  # Those known before stay apart,
    assert known.admitted(1, Counted(APP_VERSION, "new", 86_400)) == "new"  # another day has its own,
    assert known.admitted(2, Counted(APP_VERSION, "new", 0)) == "new"  # and so has another workspace.
    assert known.admitted(1, Counted(PLATFORM, "x" * 65, 0)) == OTHER
    assert known.admitted(1, Counted(PLATFORM, "", 0)) == ""
    assert known.admitted(1, Counted(LATENESS, "7", 0)) == "7"


def test_the_memory_of_days_is_bounded() -> None:
    known = KnownValues()
    for day in range(limits.FACET_DAYS_KNOWN_MAX + 5):
        known.admitted(1, Counted(PLATFORM, "ios", day * 86_400))
    assert len(known._known) == limits.FACET_DAYS_KNOWN_MAX
