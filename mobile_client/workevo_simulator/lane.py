"""Devices that share a thread, a connection and a true time."""

import heapq
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from workevo_simulator.limits import LANE_LEAD_DAYS_MAX, STOP_SEEN_WITHIN
from workevo_simulator.line import Line
from workevo_simulator.virtual_time import VirtualTime

_DAY_MICROS = 24 * 3600 * 1_000_000
_FINISHED = 1 << 62


class Sleeper(Protocol):
    """A device as its lane sees it."""

    @property
    def next_at_micros(self) -> int | None:
        """When to be woken; None: never again."""

    @property
    def idle(self) -> bool:
        """Whether it may be put to sleep without forgetting anything."""

    @property
    def awake(self) -> bool: ...
    def wake(self) -> None: ...
    def sleep(self) -> None: ...


def wait_until(changed: threading.Condition, is_so: Callable[[], bool]) -> None:
    """As `wait_for`; looks by itself now and then, as nobody tells a condition that a run was stopped."""
    while not changed.wait_for(is_so, STOP_SEEN_WITHIN.total_seconds()):
        pass


class Conductor(Protocol):
    """Says when a lane may go on."""

    @property
    def stop(self) -> threading.Event:
        """Set when the run has ended early."""

    def reach(self, lane: int, micros: int) -> bool:
        """Wait until this lane may live through `micros`; whether the server was started anew meanwhile."""

    def finish(self, lane: int) -> None:
        """This lane holds nobody back any more."""


@dataclass(slots=True)
class Pace:
    """Keeps lanes within a virtual week of each other.

    The server then sees times of receipt nearly in order, as it would in the
    world. Who shares a contact shares a lane, so that for every contact the
    order is exact.
    """

    lanes: int
    stop: threading.Event
    _days: list[int] = field(init=False)
    _moved: threading.Condition = field(default_factory=threading.Condition, init=False)

    def __post_init__(self) -> None:
        self._days = [-1] * self.lanes

    def tell(self, lane: int, micros: int) -> None:
        """This lane has come so far; it holds nobody back who is there too, whatever it waits for."""
        day = micros // _DAY_MICROS
        if day == self._days[lane]:
            return
        with self._moved:
            self._days[lane] = day
            self._moved.notify_all()

    def reach(self, lane: int, micros: int) -> None:
        """Wait until nobody is too far behind `micros`, or the run was stopped."""
        self.tell(lane, micros)
        day = micros // _DAY_MICROS
        if not self._all_near(day):
            with self._moved:
                wait_until(self._moved, lambda: self._all_near(day))

    def finish(self, lane: int) -> None:
        with self._moved:
            self._days[lane] = _FINISHED
            self._moved.notify_all()

    def _all_near(self, day: int) -> bool:
        return self.stop.is_set() or day <= min(self._days) + LANE_LEAD_DAYS_MAX


@dataclass(slots=True)
class Lane:
    number: int
    time: VirtualTime
    line: Line
    devices: Sequence[Sleeper]
    done: Callable[[], int]
    """How much its devices have lived through, for who watches."""
    trackers_open_max: int
    _awake: OrderedDict[int, Sleeper] = field(default_factory=OrderedDict, init=False)

    def live(self, conductor: Conductor, *, on_progress: Callable[[int], None]) -> None:
        """Wake every device in the order of virtual time until all is delivered.

        Raises the SimulatorError that broke the line; returns early, and says
        nothing, when another lane was stopped.
        """
        agenda = [
            (device.next_at_micros, index)
            for index, device in enumerate(self.devices)
            if device.next_at_micros is not None
        ]
        heapq.heapify(agenda)
        reported = 0
        while agenda and not conductor.stop.is_set():
            at_micros, index = heapq.heappop(agenda)
            if conductor.reach(self.number, at_micros):
                self.line.await_server()
            self.time.now_micros = max(at_micros, self.time.now_micros)
            next_at_micros = self._wake(index)
            if next_at_micros is not None:
                heapq.heappush(agenda, (next_at_micros, index))
            done = self.done()
            if done > reported:
                on_progress(done - reported)
            reported = done

    def close(self) -> None:
        """Close every queue, and the line."""
        for device in self.devices:
            device.sleep()
        self.line.close()

    def _wake(self, index: int) -> int | None:
        device = self.devices[index]
        device.wake()
        if self.line.broken is not None:
            raise self.line.broken
        self._awake.pop(index, None)
        if device.awake:
            self._awake[index] = device
        if len(self._awake) > self.trackers_open_max:
            self._put_one_to_sleep()
        return device.next_at_micros

    def _put_one_to_sleep(self) -> None:
        """The one that has long been idle: one that waits to try again would forget how long."""
        longest = next(iter(self._awake))
        index = next((index for index, device in self._awake.items() if device.idle), longest)
        self._awake.pop(index).sleep()
