import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workevo_server.domain.events import ClockMethod, ClockReading, WireTime
from workevo_server.domain.limits import CREATED_AT_SECONDS_MAX, REST_CLOCK_AHEAD_SECONDS_MAX
from workevo_server.domain.timestamps import (
    created_at_from_json,
    created_at_from_wire,
    identity_seconds,
    place,
)
from workevo_server.domain.verdicts import Reason, Refusal, WarningCode

NOW = 1_795_000_000
SECOND = 1_000_000
LATEST = CREATED_AT_SECONDS_MAX * SECOND + SECOND // 2 - 1

int64 = st.integers(-(2**63), 2**63 - 1)
quickly = settings(max_examples=100)


def gist(value: object) -> str:
    return repr(value)[:30]


def from_json(value: object) -> int | Reason:
    created_at = created_at_from_json(value, now_seconds=NOW)
    return created_at.reason if isinstance(created_at, Refusal) else created_at


def from_wire(seconds: int, nanos: int) -> int | Reason:
    created_at = created_at_from_wire(WireTime(seconds=seconds, nanos=nanos))
    return created_at.reason if isinstance(created_at, Refusal) else created_at


@pytest.mark.parametrize(
    "value",
    [
        1_794_990_000.3,
        Decimal("1794990000.3"),
        1_794_990_000_300,
        "1794990000300",
        1_794_990_000_300_000,
        1_794_990_000_300_000_000,
        Decimal("1794990000300000000.9"),
        Decimal("1794990000.3000009"),
    ],
)
def test_a_time_is_the_same_microsecond_in_every_resolution(value: object) -> None:
    assert from_json(value) == 1_794_990_000_300_000


@pytest.mark.parametrize(
    ("below", "at"),
    [(10**11 - 1, 10**11), (10**14 - 1, 10**14), (10**17 - 1, 10**17)],
)
def test_the_unit_changes_at_its_power_of_ten(below: int, at: int) -> None:
    far_ahead = 10**12

    lower = created_at_from_json(below, now_seconds=far_ahead)
    upper = created_at_from_json(at, now_seconds=far_ahead)

    assert isinstance(lower, int)
    assert upper == 10**8 * SECOND
    assert lower > 900 * upper


@pytest.mark.parametrize(
    "value",
    [
        *("", " 1", "1 ", "+1", "-1", "1.5", "1e9", "1_000", "٣", "²", "NaN", "true"),
        *(math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")),
        *(True, False, [1], {}, b"1"),
    ],
    ids=repr,
)
def test_what_is_no_unix_time_is_invalid(value: object) -> None:
    assert from_json(value) is Reason.CREATED_AT_INVALID


@pytest.mark.parametrize(
    "value",
    [
        *(-1, -0.4, -(10**30), Decimal("-1e-999999999")),
        *(10**21, 10**4000, 1e300, Decimal("1e999999999"), "9" * 5000, "9" * 21),
    ],
    ids=gist,
)
def test_a_time_that_nobody_lived_is_out_of_range(value: object) -> None:
    assert from_json(value) is Reason.CREATED_AT_OUT_OF_RANGE


@pytest.mark.parametrize(
    "value",
    [0, -0.0, "0", "0" * 5000, Decimal("1e-999999999"), Decimal("0." + "0" * 5000 + "1")],
    ids=gist,
)
def test_the_first_moment_of_1970_is_a_time(value: object) -> None:
    assert from_json(value) == 0


def test_a_day_ahead_is_judged_after_rounding() -> None:
    limit = NOW + REST_CLOCK_AHEAD_SECONDS_MAX

    assert from_json(limit + 0.4) == limit * SECOND + 400_000
    assert from_json(limit + 0.5) is Reason.CREATED_AT_OUT_OF_RANGE


def test_a_halfway_nanosecond_rounds_up_however_long_its_tail() -> None:
    below = Decimal("1794990000.4" + "9" * 3000)

    assert from_json(below) == 1_794_990_000_499_999
    assert from_wire(CREATED_AT_SECONDS_MAX, 499_999_999) == LATEST
    assert from_wire(CREATED_AT_SECONDS_MAX, 500_000_000) is Reason.CREATED_AT_OUT_OF_RANGE


@quickly
@given(seconds=int64, nanos=st.integers(-(2**31), 2**31 - 1))
def test_a_timestamp_is_a_storable_time_or_refused(seconds: int, nanos: int) -> None:
    created_at = from_wire(seconds, nanos)

    assert isinstance(created_at, Reason) or 0 <= created_at <= LATEST


@quickly
@given(seconds=st.integers(0, CREATED_AT_SECONDS_MAX - 1), nanos=st.integers(0, 999_999_999))
def test_the_identity_rounds_to_the_nearest_second_halves_up(seconds: int, nanos: int) -> None:
    created_at = from_wire(seconds, nanos)

    assert isinstance(created_at, int)
    assert identity_seconds(created_at) == seconds + (nanos >= 500_000_000)


boot_ids = st.sampled_from([None, "", "b1", "b2"])
readings = st.builds(
    ClockReading, wall_micros=st.none() | int64, uptime_millis=st.none() | int64, boot_id=boot_ids
)


@quickly
@given(created_at=st.integers(0, LATEST), event=readings, send=readings, received_at=st.integers(0, LATEST))
def test_no_clock_puts_an_event_before_1970_or_after_its_receipt(
    created_at: int, event: ClockReading, send: ClockReading, received_at: int
) -> None:
    placed = place(created_at, event_clock=event, send_clock=send, received_at_micros=received_at)

    assert 0 <= placed.occurred_at_micros <= received_at
    assert placed.warning is None or placed.occurred_at_micros == received_at


def test_more_uptime_than_time_is_an_unusable_clock() -> None:
    placed = place(
        5 * SECOND,
        event_clock=ClockReading(uptime_millis=0, boot_id="b"),
        send_clock=ClockReading(uptime_millis=NOW * 1000 + 1, boot_id="b"),
        received_at_micros=NOW * SECOND,
    )

    assert placed.occurred_at_micros == NOW * SECOND
    assert placed.method is ClockMethod.UPTIME
    assert placed.warning is not None
    assert placed.warning.code is WarningCode.CLOCK_UNUSABLE


def test_a_skew_that_leads_before_1970_is_an_unusable_clock() -> None:
    placed = place(
        5 * SECOND,
        event_clock=ClockReading(),
        send_clock=ClockReading(wall_micros=(NOW + 3600) * SECOND),
        received_at_micros=NOW * SECOND,
    )

    assert (placed.occurred_at_micros, placed.method) == (NOW * SECOND, ClockMethod.SKEW)
    assert placed.warning is not None


@pytest.mark.parametrize("ahead", [1, -1])
def test_sixty_seconds_are_tolerated_and_a_microsecond_more_is_not(ahead: int) -> None:
    def method(skew_micros: int) -> ClockMethod:
        send = ClockReading(wall_micros=NOW * SECOND - skew_micros * ahead)
        event_at = (NOW - 7200) * SECOND
        return place(
            event_at, event_clock=ClockReading(), send_clock=send, received_at_micros=NOW * SECOND
        ).method

    assert method(60 * SECOND) is ClockMethod.DEVICE
    assert method(60 * SECOND + 1) is ClockMethod.SKEW


def test_unnamed_boots_are_never_the_same_boot() -> None:
    reading = ClockReading(wall_micros=NOW * SECOND, uptime_millis=1, boot_id="")

    placed = place(7, event_clock=reading, send_clock=reading, received_at_micros=NOW * SECOND)

    assert (placed.occurred_at_micros, placed.method) == (7, ClockMethod.DEVICE)
