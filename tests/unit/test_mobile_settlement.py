"""What an answer does to the queued events (R11, R14)."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workevo_mobile import limits
from workevo_mobile.drop_reason import DropReason
from workevo_mobile.moments import Moment
from workevo_mobile.policy import Call, Row, RowKind
from workevo_mobile.settlement import (
    Answer,
    Burial,
    Hold,
    Result,
    SequenceRange,
    Settlement,
    Verdict,
    corrupted,
    hold_delay,
    quarantined,
    settle_identify,
    settle_upload,
    unfillable,
)

EPOCH = b"e" * 16
NOW = Moment(0, 0, "")


def row(sequence: int, kind: RowKind = RowKind.EVENT) -> Row:
    return Row(position=sequence + 100, kind=kind, epoch=EPOCH, sequence=sequence, upload_bytes=1, queued=NOW)


UPLOAD = Call(epoch=EPOCH, rows=(row(1), row(2), row(3)))
LOG_IN = Call(epoch=EPOCH, rows=(row(0, RowKind.IDENTIFY),))


def settled(*results: Result, accepted_count: int) -> Settlement:
    settlement = settle_upload(UPLOAD, Answer(results=results, accepted_count=accepted_count))
    assert settlement is not None
    return settlement


def second(verdict: Verdict, **rest: object) -> Result:
    return Result(index=1, sequence=2, verdict=verdict, **rest)  # type: ignore[arg-type]


def test_events_that_are_not_listed_are_accepted_and_done() -> None:
    assert settled(accepted_count=3).done == UPLOAD.rows


def test_an_accepted_event_may_be_listed_for_its_warnings() -> None:
    assert settled(second(Verdict.ACCEPTED), accepted_count=3).done == UPLOAD.rows


@pytest.mark.parametrize("verdict", [Verdict.DUPLICATE, Verdict.ARCHIVED])
def test_a_duplicate_or_archived_event_is_done(verdict: Verdict) -> None:
    assert settled(second(verdict), accepted_count=2).done == UPLOAD.rows


def test_a_rejected_event_goes_to_the_dead_letters_and_is_no_drop() -> None:
    result = second(Verdict.REJECTED, reason="NAME_INVALID", field="name", message="Too long.")

    settlement = settled(result, accepted_count=2)

    assert settlement.done == (row(1), row(3))
    assert settlement.buried == (
        Burial(row=row(2), reason="NAME_INVALID", field="name", message="Too long."),
    )


def test_retry_keeps_the_event_for_its_delay_and_holds_no_other_back() -> None:
    result = second(Verdict.RETRY, retriable=True, retry_delay=timedelta(seconds=9))

    settlement = settled(result, accepted_count=2)

    assert settlement.done == (row(1), row(3))
    assert settlement.held == (Hold(row(2), timedelta(seconds=9)),)


@pytest.mark.parametrize(
    ("asked", "obeyed"),
    [
        (None, limits.RETRY_DELAY_DEFAULT),
        (timedelta(0), limits.RETRY_DELAY_DEFAULT),
        (timedelta(milliseconds=1), limits.RETRY_DELAY_MIN),
        (timedelta(days=2), limits.SERVER_DELAY_MAX),
    ],
)
def test_a_retry_delay_is_never_none_and_at_most_an_hour(asked: timedelta | None, obeyed: timedelta) -> None:
    assert hold_delay(asked) == obeyed


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.RETRY, Verdict.REJECTED, Verdict.ACCEPTED])
def test_whatever_is_retriable_is_kept(verdict: Verdict) -> None:
    accepted_count = 3 if verdict is Verdict.ACCEPTED else 2

    settlement = settled(second(verdict, retriable=True), accepted_count=accepted_count)

    assert [held.row for held in settlement.held] == [row(2)]


def test_an_unknown_verdict_that_is_final_goes_to_the_dead_letters() -> None:
    assert settled(second(Verdict.UNKNOWN), accepted_count=2).buried == (
        Burial(row=row(2), reason="UNKNOWN"),
    )


def test_a_forked_event_is_moved_and_the_others_settled() -> None:
    """R14a."""
    settlement = settled(second(Verdict.RETRY, reason="EPOCH_FORKED", retriable=True), accepted_count=2)

    assert settlement.forked == (row(2),)
    assert settlement.done == (row(1), row(3))
    assert settlement.held == ()


@pytest.mark.parametrize(
    ("results", "accepted_count"),
    [
        ((), 2),
        ((), 4),
        ((), 0),
        ((second(Verdict.DUPLICATE),), 3),
        ((second(Verdict.DUPLICATE), second(Verdict.DUPLICATE)), 1),
        ((Result(index=3, sequence=2, verdict=Verdict.DUPLICATE),), 2),
        ((Result(index=-1, sequence=2, verdict=Verdict.DUPLICATE),), 2),
        ((Result(index=1, sequence=3, verdict=Verdict.DUPLICATE),), 2),
        ((Result(index=1, sequence=0, verdict=Verdict.DUPLICATE),), 2),
        ((second(Verdict.MISSING),), 2),
    ],
)
def test_an_answer_that_does_not_add_up_settles_nothing(
    results: tuple[Result, ...], accepted_count: int
) -> None:
    """R11."""
    assert settle_upload(UPLOAD, Answer(results=results, accepted_count=accepted_count)) is None


def test_a_rejected_event_whose_sequence_could_not_be_read_is_known_by_its_index() -> None:
    result = Result(index=1, sequence=0, verdict=Verdict.REJECTED, reason="EVENT_MALFORMED")

    assert [burial.row for burial in settled(result, accepted_count=2).buried] == [row(2)]


def test_the_rest_of_an_answer_is_handed_on() -> None:
    gaps = (SequenceRange(1, 4),)
    answer = Answer(accepted_count=3, gaps=gaps, next_upload_delay=timedelta(hours=2))

    settlement = settle_upload(UPLOAD, answer, told_drops=[7])

    assert settlement is not None
    assert settlement.gaps == gaps
    assert settlement.sent == UPLOAD.rows
    assert settlement.told_drops == (7,)
    assert settlement.quiet == limits.SERVER_DELAY_MAX


def test_an_upload_without_events_is_settled_by_a_count_of_none() -> None:
    assert settle_upload(Call(epoch=EPOCH), Answer()) == Settlement(epoch=EPOCH)
    assert settle_upload(Call(epoch=EPOCH), Answer(accepted_count=1)) is None


def test_a_log_in_is_settled_by_its_verdict() -> None:
    (log_in,) = LOG_IN.rows
    accepted = settle_identify(LOG_IN, Result(verdict=Verdict.ACCEPTED))
    retried = settle_identify(LOG_IN, Result(verdict=Verdict.RETRY, retriable=True))
    rejected = settle_identify(LOG_IN, Result(verdict=Verdict.REJECTED, reason="VISITOR_TAKEN"))

    assert accepted == Settlement(epoch=EPOCH, done=(log_in,))
    assert retried == Settlement(epoch=EPOCH, held=(Hold(log_in, limits.RETRY_DELAY_DEFAULT),))
    assert rejected == Settlement(epoch=EPOCH, buried=(Burial(row=log_in, reason="VISITOR_TAKEN"),))
    assert settle_identify(LOG_IN, Result(verdict=Verdict.MISSING)) is None


def test_what_the_device_gives_up_itself_is_told_as_dropped() -> None:
    assert quarantined(row(2)).buried == (
        Burial(row=row(2), reason="QUARANTINED", drop=DropReason.QUARANTINED),
    )
    assert corrupted(row(2)).buried[0].drop is DropReason.CORRUPT


@pytest.mark.parametrize(
    ("gaps", "known", "lost"),
    [
        ([(1, 4)], [], [(1, 4)]),
        ([(1, 4)], [(2, 2)], [(1, 1), (3, 4)]),
        ([(1, 4)], [(4, 4), (1, 1)], [(2, 3)]),
        ([(1, 4)], [(1, 9)], []),
        ([(1, 9)], [(2, 6), (3, 3)], [(1, 1), (7, 9)]),
        ([(8, 20)], [], [(8, 10)]),
        ([(11, 20)], [], []),
        ([(-5, 2)], [], [(1, 2)]),
        ([(2, 1)], [], []),
        ([(1, 2), (5, 6)], [(2, 5)], [(1, 1), (6, 6)]),
    ],
)
def test_a_gap_that_nothing_explains_is_lost(
    gaps: list[tuple[int, int]], known: list[tuple[int, int]], lost: list[tuple[int, int]]
) -> None:
    found = unfillable(
        [SequenceRange(*gap) for gap in gaps],
        last_sequence=10,
        known=[SequenceRange(*explained) for explained in known],
    )

    assert found == [SequenceRange(*missing) for missing in lost]


RANGES = st.lists(
    st.builds(
        lambda first, length: SequenceRange(first, first + length), st.integers(1, 30), st.integers(0, 8)
    ),
    max_size=6,
)


@given(gap=st.builds(SequenceRange, st.integers(1, 20), st.integers(1, 40)), known=RANGES)
def test_the_lost_are_exactly_the_sequences_of_a_gap_that_are_given_and_not_known(
    gap: SequenceRange, known: list[SequenceRange]
) -> None:
    lost = unfillable([gap], last_sequence=25, known=known)

    explained = {sequence for part in known for sequence in range(part.first, part.last + 1)}
    expected = [sequence for sequence in range(gap.first, min(gap.last, 25) + 1) if sequence not in explained]
    assert [sequence for part in lost for sequence in range(part.first, part.last + 1)] == expected
