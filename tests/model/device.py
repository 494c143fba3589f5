"""One phone as a value: its queue, the call that is on its way, and what the failed calls taught it.

What it does is the product's own: `policy.plan` chooses the call, `settlement` reads
the answer, `failures` learns. Time is not in the state: a flush has been asked for, and
whatever was held or backed off may be over at any moment.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from model.judge import Kind, Request, Token, token_of
from model.memory_queue import Kept, MemoryQueue, QueueState
from workevo_mobile import failures, policy, settlement
from workevo_mobile.caps import Caps
from workevo_mobile.drop_reason import DropReason
from workevo_mobile.failures import Failure, FailureKind
from workevo_mobile.moments import Moment
from workevo_mobile.policy import Asked, Call, Progress, Triggers
from workevo_mobile.queue import Appended, Draft
from workevo_mobile.settlement import Answer, Settlement, Verdict

NOW = Moment(wall_micros=1_700_000_000_000_000, uptime_millis=1_000_000, boot_id="boot")
LATER = Moment(wall_micros=1_700_000_000_000_000 + 7_200_000_000, uptime_millis=8_200_000, boot_id="boot")
"""Every wait is over."""

_FLUSH = Asked(rows_through=1_000, drops_through=1_000)
_CHANCE = random.Random(1)  # Of backoffs, whose length is not in the state.
_FINAL = (Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.ARCHIVED, Verdict.REJECTED)


class Killed(Exception):
    """The process ended here."""


@dataclass(frozen=True, slots=True)
class Flight:
    """A call that the device waits for; with `answer` the server has done its work, `refused` as a whole."""

    call: Call
    request: Request
    told_drops: tuple[int, ...]
    answer: Answer | None = None
    refused: bool = False

    @property
    def has_arrived(self) -> bool:
        return self.answer is not None or self.refused


@dataclass(frozen=True, slots=True)
class Device:
    name: str
    queue: QueueState
    epochs_begun: int = 0
    """By this phone, whatever backups it was set back to: the next one is another one always."""
    flight: Flight | None = None
    progress: Progress = Progress()  # noqa: RUF009  # Frozen.


@dataclass(frozen=True, slots=True)
class Move:
    """One thing that may happen to a phone by itself. A `broken` one is the end: a promise does not hold."""

    words: str
    device: Device | None = None
    tracked: Token | None = None
    given_up: int = 0
    """The events that the device gave up in it, as bits by their numbers."""
    left_behind: Request | None = None
    """A call that the device waits for no more and that may still arrive."""
    broken: str = ""


Settle = Callable[..., Settlement | None]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the device decides by: the product's own, unless a fault is planted."""

    queue_type: type[MemoryQueue] = MemoryQueue
    settle: Settle = settlement.settle_upload
    caps: Caps = Caps(count=2)  # noqa: RUF009  # Frozen.


def events_in(rows: Sequence[Kept]) -> int:
    """As bits by their numbers."""
    return sum((1 << token_of(kept.body).number for kept in rows), 0)


class Phone:
    """A device on the bench: applies verbs of the queue to it, and says what came of them."""

    def __init__(self, device: Device, rules: Rules, *, kill_at: str = "") -> None:
        self.device = device
        self._rules = rules
        self._kill_at = kill_at
        self._begun = device.epochs_begun
        self.queue = rules.queue_type(
            device.queue, new_epoch=self._new_epoch, caps=rules.caps, fault=self._fault
        )

    def _new_epoch(self) -> bytes:
        self._begun += 1
        return f"{self.device.name}{self._begun}".encode()

    def _fault(self, point: str) -> None:
        if point == self._kill_at:
            self._begun = self.device.epochs_begun  # An epoch that was never committed was never there.
            raise Killed

    def after(self, *, flight: Flight | None = None, progress: Progress | None = None) -> Device:
        progress = self.device.progress if progress is None else progress
        queue = _renumbered(self.queue.state)
        return Device(self.device.name, queue, self._begun, flight, _timeless(progress))


def _renumbered(state: QueueState) -> QueueState:
    """With waits that count from one: their numbers mean nothing and would grow without end."""
    if not state.waits:
        return state
    numbers = {wait_id: number for number, (wait_id, _) in enumerate(state.waits, 1)}
    return replace(
        state,
        rows=tuple(kept._replace(wait_id=numbers.get(kept.wait_id or 0)) for kept in state.rows),
        waits=tuple((numbers[wait_id], wait) for wait_id, wait in state.waits),
    )


def _timeless(progress: Progress) -> Progress:
    return replace(progress, failures=0, rest=None, backs_off=False)


def moves(device: Device, rules: Rules, tokens: Sequence[Token]) -> Iterator[Move]:
    """All that may happen to the phone by itself; `tokens` are the events that may be tracked next."""
    for token in tokens:
        yield from _track(device, rules, token)
    if device.flight is None:
        yield from _send(device, rules)
    else:
        yield from _end_of_flight(device, rules, device.flight)
    if device.progress != Progress():
        yield Move("is killed and starts again", Phone(device, rules).after(progress=Progress()))


