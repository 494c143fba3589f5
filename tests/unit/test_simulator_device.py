"""A device's day: rows at their time, the tracker's wishes obeyed, boots survived."""

import random
from collections.abc import Callable
from datetime import timedelta

import pytest

from workevo_simulator import limits
from workevo_simulator.device import Device, Diary
from workevo_simulator.errors import SimulatorError
from workevo_simulator.recording import Row, Scalar
from workevo_simulator.virtual_time import Boots, VirtualTime

START = 1_710_325_274_000_000
SECOND = 1_000_000
EPOCH = bytes(16)


class Upload30SecondsLater:
    """A tracker that delivers all it has thirty seconds after the first event it was given."""

    install_id = "i1"
    epoch = EPOCH

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.user_id: str | None = None
        self.identified: list[str] = []
        self.queue: list[tuple[int, str]] = []
        self.delivered_at: list[int] = []
        self.sequence = 0
        self.is_open = True

    def identify(self, user_id: str) -> None:
        self.user_id = user_id
        self.identified.append(user_id)

    def track(self, name: str, metadata: dict[str, Scalar]) -> int:
        assert self.is_open
        if not name.strip():
            raise ValueError("An event needs a name.")
        assert "too much" not in metadata
        self.sequence += 1
        self.queue.append((self.time.now_micros, name))
        return self.sequence

    def step(self) -> timedelta | None:
        assert self.is_open
        if not self.queue:
            return None
        due_micros = self.queue[0][0] + 30 * SECOND
        if self.time.now_micros < due_micros:
            return timedelta(microseconds=due_micros - self.time.now_micros)
        self.delivered_at.append(self.time.now_micros)
        self.queue.clear()
        return timedelta(0)

    def pending(self) -> int:
        return len(self.queue)

    def close(self) -> None:
        self.is_open = False


class NeverDone(Upload30SecondsLater):
    def step(self) -> timedelta | None:
        return timedelta(0)


class NeverDelivered(Upload30SecondsLater):
    def step(self) -> timedelta | None:
        return timedelta(days=1)


def rows(*events: tuple[int, str, str]) -> list[Row]:
    return [
        Row(line=number, device="d", contact=contact, name=name, at_micros=START + at * SECOND, metadata=())
        for number, (at, contact, name) in enumerate(events, start=2)
    ]


class World:
    def __init__(
        self, recorded: list[Row], make: Callable[[VirtualTime], Upload30SecondsLater] = Upload30SecondsLater
    ) -> None:
        self.time, self.diary = VirtualTime(START), Diary()
        self.tracker = make(self.time)
        boots = Boots(random.Random(1), START)
        self.device = Device(recorded, self.time, boots, self.opened, self.diary)
        self.woken_at: list[int] = []

    def opened(self) -> Upload30SecondsLater:
        self.tracker.is_open = True
        return self.tracker

    def live(self) -> None:
        while self.device.next_at_micros is not None:
            self.time.now_micros = self.device.next_at_micros
            self.woken_at.append((self.time.now_micros - START) // SECOND)
            self.device.wake()


def test_rows_are_tracked_at_their_time_and_delivered_when_the_tracker_wants() -> None:
    world = World(rows((0, "anna", "home"), (10, "anna", "cart"), (50, "anna", "buy")))

    world.live()

    assert world.woken_at == [0, 10, 30, 50, 80]
    assert [event.created_at_micros for event in world.diary.generated] == [
        START,
        START + 10 * SECOND,
        START + 50 * SECOND,
    ]
    assert [event.keys[0][2] for event in world.diary.generated] == [1, 2, 3]
    assert not world.tracker.is_open


def test_a_person_is_identified_once_and_the_next_one_when_the_device_changes_hands() -> None:
    world = World(rows((0, "anna", "a"), (1, "anna", "b"), (2, "bert", "c"), (3, "bert", "d")))

    world.live()

    assert world.tracker.identified == ["anna", "bert"]
    assert [event.contact.id for event in world.diary.generated] == ["anna", "anna", "bert", "bert"]


def test_a_row_the_tracker_refuses_is_noted_and_not_generated() -> None:
    world = World(rows((0, "anna", " "), (1, "anna", "home")))

    world.live()

    assert [(each.row.line, each.why) for each in world.diary.refused] == [(2, "An event needs a name.")]
    assert [event.label for event in world.diary.generated] == ["line 3 of the log"]


def test_a_boot_closes_the_queue_and_opens_it_again() -> None:
    a_year = 365 * 24 * 3600
    world = World(rows((0, "anna", "home"), (a_year, "anna", "home")))

    world.live()

    assert world.diary.reopened_count == 2
    assert len(world.diary.generated) == 2


def test_what_is_never_delivered_is_given_up_after_a_month_and_left_open() -> None:
    world = World(rows((0, "anna", "home")), NeverDelivered)

    world.live()

    month = limits.SETTLING_TIME_MAX / timedelta(seconds=1)
    assert month < world.woken_at[-1] <= month + 24 * 3600
    assert world.tracker.pending() == 1


def test_a_tracker_that_is_never_done_ends_the_run() -> None:
    with pytest.raises(SimulatorError, match="was not done"):
        World(rows((0, "anna", "home")), NeverDone).live()
