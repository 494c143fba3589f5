"""No screen waits for a disk: what `track` returns, and what a slow or full disk does to it."""

import asyncio
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from workevo_mobile import (
    AsyncTracker,
    Caps,
    InvalidEvent,
    QueueFull,
    QueueUnavailable,
    Receipt,
    Tracker,
    limits,
)
from workevo_testing.mobile_fakes import FakeTransport, HonestServer

SECOND = timedelta(seconds=1)
SLOW_FSYNC_SECONDS = 0.15


class Disk:
    """Holds every commit as long as it is told to, as an fsync does; the commit is not made before."""

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds
        self.free = threading.Event()
        self.free.set()
        self.commits = 0

    def __call__(self, point: str) -> None:
        if point == "before_row":
            time.sleep(self.seconds)
            self.free.wait(30)
            self.commits += 1


def opened(path: Path, disk: Disk, **options: object) -> Tracker:
    transport = FakeTransport(HonestServer())
    return Tracker(path, transport=transport, fault=disk, **options)  # type: ignore[arg-type]


def waits_of(tracker: Tracker, count: int) -> list[float]:
    waits = []
    for _ in range(count):
        began = time.perf_counter()
        tracker.track("tapped")
        waits.append(time.perf_counter() - began)
        time.sleep(0.002)
    return waits


def test_however_long_the_disk_takes_no_caller_waits_for_it(tmp_path: Path) -> None:
    disk = Disk()
    tracker = opened(tmp_path / "queue.db", disk, flush_event_count=10_000, flush_interval=60 * SECOND)
    disk.free.clear()

    receipts = [tracker.track("tapped") for _ in range(200)]

    assert all(receipt.is_pending for receipt in receipts)
    disk.free.set()
    tracker.close()
    again = opened(tmp_path / "queue.db", Disk(), background=False)
    assert again.pending() == 200, "closing commits what was handed over"
    again.close()


def test_the_control_that_waits_for_the_commit_is_slow(tmp_path: Path) -> None:
    tracker = opened(tmp_path / "queue.db", Disk(SLOW_FSYNC_SECONDS), commit_wait=None)

    assert min(waits_of(tracker, 3)) > 0.1
    tracker.close()


def test_what_waits_together_is_committed_together(tmp_path: Path) -> None:
    disk = Disk()
    tracker = opened(tmp_path / "queue.db", disk)
    disk.free.clear()
    receipts = [tracker.hand_over("tapped") for _ in range(100)]
    disk.free.set()

    assert [receipt.wait(10 * SECOND) for receipt in receipts] == list(range(1, 101))
    assert disk.commits <= 2
    tracker.close()


def test_a_receipt_is_the_sequence_once_it_is_committed(tmp_path: Path) -> None:
    tracker = opened(tmp_path / "queue.db", Disk(), background=False)

    receipt = tracker.track("opened")

    assert isinstance(receipt, int)
    assert (receipt, receipt.sequence, receipt.epoch) == (1, 1, tracker.epoch)
    assert (receipt.is_committed, receipt.is_pending, receipt.opted_out) == (True, False, False)
    assert receipt.wait() == 1
    tracker.close()


def test_a_pending_receipt_passes_for_no_sequence_and_can_be_waited_for(tmp_path: Path) -> None:
    disk = Disk()
    tracker = opened(tmp_path / "queue.db", disk)
    disk.free.clear()

    receipt = tracker.track("opened")

    assert (receipt, receipt.sequence, receipt.epoch) == (0, None, None)
    assert (receipt.is_committed, receipt.is_pending, receipt.opted_out) == (False, True, False)
    with pytest.raises(TimeoutError):
        receipt.wait(timedelta(milliseconds=1))
    disk.free.set()
    assert receipt.wait(10 * SECOND) == 1
    assert (receipt.sequence, receipt.is_committed) == (1, True)
    tracker.close()


def test_a_full_disk_raises_from_track_and_from_a_receipt_that_was_pending(tmp_path: Path) -> None:
    disk = Disk()
    tracker = opened(tmp_path / "queue.db", disk, commit_wait=None)
    connection = tracker._queue._store.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    large = {f"key {number}": "x" * 255 for number in range(100)}

    with pytest.raises(QueueUnavailable, match="could not be written"):
        tracker.track("large", large)
    disk.free.clear()
    first = tracker.hand_over("small")
    receipt, small = tracker.hand_over("large", large), tracker.hand_over("small")
    disk.free.set()

    with pytest.raises(QueueUnavailable, match="could not be written"):
        receipt.wait(10 * SECOND)
    assert receipt.sequence is None
    assert not receipt.is_committed
    assert [first.wait(10 * SECOND), small.wait(10 * SECOND)] == [1, 2], "a large one harms no small one"
    assert tracker.stats().never_committed == 1
    tracker.close()


