"""A ledger as one JSON document: one row of the store, whatever the number of events.

{"generated": 9, "applied_through": 4, "resent": 1, "folded": {"STORED": 3, "REJECTED
NAME_INVALID": 1}, "ranges": [[1, 4, "FOLDED"], [5, 9, "STORED"]]}
"""

import json
from functools import cache

from workevo_server.domain.events import DropReason
from workevo_server.domain.ledger import Ledger, Outcome, OutcomeKind
from workevo_server.domain.verdicts import Reason


def encode(ledger: Ledger) -> str:
    return json.dumps(
        {
            "generated": ledger.generated,
            "applied_through": ledger.applied_through,
            "resent": ledger.resent,
            "folded": {_code(outcome): count for outcome, count in ledger.folded.items()},
            "ranges": [[first, last, _code(outcome)] for first, last, outcome in ledger.known_ranges],
        },
        separators=(",", ":"),
    )


def decode(document: str) -> Ledger:
    plain = json.loads(document)
    return Ledger(
        ranges=[(first, last, _outcome(code)) for first, last, code in plain["ranges"]],
        generated=plain["generated"],
        applied_through=plain["applied_through"],
        resent=plain["resent"],
        folded={_outcome(code): count for code, count in plain["folded"].items()},
    )


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
