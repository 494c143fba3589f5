"""Every state that two phones, a network and a server can come to, and the promises held against each.

The rules that run are the product's own: `policy.plan`, `failures`, `settlement` and the caps on the phone,
`decide` and `Ledger` on the server (R6, R7, R11, R14, R14a). Values stand for the rest: a queue that is a
value (`memory_queue`, which `test_queue_machine` holds to the real file), requests and answers on their
way, the server's books. Time is left out of the state: what is held or backed off may be over at any
moment.

From each state everything that may happen is tried: an event of any kind is tracked, the app killed before
a commit, an upload sent, lost, repeated, delivered late or twice, its answer lost, heard, or heard and not
applied, the queue cloned, backed up, restored with the marker or without. Breadth first, so the first
broken promise that is met is at the end of a shortest way to it. What must hold is in `World.broken`,
`Judge.answer` and `device`: no committed event is anywhere but queued, with the server, given up and
confessed, or in a queue that a backup overwrote; none is stored twice; a settled sequence keeps its
outcome; the balance adds up, and the ledger has what the store has; nothing leaves the phone but by its own
verdict; only what is bad is refused; at rest nothing is open.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from model.device import Rules
from model.judge import Judge, Kind
from model.memory_queue import MemoryQueue
from model.search import Found, Trace, search
from model.world import Bounds, World
from workevo_mobile.errors import QueueFull
from workevo_mobile.moments import Moment
from workevo_mobile.queue import Appended, Draft
from workevo_mobile.settlement import Settlement
from workevo_server.domain import admission
from workevo_server.domain.events import DropReason
from workevo_server.domain.ledger import Ledger, Outcome, OutcomeKind, Range

GOOD = (Kind.GOOD,)
EVERY = tuple(Kind)


def visited(bounds: Bounds, **taken: Any) -> Found:
    found = search(World(bounds, **taken))
    print(bounds, found)  # noqa: T201  # Shown by `pytest -rP`.
    return found


@pytest.mark.parametrize(
    ("bounds", "states_min"),
    [
        (Bounds(events=3, kinds=GOOD, copies=1), 50_000),
        (Bounds(events=2, kinds=(Kind.GOOD, Kind.TWIN, Kind.BAD, Kind.OLD), copies=1), 10_000),
        (Bounds(events=2, kinds=EVERY, copies=0), 5_000),
    ],
)
def test_the_promises_hold_in_every_state(bounds: Bounds, states_min: int) -> None:
    found = visited(bounds)

    assert found.trace is None, found.trace
    assert found.state_count >= states_min


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(events=3, kinds=EVERY, copies=0),
        Bounds(events=3, kinds=(Kind.GOOD, Kind.BAD), copies=1),
        Bounds(events=3, kinds=(Kind.GOOD, Kind.TWIN, Kind.OLD), copies=1, has_strays=False),
        Bounds(events=3, kinds=GOOD, copies=2),
    ],
)
def test_the_promises_hold_in_every_state_of_larger_worlds(bounds: Bounds) -> None:
    found = visited(bounds)

    assert found.trace is None, found.trace


# Planted faults: each is found, by a shortest way ---------------------------


def shortest_way(rules: Rules | None = None, judge: Judge | None = None, *, events: int = 3) -> Trace:
    bounds = Bounds(events=events, kinds=GOOD, copies=1)
    found = visited(bounds, rules=rules or Rules(), judge=judge or Judge())
    assert found.trace is not None
    print(found.trace)  # noqa: T201
    return found.trace


class DeletesOnWatermark(MemoryQueue):
    """What R14 forbids: whatever lies below the first gap goes, without a verdict of its own."""

    def settle(self, settlement: Settlement, now: Moment) -> None:
        super().settle(settlement, now)
        if settlement.is_answer:
            watermark = (
                settlement.gaps[0].first - 1 if settlement.gaps else self.last_sequence(settlement.epoch)
            )
            stay = [
                kept
                for kept in self.state.rows
                if kept.epoch != settlement.epoch or kept.sequence > watermark
            ]
            self._change(rows=tuple(stay))


class CountsBeforeItCommits(MemoryQueue):
    """What R7 forbids: the sequence is taken outside the transaction that puts the row into the queue."""

    def append(self, drafts: Sequence[Draft]) -> list[Appended | QueueFull]:
        before = self.state
        try:
            return super().append(drafts)
        except BaseException:
            taken = dict(before.last_sequences)
            taken[before.epoch] += len(drafts)
            self.state = before
            self._change(last_sequences=tuple(sorted(taken.items())))
            raise


class CountsDropsTwice(Ledger):
    """What R14 forbids: a drop that is told again, as it is after a lost answer, counts again."""

    def drop(self, ranges: Sequence[tuple[int, int, DropReason]]) -> Sequence[Range]:
        for first, last, reason in ranges:
            again = [n for n in range(first, last + 1) if self.outcome_of(n).kind is not OutcomeKind.OPEN]
            self.folded[Outcome(OutcomeKind.DROPPED, drop_reason=reason)] += len(again)
        return super().drop(ranges)


def test_deleting_on_the_watermark_is_found() -> None:
    trace = shortest_way(Rules(queue_type=DeletesOnWatermark))

    assert "was deleted without a verdict" in trace.broken
    assert len(trace.steps) == 5


def test_a_sequence_taken_outside_the_rows_transaction_is_found() -> None:
    trace = shortest_way(Rules(queue_type=CountsBeforeItCommits))

    assert trace.broken == "1 sequences were given to 0 events"
    assert trace.steps == ("A is killed while it tracks event 0, before the commit",)


def test_a_server_that_compares_no_epochs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    court: Any = admission._Court
    monkeypatch.setattr(court, "_is_forked", lambda _court, _candidate, _outcome: False)

    trace = shortest_way()

    assert "was committed, and is neither queued, nor with the server, nor given up" in trace.broken
    assert len(trace.steps) == 8
    assert "clone" in " ".join(trace.steps)


def test_a_drop_that_is_counted_twice_is_found() -> None:
    trace = shortest_way(judge=Judge(ledger_type=CountsDropsTwice))

    assert "the balance does not hold" in trace.broken
    assert len(trace.steps) == 6
