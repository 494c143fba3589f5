"""A device that kills itself (SIGKILL) when it comes to a named point for the n-th time.

`python -m workevo_testing.mobile_victim QUEUE JOURNAL POINT COUNT [hasty]`: each
line on standard output is an event that `track` has returned from.
"""

import os
import random
import signal
import sys
from datetime import timedelta
from pathlib import Path

from workevo.tracking.v1 import event_pb2, tracking_pb2
from workevo_mobile import SystemClocks, Tracker
from workevo_mobile.clocks import read_moment
from workevo_mobile.settlement import Settlement
from workevo_testing.mobile_fakes import ACCEPTED, FakeTransport, HonestServer, Identity

EVENTS = 40


class JournalServer(HonestServer):
    """An honest server whose memory is a file, written before it answers."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        if path.exists():
            for line in path.read_text().splitlines():
                self._recall(line)

    def upload_events(self, request: tracking_pb2.UploadEventsRequest) -> tracking_pb2.UploadEventsResponse:
        known = len(self.stored)
        response = super().upload_events(request)
        with self._path.open("a") as journal:
            journal.writelines(
                f"{install_id} {epoch.hex()} {event.SerializeToString().hex()}\n"
                for (install_id, epoch, _), event in self.stored[known:]
            )
            journal.flush()
            os.fsync(journal.fileno())
        return response

    def _recall(self, line: str) -> None:
        install_id, epoch, body = line.split()
        event = event_pb2.Event.FromString(bytes.fromhex(body))
        identity: Identity = (install_id, bytes.fromhex(epoch), event.sequence)
        self.stored.append((identity, event))
        self.outcomes[identity] = (ACCEPTED, event)


def settle_everything(tracker: Tracker) -> None:
    """The control: what is about to be sent leaves the queue as if it had been accepted."""
    now = read_moment(SystemClocks())
    rows = tracker._queue.waiting(now, rows_max=500).rows
    tracker._queue.settle(Settlement(epoch=tracker.epoch, done=rows), now)


def main(queue: str, journal: str, point: str, count: str, *rest: str) -> None:
    remaining = [int(count)]

    def die_at(reached: str) -> None:
        if reached == point:
            remaining[0] -= 1
            if remaining[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def pass_through(before: bool) -> None:
        if before and rest == ("hasty",):
            settle_everything(tracker)
        die_at("before_store" if before else "after_store")

    transport = FakeTransport(JournalServer(Path(journal)), fate=pass_through)
    tracker = Tracker(
        queue,
        transport=transport,
        chance=random.Random(int(count)),
        flush_event_count=5,
        flush_interval=timedelta(hours=1),
        background=False,
        fault=die_at,
    )
    for number in range(EVENTS):
        name = f"event {number}"
        sequence = tracker.track(name)
        os.write(1, f"{sequence} {name}\n".encode())
        tracker.step()


if __name__ == "__main__":
    main(*sys.argv[1:])
