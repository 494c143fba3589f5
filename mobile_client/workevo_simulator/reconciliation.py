"""Holding what the server has against what the fleet generated, event by event. Pure."""

import bisect
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from workevo.insight.v1 import delivery_pb2
from workevo_simulator.findings import LEDGERED, Fate, Finding, Reconciliation, Rules
from workevo_simulator.limits import OCCURRED_AT_TOLERANCE
from workevo_simulator.readback import Balance, EpochLedger, Person, Readback, StoredEvent
from workevo_simulator.truth import ContactId, EventKey, Generated
from workevo_simulator.virtual_time import micros_of

_TOLERANCE_MICROS = micros_of(OCCURRED_AT_TOLERANCE)

EpochKey = tuple[str, bytes]
Identity = tuple[ContactId, str, int]
"""(contact, name as compared, second): R6."""


_FATES: "dict[delivery_pb2.Outcome.ValueType, Fate]" = {
    delivery_pb2.OUTCOME_DUPLICATE: Fate.DUPLICATE,
    delivery_pb2.OUTCOME_ARCHIVED: Fate.ARCHIVED,
    delivery_pb2.OUTCOME_REJECTED: Fate.REJECTED,
    delivery_pb2.OUTCOME_DROPPED: Fate.DROPPED,
    delivery_pb2.OUTCOME_OPEN: Fate.OPEN,
}
_ANSWERS = {"DUPLICATE": Fate.DUPLICATE, "ARCHIVED": Fate.ARCHIVED, "REJECTED": Fate.REJECTED}
_SETTLED = (Fate.STORED, Fate.DUPLICATE, Fate.ARCHIVED, Fate.REJECTED)


def name_key(name: str) -> str:
    """R1: what two spellings of one name have in common."""
    folded = unicodedata.normalize("NFC", name.strip()).casefold()
    return unicodedata.normalize("NFC", folded)


def reconcile(generated: Sequence[Generated], readback: Readback, rules: Rules) -> Reconciliation:
    """Account for every generated event, and for everything stored."""
    found = Reconciliation(generated=len(generated))
    _judge_stored(generated, readback.people, rules, found)
    _judge_fates(generated, readback, rules, found)
    _judge_ledgers(generated, readback, found)
    _judge_installs(readback, found)
    _judge_summaries(readback.people, found)
    found.fates = Counter(found.fate_of.values())
    found.resent = sum(ledger.balance.resent for ledger in readback.ledgers.values())
    return found


def _judge_stored(
    generated: Sequence[Generated], people: Mapping[ContactId, Person], rules: Rules, found: Reconciliation
) -> None:
    """Find each stored event among the generated ones: by its place in a queue and by what it is."""
    candidates: dict[EventKey, list[int]] = defaultdict(list)
    for place, truth in enumerate(generated):
        for key in truth.keys:
            candidates[key].append(place)
    for event in (event for person in people.values() for event in person.events):
        places = candidates.get(event.key, [])
        if not places:
            found.unexpected.append(_finding("was never generated", event))
            continue
        same = (each for each in places if _is_same(generated[each], event))
        place = next(same, places[0])
        if place in found.stored_as:
            found.unexpected.append(_finding("is stored more than once", event))
            continue
        found.stored_as[place] = event
        found.differing += [_finding(what, event) for what in _differences(generated[place], event, rules)]
    found.unexpected += _copies(generated, found.stored_as, rules)


def _is_same(truth: Generated, event: StoredEvent) -> bool:
    """Enough to tell apart what two cloned phones generated in one place."""
    return truth.created_at_micros == event.created_at_micros and truth.metadata[:1] == event.metadata[:1]


