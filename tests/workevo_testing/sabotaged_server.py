"""`workevo` with one guarantee taken away: python -m workevo_testing.sabotaged_server WHICH serve …

The controls of the kill tests run it: a test that passes here as well proves nothing.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.util import await_only

from workevo_server.__main__ import main
from workevo_server.adapters.sql import replaying, sqlite_database, writer
from workevo_server.domain import admission, timestamps
from workevo_server.domain.events import ClockMethod, Event
from workevo_server.domain.judging import Candidate
from workevo_server.domain.ledger import Ledger, Outcome, OutcomeKind
from workevo_server.domain.verdicts import EventVerdict
from workevo_server.transport.grpc.turnstile import Turnstile

ANSWER_HEAD_START_SECONDS = 0.3  # So that the answer has left before the process ends.


def identity_checks_off() -> None:
    """Neither R6 nor R7 recognises anything: whatever comes is stored."""
    settle = Ledger.settle

    def settle_unless_settled(ledger: Ledger, sequence: int, outcome: Outcome) -> None:
        if ledger.outcome_of(sequence).kind is OutcomeKind.OPEN:
            settle(ledger, sequence, outcome)

    def store_again(court: Any, candidate: Candidate, _outcome: Outcome) -> EventVerdict:
        assert isinstance(candidate.judged, Event)
        stored: EventVerdict = court._store(candidate.judged)
        return stored

    patched: Any = admission._Court
    patched._known = store_again
    patched._is_copy = lambda _court, _event: False
    Ledger.settle = settle_unless_settled  # type: ignore[method-assign, assignment]


def answer_before_commit() -> None:
    """What R12 forbids: the answer leaves while its transaction is still open."""

    async def write(self: writer.Writer, group: list[Any]) -> None:
        loop = asyncio.get_running_loop()

        def work(connection: Connection) -> None:
            results = self.runner(connection, [waiting.job for waiting in group])
            for waiting, result in zip(group, results, strict=True):
                loop.call_soon_threadsafe(waiting.answer.set_result, result)
            if connection.dialect.name == "sqlite":
                time.sleep(ANSWER_HEAD_START_SECONDS)
            else:  # On the loop, which has to send the answer meanwhile.
                await_only(asyncio.sleep(ANSWER_HEAD_START_SECONDS))
            self.faults("before_commit")

        await self.database.make_room({at for each in group for at in each.job.receipts_micros})
        await self.database.transact(work, group[0].job.workspace_id)

    writer.Writer._write = write  # type: ignore[method-assign]


def uptime_misread() -> None:
    """What R8 forbids: an event is placed by its wall clock, and said to be placed by uptime."""
    place = timestamps.place

    def by_wall_clock(created_at: int, **told: Any) -> timestamps.Placement:
        placed = place(created_at, **told)
        if placed.method is not ClockMethod.UPTIME:
            return placed
        return replace(placed, occurred_at_micros=min(created_at, told["received_at_micros"]))

    timestamps.place = by_wall_clock  # type: ignore[assignment]


def forks_unnoticed() -> None:
    """What R14a forbids: an event under a sequence that another one has passes for that one."""
    patched: Any = admission._Court
    patched._is_forked = lambda _court, _candidate, _outcome: False


def replay_moves_no_ledger() -> None:
    """What R13 forbids: a replayed event is stored, and its sequence stays rejected."""
    replaying.ReplayBatch._move = lambda _batch, _row, _outcome: True  # type: ignore[method-assign, assignment]


def no_scrub() -> None:
    """What R32 forbids: what a deletion leaves in the gaps of pages stays there."""
    patched: Any = sqlite_database
    patched.scrub = lambda _file: 0


def answers_not_held() -> None:
    """The server is told to stop at any moment, and ends what it has received and not yet taken in."""

    @asynccontextmanager
    async def not_held(_turnstile: Turnstile) -> AsyncIterator[None]:
        yield

    Turnstile.held = not_held  # type: ignore[method-assign, assignment]


SABOTAGES: dict[str, Callable[[], None]] = {
    "identity-checks-off": identity_checks_off,
    "answer-before-commit": answer_before_commit,
    "answers-not-held": answers_not_held,
    "uptime-misread": uptime_misread,
    "forks-unnoticed": forks_unnoticed,
    "replay-moves-no-ledger": replay_moves_no_ledger,
    "no-scrub": no_scrub,
}

if __name__ == "__main__":
    SABOTAGES[sys.argv.pop(1)]()
    main()
