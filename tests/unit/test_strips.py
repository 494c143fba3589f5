"""The geometry of balances and ledgers: nothing overlaps, nothing is missing, and trouble can be seen."""

from itertools import pairwise

import pytest

from workevo_server.domain.events import DropReason
from workevo_server.domain.ledger import STORED, Balance, Ledger, OutcomeKind
from workevo_server.transport.http.console import strips

BALANCE = Balance(generated=1_000_004, stored=1_000_000, rejected=1, dropped=2, open=1)


def test_a_bar_is_whole_and_shows_even_one_of_a_million() -> None:
    pieces = strips.bar(BALANCE)

    assert [each.kind for each in pieces] == [
        OutcomeKind.STORED,
        OutcomeKind.REJECTED,
        OutcomeKind.DROPPED,
        OutcomeKind.OPEN,
    ]
    assert all(each.width >= strips.VISIBLE_MIN * 0.9 for each in pieces)
    assert all(a.x + a.width == pytest.approx(b.x, abs=0.02) for a, b in pairwise(pieces))
    assert pieces[-1].x + pieces[-1].width == pytest.approx(100, abs=0.02)


def test_a_bar_of_nothing_is_empty() -> None:
    assert strips.bar(Balance()) == []
    assert strips.strip(Ledger()).pieces == []


def test_shares_never_round_to_nothing_or_to_all() -> None:
    assert strips.share(0, 5) == "0 %"
    assert strips.share(5, 5) == "100 %"
    assert strips.share(1, 1_000_000) == "0.1 %"
    assert strips.share(999_999, 1_000_000) == "99.9 %"
    assert strips.share(1, 3) == "33.3 %"


def test_a_balance_that_does_not_add_up_is_noticed() -> None:
    assert strips.adds_up(BALANCE)
    assert not strips.adds_up(Balance(generated=2, stored=1))


def test_a_short_queue_shows_each_sequence_in_its_place() -> None:
    ledger = Ledger(ranges=[(1, 2, STORED)], generated=4)
    ledger.drop([(4, 4, DropReason.EXPIRED)])

    strip = strips.strip(ledger)

    assert strip.sequences_a_column == 1
    assert [(each.kind, each.x, each.width, each.count) for each in strip.pieces] == [
        (OutcomeKind.STORED, 0, 50, 2),
        (OutcomeKind.OPEN, 50, 25, 1),
        (OutcomeKind.DROPPED, 75, 25, 1),
    ]


@pytest.mark.parametrize("gap", [1, 500_000, 999_999, 1_000_000])
def test_one_gap_in_a_million_can_be_seen(gap: int) -> None:
    ranges = [(a, b, STORED) for a, b in ((1, gap - 1), (gap + 1, 1_000_000)) if a <= b]

    strip = strips.strip(Ledger(ranges=ranges, generated=1_000_000))

    assert strip.sequences_a_column == 2_500
    (open_piece,) = [each for each in strip.pieces if each.kind is OutcomeKind.OPEN]
    assert open_piece.width == pytest.approx(0.25)
    assert open_piece.x <= 100 * (gap - 1) / 1_000_000 < open_piece.x + open_piece.width + 0.001
    assert sum(each.count for each in strip.pieces) == 1_000_000


def test_the_largest_queue_is_drawn_in_bounded_pieces() -> None:
    ranges = [(2 * n, 2 * n, STORED) for n in range(1, 10_001)]

    strip = strips.strip(Ledger(ranges=ranges, generated=2**53 - 1))

    assert len(strip.pieces) <= strips.STRIP_COLUMNS_MAX
    assert strip.pieces[-1].x + strip.pieces[-1].width == pytest.approx(100, abs=0.01)