def _differences(truth: Generated, event: StoredEvent, rules: Rules) -> Iterable[str]:
    if event.contact != rules.person(truth.contact):
        yield f"belongs to {rules.person(truth.contact).id!r}"
    if name_key(event.name) != name_key(truth.name):
        yield f"was named {truth.name!r}"
    if event.created_at_micros != truth.created_at_micros:
        yield f"created_at is off by {event.created_at_micros - truth.created_at_micros} µs"
    if is_placed_wrongly(truth, event):
        yield f"occurred_at is off by {(event.occurred_at_micros - truth.occurred_at_micros) / 1e6:.3f} s"
    if event.metadata != truth.metadata[: rules.metadata_keys]:
        yield "its metadata differs"


def is_placed_wrongly(truth: Generated, event: StoredEvent) -> bool:
    """By uptime, or by a clock that is right, within the time on the wire and a second (R8)."""
    if not truth.clock_is_right and event.clock_method != "UPTIME":
        return False
    return abs(event.occurred_at_micros - truth.occurred_at_micros) > truth.wire_micros + _TOLERANCE_MICROS


def _copies(
    generated: Sequence[Generated], stored: Mapping[int, StoredEvent], rules: Rules
) -> Iterable[Finding]:
    """Copies by R6 that were stored although the first one was received within the window.

    Across a merge only from then on: what was stored before it stays (R16).
    """
    window_micros = micros_of(rules.identity_window)
    first_received: dict[Identity, tuple[int, ContactId]] = {}
    for place, event in sorted(stored.items(), key=lambda each: each[1].received_at_micros):
        contact = generated[place].contact
        identity = _identity(event.contact, event.name, event.created_at_micros)
        first = first_received.get(identity)
        if first is None or event.received_at_micros >= first[0] + window_micros:
            first_received[identity] = event.received_at_micros, contact
        elif contact == first[1] or _is_merged(rules, (contact, first[1]), event.received_at_micros):
            yield _finding("is a copy by contact, name and second", event)


def _is_merged(rules: Rules, contacts: Iterable[ContactId], at_micros: int) -> bool:
    return all(rules.merged_at_micros.get(each, 0) < at_micros for each in contacts)


def _identity(contact: ContactId, name: str, created_at_micros: int) -> Identity:
    return contact, name_key(name), (created_at_micros + 500_000) // 1_000_000


def _judge_fates(
    generated: Sequence[Generated], readback: Readback, rules: Rules, found: Reconciliation
) -> None:
    """What became of each event: what is stored, else what it was answered, else what the ledger says.

    An event that was answered ACCEPTED and is not stored is missing, whatever the ledger says.
    """
    twins = {_identity(each.contact, each.name, each.created_at_micros) for each in found.stored_as.values()}
    pools = _Pools(readback, rules)
    answered = {key for event in generated for key in event.answers}
    undecided: list[int] = []
    for place, event in enumerate(generated):
        fate = Fate.STORED if place in found.stored_as else _answered_fate(event, twins, rules)
        if fate is None:
            undecided.append(place)
        else:
            found.fate_of[place] = fate
    for place, fate in found.fate_of.items():
        pools.take(_settled_key(generated[place], found.stored_as.get(place)), fate)
    # Those whose place is told first: what is left in a pool is for those of whom only counts are known.
    for place in sorted(undecided, key=lambda each: not generated[each].keys):
        event = generated[place]
        found.fate_of[place] = (
            _folded_fate(event, pools)
            if event.answers
            else _unanswered_fate(event, pools, answered, twins, rules)
        )
    for place, fate in found.fate_of.items():
        if fate is Fate.MISSING:
            found.missing.append(_missing(generated[place], readback))


def _settled_key(event: Generated, stored: StoredEvent | None) -> EventKey:
    return stored.key if stored is not None else next(iter(event.answers))


def _answered_fate(event: Generated, twins: set[Identity], rules: Rules) -> Fate | None:
    """None when it was never answered, as far as anyone heard, or is called a copy of nothing."""
    said = set(event.answers.values())
    if not said:
        return None
    if "ACCEPTED" in said:
        return Fate.MISSING
    if "DUPLICATE" in said:
        return Fate.DUPLICATE if _of(event, rules) in twins else None
    return next(fate for answer, fate in _ANSWERS.items() if answer in said)


