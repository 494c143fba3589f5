"""A balance as a bar and a ledger as a strip: geometry in hundredths of a per cent, drawn by a template.

Colour never stands alone: every outcome has a pattern of its own and its word beside it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from workevo_server.domain.ledger import Balance, Ledger, OutcomeKind, Range

WIDTH = 100.0
VISIBLE_MIN = 0.6  # Per cent: what there is can be seen, however little of the whole it is.
STRIP_COLUMNS_MAX = 400

_WORST_FIRST = (
    OutcomeKind.OPEN,
    OutcomeKind.DROPPED,
    OutcomeKind.REJECTED,
    OutcomeKind.ARCHIVED,
    OutcomeKind.DUPLICATE,
    OutcomeKind.FOLDED,
    OutcomeKind.STORED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    kind: OutcomeKind
    count: int
    x: float
    width: float
    """Both in per cent of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    pieces: Sequence[Piece]
    sequences_a_column: int
    """1 when every sequence has a place of its own; else a column shows the worst of so many."""


def bar(balance: Balance) -> Sequence[Piece]:
    """The parts that R14 adds up, in its order; those that are nothing left out."""
    counts = [(kind, count) for kind, count in parts(balance) if count]
    whole = sum(count for _, count in counts)
    widths = [max(VISIBLE_MIN, WIDTH * count / whole) for _, count in counts]
    scale, x, pieces = WIDTH / sum(widths) if widths else 1.0, 0.0, []
    for (kind, count), width in zip(counts, widths, strict=True):
        pieces.append(Piece(kind=kind, count=count, x=round(x, 2), width=round(width * scale, 2)))
        x += width * scale
    return pieces


def parts(balance: Balance) -> Sequence[tuple[OutcomeKind, int]]:
    return (
        (OutcomeKind.STORED, balance.stored),
        (OutcomeKind.DUPLICATE, balance.duplicate),
        (OutcomeKind.ARCHIVED, balance.archived),
        (OutcomeKind.REJECTED, balance.rejected),
        (OutcomeKind.DROPPED, balance.dropped),
        (OutcomeKind.OPEN, balance.open),
    )


def share(count: int, whole: int) -> str:
    """In per cent; what is more than nothing never reads as nothing, and what is missing never as all."""
    if count in {0, whole}:
        return f"{100 * count // whole} %"
    return f"{min(99.9, max(0.1, 100 * count / whole)):.1f} %"


def legend(ledger: Ledger) -> Sequence[tuple[OutcomeKind, int]]:
    """How many sequences of the strip have which outcome; folded ones apart."""
    counts: Counter[OutcomeKind] = Counter()
    for first, last, outcome in ledger.ranges():
        counts[outcome.kind] += last - first + 1
    return [(kind, counts[kind]) for kind in OutcomeKind if counts[kind]]


def adds_up(balance: Balance) -> bool:
    return balance.generated == sum(count for _, count in parts(balance))


def strip(ledger: Ledger) -> Strip:
    """All sequences from 1 to the highest known, in so many columns that each can be seen."""
    size = -(-ledger.generated // STRIP_COLUMNS_MAX) or 1
    columns = list(_columns(ledger.ranges(), ledger.generated, size))
    pieces: list[Piece] = []
    for kind, first, last in _joined(columns):
        x, end = WIDTH * (first - 1) / ledger.generated, WIDTH * last / ledger.generated
        pieces.append(Piece(kind=kind, count=last - first + 1, x=round(x, 3), width=round(end - x, 3)))
    return Strip(pieces=pieces, sequences_a_column=size)


def _columns(ranges: Iterable[Range], generated: int, size: int) -> Iterator[tuple[OutcomeKind, int, int]]:
    """The worst outcome of each `size` sequences. Walks the ranges once."""
    waiting = iter(ranges)
    current = next(waiting, None)
    for first in range(1, generated + 1, size):
        last, worst = min(first + size - 1, generated), len(_WORST_FIRST) - 1
        while current is not None and current[0] <= last:
            worst = min(worst, _WORST_FIRST.index(current[2].kind))
            if current[1] > last:
                break
            current = next(waiting, None)
        yield _WORST_FIRST[worst], first, last


def _joined(columns: Iterable[tuple[OutcomeKind, int, int]]) -> list[tuple[OutcomeKind, int, int]]:
    joined: list[tuple[OutcomeKind, int, int]] = []
    for kind, first, last in columns:
        if joined and joined[-1][0] is kind:
            joined[-1] = (kind, joined[-1][1], last)
        else:
            joined.append((kind, first, last))
    return joined