# Tracking -------------------------------------------------------------------


def _track(device: Device, rules: Rules, token: Token) -> Iterator[Move]:
    words = f"tracks {told(token)}"
    yield _tracked(device, rules, token, words, kill_at="")
    if token.kind is Kind.GOOD:  # What an event is like cannot matter to a process that ends.
        yield _tracked(device, rules, token, f"is killed while it {words}, before the commit", "before_row")


def _tracked(device: Device, rules: Rules, token: Token, words: str, kill_at: str) -> Move:
    phone = Phone(device, rules, kill_at=kill_at)
    before = device.queue
    try:
        (appended,) = phone.queue.append([Draft(body=token.body, user_id=None, moment=NOW)])
    except Killed:
        broken = _sequence_without_event(before, phone.queue.state)
        return Move(words, phone.after(progress=Progress()), broken=broken)
    assert isinstance(appended, Appended)
    gone = [kept for kept in before.rows if kept not in phone.queue.state.rows]
    broken = _sequence_without_event(before, phone.queue.state) or _unconfessed(gone, phone.queue.state)
    words = f"{words} as {_place(appended.epoch, appended.sequence)}"
    if gone:
        words += f" and gives up {', '.join(told(token_of(kept.body)) for kept in gone)} at its cap"
    return Move(
        words, phone.after(flight=device.flight), tracked=token, given_up=events_in(gone), broken=broken
    )


def _sequence_without_event(before: QueueState, after: QueueState) -> str:
    """R7, R14: a sequence is given with its event, or not at all; else the balance counts what never was."""
    given = sum(last for _, last in after.last_sequences) - sum(last for _, last in before.last_sequences)
    came = sum(kept not in before.rows for kept in after.rows)
    return "" if given == came else f"{given} sequences were given to {came} events"


def _unconfessed(gone: Sequence[object], state: QueueState) -> str:
    for kept in gone:
        place = (kept.epoch, kept.sequence)  # type: ignore[attr-defined]
        if not any(
            drop.epoch == place[0] and drop.sequences.first <= place[1] <= drop.sequences.last
            for drop in state.drops
        ):
            return f"{_place(*place)} was given up and is not confessed"
    return ""


# Calling --------------------------------------------------------------------


def planned(device: Device, rules: Rules, now: Moment) -> tuple[Call, MemoryQueue] | None:
    queue = Phone(device, rules).queue
    waiting = queue.waiting(now, rows_max=500)
    call = policy.plan(waiting, device.progress, _FLUSH, Triggers(), now)
    return (call, queue) if isinstance(call, Call) else None


def _send(device: Device, rules: Rules) -> Iterator[Move]:
    found = [planned(device, rules, now) for now in (NOW, LATER)]
    calls = [
        pair for index, pair in enumerate(found) if pair is not None and pair[0] not in _calls(found[:index])
    ]
    for call, queue in calls:
        parcel = queue.parcel(call)
        events = tuple(
            (row.sequence, token_of(body)) for row, body in zip(parcel.rows, parcel.bodies, strict=True)
        )
        request = Request(
            epoch=call.epoch,
            events=events,
            last_sequence=parcel.last_sequence,
            applied_through=parcel.applied_through,
            dropped=tuple((d.sequences.first, d.sequences.last, d.reason.value) for d in parcel.drops),
        )
        flight = Flight(call, request, tuple(drop.drop_id for drop in parcel.drops))
        yield Move(f"sends {described(request)}", replace(device, flight=flight))


def _calls(found: Sequence[tuple[Call, MemoryQueue] | None]) -> list[Call]:
    return [pair[0] for pair in found if pair is not None]


def _end_of_flight(device: Device, rules: Rules, flight: Flight) -> Iterator[Move]:
    if not flight.has_arrived:
        unheard = _failed(device, rules, flight.call, FailureKind.UNAVAILABLE)
        yield Move("its request is lost", unheard)
        yield Move(
            "gives its call up while the request is still on its way", unheard, left_behind=flight.request
        )
        return
    if flight.refused:
        yield _refused(device, rules, flight.call)
    else:
        yield _delivered(device, rules, flight, kill_at="")
        yield _delivered(device, rules, flight, kill_at="before_settle")
    yield Move("its answer is lost", _failed(device, rules, flight.call, FailureKind.UNAVAILABLE))


def _failed(device: Device, rules: Rules, call: Call, kind: FailureKind) -> Device:
    consequence = failures.after_failure(device.progress, call, Failure(kind=kind), now=NOW, chance=_CHANCE)
    assert consequence.quarantine is None
    return Phone(device, rules).after(progress=consequence.progress)


