"""One phone that lives through its recorded rows, again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from workevo_simulator.errors import SimulatorError
from workevo_simulator.limits import SETTLING_TIME_MAX, STEPS_AT_ONCE_MAX
from workevo_simulator.recording import Row, Scalar
from workevo_simulator.truth import Generated, user
from workevo_simulator.virtual_time import Boots, VirtualTime, micros_of


class DeviceTracker(Protocol):
    """What a device uses of `workevo_mobile.Tracker`."""

    @property
    def install_id(self) -> str: ...
    @property
    def epoch(self) -> bytes: ...
    @property
    def user_id(self) -> str | None: ...
    def track(self, name: str, metadata: dict[str, Scalar]) -> int: ...
    def identify(self, user_id: str) -> None: ...
    def step(self) -> timedelta | None: ...
    def pending(self) -> int: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that the tracker did not take, so that it was never generated: the app would have been told."""

    row: Row
    why: str


@dataclass(slots=True)
class Diary:
    """What the devices of a lane have done."""

    generated: list[Generated] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)
    reopened_count: int = 0

    @property
    def row_count(self) -> int:
        return len(self.generated) + len(self.refused)


@dataclass(slots=True)
class Device:
    """Woken by its lane at `next_at_micros`; tracks what is due, then lets the tracker do what it will."""

    rows: Sequence[Row]
    """By time, at least one."""
    time: VirtualTime
    boots: Boots
    open_tracker: Callable[[], DeviceTracker]
    """Opens the device's queue, made on first use."""
    diary: Diary
    next_at_micros: int | None = field(init=False)
    _tracker: DeviceTracker | None = field(default=None, init=False)
    _boot_count: int = field(default=0, init=False)
    _tracked: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.next_at_micros = self.rows[0].at_micros

    def wake(self) -> None:
        """Do all that is due now.

        `next_at_micros` then says when to be woken again; None when all is delivered.
        """
        tracker = self._running_tracker()
        while self._tracked < len(self.rows) and self.rows[self._tracked].at_micros <= self.time.now_micros:
            self._track(tracker, self.rows[self._tracked])
            self._tracked += 1
        due_micros = self._let_work(tracker)
        waiting = [due_micros] if due_micros is not None and tracker.pending() else []
        if self._tracked < len(self.rows):
            waiting.append(self.rows[self._tracked].at_micros)
        elif self.time.now_micros > self.rows[-1].at_micros + micros_of(SETTLING_TIME_MAX):
            waiting = []  # What is left will be found open.
        self.next_at_micros = min(waiting, default=None)
        if self.next_at_micros is None:
            self.sleep()

    def sleep(self) -> None:
        """Close the queue, as an app does that the system ends; the next `wake` opens it again."""
        if self._tracker is not None:
            self._tracker.close()
            self._tracker = None

    @property
    def idle(self) -> bool:
        """Whether nothing happens before its next row."""
        return self._tracker is None or not self._tracker.pending()

    @property
    def awake(self) -> bool:
        return self._tracker is not None

    def _running_tracker(self) -> DeviceTracker:
        boot_count, _started = self.boots.current(self.time.now_micros)
        if boot_count != self._boot_count:
            self.sleep()
            self._boot_count = boot_count
        if self._tracker is None:
            self._tracker = self.open_tracker()
            self.diary.reopened_count += 1
        return self._tracker

    def _track(self, tracker: DeviceTracker, row: Row) -> None:
        try:
            if tracker.user_id != row.contact:
                tracker.identify(row.contact)
            sequence = tracker.track(row.name, dict(row.metadata))
        except ValueError as error:
            self.diary.refused.append(RefusedRow(row, str(error)))
            return
        self.diary.generated.append(
            Generated(
                label=f"line {row.line} of the log",
                contact=user(row.contact),
                name=row.name,
                created_at_micros=self.time.now_micros,
                occurred_at_micros=self.time.now_micros,
                metadata=row.metadata,
                keys=((tracker.install_id, tracker.epoch, sequence),),
            )
        )

    def _let_work(self, tracker: DeviceTracker) -> int | None:
        for _ in range(STEPS_AT_ONCE_MAX):
            delay = tracker.step()
            if delay is None:
                return None
            if delay > timedelta(0):
                return self.time.now_micros + micros_of(delay)
        raise SimulatorError(f"A device took {STEPS_AT_ONCE_MAX:,} steps at one moment and was not done.")