class _Pools:
    """Of each epoch, how many sequences have an outcome that no event was given yet (R14: folded ones)."""

    def __init__(self, readback: Readback, rules: Rules) -> None:
        self._ledgers = readback.ledgers
        self._given_up = Counter(rules.given_up_by)
        self._left = {
            epoch: {fate: int(getattr(ledger.balance, fate.value)) for fate in LEDGERED}
            for epoch, ledger in readback.ledgers.items()
        }

    def take(self, key: EventKey, fate: Fate) -> bool:
        left = self._left.get(key[:2])
        if left is None or left.get(fate, 0) <= 0:
            return False
        left[fate] -= 1
        return True

    def outcome(self, key: EventKey) -> "delivery_pb2.Outcome.ValueType | None":
        ledger = self._ledgers.get(key[:2])
        return None if ledger is None else outcome_in(ledger, key[2])

    def take_given_up(self, device: str) -> bool:
        """Of an event whose place is another's, or not known: its device must say it gave one up."""
        self._given_up[device] -= 1
        return self._given_up[device] >= 0


def _folded_fate(event: Generated, pools: _Pools) -> Fate:
    """Of a repeat that was answered DUPLICATE: it may have been refused before it was folded (R14)."""
    for key in event.answers:
        if pools.outcome(key) == delivery_pb2.OUTCOME_FOLDED:
            for fate in (Fate.REJECTED, Fate.ARCHIVED):
                if pools.take(key, fate):
                    return fate
    return Fate.MISSING


def _unanswered_fate(
    event: Generated, pools: _Pools, answered: set[EventKey], twins: set[Identity], rules: Rules
) -> Fate:
    for key in event.keys:
        if key in answered:
            continue  # A cloned phone's event had this place.
        outcome = pools.outcome(key)
        if outcome == delivery_pb2.OUTCOME_FOLDED:
            possible: tuple[Fate, ...] = (Fate.DUPLICATE,) if _of(event, rules) in twins else ()
            for folded in (*possible, Fate.ARCHIVED, Fate.REJECTED, Fate.DROPPED):
                if pools.take(key, folded):
                    return folded
        fate = None if outcome is None else _FATES.get(outcome)
        if fate is Fate.DUPLICATE and _of(event, rules) not in twins:
            return Fate.MISSING
        if fate is not None:
            pools.take(key, fate)
            return fate
    if event.is_wiped:
        return Fate.WIPED
    return Fate.DROPPED if pools.take_given_up(event.device) else Fate.MISSING


def outcome_in(ledger: EpochLedger, sequence: int) -> "delivery_pb2.Outcome.ValueType | None":
    index = bisect.bisect_right(ledger.ranges, sequence, key=lambda each: each.first_sequence) - 1
    if index < 0 or ledger.ranges[index].last_sequence < sequence:
        return None
    return ledger.ranges[index].outcome


def _judge_ledgers(generated: Sequence[Generated], readback: Readback, found: Reconciliation) -> None:
    """Each ledger's sums against the events: settled ones to the last, dropped and open ones together."""
    expected = _expected_outcomes(generated, found)
    highest: dict[EpochKey, int] = defaultdict(int)
    for event in generated:
        for key in (*event.keys, *event.left_keys):
            highest[key[:2]] = max(key[2], highest[key[:2]])
    # With events whose place is not known, a queue may have given more sequences than are known here.
    unplaced_count = sum(event.unplaced for event in generated)
    for epoch, ledger in readback.ledgers.items():
        if ledger.balance.generated > highest.get(epoch, 0) + unplaced_count:
            found.imbalances.append(
                f"{_shown(epoch)}: {highest.get(epoch, 0)} were generated, the ledger says "
                f"{ledger.balance.generated}."
            )
        found.imbalances += _contradictions(epoch, expected[epoch], ledger.balance)
    for epoch in expected.keys() - readback.ledgers.keys():
        found.imbalances.append(f"{_shown(epoch)}: events were settled in it, and there is no ledger.")


