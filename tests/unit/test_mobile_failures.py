"""What a device does about each call that failed."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from workevo_mobile import limits
from workevo_mobile.failures import (
    Consequence,
    Failure,
    FailureKind,
    after_answer,
    after_failure,
    backoff,
    server_delay,
)
from workevo_mobile.moments import Moment, Wait
from workevo_mobile.policy import Call, Doubt, Progress, Row, RowKind

NOW = Moment(wall_micros=1_700_000_000_000_000, uptime_millis=1_000_000, boot_id="boot-1")
EPOCH = b"e" * 16
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


FRESH = Progress()


class Highest(random.Random):
    """Draws the largest value, near enough to 1."""

    def random(self) -> float:
        return 1.0


def row(position: int, kind: RowKind = RowKind.EVENT) -> Row:
    return Row(position=position, kind=kind, epoch=EPOCH, sequence=position, upload_bytes=100, queued=NOW)


def upload(count: int, *, first: int = 1) -> Call:
    return Call(epoch=EPOCH, rows=tuple(row(position) for position in range(first, first + count)))


def after(
    call: Call,
    kind: FailureKind,
    *,
    progress: Progress = FRESH,
    delay: timedelta | None = None,
) -> Consequence:
    failure = Failure(kind=kind, retry_delay=delay)
    return after_failure(progress, call, failure, now=NOW, chance=Highest())


def test_backoff_doubles_from_one_second_to_five_minutes_and_never_ends() -> None:
    delays = [backoff(failures, chance=Highest()).total_seconds() for failures in range(12)]

    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert backoff(10**6, chance=Highest()) == limits.BACKOFF_LONGEST


def test_backoff_is_spread_over_all_of_its_ceiling() -> None:
    chance = random.Random(1)
    delays = [backoff(20, chance=chance) for _ in range(1000)]

    assert min(delays) < 5 * SECOND
    assert max(delays) > 295 * SECOND


def test_an_unreachable_server_is_called_again_after_a_backoff() -> None:
    consequence = after(upload(3), FailureKind.UNAVAILABLE, progress=Progress(failures=2))

    assert consequence == Consequence(
        progress=Progress(failures=3, rest=Wait(NOW, 4 * SECOND), backs_off=True)
    )


def test_an_unreachable_server_that_names_a_delay_gets_it_too() -> None:
    assert after(upload(3), FailureKind.UNAVAILABLE, delay=10 * SECOND).quiet == 10 * SECOND


def test_a_busy_server_is_left_alone_as_long_as_it_asks() -> None:
    consequence = after(upload(3), FailureKind.EXHAUSTED, delay=10 * SECOND)

    assert consequence == Consequence(progress=Progress(), quiet=10 * SECOND)


def test_a_delay_is_obeyed_up_to_one_hour() -> None:
    assert after(upload(3), FailureKind.EXHAUSTED, delay=timedelta(days=3)).quiet == HOUR
    assert server_delay(None) is None
    assert server_delay(timedelta(seconds=-1)) is None


@pytest.mark.parametrize("delay", [None, timedelta(0)])
def test_exhausted_without_a_delay_backs_off_and_halves(delay: timedelta | None) -> None:
    consequence = after(upload(8), FailureKind.EXHAUSTED, delay=delay)

    expected = Progress(failures=1, rest=Wait(NOW, SECOND), backs_off=True, events_max=4)
    assert consequence == Consequence(progress=expected)
    assert after(upload(1), FailureKind.EXHAUSTED).progress.events_max == 1
    assert after(upload(1), FailureKind.EXHAUSTED).quarantine is None


def test_too_large_is_sent_by_halves_at_once() -> None:
    assert after(upload(9), FailureKind.TOO_LARGE) == Consequence(progress=Progress(events_max=4))


def test_one_event_that_is_too_large_is_quarantined() -> None:
    assert after(upload(1), FailureKind.TOO_LARGE).quarantine == row(1)


def test_too_large_without_events_is_a_failure_like_any_other() -> None:
    consequence = after(Call(epoch=EPOCH), FailureKind.TOO_LARGE)

    assert consequence == Consequence(progress=Progress(failures=1, rest=Wait(NOW, SECOND), backs_off=True))


def test_a_refused_key_is_tried_again_in_an_hour_and_nothing_is_given_up() -> None:
    consequence = after(upload(1), FailureKind.KEY_REFUSED)

    assert consequence == Consequence(progress=Progress(failures=1, rest=Wait(NOW, HOUR)))


def test_an_invalid_upload_raises_a_doubt_and_no_wait() -> None:
    consequence = after(upload(9), FailureKind.INVALID)

    assert consequence == Consequence(progress=Progress(doubt=Doubt(through=9, events_max=4)))


def test_when_not_even_an_envelope_is_valid_everything_is_kept_and_tried_hourly() -> None:
    doubted = Progress(doubt=Doubt(through=9, events_max=4))

    consequence = after(Call(epoch=EPOCH), FailureKind.INVALID, progress=doubted)

    assert consequence == Consequence(progress=Progress(failures=1, rest=Wait(NOW, HOUR)))


def test_the_event_at_fault_is_found_by_halving_and_quarantined() -> None:
    proved = after_answer(after(upload(9), FailureKind.INVALID).progress, Call(epoch=EPOCH))
    assert proved.doubt == Doubt(through=9, events_max=4, envelope_proved=True)

    halved = after(upload(4), FailureKind.INVALID, progress=proved)
    assert halved == Consequence(
        progress=replace(proved, doubt=Doubt(through=4, events_max=2, envelope_proved=True))
    )

    found = after(upload(1, first=2), FailureKind.INVALID, progress=halved.progress)
    assert found == Consequence(progress=replace(proved, doubt=None), quarantine=row(2))


def test_an_answered_half_narrows_the_doubt_to_half_of_the_rest() -> None:
    doubted = Progress(doubt=Doubt(through=8, events_max=4, envelope_proved=True))

    once = after_answer(doubted, upload(4))
    assert once.doubt == Doubt(through=8, events_max=2, envelope_proved=True)
    last = replace(doubted, doubt=Doubt(through=8, events_max=1, envelope_proved=True))
    assert after_answer(last, upload(1)).doubt == last.doubt


def test_an_invalid_upload_beyond_an_old_doubt_is_a_new_one() -> None:
    old = Progress(doubt=Doubt(through=8, events_max=1, envelope_proved=True))

    consequence = after(upload(2, first=9), FailureKind.INVALID, progress=old)

    assert consequence == Consequence(progress=Progress(doubt=Doubt(through=10, events_max=1)))


def test_a_log_in_that_is_invalid_alone_is_quarantined_too() -> None:
    log_in = Call(epoch=EPOCH, rows=(row(1, RowKind.IDENTIFY),))
    doubted = after(log_in, FailureKind.INVALID).progress
    proved = after_answer(doubted, Call(epoch=EPOCH))

    assert after(log_in, FailureKind.INVALID, progress=proved).quarantine == log_in.rows[0]


def test_an_answer_ends_the_backoff_and_dares_twice_as_many_events() -> None:
    failed = Progress(failures=4, rest=Wait(NOW, SECOND), events_max=100)

    assert after_answer(failed, upload(100)) == Progress(events_max=200)
    assert after_answer(replace(failed, events_max=400), upload(100)) == Progress()
    assert after_answer(failed, Call(epoch=EPOCH)) == Progress(events_max=100)
    log_in = Call(epoch=EPOCH, rows=(row(1, RowKind.IDENTIFY),))
    assert after_answer(failed, log_in) == Progress(events_max=100)
