"""The network around a device, drawn for the whole run: spells without gaps, first to last. Pure."""

import bisect
import enum
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from workevo_simulator.scenario import Network

_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


class State(enum.Enum):
    """Where several meet, the worst holds."""

    ONLINE = "online"
    SLOW = "slow"
    FLAPPING = "flapping"
    """Comes and goes every few seconds."""
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Spell:
    from_micros: int
    until_micros: int
    state: State
    period_micros: int = 0
    """Of a flapping network: so long there, then so long gone."""

    def is_up(self, at_micros: int) -> bool:
        if self.state is State.FLAPPING:
            return (at_micros - self.from_micros) // self.period_micros % 2 == 0
        return self.state is not State.OFFLINE


@dataclass(slots=True)
class Weather:
    """Asked with any moment; before the first spell and after the last one the network is good."""

    spells: Sequence[Spell]
    _starts: list[int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._starts = [spell.from_micros for spell in self.spells]

    def at(self, micros: int) -> Spell:
        place = bisect.bisect_right(self._starts, micros) - 1
        if place < 0 or micros >= self.spells[place].until_micros:
            return Spell(micros, micros + 1, State.ONLINE)
        return self.spells[place]

    def is_up(self, micros: int) -> bool:
        return self.at(micros).is_up(micros)


def forecast(
    network: Network, chance: random.Random, *, from_micros: int, until_micros: int, day_starts_micros: int
) -> Weather:
    """Draw a device's spells. `day_starts_micros` is some midnight where its owner lives."""
    worse: list[Spell] = []
    worse += _spells(network.slow_per_day, State.SLOW, (_HOUR // 4, _HOUR), chance, from_micros, until_micros)
    worse += _spells(
        network.flapping_per_day,
        State.FLAPPING,
        (10 * _MINUTE, _HOUR // 2),
        chance,
        from_micros,
        until_micros,
    )
    worse += _spells(
        network.tunnels_per_day, State.OFFLINE, (_MINUTE, 5 * _MINUTE), chance, from_micros, until_micros
    )
    worse += _spells(
        network.flights_per_week / 7,
        State.OFFLINE,
        (2 * _HOUR, 12 * _HOUR),
        chance,
        from_micros,
        until_micros,
    )
    worse += _nights(network.offline_nights, chance, from_micros, until_micros, day_starts_micros)
    return Weather(_laid_over(worse, from_micros, until_micros))


def _spells(
    per_day: float,
    state: State,
    lasting: tuple[int, int],
    chance: random.Random,
    from_micros: int,
    until_micros: int,
) -> Iterator[Spell]:
    at = from_micros
    while per_day > 0:
        at += round(chance.expovariate(per_day / _DAY))
        if at >= until_micros:
            return
        ends = min(until_micros, at + chance.randint(*lasting))
        yield Spell(at, ends, state, chance.randint(3 * _SECOND, 40 * _SECOND))
        at = ends


def _nights(
    share: float, chance: random.Random, from_micros: int, until_micros: int, day_starts_micros: int
) -> Iterator[Spell]:
    for midnight in range(day_starts_micros, until_micros + _DAY, _DAY):
        starts = midnight - chance.randint(-_HOUR, 2 * _HOUR)
        ends = midnight + chance.randint(5 * _HOUR, 8 * _HOUR)
        starts, ends = max(starts, from_micros), min(ends, until_micros)
        if chance.random() < share and starts < ends:
            yield Spell(starts, ends, State.OFFLINE)


_WORST_FIRST = (State.OFFLINE, State.FLAPPING, State.SLOW)


def _laid_over(spells: Sequence[Spell], from_micros: int, until_micros: int) -> list[Spell]:
    """Cut where any begins or ends; of what holds at once, the worst; neighbours of one kind joined."""
    edges = sorted({from_micros, until_micros, *(e for s in spells for e in (s.from_micros, s.until_micros))})
    begins = sorted(spells, key=lambda spell: spell.from_micros)
    laid: list[Spell] = []
    holding: list[Spell] = []
    place = 0
    for at, ends in itertools.pairwise(edges):
        while place < len(begins) and begins[place].from_micros <= at:
            holding.append(begins[place])
            place += 1
        holding = [spell for spell in holding if spell.until_micros > at]
        worst = min(holding, key=lambda spell: _WORST_FIRST.index(spell.state), default=None)
        piece = Spell(at, ends, State.ONLINE) if worst is None else worst
        if laid and laid[-1].state is piece.state and laid[-1].period_micros == piece.period_micros:
            laid[-1] = Spell(laid[-1].from_micros, ends, piece.state, piece.period_micros)
        else:
            laid.append(Spell(at, ends, piece.state, piece.period_micros))
    return laid
