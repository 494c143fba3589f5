"""Holding what the server has against what the fleet generated, event by event. Pure."""

import bisect
import enum
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from workevo.insight.v1 import delivery_pb2
from workevo_simulator.limits import OCCURRED_AT_TOLERANCE
from workevo_simulator.readback import Balance, EpochLedger, Person, Readback, StoredEvent
from workevo_simulator.truth import EventKey, Generated
from workevo_simulator.virtual_time import micros_of

_TOLERANCE_MICROS = micros_of(OCCURRED_AT_TOLERANCE)

EpochKey = tuple[str, bytes]
Identity = tuple[str, str, int]
"""(contact, name as compared, second): R6."""


class Fate(enum.Enum):
    STORED = "stored"
    DUPLICATE = "duplicate"
    ARCHIVED = "archived"
    REJECTED = "rejected"
    DROPPED = "dropped"
    OPEN = "open"
    MISSING = "missing"


_FATES = {
    delivery_pb2.OUTCOME_ARCHIVED: Fate.ARCHIVED,
    delivery_pb2.OUTCOME_REJECTED: Fate.REJECTED,
    delivery_pb2.OUTCOME_DROPPED: Fate.DROPPED,
    delivery_pb2.OUTCOME_OPEN: Fate.OPEN,
}
_COUNTED = (Fate.STORED, Fate.DUPLICATE, Fate.ARCHIVED, Fate.REJECTED, Fate.DROPPED, Fate.OPEN)
_FOLDED_AWAY = (Fate.ARCHIVED, Fate.REJECTED, Fate.DROPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What of the workspace's settings decides on the expected outcome."""

    metadata_keys: int
    """R4: how many are kept."""
    identity_window: timedelta
    """R6; 0 when copies are not recognised."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One event, or one sum, that is not as it should be."""

    what: str
    install_id: str
    sequence: int
    contact: str
    name: str


@dataclass(slots=True)
class Reconciliation:
    """Balanced when all four lists are empty."""

    fates: Counter[Fate] = field(default_factory=Counter)
    generated: int = 0
    resent: int = 0
    missing: list[Finding] = field(default_factory=list)
    """Generated, and neither stored nor accounted for."""
    unexpected: list[Finding] = field(default_factory=list)
    """Stored, and never generated or a second time."""
    differing: list[Finding] = field(default_factory=list)
    """Stored otherwise than they were generated."""
    imbalances: list[str] = field(default_factory=list)
    """Sums of the server (ledger, summary) that its own events or the truth contradict."""

    @property
    def balanced(self) -> bool:
        return not (self.missing or self.unexpected or self.differing or self.imbalances)


def name_key(name: str) -> str:
    """R1: what two spellings of one name have in common."""
    folded = unicodedata.normalize("NFC", name.strip()).casefold()
    return unicodedata.normalize("NFC", folded)


def reconcile(generated: Sequence[Generated], readback: Readback, rules: Rules) -> Reconciliation:
    """Account for every generated event, and for everything stored."""
    found = Reconciliation(generated=len(generated))
    stored = _judge_stored(generated, readback.people, rules, found)
    _judge_epochs(generated, stored, readback, found)
    _judge_installs(readback, found)
    _judge_summaries([event for event in generated if event.key in stored], readback.people, found)
    return found


def _judge_stored(
    generated: Iterable[Generated], people: Mapping[str, Person], rules: Rules, found: Reconciliation
) -> dict[EventKey, StoredEvent]:
    truth = {event.key: event for event in generated}
    stored: dict[EventKey, StoredEvent] = {}
    for person in people.values():
        for event in person.events:
            if event.key not in truth:
                found.unexpected.append(_finding("was never generated", event))
            elif event.key in stored:
                found.unexpected.append(_finding("is stored more than once", event))
            else:
                stored[event.key] = event
                for what in _differences(truth[event.key], event, rules):
                    found.differing.append(_finding(what, event))
    found.unexpected += _copies(stored.values(), rules)
    return stored


def _differences(truth: Generated, event: StoredEvent, rules: Rules) -> Iterable[str]:
    if event.contact != truth.contact:
        yield f"belongs to {truth.contact!r}"
    if name_key(event.name) != name_key(truth.name):
        yield f"was named {truth.name!r}"
    if event.created_at_micros != truth.created_at_micros:
        yield f"created_at is off by {event.created_at_micros - truth.created_at_micros} µs"
    if abs(event.occurred_at_micros - truth.created_at_micros) > _TOLERANCE_MICROS:
        yield f"occurred_at is off by {(event.occurred_at_micros - truth.created_at_micros) / 1e6:.3f} s"
    if event.metadata != truth.metadata[: rules.metadata_keys]:
        yield "its metadata differs"


def _copies(stored: Iterable[StoredEvent], rules: Rules) -> Iterable[Finding]:
    """Copies by R6 that were stored although the first one was received within the window."""
    window_micros = micros_of(rules.identity_window)
    first_received: dict[Identity, int] = {}
    for event in sorted(stored, key=lambda each: each.received_at_micros):
        identity = _identity(event.contact, event.name, event.created_at_micros)
        first = first_received.get(identity)
        if first is not None and event.received_at_micros < first + window_micros:
            yield _finding("is a copy by contact, name and second", event)
        else:
            first_received[identity] = event.received_at_micros


def _identity(contact: str, name: str, created_at_micros: int) -> Identity:
    return contact, name_key(name), (created_at_micros + 500_000) // 1_000_000


def _judge_epochs(
    generated: Iterable[Generated],
    stored: Mapping[EventKey, StoredEvent],
    readback: Readback,
    found: Reconciliation,
) -> None:
    twins = {_identity(each.contact, each.name, each.created_at_micros) for each in stored.values()}
    by_epoch: dict[EpochKey, list[Generated]] = defaultdict(list)
    for event in generated:
        by_epoch[event.install_id, event.epoch].append(event)
    for epoch, events in by_epoch.items():
        ledger = readback.ledgers.get(epoch, EpochLedger(Balance(), ()))
        counts = _judge_epoch(events, stored, twins, ledger, found)
        found.fates += counts
        found.resent += ledger.balance.resent
        found.imbalances += _contradictions(epoch, events, counts, ledger.balance)
    for epoch in readback.ledgers.keys() - by_epoch.keys():
        if readback.ledgers[epoch].balance == Balance():
            continue  # A device may have told who uses it, and nothing else.
        found.imbalances.append(f"{_shown(epoch)}: the ledger knows it, but nothing was generated in it.")


def _judge_epoch(
    events: Iterable[Generated],
    stored: Mapping[EventKey, StoredEvent],
    twins: set[Identity],
    ledger: EpochLedger,
    found: Reconciliation,
) -> Counter[Fate]:
    counts: Counter[Fate] = Counter()
    folded: list[Generated] = []
    for event in events:
        outcome = _outcome(ledger, event.sequence)
        if event.key in stored:
            counts[Fate.STORED] += 1
        elif outcome == delivery_pb2.OUTCOME_FOLDED:
            folded.append(event)
        elif outcome == delivery_pb2.OUTCOME_DUPLICATE and _of(event) in twins:
            counts[Fate.DUPLICATE] += 1
        else:
            fate = _FATES.get(outcome, Fate.MISSING) if outcome is not None else Fate.MISSING
            counts[fate] += 1
            if fate is Fate.MISSING:
                found.missing.append(_missing(event, outcome))
    for event, fate in _folded_fates(folded, twins, counts, ledger.balance):
        counts[fate] += 1
        if fate is Fate.MISSING:
            found.missing.append(_missing(event, delivery_pb2.OUTCOME_FOLDED))
    return counts


def _folded_fates(
    folded: Sequence[Generated], twins: set[Identity], counts: Mapping[Fate, int], balance: Balance
) -> Iterable[tuple[Generated, Fate]]:
    """Of folded sequences the ledger keeps only counts: each is accounted for as long as these suffice.

    One that could be a copy is taken for one before anything else.
    """
    left = {
        fate: getattr(balance, fate.value) - counts.get(fate, 0) for fate in (Fate.DUPLICATE, *_FOLDED_AWAY)
    }
    for event in sorted(folded, key=lambda each: _of(each) not in twins):
        possible = (Fate.DUPLICATE,) if _of(event) in twins else ()
        fate = next((fate for fate in (*possible, *_FOLDED_AWAY) if left[fate] > 0), Fate.MISSING)
        if fate is not Fate.MISSING:
            left[fate] -= 1
        yield event, fate


def _outcome(ledger: EpochLedger, sequence: int) -> "delivery_pb2.Outcome.ValueType | None":
    index = bisect.bisect_right(ledger.ranges, sequence, key=lambda each: each.first_sequence) - 1
    if index < 0 or ledger.ranges[index].last_sequence < sequence:
        return None
    return ledger.ranges[index].outcome


def _contradictions(
    epoch: EpochKey, events: Sequence[Generated], counts: Mapping[Fate, int], balance: Balance
) -> Iterable[str]:
    sums = {fate.value: counts.get(fate, 0) for fate in _COUNTED}
    expected = {"generated": max(event.sequence for event in events), **sums}
    for what, count in expected.items():
        told = getattr(balance, what)
        if told != count:
            yield f"{_shown(epoch)}: {count} {what} by its events, {told} by the ledger."
    if balance.generated != sum(getattr(balance, fate.value) for fate in _COUNTED):
        yield f"{_shown(epoch)}: the ledger's own balance does not add up."


def _judge_installs(readback: Readback, found: Reconciliation) -> None:
    """The list of installs and the ledgers must tell the same."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for (install_id, _epoch), ledger in readback.ledgers.items():
        totals[install_id].update({fate.value: getattr(ledger.balance, fate.value) for fate in _COUNTED})
    for install_id, balance in readback.installs.items():
        for fate in _COUNTED:
            listed, total = getattr(balance, fate.value), totals[install_id][fate.value]
            if listed != total:
                found.imbalances.append(
                    f"install {install_id}: {total} {fate.value} by its ledger, {listed} in the list."
                )


def _judge_summaries(
    stored: Iterable[Generated], people: Mapping[str, Person], found: Reconciliation
) -> None:
    """R20: exact. Count, first and last as computed from the truth of what is stored."""
    moments: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in stored:
        moments[event.contact, name_key(event.name)].append(event.created_at_micros)
    told = {(user, name_key(each.name)): each for user, person in people.items() for each in person.summaries}
    for user, name in moments.keys() | told.keys():
        times, summary = moments.get((user, name), []), told.get((user, name))
        if summary is None or not times:
            found.imbalances.append(f"contact {user!r}, {name!r}: {len(times)} events, summary {summary}.")
        elif summary.count != len(times):
            found.imbalances.append(
                f"contact {user!r}, {name!r}: {len(times)} events, summed up as {summary.count}."
            )
        elif (
            max(abs(summary.first_micros - min(times)), abs(summary.last_micros - max(times)))
            > _TOLERANCE_MICROS
        ):
            found.imbalances.append(f"contact {user!r}, {name!r}: first or last is off in the summary.")


def _of(event: Generated) -> Identity:
    return _identity(event.contact, event.name, event.created_at_micros)


def _missing(event: Generated, outcome: "delivery_pb2.Outcome.ValueType | None") -> Finding:
    told = (
        "nothing" if outcome is None else delivery_pb2.Outcome.Name(outcome).removeprefix("OUTCOME_").lower()
    )
    what = f"line {event.line} of the log is missing; the ledger says {told}"
    return Finding(what, event.install_id, event.sequence, event.contact, event.name)


def _finding(what: str, event: StoredEvent) -> Finding:
    install_id, _epoch, sequence = event.key
    return Finding(what, install_id, sequence, event.contact, event.name)


def _shown(epoch: EpochKey) -> str:
    return f"install {epoch[0]}, epoch {epoch[1].hex()[:8]}"
