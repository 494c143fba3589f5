"""A ledger as one JSON document: one row of the store, whatever the number of events.

{"generated": 11, "applied_through": 4, "resent": 1, "folded": {"STORED": 3, "REJECTED
NAME_INVALID": 1}, "codes": ["FOLDED", "STORED"], "ranges": [0, 4, 0, 2, 5, 1]}

A range is three numbers: how many open sequences lie before it, how many it has, and
which of the codes is theirs; here 1 to 4 are folded, 5 and 6 open, 7 to 11 stored. So a
full upload of alternating outcomes costs six bytes an event until the next one folds it.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from workevo_server.domain.events import DropReason
from workevo_server.domain.ledger import Ledger, Outcome, OutcomeKind, Range
from workevo_server.domain.verdicts import Reason


def encode(ledger: Ledger) -> str:
    codes: dict[Outcome, int] = {}
    numbers: list[int] = []
    known_through = 0
    for first, last, outcome in ledger.known_ranges:
        code = codes.setdefault(outcome, len(codes))
        numbers += (first - known_through - 1, last - first + 1, code)
        known_through = last
    return json.dumps(
        {
            "generated": ledger.generated,
            "applied_through": ledger.applied_through,
            "resent": ledger.resent,
            "folded": {_code(outcome): count for outcome, count in ledger.folded.items()},
            "codes": [_code(outcome) for outcome in codes],
            "ranges": numbers,
        },
        separators=(",", ":"),
    )


def decode(document: str) -> Ledger:
    plain = json.loads(document)
    return Ledger(
        ranges=_ranges(plain["ranges"], [_outcome(code) for code in plain.get("codes", ())]),
        generated=plain["generated"],
        applied_through=plain["applied_through"],
        resent=plain["resent"],
        folded={_outcome(code): count for code, count in plain["folded"].items()},
    )


def totals(ledger: Ledger) -> dict[str, int]:
    """The columns of `ledgers` that say in numbers what its document says."""
    balance = ledger.balance()
    return {
        "generated_count": balance.generated,
        "stored_count": balance.stored,
        "duplicate_count": balance.duplicate,
        "archived_count": balance.archived,
        "rejected_count": balance.rejected,
        "dropped_count": balance.dropped,
        "open_count": balance.open,
        "resent_count": balance.resent,
        "trouble_count": balance.open + balance.dropped,
    }


def _ranges(numbers: Sequence[Any], outcomes: Sequence[Outcome]) -> Iterator[Range]:
    """Those of the first documents too, which were lists of first, last and code."""
    if not outcomes:
        yield from ((first, last, _outcome(code)) for first, last, code in numbers)
        return
    known_through = 0
    for gap, length, code in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        first, known_through = known_through + gap + 1, known_through + gap + length
        yield first, known_through, outcomes[code]


def _code(outcome: Outcome) -> str:
    detail = outcome.reason or outcome.drop_reason
    return f"{outcome.kind.value} {detail.value}" if detail else outcome.kind.value


@cache
def _outcome(code: str) -> Outcome:
    kind_name, _, detail = code.partition(" ")
    kind = OutcomeKind(kind_name)
    return Outcome(
        kind,
        reason=Reason(detail) if kind is OutcomeKind.REJECTED else None,
        drop_reason=DropReason(detail) if kind is OutcomeKind.DROPPED else None,
    )