def _expected_outcomes(
    generated: Sequence[Generated], found: Reconciliation
) -> Mapping[EpochKey, Counter[Fate]]:
    """By epoch, how many sequences were settled how; what was given up or never came is not among them."""
    outcomes: dict[EventKey, Fate] = {event.key: Fate.STORED for event in found.stored_as.values()}
    for place, event in enumerate(generated):
        was_refused = found.fate_of[place] in (Fate.REJECTED, Fate.ARCHIVED)
        for key, answer in event.answers.items():
            if answer in _ANSWERS:
                outcomes.setdefault(key, found.fate_of[place] if was_refused else _ANSWERS[answer])
        if event.keys and not event.answers and found.fate_of[place] in _ANSWERS.values():
            outcomes.setdefault(event.keys[0], found.fate_of[place])
    counts: dict[EpochKey, Counter[Fate]] = defaultdict(Counter)
    for key, fate in outcomes.items():
        counts[key[:2]][fate] += 1
    return counts


def _contradictions(epoch: EpochKey, expected: Mapping[Fate, int], balance: Balance) -> Iterable[str]:
    for fate in _SETTLED:
        told, count = getattr(balance, fate.value), expected.get(fate, 0)
        if told != count:
            yield f"{_shown(epoch)}: {count} {fate.value} by its events, {told} by the ledger."
    if balance.generated != sum(getattr(balance, fate.value) for fate in LEDGERED):
        yield f"{_shown(epoch)}: the ledger's own balance does not add up."


def _judge_installs(readback: Readback, found: Reconciliation) -> None:
    """The list of installs and the ledgers must tell the same."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for (install_id, _epoch), ledger in readback.ledgers.items():
        totals[install_id].update({fate.value: getattr(ledger.balance, fate.value) for fate in LEDGERED})
    for install_id, balance in readback.installs.items():
        for fate in LEDGERED:
            listed, total = getattr(balance, fate.value), totals[install_id][fate.value]
            if listed != total:
                found.imbalances.append(
                    f"install {install_id}: {total} {fate.value} by its ledger, {listed} in the list."
                )


def _judge_summaries(people: Mapping[ContactId, Person], found: Reconciliation) -> None:
    """R20: exact. Count, first and last as the person's own timeline has them."""
    for contact, person in people.items():
        moments: dict[str, list[int]] = defaultdict(list)
        for event in person.events:
            moments[name_key(event.name)].append(event.occurred_at_micros)
        told = {name_key(each.name): each for each in person.summaries}
        for name in moments.keys() | told.keys():
            times, summary = moments.get(name, []), told.get(name)
            shown = None if summary is None else (summary.count, summary.first_micros, summary.last_micros)
            if not times or shown != (len(times), min(times), max(times)):
                found.imbalances.append(
                    f"contact {contact.id!r}, {name!r}: {len(times)} events, summary {summary}."
                )


def _of(event: Generated, rules: Rules) -> Identity:
    return _identity(rules.person(event.contact), event.name, event.created_at_micros)


def _missing(event: Generated, readback: Readback) -> Finding:
    install_id, epoch, sequence = event.keys[0] if event.keys else ("", b"", 0)
    ledger = readback.ledgers.get((install_id, epoch))
    outcome = None if ledger is None else outcome_in(ledger, sequence)
    told = (
        "nothing" if outcome is None else delivery_pb2.Outcome.Name(outcome).removeprefix("OUTCOME_").lower()
    )
    answers = ", ".join(sorted(set(event.answers.values())))
    heard = f"; it was answered {answers}" if answers else ""
    what = f"{event.label} is missing; the ledger says {told}{heard}"
    return Finding(what, install_id, sequence, event.contact.id, event.name)


def _finding(what: str, event: StoredEvent) -> Finding:
    install_id, _epoch, sequence = event.key
    return Finding(what, install_id, sequence, event.contact.id, event.name)


def _shown(epoch: EpochKey) -> str:
    return f"install {epoch[0]}, epoch {epoch[1].hex()[:8]}"
