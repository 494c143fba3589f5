"""The clocks of a phone that can be wrong: what the SDK reads, and what owner and boots do to them."""

import random
from dataclasses import dataclass, field

from workevo_simulator.limits import UPTIME_AT_START_MAX
from workevo_simulator.scenario import Clock
from workevo_simulator.virtual_time import VirtualTime, micros_of

_HOUR = 3600 * 1_000_000
_DAY = 24 * _HOUR
_TURN_OF_2015 = 1_420_070_400 * 1_000_000  # Where phones of some makers begin when they have lost the time.


@dataclass(slots=True)
class PhoneClocks:
    """`workevo_mobile.Clocks` over the true time. Uptime is right or none; the wall clock is what it is."""

    time: VirtualTime
    name: str
    chance: random.Random
    loses_time: bool
    """Each boot begins at the turn of 2015."""
    has_uptime: bool
    ahead_micros: int = 0
    """How far the wall clock is ahead of the truth; behind when negative."""
    boot_count: int = 0
    is_lost: bool = False
    """The time was lost and no network has told it since."""
    _booted_micros: int = field(init=False)

    def __post_init__(self) -> None:
        up_micros = round(micros_of(UPTIME_AT_START_MAX) * self.chance.random())
        self._booted_micros = self.time.now_micros - up_micros

    def wall_micros(self) -> int:
        return self.time.now_micros + self.ahead_micros

    def uptime_millis(self) -> int | None:
        return (self.time.now_micros - self._booted_micros) // 1000 if self.has_uptime else None

    def boot_id(self) -> str:
        return f"{self.name}-boot-{self.boot_count}"

    def reboot(self) -> None:
        self.boot_count += 1
        self._booted_micros = self.time.now_micros
        if self.loses_time:
            self.ahead_micros = _TURN_OF_2015 - self.time.now_micros
            self.is_lost = True

    def set_ahead(self, micros: int) -> None:
        """By its owner, or by the network that tells the time."""
        self.ahead_micros = micros
        self.is_lost = False


def clocks_of(clock: Clock, chance: random.Random, *, name: str, time: VirtualTime) -> PhoneClocks:
    """What this very phone has, drawn from its kind's shares."""
    ahead = odd_offset(chance) if chance.random() < clock.wrong else chance.randint(-800_000, 800_000)
    return PhoneClocks(
        time=time,
        name=name,
        chance=chance,
        loses_time=chance.random() < clock.lost_on_reboot,
        has_uptime=chance.random() >= clock.no_uptime,
        ahead_micros=ahead,
    )


def odd_offset(chance: random.Random) -> int:
    """As people and batteries make them: minutes and zones often, years now and then; ahead or behind."""
    magnitude = chance.choice(
        (
            chance.randint(2 * 60, 50 * 60) * 1_000_000,
            chance.randint(1, 13) * _HOUR,
            chance.randint(1, 400) * _DAY,
        )
    )
    return magnitude if chance.random() < 0.5 else -magnitude


def offset_in_words(micros: int) -> str:
    """ "3 h ahead", "12 d behind", "right"."""
    size = abs(micros)
    if size < 1_000_000:
        return "right"
    side = "ahead" if micros > 0 else "behind"
    for unit, length in (("d", _DAY), ("h", _HOUR), ("min", 60_000_000), ("s", 1_000_000)):
        if size >= length:
            return f"{size // length} {unit} {side}"
    raise AssertionError("size is a second at least")
