"""What a device told that it will not send: closed in its ledger (R14), counted by name (R23)."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence

from workevo_server.domain import limits, naming
from workevo_server.domain.events import DroppedRange, DropReason
from workevo_server.domain.identifiers import NameKey
from workevo_server.domain.ledger import Ledger, first_wins

_BY_NAME = frozenset({DropReason.ARCHIVED, DropReason.DISABLED})


def unsent_name(dropped: DroppedRange) -> NameKey | None:
    """The name that a device did not send as client_config told it to (R23); None for every other drop."""
    if dropped.reason in _BY_NAME and 1 <= len(dropped.name) <= limits.NAME_CODE_POINTS_MAX:
        return naming.name_key(dropped.name)
    return None


def close_drops(told: Sequence[DroppedRange], ledger: Ledger) -> Counter[tuple[NameKey, DropReason]]:
    """Close what was dropped, and count by name what had no outcome yet."""
    disjoint = first_wins([(each.first_sequence, each.last_sequence, each) for each in told])
    starts = [first for first, _, _ in disjoint]
    unsent: Counter[tuple[NameKey, DropReason]] = Counter()
    for first, last, _ in ledger.drop([(first, last, each.reason) for first, last, each in disjoint]):
        dropped = disjoint[bisect_right(starts, first) - 1][2]
        name_key = unsent_name(dropped)
        if name_key is not None:
            unsent[name_key, dropped.reason] += last - first + 1
    return unsent
