"""The ledger against a model that keeps every sequence by itself (R7, R14)."""

import itertools
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workevo_server.adapters.sql import ledger_document
from workevo_server.domain import limits
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

REJECTED = Outcome(OutcomeKind.REJECTED, reason=Reason.NAME_INVALID)
SEQUENCES = st.integers(1, 24)
SETTLED = st.sampled_from([STORED, DUPLICATE, ARCHIVED, REJECTED])

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("settle"), SEQUENCES, SETTLED),
        st.tuples(
            st.just("drop"),
            st.lists(st.tuples(SEQUENCES, SEQUENCES, st.sampled_from(DropReason)), max_size=4),
        ),
        st.tuples(st.just("tell"), SEQUENCES),
        st.tuples(st.just("apply"), SEQUENCES),
    ),
    max_size=30,
)


class Model:
    """One entry a sequence: what the ledger says in ranges, said the long way."""

    def __init__(self) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.folded: set[int] = set()
        self.generated = 0

    def settle(self, sequence: int, outcome: Outcome) -> None:
        self.outcomes[sequence] = outcome
        self.generated = max(self.generated, sequence)

    def drop(self, first: int, last: int, reason: DropReason) -> None:
        for sequence in range(first, last + 1):
            self.outcomes.setdefault(sequence, Outcome(OutcomeKind.DROPPED, drop_reason=reason))
        self.generated = max(self.generated, last)

    def apply(self, through: int) -> None:
        self.folded |= {s for s in self.outcomes if s <= min(through, self.generated)}

    def outcome_of(self, sequence: int) -> Outcome:
        return FOLDED if sequence in self.folded else self.outcomes.get(sequence, OPEN)


def can_settle(ledger: Ledger, sequence: int) -> bool:
    return ledger.outcome_of(sequence).kind in {OutcomeKind.OPEN, OutcomeKind.DROPPED}


def play(steps: list[tuple[object, ...]]) -> tuple[Ledger, Model]:
    ledger, model = Ledger(), Model()
    for step in steps:
        match step:
            case ("settle", int(sequence), Outcome() as outcome):
                if can_settle(ledger, sequence):
                    ledger.settle(sequence, outcome)
                    model.settle(sequence, outcome)
            case ("drop", list(told)):
                ranges = [(min(a, b), max(a, b), reason) for a, b, reason in told]
                ledger.drop(ranges)
                for first, last, reason in ranges:
                    model.drop(first, last, reason)
            case ("tell", int(last)):
                ledger.tell(last)
                model.generated = max(model.generated, last)
            case ("apply", int(through)):
                ledger.apply(through)
                model.apply(ledger.applied_through)
    return ledger, model


@given(STEPS)
def test_ranges_say_what_a_list_of_all_sequences_says(steps: list[tuple[object, ...]]) -> None:
    ledger, model = play(steps)
    assert [ledger.outcome_of(s) for s in range(1, 30)] == [model.outcome_of(s) for s in range(1, 30)]
    spelled = [outcome for first, last, outcome in ledger.ranges() for _ in range(first, last + 1)]
    assert spelled == [model.outcome_of(s) for s in range(1, model.generated + 1)]


@given(STEPS)
def test_neighbours_with_one_outcome_are_one_range(steps: list[tuple[object, ...]]) -> None:
    ranges = list(play(steps)[0].ranges())
    assert all(a[1] + 1 == b[0] and a[2] != b[2] for a, b in itertools.pairwise(ranges))


@given(STEPS)
def test_the_balance_adds_up_whatever_is_folded(steps: list[tuple[object, ...]]) -> None:
    ledger, model = play(steps)
    balance = ledger.balance()
    counts = Counter(model.outcomes.values())
    assert balance.generated == model.generated
    assert balance.generated == (
        balance.stored
        + balance.duplicate
        + balance.archived
        + balance.rejected
        + balance.dropped
        + balance.open
    )
    assert (balance.stored, balance.rejected) == (counts[STORED], counts[REJECTED])
    assert sum(balance.dropped_by_reason.values()) == balance.dropped
    assert sum(balance.rejected_by_reason.values()) == balance.rejected


@given(STEPS)
def test_nothing_at_or_below_settled_through_is_open(steps: list[tuple[object, ...]]) -> None:
    ledger, model = play(steps)
    through = ledger.settled_through
    assert all(model.outcome_of(s) != OPEN for s in range(1, through + 1))
    assert through == model.generated or model.outcome_of(through + 1) == OPEN


@given(STEPS, SEQUENCES)
def test_gaps_are_foretold(steps: list[tuple[object, ...]], sequence: int) -> None:
    ledger, _ = play(steps)
    if ledger.outcome_of(sequence) != OPEN:
        return
    foretold = ledger.gap_count_after(sequence)
    ledger.settle(sequence, STORED)
    assert foretold == ledger.gap_count() == sum(1 for _ in ledger.gaps())


@given(STEPS)
def test_a_ledger_comes_back_from_its_document_as_it_was(steps: list[tuple[object, ...]]) -> None:
    ledger, _ = play(steps)
    back = ledger_document.decode(ledger_document.encode(ledger))
    assert list(back.ranges()) == list(ledger.ranges())
    assert back.balance() == ledger.balance()
    assert (back.generated, back.applied_through) == (ledger.generated, ledger.applied_through)


