"""Where an event is: from what the ledger and the store know of a sequence to one answer (R7, R14, R32)."""

import enum
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from workevo_server.domain.ledger import FOLDED, STORED, Ledger, Outcome, OutcomeKind, Range
from workevo_server.domain.verdicts import Reason


class FindingKind(enum.Enum):
    STORED = "STORED"
    """It is there."""
    DUPLICATE = "DUPLICATE"
    """The same event had been stored before, under another sequence (R6)."""
    ARCHIVED = "ARCHIVED"
    """Its name was archived when it came, so it was counted and not stored (R23)."""
    REJECTED = "REJECTED"
    DROPPED = "DROPPED"
    """The device gave it up, and said why (R14)."""
    OPEN = "OPEN"
    """It was generated, and has not come."""
    FOLDED = "FOLDED"
    """It was answered and the device knows the answer; only counted since, with others (R14)."""
    ERASED = "ERASED"
    """It was stored, and went with its contact (R32)."""
    EXPIRED = "EXPIRED"
    """It was stored, and went by its age (R32)."""
    GONE = "GONE"
    """It was stored and is not any more; of its queue some were erased and some expired."""
    MERGED = "MERGED"
    """Who was asked for is another person's alias now (R16)."""
    NEVER_SEEN = "NEVER_SEEN"
    """Nobody ever told of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store has of one sequence, beside its ledger."""

    is_present: bool
    rejected: Reason | None
    """Of a failed event that settled the sequence and is kept."""
    erased_count: int
    expired_count: int
    """How many of the queue went with a deleted contact and by age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    kind: FindingKind
    outcome: Outcome | None = None
    """What the ledger says, or must mean; None where it says nothing."""
    may_be: tuple[Outcome, ...] = ()
    """Of a folded sequence: what became of those that were folded, one of which is its own."""


_KINDS = {
    OutcomeKind.STORED: FindingKind.STORED,
    OutcomeKind.FOLDED: FindingKind.FOLDED,
    OutcomeKind.DUPLICATE: FindingKind.DUPLICATE,
    OutcomeKind.ARCHIVED: FindingKind.ARCHIVED,
    OutcomeKind.REJECTED: FindingKind.REJECTED,
    OutcomeKind.DROPPED: FindingKind.DROPPED,
    OutcomeKind.OPEN: FindingKind.OPEN,
}


def kind_of(outcome: Outcome) -> FindingKind:
    """What a ledger's outcome means where nothing else is known."""
    return _KINDS[outcome.kind]


def trace(ledger: Ledger, sequence: int, known: Known) -> Trace:
    """What became of a sequence, 1 or more. The ledger was read first, so what is stored is believed."""
    if known.is_present:
        return Trace(kind=FindingKind.STORED, outcome=STORED)
    if sequence > ledger.generated:
        return Trace(kind=FindingKind.NEVER_SEEN)
    outcome = ledger.outcome_of(sequence)
    if outcome != FOLDED:
        return _settled(outcome, known)
    if known.rejected is not None:
        return _settled(Outcome(OutcomeKind.REJECTED, reason=known.rejected), known)
    may_be = tuple(each for each, count in ledger.folded.items() if count > 0 and _is_possible(each, known))
    if len(may_be) == 1:
        return _settled(may_be[0], known)
    return Trace(kind=FindingKind.FOLDED, outcome=outcome, may_be=may_be)


def _is_possible(outcome: Outcome, known: Known) -> bool:
    """A stored one that is not there can only have gone."""
    return outcome != STORED or known.erased_count + known.expired_count > 0


def _settled(outcome: Outcome, known: Known) -> Trace:
    return Trace(kind=_gone(known) if outcome == STORED else kind_of(outcome), outcome=outcome)


def _gone(known: Known) -> FindingKind:
    if known.erased_count and not known.expired_count:
        return FindingKind.ERASED
    if known.expired_count and not known.erased_count:
        return FindingKind.EXPIRED
    return FindingKind.GONE


def later_settled(ledger: Ledger, sequence: int, count_max: int) -> list[int]:
    """The next sequences behind it that may be stored, lowest first."""
    later: list[int] = []
    for first, last, outcome in ledger.known_ranges:
        if last > sequence and outcome in {STORED, FOLDED}:
            start = max(first, sequence + 1)
            later += range(start, min(last + 1, start + count_max - len(later)))
        if len(later) >= count_max:
            break
    return later


def earlier_settled(ledger: Ledger, sequence: int, count_max: int) -> list[int]:
    """The sequences before it that may be stored, highest first."""
    earlier: list[int] = []
    for first, last, outcome in reversed(ledger.known_ranges):
        if first < sequence and outcome in {STORED, FOLDED}:
            start = min(last, sequence - 1)
            earlier += range(start, max(first - 1, start - count_max + len(earlier)), -1)
        if len(earlier) >= count_max:
            break
    return earlier


def missing(ledger: Ledger, first: int, last: int, present: Collection[int]) -> Iterator[Range]:
    """What between two sequences, both included, is not stored, lowest first: an event may be one of them.

    `present` are the sequences between them that are stored: of folded ones no ledger tells.
    """
    for start, end, outcome in ledger.ranges():
        if end >= first and start <= last and outcome != STORED:
            for a, b in _without(max(start, first), min(end, last), present):
                yield a, b, outcome


def _without(first: int, last: int, present: Collection[int]) -> Iterator[tuple[int, int]]:
    at = first
    for sequence in sorted(each for each in present if first <= each <= last):
        if at < sequence:
            yield at, sequence - 1
        at = sequence + 1
    if at <= last:
        yield at, last
