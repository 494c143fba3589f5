"""A device killed at any moment keeps what track() returned from, and sends nothing into the store twice."""

import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from workevo_mobile import Tracker
from workevo_testing.mobile_fakes import FakeTransport
from workevo_testing.mobile_victim import JournalServer

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Aftermath:
    promised: dict[int, str]
    """By sequence: the events that track() had returned from."""
    pending: int
    """Rows in the queue when it was opened again."""
    answered: int
    """Events that the server had stored by then."""
    stored: dict[int, str]
    counts: Counter[int]


def killed(directory: Path, point: str, count: int, *extra: str) -> Aftermath:
    queue, journal = directory / "queue.db", directory / "journal"
    victim = subprocess.run(
        [sys.executable, "-m", "workevo_testing.mobile_victim", queue, journal, point, str(count), *extra],
        cwd=TESTS,
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
        text=True,
    )
    assert victim.returncode == -signal.SIGKILL
    promised = {int(line.split()[0]): line.split(maxsplit=1)[1] for line in victim.stdout.splitlines()}
    return recovered(queue, JournalServer(journal), promised)


def recovered(queue: Path, server: JournalServer, promised: dict[int, str]) -> Aftermath:
    tracker = Tracker(queue, transport=FakeTransport(server), background=False)
    pending, answered = tracker.pending(), len(server.stored)
    assert tracker.flush()
    next_sequence = tracker.track("after the restart")
    assert tracker.flush()
    tracker.close()
    stored = {event.sequence: event.name for _, event in server.stored}
    assert stored.pop(next_sequence) == "after the restart"
    counts = Counter(event.sequence for _, event in server.stored)
    return Aftermath(promised, pending, answered, stored, counts)


POINTS = ("before_row", "after_row", "before_settle", "after_settle", "before_store", "after_store")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("count", [1, 4])
def test_a_killed_device_loses_nothing_it_promised_and_repeats_nothing(
    tmp_path: Path, point: str, count: int
) -> None:
    """R12 on the device's side; R7 absorbs what is sent again."""
    after = killed(tmp_path, point, count)

    assert after.promised.items() <= after.stored.items()
    assert set(after.counts.values()) == {1}
    unpromised = set(after.stored) - set(after.promised)
    assert len(unpromised) == (1 if point == "after_row" else 0)


def test_a_row_that_was_not_committed_takes_no_sequence(tmp_path: Path) -> None:
    after = killed(tmp_path, "before_row", 3)

    assert after.promised == after.stored == {1: "event 0", 2: "event 1"}
    assert after.counts[3] == 1, "the first event after the restart"


def test_an_answer_is_applied_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()

    before = killed(tmp_path / "before", "before_settle", 1)
    after = killed(tmp_path / "after", "after_settle", 1)

    assert (before.pending, before.answered) == (5, 5)
    assert (after.pending, after.answered) == (0, 5)


def test_the_control_that_settles_before_the_answer_loses_events(tmp_path: Path) -> None:
    after = killed(tmp_path, "before_store", 2, "hasty")

    assert set(after.promised) - set(after.stored) == {6, 7, 8, 9, 10}
