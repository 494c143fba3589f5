"""A phone in a process of its own, to be killed at a named point: see tests/journey/test_kills.py.

    python -m workevo_testing.killable_phone QUEUE TARGET KEY EVENTS LOG [POINT:N]

Tracks until EVENTS are promised, uploading every few, then flushes. In LOG, fsynced
line by line, stands what it tries (`try NAME`) and what `track` promised (`ok NAME`).
"""

import os
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from workevo_mobile import GrpcTransport, Tracker

KILLED_EXIT_CODE = 137
USER_ID = "walker"
FLUSH_EVENT_COUNT = 4


def fault_at(spec: str) -> Callable[[str], None]:
    """Ends the process as `kill -9` would, the N-th time that the point is reached."""
    at, _, nth = spec.partition(":")
    reached: Counter[str] = Counter()

    def fault(point: str) -> None:
        reached[point] += 1
        if point == at and reached[point] == int(nth):
            os._exit(KILLED_EXIT_CODE)

    return fault


class Log:
    """The app's own record of what it was promised, as durable as the queue."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self, kind: str) -> list[str]:
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{kind} ")]

    def note(self, kind: str, name: str) -> None:
        with self._path.open("a") as file:
            file.write(f"{kind} {name}\n")
            file.flush()
            os.fsync(file.fileno())


def live(queue: str, target: str, key: str, events: int, log: Log, fault: Callable[[str], None]) -> None:
    transport = GrpcTransport(target, key)
    tracker = Tracker(
        queue,
        transport=transport,
        background=False,
        fault=fault,
        flush_event_count=FLUSH_EVENT_COUNT,
        flush_interval=timedelta(hours=1),
    )
    tracker.identify(USER_ID)
    while len(log.names("ok")) < events:
        name = f"event {len(log.names('ok'))} try {len(log.names('try'))}"
        log.note("try", name)
        tracker.track(name)
        log.note("ok", name)
        tracker.step()
    while tracker.pending() and tracker.flush():
        pass
    tracker.close()


if __name__ == "__main__":
    _, queue, target, key, events, log, *point = sys.argv
    fault = fault_at(point[0]) if point else lambda _point: None
    live(queue, target, key, int(events), Log(Path(log)), fault)