def test_a_document_of_the_first_form_is_read_as_before() -> None:
    document = (
        '{"generated":9,"applied_through":4,"resent":1,"folded":{"STORED":3,"REJECTED NAME_INVALID":1},'
        '"ranges":[[1,4,"FOLDED"],[6,9,"DROPPED EXPIRED"]]}'
    )
    ledger = ledger_document.decode(document)
    dropped = Outcome(OutcomeKind.DROPPED, drop_reason=DropReason.EXPIRED)
    assert ledger.known_ranges == ((1, 4, FOLDED), (6, 9, dropped))
    assert ledger_document.decode(ledger_document.encode(ledger)).known_ranges == ledger.known_ranges
    assert (ledger.balance().stored, ledger.balance().open) == (3, 1)


def test_a_device_that_never_tells_is_folded_past_the_bound_and_refused_nothing() -> None:
    ledger = Ledger()
    for sequence in range(1, 3 * limits.LEDGER_RANGES_MAX):
        assert not ledger.opens_too_many_gaps(sequence)
        ledger.settle(sequence, STORED if sequence % 2 else REJECTED)
        ledger.apply(0)
        assert len(ledger.known_ranges) <= limits.LEDGER_RANGES_MAX + 1
    assert ledger.balance().open == 0


def test_only_an_event_that_would_open_one_gap_too_many_is_put_off() -> None:
    ledger = Ledger()
    for sequence in range(2, 2 * limits.LEDGER_GAPS_MAX + 1, 2):
        assert not ledger.opens_too_many_gaps(sequence)
        ledger.settle(sequence, STORED)
    end = 2 * limits.LEDGER_GAPS_MAX
    assert sum(1 for _ in ledger.gaps()) == limits.LEDGER_GAPS_MAX
    assert ledger.opens_too_many_gaps(end + 2)
    assert not ledger.opens_too_many_gaps(end + 1)
    assert not ledger.opens_too_many_gaps(1)


def test_neither_tails_nor_edges_make_gaps_without_end() -> None:
    ledger = Ledger()
    ledger.drop([(2 * n, 2 * n, DropReason.EXPIRED) for n in range(1, limits.LEDGER_GAPS_MAX + 1)])
    for _ in range(50):
        ledger.tell(ledger.generated + 5)
        if not ledger.opens_too_many_gaps(ledger.generated):
            ledger.settle(ledger.generated, STORED)
    assert ledger.gap_count() <= limits.LEDGER_GAPS_MAX + 1
    assert not ledger.opens_too_many_gaps(1)


def test_drops_open_no_more_gaps_than_a_device_can_leave() -> None:
    """Else a device could make its ledger grow for ever."""
    ledger = Ledger()
    for upload in range(30):
        first = 2 + upload * 2 * limits.UPLOAD_DROPPED_RANGES_MAX
        singles = range(first, first + 2 * limits.UPLOAD_DROPPED_RANGES_MAX, 2)
        ledger.drop([(sequence, sequence, DropReason.EXPIRED) for sequence in singles])
    assert ledger.gap_count() == limits.LEDGER_GAPS_MAX + 1, "one for the tail that was told"
    assert ledger.generated == 2 * 30 * limits.UPLOAD_DROPPED_RANGES_MAX
    ledger.drop([(1, ledger.generated, DropReason.CORRUPT)])
    assert ledger.gap_count() == 0


def test_a_thousand_drops_over_a_torn_ledger_are_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A count of steps and no time: what a hostile device tells must not hold the writer."""
    ledger = Ledger()
    for sequence in range(2, 2 * limits.LEDGER_GAPS_MAX, 2):
        ledger.settle(sequence, STORED)
    pieces = 0
    slice_ = Ledger._slice

    def counted(ledger: Ledger, first: int, last: int) -> Iterator[Range]:
        nonlocal pieces
        for piece in slice_(ledger, first, last):
            pieces += 1
            yield piece

    monkeypatch.setattr(Ledger, "_slice", counted)
    ledger.drop([(1, limits.SEQUENCE_MAX, DropReason.EXPIRED)] * limits.UPLOAD_DROPPED_RANGES_MAX)
    assert ledger.balance().dropped == limits.SEQUENCE_MAX - (limits.LEDGER_GAPS_MAX - 1)
    assert pieces < 3 * limits.LEDGER_GAPS_MAX


def test_an_unsent_tail_is_one_gap_that_an_event_behind_it_only_moves() -> None:
    ledger = Ledger()
    ledger.settle(1, STORED)
    ledger.tell(5)
    assert ledger.gap_count_after(9) == 1
    assert ledger.gap_count_after(3) == 2


def test_a_settled_sequence_takes_no_second_outcome() -> None:
    ledger = Ledger()
    ledger.settle(1, STORED)
    with pytest.raises(AssertionError):
        ledger.settle(1, REJECTED)


@settings(max_examples=30)
@given(STEPS, STEPS)
def test_balances_add_up_over_epochs(one: list[tuple[object, ...]], other: list[tuple[object, ...]]) -> None:
    first, second = play(one)[0].balance(), play(other)[0].balance()
    together = first + second
    assert together.generated == first.generated + second.generated
    assert sum(together.dropped_by_reason.values()) == together.dropped
    assert sum(together.rejected_by_reason.values()) == together.rejected
