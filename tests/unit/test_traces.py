"""From a ledger and what the store has to one answer about a sequence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workevo_server.domain.events import DropReason
from workevo_server.domain.ledger import (
    ARCHIVED,
    DUPLICATE,
    FOLDED,
    OPEN,
    STORED,
    Ledger,
    Outcome,
    OutcomeKind,
    Range,
)
from workevo_server.domain.verdicts import Reason
from workevo_server.domain.whereabouts import (
    FindingKind,
    Known,
    Trace,
    earlier_settled,
    kind_of,
    later_settled,
    missing,
    trace,
)

REJECTED = Outcome(OutcomeKind.REJECTED, reason=Reason.NAME_INVALID)
DROPPED = Outcome(OutcomeKind.DROPPED, drop_reason=DropReason.QUEUE_FULL)


def known(
    *, is_present: bool = False, rejected: Reason | None = None, erased: int = 0, expired: int = 0
) -> Known:
    return Known(is_present=is_present, rejected=rejected, erased_count=erased, expired_count=expired)


def ledger_of(*ranges: Range, generated: int = 10, folded: dict[Outcome, int] | None = None) -> Ledger:
    return Ledger(ranges=ranges, generated=generated, folded=folded)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (DUPLICATE, FindingKind.DUPLICATE),
        (ARCHIVED, FindingKind.ARCHIVED),
        (REJECTED, FindingKind.REJECTED),
        (DROPPED, FindingKind.DROPPED),
    ],
)
def test_a_settled_sequence_is_what_its_ledger_says(outcome: Outcome, kind: FindingKind) -> None:
    assert trace(ledger_of((3, 4, outcome)), 3, known()) == Trace(kind=kind, outcome=outcome)


def test_what_is_stored_is_stored_whatever_the_ledger_said_a_moment_before() -> None:
    for ledger in (ledger_of(), ledger_of((3, 3, FOLDED)), ledger_of((3, 3, REJECTED)), Ledger()):
        assert trace(ledger, 3, known(is_present=True)).kind is FindingKind.STORED


def test_an_open_sequence_is_open_and_one_beyond_the_highest_was_never_seen() -> None:
    ledger = ledger_of((1, 2, STORED))

    assert trace(ledger, 10, known()) == Trace(kind=FindingKind.OPEN, outcome=OPEN)
    assert trace(ledger, 11, known()) == Trace(kind=FindingKind.NEVER_SEEN)


@pytest.mark.parametrize(
    ("erased", "expired", "kind"),
    [
        (1, 0, FindingKind.ERASED),
        (0, 1, FindingKind.EXPIRED),
        (1, 1, FindingKind.GONE),
        (0, 0, FindingKind.GONE),  # It went between two reads.
    ],
)
@pytest.mark.parametrize("outcome", [STORED, FOLDED])
def test_a_stored_one_that_is_not_there_went_as_its_queue_tells(
    outcome: Outcome, erased: int, expired: int, kind: FindingKind
) -> None:
    ledger = ledger_of((3, 3, outcome), folded={STORED: 1} if outcome is FOLDED else None)
    if outcome is FOLDED and not erased + expired:
        kind = FindingKind.FOLDED  # Nothing of what was folded can be it: only a read apart.

    assert trace(ledger, 3, known(erased=erased, expired=expired)).kind is kind


def test_a_folded_sequence_is_what_all_of_them_were_where_that_is_one_thing() -> None:
    ledger = ledger_of((1, 5, FOLDED), folded={STORED: 3, DUPLICATE: 2, ARCHIVED: 0})

    assert trace(ledger, 2, known()) == Trace(kind=FindingKind.DUPLICATE, outcome=DUPLICATE)


def test_a_folded_sequence_may_be_any_of_what_was_folded_and_could_be_away() -> None:
    ledger = ledger_of((1, 9, FOLDED), folded={STORED: 3, DUPLICATE: 2, REJECTED: 4})

    assert trace(ledger, 2, known()).may_be == (DUPLICATE, REJECTED)
    assert trace(ledger, 2, known(erased=1)).may_be == (STORED, DUPLICATE, REJECTED)
    assert trace(ledger, 2, known(rejected=Reason.NAME_INVALID)) == Trace(
        kind=FindingKind.REJECTED, outcome=REJECTED
    )


def test_every_outcome_of_a_ledger_means_something() -> None:
    assert {kind_of(Outcome(kind)).value for kind in OutcomeKind} == {kind.value for kind in OutcomeKind}


def test_the_next_sequences_that_may_be_stored_are_told_in_order_and_no_more_than_asked_for() -> None:
    ledger = ledger_of((1, 3, FOLDED), (5, 5, REJECTED), (6, 8, STORED), (10, 10**15, STORED))

    assert later_settled(ledger, 2, 3) == [3, 6, 7]
    assert later_settled(ledger, 4, 5) == [6, 7, 8, 10, 11]
    assert later_settled(ledger, 10**15, 5) == []
    assert later_settled(ledger_of((1, 2, STORED)), 1, 5) == [2]


def test_the_sequences_before_are_told_from_the_nearest_on() -> None:
    ledger = ledger_of((1, 3, FOLDED), (5, 5, REJECTED), (6, 8, STORED), (10, 10**15, STORED))

    assert earlier_settled(ledger, 10**15, 2) == [10**15 - 1, 10**15 - 2]
    assert earlier_settled(ledger, 11, 3) == [10, 8, 7]
    assert earlier_settled(ledger, 7, 9) == [6, 3, 2, 1]
    assert earlier_settled(ledger, 1, 9) == []


@given(
    pieces=st.lists(st.tuples(st.integers(1, 4), st.sampled_from([STORED, FOLDED, OPEN])), max_size=6),
    sequence=st.integers(1, 20),
    count_max=st.integers(1, 6),
)
def test_neighbours_are_those_that_a_slow_reader_finds(
    pieces: list[tuple[int, Outcome]], sequence: int, count_max: int
) -> None:
    ranges, at = list[Range](), 1
    for size, outcome in pieces:
        if outcome is not OPEN:
            ranges.append((at, at + size - 1, outcome))
        at += size
    ledger = Ledger(ranges=ranges, generated=at - 1)
    settled = [n for n in range(1, at) if ledger.outcome_of(n) in {STORED, FOLDED}]

    assert later_settled(ledger, sequence, count_max) == [n for n in settled if n > sequence][:count_max]
    earlier = [n for n in reversed(settled) if n < sequence]
    assert earlier_settled(ledger, sequence, count_max) == earlier[:count_max]


@given(
    pieces=st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from([STORED, FOLDED, REJECTED, DROPPED, OPEN])), max_size=8
    ),
    first=st.integers(1, 20),
    length=st.integers(0, 15),
    present=st.sets(st.integers(1, 30)),
)
def test_what_is_missing_between_two_sequences_is_told_one_by_one_as_by_a_slow_reader(
    pieces: list[tuple[int, Outcome]], first: int, length: int, present: set[int]
) -> None:
    ranges, at = list[Range](), 1
    for size, outcome in pieces:
        if outcome is not OPEN:
            ranges.append((at, at + size - 1, outcome))
        at += size
    ledger, last = Ledger(ranges=ranges, generated=at - 1), first + length - 1
    slow = [
        (sequence, ledger.outcome_of(sequence))
        for sequence in range(first, min(last, ledger.generated) + 1)
        if sequence not in present and ledger.outcome_of(sequence) != STORED
    ]

    found = list(missing(ledger, first, last, present))

    assert [(sequence, outcome) for a, b, outcome in found for sequence in range(a, b + 1)] == slow
    assert all(a <= b for a, b, _ in found)
