"""The one true time of a lane, and the clocks its devices read it through."""

import random
from dataclasses import dataclass, field
from datetime import timedelta

from workevo_simulator.limits import BOOT_EVERY_MEAN, UPTIME_AT_START_MAX

MICROSECOND = timedelta(microseconds=1)


def micros_of(duration: timedelta) -> int:
    return duration // MICROSECOND


def hours_of(hours: float) -> int:
    """In microseconds."""
    return round(hours * 3600 * 1_000_000)


@dataclass(slots=True)
class VirtualTime:
    """What a perfect clock would show: microseconds since 1970. Only its lane moves it, and only forward."""

    now_micros: int = 0


@dataclass(slots=True)
class Boots:
    """When a device was started anew: by its own chance, so that a seed gives it the same life again."""

    chance: random.Random
    first_row_micros: int
    count: int = 0
    _started_micros: int = field(init=False)
    _next_micros: int = field(init=False)

    def __post_init__(self) -> None:
        self._started_micros = self.first_row_micros - round(
            micros_of(UPTIME_AT_START_MAX) * self.chance.random()
        )
        self._next_micros = self._after(self.first_row_micros)

    def current(self, now_micros: int) -> tuple[int, int]:
        """(how many boots before this one, when it was). Asked with times that never go back."""
        while self._next_micros <= now_micros:
            self.count += 1
            self._started_micros = self._next_micros
            self._next_micros = self._after(self._started_micros)
        return self.count, self._started_micros

    def _after(self, micros: int) -> int:
        return micros + 1 + round(self.chance.expovariate(1 / micros_of(BOOT_EVERY_MEAN)))


@dataclass(frozen=True, slots=True)
class DeviceClocks:
    """The clocks of `workevo_mobile`: a wall clock that is right, an uptime that each boot resets (R8)."""

    time: VirtualTime
    boots: Boots

    def wall_micros(self) -> int:
        return self.time.now_micros

    def uptime_millis(self) -> int | None:
        _count, started_micros = self.boots.current(self.time.now_micros)
        return (self.time.now_micros - started_micros) // 1000

    def boot_id(self) -> str:
        count, _started = self.boots.current(self.time.now_micros)
        return f"boot-{count}"