def _refused(device: Device, rules: Rules, call: Call) -> Move:
    failure = Failure(kind=FailureKind.TOO_LARGE)
    consequence = failures.after_failure(device.progress, call, failure, now=NOW, chance=_CHANCE)
    phone = Phone(device, rules)
    if consequence.quarantine is not None:
        phone.queue.settle(settlement.quarantined(consequence.quarantine), NOW)
    gone = [kept for kept in device.queue.rows if kept not in phone.queue.state.rows]
    broken = _unconfessed(gone, phone.queue.state) or _blamed(gone, {Kind.GIANT})
    words = "hears that its upload is too large"
    return Move(words, phone.after(progress=consequence.progress), given_up=events_in(gone), broken=broken)


def _delivered(device: Device, rules: Rules, flight: Flight, *, kill_at: str) -> Move:
    assert flight.answer is not None
    settled = rules.settle(flight.call, flight.answer, told_drops=flight.told_drops)
    words = f"hears {heard(flight)}"
    if settled is None:
        return Move(words, broken="an honest answer was not believed")
    phone = Phone(device, rules, kill_at=kill_at)
    try:
        phone.queue.settle(settled, NOW)
    except Killed:
        return Move(f"{words}, and is killed before the commit", phone.after(progress=Progress()))
    broken = _deleted_without_verdict(device.queue, phone.queue.state, flight) or _misjudged(
        phone.queue.state, flight
    )
    progress = failures.after_answer(device.progress, flight.call)
    lost = [drop for drop in phone.queue.state.drops if drop.reason is DropReason.CORRUPT]
    if lost:
        broken = (
            broken or f"{_place(lost[0].epoch, lost[0].sequences.first)} is confessed as lost and never was"
        )
    return Move(words, phone.after(progress=progress), broken=broken)


def _deleted_without_verdict(before: QueueState, after: QueueState, flight: Flight) -> str:
    """R14: only events of the answered upload go, each by its own verdict."""
    assert flight.answer is not None
    results = {result.index: result for result in flight.answer.results}
    final = {
        row.position
        for index, row in enumerate(flight.call.rows)
        if index not in results or results[index].verdict in _FINAL
    }
    stay = {kept.position for kept in after.rows}
    for kept in before.rows:
        if kept.position not in stay and kept.position not in final:
            return f"{told(token_of(kept.body))} was deleted without a verdict"
    told_ids = set(flight.told_drops)
    left = {drop.drop_id for drop in after.drops}
    if any(drop.drop_id not in left | told_ids and not _joined(drop, after) for drop in before.drops):
        return "a dropped range was forgotten that no answered upload carried"
    return ""


def _joined(drop: object, after: QueueState) -> bool:
    sequences = drop.sequences  # type: ignore[attr-defined]
    return any(
        other.sequences.first <= sequences.first and sequences.last <= other.sequences.last
        for other in after.drops
    )


def _misjudged(state: QueueState, flight: Flight) -> str:
    """One bad event harms no other: only what is bad itself is a dead letter."""
    for letter in state.letters:
        token = token_of(letter.body)
        if token.kind not in (Kind.BAD, Kind.GIANT):
            return f"{told(token)} was refused ({letter.reason}), though nothing is wrong with it"
    return ""


def _blamed(gone: Sequence[object], kinds: set[Kind]) -> str:
    for kept in gone:
        token = token_of(kept.body)  # type: ignore[attr-defined]
        if token.kind not in kinds:
            return f"{told(token)} was put aside, though nothing is wrong with it"
    return ""


# In words -------------------------------------------------------------------


def told(token: Token) -> str:
    return (
        f"event {token.number}" if token.kind is Kind.GOOD else f"event {token.number} ({token.kind.value})"
    )


def _place(epoch: bytes, sequence: int) -> str:
    return f"{epoch.decode()}/{sequence}"


def described(request: Request) -> str:
    parts = [f"{_place(request.epoch, sequence)} = {told(token)}" for sequence, token in request.events]
    parts += [f"{_place(request.epoch, a)}-{b} dropped {reason}" for a, b, reason in request.dropped]
    return ", ".join(parts) or "nothing"


def heard(flight: Flight) -> str:
    assert flight.answer is not None
    results = {result.index: result for result in flight.answer.results}
    parts = []
    for index, row in enumerate(flight.call.rows):
        result = results.get(index)
        reason = f" {result.reason}" if result is not None and result.reason else ""
        verdict = "ACCEPTED" if result is None else result.verdict.value
        parts.append(f"{_place(row.epoch, row.sequence)} {verdict}{reason}")
    return ", ".join(parts) or "that its drops are noted"


def is_at_rest(device: Device, rules: Rules) -> bool:
    """Nothing on its way, and nothing to send however long it waits."""
    return device.flight is None and planned(device, rules, LATER) is None
