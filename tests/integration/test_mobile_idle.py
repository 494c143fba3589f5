"""An empty queue costs the phone nothing: nobody wakes, nobody is called, however long."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from workevo_mobile import Tracker, policy
from workevo_mobile.policy import Rest
from workevo_testing.mobile_fakes import FakeClocks, FakeTransport, HonestServer

MINUTE = timedelta(minutes=1)
FOUR_HOURS = 4 * 60
DEADLINE_SECONDS = 30


class Sleeps:
    """Every sleep of the Tracker's threads: whose, and how long at most; None is until somebody wakes it."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, float | None]] = []
        self._changed = threading.Condition()

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sleeps = self

        class WatchedCondition(threading.Condition):
            def wait(self, timeout: float | None = None) -> bool:
                name = threading.current_thread().name
                if name.startswith("workevo-"):
                    sleeps.note(name, timeout)
                return super().wait(timeout)

        monkeypatch.setattr(threading, "Condition", WatchedCondition)

    def note(self, name: str, timeout: float | None) -> None:
        with self._changed:
            self.begun.append((name, timeout))
            self._changed.notify_all()

    def wait_for_both(self) -> None:
        """Until the two threads of a Tracker sleep."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: len({name for name, _ in self.begun}) == 2, DEADLINE_SECONDS
            )

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.begun) >= count, DEADLINE_SECONDS)

    def wait_for_quiet(self) -> None:
        """Until nobody has gone to sleep anew for a while: then nobody has woken."""
        with self._changed:
            deadline = time.monotonic() + DEADLINE_SECONDS
            while self._changed.wait(0.3):
                assert time.monotonic() < deadline, "the threads never came to rest"


class CountedClocks(FakeClocks):
    """Whoever thinks about the time reads it."""

    reads = 0

    def wall_micros(self) -> int:
        self.reads += 1
        return super().wall_micros()


class Phone:
    def __init__(self, path: Path, *, background: bool) -> None:
        self.transport = FakeTransport(HonestServer())
        self.clocks = CountedClocks()
        self.tracker = Tracker(path, transport=self.transport, clocks=self.clocks, background=background)

    def pass_four_hours(self) -> None:
        for _ in range(FOUR_HOURS):
            self.clocks.pass_time(MINUTE)


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    sleeps = Sleeps()
    sleeps.watch(monkeypatch)
    return sleeps


@pytest.fixture
def phone(tmp_path: Path, sleeps: Sleeps) -> Iterator[Phone]:
    phone = Phone(tmp_path / "queue.db", background=True)
    sleeps.wait_for_both()
    yield phone
    phone.tracker.close()


def test_four_hours_with_an_empty_queue_wake_nobody_and_call_nobody(phone: Phone, sleeps: Sleeps) -> None:
    """Both threads sleep until they are woken, and no timer is set: time alone changes nothing."""
    reads = phone.clocks.reads

    phone.pass_four_hours()

    assert sorted(sleeps.begun) == [("workevo-uploader", None), ("workevo-writer", None)]
    assert phone.clocks.reads == reads
    assert phone.transport.calls == 0


def test_after_an_upload_the_empty_queue_sleeps_as_before(phone: Phone, sleeps: Sleeps) -> None:
    phone.tracker.track("opened")
    assert phone.tracker.flush()
    assert phone.transport.calls == 1
    sleeps.wait_for_quiet()
    begun, reads = len(sleeps.begun), phone.clocks.reads

    phone.pass_four_hours()

    assert dict(sleeps.begun) == {"workevo-uploader": None, "workevo-writer": None}
    assert (len(sleeps.begun), phone.clocks.reads, phone.transport.calls) == (begun, reads, 1)


def test_a_host_that_steps_is_told_not_to_come_back(tmp_path: Path) -> None:
    phone = Phone(tmp_path / "queue.db", background=False)
    for _ in range(FOUR_HOURS):
        phone.clocks.pass_time(MINUTE)
        assert phone.tracker.step() is None
    assert phone.transport.calls == 0
    phone.tracker.close()


def test_the_control_with_one_event_sets_a_timer(phone: Phone, sleeps: Sleeps) -> None:
    phone.tracker.track("opened")

    sleeps.wait_for(4)

    assert ("workevo-uploader", 30.0) in sleeps.begun


def test_the_control_that_polls_is_caught(
    tmp_path: Path, sleeps: Sleeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "plan", lambda *_: Rest(delay=timedelta(milliseconds=20), rows_wanted=1))
    phone = Phone(tmp_path / "queue.db", background=True)
    sleeps.wait_for_both()
    reads = phone.clocks.reads

    sleeps.wait_for(6)

    assert ("workevo-uploader", 0.02) in sleeps.begun
    assert phone.clocks.reads > reads
    phone.tracker.close()