def test_more_than_memory_may_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDED_OVER_MAX", 3)
    disk = Disk()
    tracker = opened(tmp_path / "queue.db", disk)
    disk.free.clear()
    for _ in range(3):
        tracker.hand_over("tapped")

    with pytest.raises(QueueFull, match="too slow"):
        tracker.hand_over("tapped")
    disk.free.set()
    tracker.close()


def test_a_queue_that_refuses_what_is_new_says_so_from_track(tmp_path: Path) -> None:
    caps = Caps(count=1, refuse_new=True)
    for number, background in enumerate([True, False]):
        path = tmp_path / f"{number}.db"
        tracker = opened(path, Disk(), caps=caps, commit_wait=None, background=background)
        tracker.track("opened")
        with pytest.raises(QueueFull, match="refuse what is new"):
            tracker.track("opened")
        tracker.close()


def test_an_invalid_event_raises_at_once_however_slow_the_disk(tmp_path: Path) -> None:
    tracker = opened(tmp_path / "queue.db", Disk(SLOW_FSYNC_SECONDS))

    with pytest.raises(InvalidEvent):
        tracker.track("")
    tracker.close()


def test_events_belong_to_who_was_identified_when_they_were_tracked(tmp_path: Path) -> None:
    """R15, though the disk comes late."""
    server, disk = HonestServer(), Disk(0.02)
    tracker = Tracker(tmp_path / "queue.db", transport=FakeTransport(server), fault=disk)
    visitor_id = tracker.visitor_id
    tracker.hand_over("before")
    tracker.identify("u1")
    tracker.hand_over("within")
    tracker.reset()
    tracker.hand_over("after")

    assert tracker.flush(30 * SECOND)

    owners = {event.name: event.user_id or event.visitor_id for _, event in server.stored}
    assert (owners["before"], owners["within"]) == (visitor_id, "u1")
    assert owners["after"] not in (visitor_id, "u1")
    tracker.close()


def test_nothing_is_taken_after_closing(tmp_path: Path) -> None:
    tracker = opened(tmp_path / "queue.db", Disk())
    tracker.close()

    with pytest.raises(QueueUnavailable, match="closed"):
        tracker.track("opened")


def test_who_has_opted_out_gets_a_receipt_that_says_so(tmp_path: Path) -> None:
    tracker = opened(tmp_path / "queue.db", Disk(), background=False)
    tracker.opt_out()

    receipt = tracker.track("opened")

    assert (receipt, receipt.sequence) == (0, 0)
    assert (receipt.opted_out, receipt.is_committed, receipt.is_pending) == (True, False, False)
    tracker.close()


def test_what_was_tracked_before_opting_in_again_is_not_taken_however_slow_the_disk(tmp_path: Path) -> None:
    disk = Disk()
    tracker = opened(tmp_path / "queue.db", disk)
    disk.free.clear()
    kept = tracker.hand_over("before")
    threading.Timer(0.05, disk.free.set).start()
    tracker.opt_out()
    secret = tracker.hand_over("secret")
    tracker.opt_in()

    assert kept.wait() == 1
    assert secret.opted_out
    assert tracker.pending() == 0
    tracker.close()


async def test_an_event_loop_never_waits_and_may_await_the_commit(tmp_path: Path) -> None:
    server, disk = HonestServer(), Disk()
    tracker = AsyncTracker(Tracker(tmp_path / "queue.db", transport=FakeTransport(server), fault=disk))
    await tracker.identify("u1")

    disk.free.clear()
    receipt = tracker.track("paid")
    assert isinstance(receipt, Receipt)
    assert receipt.is_pending
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(receipt, 0.01)

    disk.free.set()
    assert await receipt == 1, "giving up the wait does not take the event back"
    await tracker.on_network(True)
    await tracker.on_background()
    await tracker.on_foreground()
    assert await tracker.flush(30 * SECOND)
    assert await tracker.pending() == 0
    assert [event.user_id for _, event in server.stored] == ["u1"]
    await tracker.reset()
    await tracker.opt_out()
    await tracker.opt_in()
    assert (await tracker.stats()).dead_letters == len(await tracker.dead_letters()) == 0
    await tracker.clear_dead_letters()
    await tracker.close()
