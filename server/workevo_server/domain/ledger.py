"""What became of every sequence of one install and epoch (R7, R14).

A sorted list of ranges, none overlapping, neighbours with one outcome joined; what
lies between them is open. The size follows the number of ranges and never the
number of events, and what the device has applied is folded into counts.
"""

import enum
import heapq
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TypeVar

from workevo_server.domain import limits
from workevo_server.domain.events import DropReason
from workevo_server.domain.verdicts import Reason


class OutcomeKind(enum.Enum):
    STORED = "STORED"
    DUPLICATE = "DUPLICATE"
    ARCHIVED = "ARCHIVED"
    REJECTED = "REJECTED"
    DROPPED = "DROPPED"
    FOLDED = "FOLDED"
    OPEN = "OPEN"


@dataclass(frozen=True, slots=True)
class Outcome:
    kind: OutcomeKind
    reason: Reason | None = None
    """Set for REJECTED."""
    drop_reason: DropReason | None = None
    """Set for DROPPED."""


STORED = Outcome(OutcomeKind.STORED)
DUPLICATE = Outcome(OutcomeKind.DUPLICATE)
ARCHIVED = Outcome(OutcomeKind.ARCHIVED)
FOLDED = Outcome(OutcomeKind.FOLDED)
OPEN = Outcome(OutcomeKind.OPEN)

Range = tuple[int, int, Outcome]
"""First and last sequence, both included, and what became of each of them."""

_first_of = itemgetter(0)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """generated = stored + duplicate + archived + rejected + dropped + open (R14); resent stands outside.

    stored = present + erased + expired, of which the store, not the ledger, knows the last two.
    """

    generated: int = 0
    stored: int = 0
    duplicate: int = 0
    archived: int = 0
    rejected: int = 0
    dropped: int = 0
    open: int = 0
    resent: int = 0
    erased: int = 0
    expired: int = 0
    rejected_by_reason: Mapping[Reason, int] = field(default_factory=dict)
    dropped_by_reason: Mapping[DropReason, int] = field(default_factory=dict)

    def untold(self) -> tuple[int, int]:
        """How many were rejected and dropped for reasons that are not told here one by one."""
        return (
            self.rejected - sum(self.rejected_by_reason.values()),
            self.dropped - sum(self.dropped_by_reason.values()),
        )

    def __add__(self, other: "Balance") -> "Balance":
        return Balance(
            generated=self.generated + other.generated,
            stored=self.stored + other.stored,
            duplicate=self.duplicate + other.duplicate,
            archived=self.archived + other.archived,
            rejected=self.rejected + other.rejected,
            dropped=self.dropped + other.dropped,
            open=self.open + other.open,
            resent=self.resent + other.resent,
            erased=self.erased + other.erased,
            expired=self.expired + other.expired,
            rejected_by_reason=Counter(self.rejected_by_reason) + Counter(other.rejected_by_reason),
            dropped_by_reason=Counter(self.dropped_by_reason) + Counter(other.dropped_by_reason),
        )


