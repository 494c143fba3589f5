"""How large the ledger of one install grows (R14) when outcomes alternate, so that none joins another."""

import pytest

from workevo_server.adapters.sql import ledger_document
from workevo_server.domain import limits
from workevo_server.domain.ledger import STORED, Ledger, Outcome, OutcomeKind
from workevo_server.domain.verdicts import Reason

REJECTED = Outcome(OutcomeKind.REJECTED, reason=Reason.NAME_INVALID)


def alternate(ledger: Ledger, first: int, count: int) -> None:
    """Settle the sequences of one upload, stored and rejected by turns; nothing of it is put off."""
    ledger.tell(first + count - 1)
    for sequence in range(first, first + count):
        assert not ledger.opens_too_many_gaps(sequence)
        ledger.settle(sequence, STORED if sequence % 2 else REJECTED)


def largest_document(count: int, *, upload_events: int, tells: bool) -> tuple[int, Ledger]:
    """Write and read the ledger with every upload, as the store does; the most bytes it ever had.

    A device that `tells` says in each upload that it has applied the answers to those before:
    it cannot know the one that is still to come, so one upload is never folded yet.
    """
    document, bytes_most = ledger_document.encode(Ledger()), 0
    for first in range(1, count + 1, upload_events):
        ledger = ledger_document.decode(document)
        alternate(ledger, first, upload_events)
        ledger.apply(first - 1 if tells else 0)
        document = ledger_document.encode(ledger)
        bytes_most = max(bytes_most, len(document))
    return bytes_most, ledger_document.decode(document)


@pytest.mark.parametrize("count", [200_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_any_number_of_alternating_outcomes_never_take_4_kib_and_none_is_refused(count: int) -> None:
    """R14; with the largest uploads that there are."""
    bytes_most, ledger = largest_document(count, upload_events=limits.UPLOAD_EVENTS_MAX, tells=True)

    assert bytes_most < 4096
    balance = ledger.balance()
    assert (balance.stored, balance.rejected, balance.open) == (count // 2, count // 2, 0)


def test_the_control_that_never_tells_is_larger_and_bounded_and_none_is_refused() -> None:
    count = 40_000
    bytes_most, ledger = largest_document(count, upload_events=limits.UPLOAD_EVENTS_MAX, tells=False)

    assert 4096 < bytes_most < 8 * (limits.LEDGER_RANGES_MAX + limits.UPLOAD_EVENTS_MAX)
    balance = ledger.balance()
    assert (balance.stored, balance.rejected, balance.open) == (count // 2, count // 2, 0)
