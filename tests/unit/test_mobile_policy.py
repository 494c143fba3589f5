"""When a device calls the server, and with what."""

from dataclasses import replace
from datetime import timedelta

import pytest

from workevo_mobile import limits
from workevo_mobile.moments import ZERO, Moment, Wait, elapsed
from workevo_mobile.policy import (
    Asked,
    Call,
    Doubt,
    Progress,
    Rest,
    Row,
    RowKind,
    Triggers,
    UntoldDrop,
    Waiting,
    plan,
)

NOW = Moment(wall_micros=1_700_000_000_000_000, uptime_millis=1_000_000, boot_id="boot-1")
FRESH, UNASKED, USUAL = Progress(), Asked(), Triggers()
OLD, NEW = b"o" * 16, b"n" * 16
SECOND = timedelta(seconds=1)


def before(length: timedelta) -> Moment:
    return Moment(
        NOW.wall_micros - length // timedelta(microseconds=1),
        1_000_000 - length // timedelta(milliseconds=1),
        "boot-1",
    )


def row(
    position: int,
    *,
    kind: RowKind = RowKind.EVENT,
    epoch: bytes = OLD,
    sequence: int | None = None,
    upload_bytes: int = 100,
    age: timedelta = ZERO,
) -> Row:
    return Row(
        position=position,
        kind=kind,
        epoch=epoch,
        sequence=position if sequence is None else sequence,
        upload_bytes=upload_bytes,
        queued=before(age),
    )


def rows(count: int) -> tuple[Row, ...]:
    return tuple(row(position) for position in range(1, count + 1))


def planned(
    *waiting_rows: Row,
    drop: UntoldDrop | None = None,
    next_release: timedelta | None = None,
    quiet: Wait | None = None,
    progress: Progress = FRESH,
    asked: Asked = UNASKED,
    triggers: Triggers = USUAL,
) -> Call | Rest:
    waiting = Waiting(rows=waiting_rows, drop=drop, next_release=next_release, quiet=quiet)
    return plan(waiting, progress, asked, triggers, NOW)


def call(decision: Call | Rest) -> Call:
    assert isinstance(decision, Call)
    return decision


def positions(decision: Call | Rest) -> list[int]:
    return [row.position for row in call(decision).rows]


def test_an_empty_queue_wakes_nobody() -> None:
    assert planned() == Rest(delay=None, rows_wanted=1)


def test_few_young_events_wait_for_the_interval_or_for_enough_of_them() -> None:
    assert planned(row(1, age=10 * SECOND), row(2)) == Rest(delay=20 * SECOND, rows_wanted=18)


def test_twenty_events_go_at_once() -> None:
    assert isinstance(planned(*rows(19)), Rest)
    assert positions(planned(*rows(20))) == list(range(1, 21))


def test_an_event_that_waited_for_the_interval_takes_the_younger_ones_along() -> None:
    decision = planned(row(1, age=30 * SECOND), row(2))

    assert positions(decision) == [1, 2]
    assert call(decision).asked == Asked(rows_through=2)


def test_count_and_interval_can_be_chosen() -> None:
    assert positions(planned(*rows(2), triggers=Triggers(event_count=2))) == [1, 2]
    assert positions(planned(row(1, age=SECOND), triggers=Triggers(interval=SECOND))) == [1]


def test_what_the_app_asked_for_goes_at_once() -> None:
    assert positions(planned(*rows(3), asked=Asked(rows_through=1))) == [1, 2, 3]
    assert isinstance(planned(row(4), asked=Asked(rows_through=3)), Rest)


def test_an_upload_has_at_most_five_hundred_events() -> None:
    assert len(call(planned(*rows(501))).rows) == limits.UPLOAD_EVENTS_MAX


def test_an_upload_stays_under_a_mebibyte_with_room_for_its_envelope() -> None:
    big = tuple(row(position, upload_bytes=limits.EVENT_BYTES_MAX) for position in range(1, 41))

    taken = call(planned(*big)).rows

    assert (
        sum(row.upload_bytes for row in taken) <= limits.UPLOAD_BYTES_MAX - limits.UPLOAD_ENVELOPE_BYTES_MAX
    )
    assert len(taken) == 30


def test_one_event_goes_whatever_its_size() -> None:
    huge = row(1, upload_bytes=2 * limits.UPLOAD_BYTES_MAX, age=30 * SECOND)

    assert positions(planned(huge, row(2))) == [1]


def test_a_slice_ends_at_a_log_in() -> None:
    """R15: the server hears of the log-in before the user's first event."""
    log_in = row(3, kind=RowKind.IDENTIFY)

    assert positions(planned(row(1), row(2), log_in, row(4), asked=Asked(rows_through=4))) == [1, 2]


def test_a_log_in_stands_alone() -> None:
    decision = call(planned(row(3, kind=RowKind.IDENTIFY), row(4), asked=Asked(rows_through=4)))

    assert positions(decision) == [3]
    assert decision.is_identify
    assert decision.asked == Asked(rows_through=4)