class Ledger:
    """The outcomes of one install and epoch. Changed in place."""

    __slots__ = ("_gap_count", "_ranges", "applied_through", "folded", "generated", "resent")

    def __init__(
        self,
        *,
        ranges: Iterable[Range] = (),
        generated: int = 0,
        applied_through: int = 0,
        resent: int = 0,
        folded: Mapping[Outcome, int] | None = None,
    ) -> None:
        self._ranges: list[Range] = list(ranges)
        self._gap_count: int | None = None
        """Counted when first asked for and kept up by `settle`: it is asked for at every event."""
        self.generated = generated
        """The highest sequence known: sent, dropped, or told as last_sequence."""
        self.applied_through = applied_through
        """The device has applied every answer up to here."""
        self.resent = resent
        """How often a sequence came that had its outcome already."""
        self.folded: Counter[Outcome] = Counter(folded or {})
        """How many of the FOLDED sequences had which outcome."""

    @property
    def known_ranges(self) -> tuple[Range, ...]:
        """Everything but what is open."""
        return tuple(self._ranges)

    # What is known ---------------------------------------------------------

    def outcome_of(self, sequence: int) -> Outcome:
        position = bisect_right(self._ranges, sequence, key=_first_of) - 1
        if position >= 0 and sequence <= self._ranges[position][1]:
            return self._ranges[position][2]
        return OPEN

    def ranges(self) -> Iterator[Range]:
        """From sequence 1 to `generated`, open ranges included, lowest first."""
        expected = 1
        for first, last, outcome in self._ranges:
            if expected < first:
                yield expected, first - 1, OPEN
            yield first, last, outcome
            expected = last + 1
        if expected <= self.generated:
            yield expected, self.generated, OPEN

    def gaps(self) -> Iterator[tuple[int, int]]:
        """The open ranges, lowest first."""
        return ((first, last) for first, last, outcome in self.ranges() if outcome is OPEN)

    @property
    def settled_through(self) -> int:
        """Nothing at or below it is open."""
        gap = next(self.gaps(), None)
        return gap[0] - 1 if gap else self.generated

    def gap_count(self) -> int:
        if self._gap_count is None:
            self._gap_count = sum(1 for _ in self.gaps())
        return self._gap_count

    def gap_count_after(self, sequence: int) -> int:
        """How many gaps there would be once `sequence`, which is open now, has an outcome."""
        if sequence > self.generated:
            tail_is_open = self.generated > 0 and self.outcome_of(self.generated) == OPEN
            return self.gap_count() + (sequence > self.generated + 1 and not tail_is_open)
        below = sequence > 1 and self.outcome_of(sequence - 1) == OPEN
        above = sequence < self.generated and self.outcome_of(sequence + 1) == OPEN
        return self.gap_count() - 1 + below + above

    def opens_too_many_gaps(self, sequence: int) -> bool:
        """R14: whether an event would leave more gaps than a device's queue can, without closing one.

        One that only moves the edge of a gap counts as well once there are too many: else
        each upload could tell one more tail and turn the last one into a gap for ever.
        """
        after = self.gap_count_after(sequence)
        return after > limits.LEDGER_GAPS_MAX and after >= self.gap_count()

    def balance(self) -> Balance:
        counts = self._counts()
        rejected = {o.reason: n for o, n in counts.items() if o.reason is not None}
        dropped = {o.drop_reason: n for o, n in counts.items() if o.drop_reason is not None}
        return Balance(
            generated=self.generated,
            stored=counts[STORED],
            duplicate=counts[DUPLICATE],
            archived=counts[ARCHIVED],
            rejected=sum(rejected.values()),
            dropped=sum(dropped.values()),
            open=counts[OPEN],
            resent=self.resent,
            rejected_by_reason=rejected,
            dropped_by_reason=dropped,
        )

    def _counts(self) -> Counter[Outcome]:
        """How many sequences have which outcome; asked for at every upload, so it hashes none per range."""
        spans: dict[int, int] = {}
        outcomes: dict[int, Outcome] = {}
        for first, last, outcome in self._ranges:
            spans[id(outcome)] = spans.get(id(outcome), 0) + last - first + 1
            outcomes[id(outcome)] = outcome
        counts = Counter(self.folded)
        counts[OPEN] = self.generated - sum(spans.values())
        for place, length in spans.items():
            if outcomes[place].kind is not OutcomeKind.FOLDED:
                counts[outcomes[place]] += length
        return counts

    # What changes ----------------------------------------------------------

    def tell(self, last_sequence: int) -> None:
        """The device says how many it has generated: an unsent tail is open, not invisible."""
        if last_sequence > self.generated:
            self.generated = last_sequence
            self._gap_count = None

    def settle(self, sequence: int, outcome: Outcome) -> None:
        """Give an outcome to a sequence that is open, or dropped: a drop gives way to the event."""
        found = self.outcome_of(sequence)
        assert found.kind in {OutcomeKind.OPEN, OutcomeKind.DROPPED}
        gap_count = self.gap_count_after(sequence) if found is OPEN else self.gap_count()
        self._replace(sequence, sequence, [(sequence, sequence, outcome)])
        self.generated = max(self.generated, sequence)
        self._gap_count = gap_count

    def move(self, sequence: int, before: Outcome, after: Outcome) -> None:
        """R13: what a replay changed. Where the sequence was folded the counts move alone."""
        found = self.outcome_of(sequence)
        if found.kind is OutcomeKind.FOLDED:
            self.folded.subtract([before])
            self.folded.update([after])
            self.folded = +self.folded
            return
        assert found == before
        self._replace(sequence, sequence, [(sequence, sequence, after)])

    def drop(self, ranges: Sequence[tuple[int, int, DropReason]]) -> Sequence[Range]:
        """Close what is open in the ranges; what has an outcome, an earlier drop included, keeps it.

        Where they overlap the first one given wins. A piece that would leave more gaps
        than a device's queue can (R14) stays open, so that no device makes a ledger grow
        for ever. All ranges are merged in one pass. Returns what was closed, lowest first.
        """
        if not ranges:
            return ()
        closing = self._closing_pieces(first_wins(ranges))
        self._ranges = _joined(heapq.merge(self._ranges, closing, key=_first_of))
        self.generated = max(self.generated, *(last for _, last, _ in ranges))
        self._gap_count = None
        return closing

    def _closing_pieces(self, ranges: Sequence[tuple[int, int, DropReason]]) -> list[Range]:
        """The open parts of disjoint ascending ranges, as far as the gaps they leave are few enough."""
        taken: list[Range] = []
        gap_count, known_through, closed_through = self.gap_count(), self.generated, 0
        for first, last, reason in ranges:
            outcome = Outcome(OutcomeKind.DROPPED, drop_reason=reason)
            for a, b, found in self._slice(first, last):
                if found is not OPEN:
                    continue
                more = self._gaps_opened(a, b, known_through=known_through, closed_through=closed_through)
                if more >= 0 and gap_count + more > limits.LEDGER_GAPS_MAX:
                    continue
                taken.append((a, b, outcome))
                gap_count, known_through, closed_through = gap_count + more, max(known_through, b), b
        return taken

    def _gaps_opened(self, first: int, last: int, *, known_through: int, closed_through: int) -> int:
        """How many more gaps there are once an open piece is closed; fewer when negative.

        `closed_through` is where the piece closed before it ends, `known_through` the
        highest sequence known with those pieces.
        """

        def is_open(sequence: int) -> bool:
            return sequence > max(closed_through, 0) and self.outcome_of(sequence) is OPEN

        if first > known_through:
            tail_is_open = known_through > 0 and is_open(known_through)
            return int(first > known_through + 1 and not tail_is_open)
        below = first > 1 and is_open(first - 1)
        above = last < known_through and is_open(last + 1)
        return below + above - 1

    def apply(self, through: int) -> None:
        """The device has applied all answers up to `through`: fold what is known of them into counts."""
        self.applied_through = max(self.applied_through, min(through, self.generated))
        self._fold(self.applied_through)
        if len(self._ranges) > limits.LEDGER_RANGES_MAX and self._unfolded_count() > limits.LEDGER_RANGES_MAX:
            self._fold(self._oldest_half_through())

    def _unfolded_count(self) -> int:
        return sum(1 for _, _, outcome in self._ranges if outcome.kind is not OutcomeKind.FOLDED)

    def _oldest_half_through(self) -> int:
        """Half at once, so that a device which never tells is not folded at every upload."""
        unfolded = [last for _, last, outcome in self._ranges if outcome.kind is not OutcomeKind.FOLDED]
        return unfolded[len(unfolded) - limits.LEDGER_RANGES_MAX // 2 - 1]

    def _fold(self, through: int) -> None:
        if not self._ranges or through < self._ranges[0][0]:
            return
        found = [piece for piece in self._slice(1, through) if piece[2] is not OPEN]
        for first, last, outcome in found:
            if outcome.kind is not OutcomeKind.FOLDED:
                self.folded[outcome] += last - first + 1
        self._replace(1, through, [(first, last, FOLDED) for first, last, _ in found])

    def _slice(self, first: int, last: int) -> Iterator[Range]:
        """Everything between the two sequences, cut at both ends, open pieces included."""
        expected = first
        position = bisect_left(self._ranges, first, key=itemgetter(1))
        for place in range(position, len(self._ranges)):
            a, b, outcome = self._ranges[place]
            if a > last:
                break
            if expected < a:
                yield expected, a - 1, OPEN
            yield max(a, first), min(b, last), outcome
            expected = b + 1
        if expected <= last:
            yield expected, last, OPEN

    def _replace(self, first: int, last: int, pieces: list[Range]) -> None:
        """Put `pieces` in place of all between the two sequences, joining neighbours of one outcome."""
        start = bisect_left(self._ranges, first - 1, key=itemgetter(1))
        end = bisect_right(self._ranges, last + 1, key=_first_of)
        touched = self._ranges[start:end]
        before = [(a, min(b, first - 1), o) for a, b, o in touched if a < first]
        after = [(max(a, last + 1), b, o) for a, b, o in touched if b > last]
        self._ranges[start:end] = _joined([*before, *pieces, *after])


def first_wins(ranges: Sequence[tuple[int, int, T]]) -> list[tuple[int, int, T]]:
    """The same sequences in disjoint ascending ranges; where some overlap, the one given first has them."""
    waiting = sorted((first, place, last, reason) for place, (first, last, reason) in enumerate(ranges))
    waiting.reverse()
    open_now: list[tuple[int, int, T]] = []  # A heap by place, so that two reasons are never compared.
    cut: list[tuple[int, int, T]] = []
    at = 1
    while waiting or open_now:
        while open_now and open_now[0][1] < at:
            heapq.heappop(open_now)
        if not open_now and waiting:
            at = max(at, waiting[-1][0])
        while waiting and waiting[-1][0] <= at:
            _, place, last, reason = waiting.pop()
            heapq.heappush(open_now, (place, last, reason))
        if open_now:
            _, last, reason = open_now[0]
            end = min(last, waiting[-1][0] - 1) if waiting else last
            cut.append((at, end, reason))
            at = end + 1
    return cut


def _joined(pieces: Iterable[Range]) -> list[Range]:
    joined: list[Range] = []
    for first, last, outcome in pieces:
        if joined and joined[-1][1] + 1 == first and joined[-1][2] == outcome:
            joined[-1] = (joined[-1][0], last, outcome)
        else:
            joined.append((first, last, outcome))
    return joined
