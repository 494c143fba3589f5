"""The server's deaths, at moments of virtual time: the same seed, the same calls cut off."""

import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from workevo_simulator.errors import ServerGone
from workevo_simulator.lane import Pace, wait_until
from workevo_simulator.limits import REVIVAL_PATIENCE
from workevo_simulator.own_server import CRASH_POINTS

_DAY_MICROS = 24 * 3600 * 1_000_000


class Mortal(Protocol):
    """A server that can be killed, as `OwnServer`."""

    @property
    def is_dead(self) -> bool:
        """Whether it has died since it was armed."""

    def arm(self, point: str) -> None: ...
    def disarm(self) -> None: ...
    def await_revival(self, timeout: timedelta) -> bool: ...


@dataclass(frozen=True, slots=True)
class Outage:
    at_micros: int
    point: str


def drawn_outages(
    chance: random.Random, *, per_day: float, from_micros: int, until_micros: int
) -> Iterator[Outage]:
    at = from_micros
    while per_day > 0:
        at += round(chance.expovariate(per_day / _DAY_MICROS))
        if at >= until_micros:
            return
        yield Outage(at, chance.choice(CRASH_POINTS))


@dataclass(slots=True)
class Outages:
    """A Conductor (see lane.py) that keeps lanes together, and holds them all at each outage.

    When every lane has come to the moment, the server is killed and started
    with a crash point. Then one lane after another wakes one device, always
    the one whose time is earliest, until an upload is cut off there. So what
    is cut off, and what was committed of it, follows from the seed, and not
    from threads or the number of lanes.
    """

    lane_count: int
    stop: threading.Event
    outages: Sequence[Outage]
    server: Mortal | None
    kill_count: int = 0
    _pace: Pace = field(init=False)
    _next: int = field(default=0, init=False)
    _turn: int | None = field(default=None, init=False)
    _is_armed: bool = field(default=False, init=False)
    _seen: dict[int, int] = field(default_factory=dict, init=False)
    _starts: int = field(default=0, init=False)
    _waiting: dict[int, int] = field(default_factory=dict, init=False)
    _finished: set[int] = field(default_factory=set, init=False)
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)

    def __post_init__(self) -> None:
        self._pace = Pace(self.lane_count, self.stop)

    def reach(self, lane: int, micros: int) -> bool:
        self._pace.tell(lane, micros)
        news = self._pass_outages(lane, micros)
        self._pace.reach(lane, micros)  # Who is behind is held by no outage that this lane has passed.
        return news

    def _pass_outages(self, lane: int, micros: int) -> bool:
        with self._changed:
            self._end_turn(lane)
            while self._holds(micros) and self._turn != lane and not self.stop.is_set():
                self._waiting[lane] = micros
                self._choose()
                wait_until(self._changed, lambda: self._may_go(lane, micros))
                del self._waiting[lane]
            return self._is_news(lane)

    def finish(self, lane: int) -> None:
        self._pace.finish(lane)
        with self._changed:
            self._finished.add(lane)
            self._end_turn(lane)
            if self._is_armed and len(self._finished) == self.lane_count and not self.stop.is_set():
                self._server.disarm()  # Nobody called any more.
            self._choose()
            self._changed.notify_all()

    def _end_turn(self, lane: int) -> None:
        """What this lane has just lived through may have been the server's end."""
        if self._turn != lane:
            return
        self._turn = None
        if not self.stop.is_set() and self._is_over():
            self._next += 1
            self._is_armed = False
            self.kill_count += 1
            self._starts += 1
            self._changed.notify_all()

    def _may_go(self, lane: int, micros: int) -> bool:
        return self._turn == lane or not self._holds(micros) or self.stop.is_set()

    def _holds(self, micros: int) -> bool:
        return self._next < len(self.outages) and micros >= self.outages[self._next].at_micros

    def _is_over(self) -> bool:
        """Dead, and back again. Who was cut off has seen it answer since: its death is known by now."""
        if not self._server.is_dead:
            return False
        if not self._server.await_revival(REVIVAL_PATIENCE):
            raise ServerGone("The server was killed and did not start again.")
        return True

    @property
    def _server(self) -> Mortal:
        assert self.server is not None, "there are outages only of a server of our own"
        return self.server

    def _choose(self) -> None:
        """Once nobody is on the way: arm the server, and let the lane go on whose time is earliest."""
        everyone = len(self._waiting) + len(self._finished) == self.lane_count
        if self._turn is not None or not everyone or not self._waiting or self.stop.is_set():
            return
        if not self._holds(min(self._waiting.values())):
            return
        self._turn = min(self._waiting, key=lambda lane: (self._waiting[lane], lane))
        if not self._is_armed:
            self._server.arm(self.outages[self._next].point)
            self._is_armed = True
            self._starts += 1
        self._changed.notify_all()

    def _is_news(self, lane: int) -> bool:
        is_news = self._seen.get(lane, 0) != self._starts
        self._seen[lane] = self._starts
        return is_news