def test_an_upload_is_of_one_epoch_in_order_of_sequence() -> None:
    """R14a: a forked event kept its place in the queue but got a later sequence."""
    waiting = [row(1, epoch=NEW, sequence=2), row(2), row(3, epoch=NEW, sequence=1), row(4)]

    decision = call(planned(*waiting, asked=Asked(rows_through=4)))

    assert decision.epoch == NEW
    assert [row.sequence for row in decision.rows] == [1, 2]


@pytest.mark.parametrize("progress", [Progress(rest=Wait(NOW, 5 * SECOND)), Progress()])
@pytest.mark.parametrize("quiet", [Wait(NOW, 7 * SECOND), None])
def test_backoff_and_the_servers_wait_hold_back_even_what_was_asked_for(
    progress: Progress, quiet: Wait | None
) -> None:
    decision = planned(*rows(20), progress=progress, quiet=quiet, asked=Asked(rows_through=20))

    longest = max([ZERO, *([5 * SECOND] if progress.rest else []), *([7 * SECOND] if quiet else [])])
    if longest:
        assert decision == Rest(delay=longest, rows_wanted=None)
    else:
        assert isinstance(decision, Call)


def test_while_holding_back_more_rows_can_still_make_an_upload_due_earlier() -> None:
    decision = planned(row(1), progress=Progress(rest=Wait(NOW, SECOND)))

    assert decision == Rest(delay=30 * SECOND, rows_wanted=19)


def test_a_held_row_is_looked_at_again_when_its_delay_is_over() -> None:
    assert planned(next_release=12 * SECOND) == Rest(delay=12 * SECOND, rows_wanted=1)
    assert planned(row(2), next_release=12 * SECOND) == Rest(delay=12 * SECOND, rows_wanted=19)


def test_a_rest_is_rounded_up_to_whole_milliseconds() -> None:
    assert planned(next_release=timedelta(microseconds=1)) == Rest(
        delay=timedelta(milliseconds=1), rows_wanted=1
    )


def test_a_dropped_range_is_told_alone_when_nothing_else_is_sent() -> None:
    drop = UntoldDrop(drop_id=4, epoch=OLD, queued=before(10 * SECOND))

    assert planned(drop=drop) == Rest(delay=20 * SECOND, rows_wanted=1)
    assert planned(drop=drop, asked=Asked(drops_through=3)) == Rest(delay=20 * SECOND, rows_wanted=1)
    told = Call(epoch=OLD, asked=Asked(drops_through=4))
    assert planned(drop=drop, asked=Asked(drops_through=4)) == told
    assert planned(drop=replace(drop, queued=before(30 * SECOND))) == told
    assert not told.is_identify


def test_a_dropped_range_that_is_due_takes_waiting_events_along() -> None:
    drop = UntoldDrop(drop_id=4, epoch=OLD, queued=before(30 * SECOND))

    assert positions(planned(row(1), drop=drop)) == [1]


def test_in_doubt_an_upload_without_events_goes_first() -> None:
    doubt = Doubt(through=8, events_max=4)

    assert planned(*rows(9), progress=Progress(doubt=doubt)) == Call(epoch=OLD, asked=Asked(rows_through=9))


def test_once_the_envelope_is_proved_only_suspects_are_sent() -> None:
    doubt = Doubt(through=3, events_max=8, envelope_proved=True)

    assert positions(planned(*rows(9), progress=Progress(doubt=doubt))) == [1, 2, 3]
    assert positions(planned(*rows(9), progress=Progress(doubt=replace(doubt, events_max=2)))) == [1, 2]
    assert isinstance(planned(row(4), progress=Progress(doubt=doubt)), Rest)


def test_halved_uploads_are_halves() -> None:
    assert positions(planned(*rows(20), progress=Progress(events_max=7))) == list(range(1, 8))


def test_asked_marks_only_grow() -> None:
    assert Asked(rows_through=3, drops_through=1).joined(Asked(rows_through=2, drops_through=5)) == Asked(
        rows_through=3, drops_through=5
    )


def test_time_is_measured_by_uptime_within_a_boot() -> None:
    jumped = replace(NOW, wall_micros=0)

    assert elapsed(before(10 * SECOND), jumped) == 10 * SECOND
    assert Wait(before(10 * SECOND), 30 * SECOND).remaining(jumped) == 20 * SECOND


@pytest.mark.parametrize(
    ("began", "now"),
    [
        (before(10 * SECOND), replace(NOW, boot_id="boot-2", uptime_millis=5)),
        (replace(before(10 * SECOND), uptime_millis=None), NOW),
        (before(10 * SECOND), replace(NOW, uptime_millis=None)),
    ],
)
def test_without_a_common_uptime_the_wall_clock_decides(began: Moment, now: Moment) -> None:
    assert Wait(began, 30 * SECOND).remaining(now) == 20 * SECOND


def test_a_clock_change_never_makes_a_wait_longer() -> None:
    back = replace(NOW, boot_id="boot-2", wall_micros=NOW.wall_micros - 10**12)
    ahead = replace(NOW, boot_id="boot-2", wall_micros=NOW.wall_micros + 10**12)

    assert elapsed(NOW, back) is None
    assert Wait(NOW, 30 * SECOND).remaining(back) == ZERO
    assert Wait(NOW, 30 * SECOND).remaining(ahead) == ZERO
