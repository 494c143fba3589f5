"""A fleet made from a recorded log: devices that live through their rows on bad networks. Pure."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from workevo_simulator.agenda import Act, Reboot, TrackAs
from workevo_simulator.crew import Household, Member
from workevo_simulator.households import households
from workevo_simulator.limits import (
    BOOT_EVERY_MEAN,
    LAST_DELIVERY_MAX,
    OFFLINE_SPELL_MAX,
    OFFLINE_SPELL_MIN,
    ONLINE_SPELL_MIN,
)
from workevo_simulator.recording import Row
from workevo_simulator.scenario import Kind, Network
from workevo_simulator.virtual_time import micros_of
from workevo_simulator.weather import Spell, State, Weather

_DAY_MICROS = 24 * 3600 * 1_000_000
_WEEK_MICROS = 7 * _DAY_MICROS


@dataclass(frozen=True, slots=True, kw_only=True)
class BadNetwork:
    """How bad the networks of a replay are."""

    lost_requests: float
    """Share of calls that never reach the server."""
    lost_answers: float
    """Share of handled calls whose answer never reaches the device."""
    offline_spells_per_week: float
    """Mean; each lasts from a minute to 23 hours, most of them short."""


def recorded_households(rows: Iterable[Row], network: BadNetwork, seed: int) -> list[Household]:
    """Those devices together that share a contact. What chance does to one does not depend on the others."""
    kind = Kind(network=Network(lost_requests=network.lost_requests, lost_answers=network.lost_answers))
    return [
        tuple(_member(name, of_device, kind, network, seed) for name, of_device in group.items())
        for group in households(rows)
    ]


def _member(name: str, rows: Sequence[Row], kind: Kind, network: BadNetwork, seed: int) -> Member:
    def chance(purpose: str) -> random.Random:
        return random.Random(f"{seed}/{purpose}/{name}")

    # Stable: what happened in one second stays in the file's order.
    tracked = sorted((_tracked(row) for row in rows), key=lambda act: act.at_micros)
    first, last = tracked[0].at_micros, tracked[-1].at_micros
    boots = _boots(chance("boots"), first, last)
    spells = _offline_spells(
        chance("spells"),
        network.offline_spells_per_week,
        from_micros=first - _DAY_MICROS,
        until_micros=last + micros_of(LAST_DELIVERY_MAX),
    )
    return Member(
        name=name,
        kind_name="recorded",
        kind=kind,
        acts=sorted([*tracked, *boots], key=lambda act: act.at_micros),
        weather=Weather(list(spells)),
        ends_micros=last + 1,
        is_recorded=True,
    )


def _tracked(row: Row) -> Act:
    return Act(row.at_micros, TrackAs(row.contact, row.name, dict(row.metadata), row.line))


def _boots(chance: random.Random, from_micros: int, until_micros: int) -> Iterator[Act]:
    at = from_micros
    while True:
        at += 1 + round(chance.expovariate(1 / micros_of(BOOT_EVERY_MEAN)))
        if at >= until_micros:
            return
        yield Act(at, Reboot())


def _offline_spells(
    chance: random.Random, per_week: float, *, from_micros: int, until_micros: int
) -> Iterator[Spell]:
    at, online_min = from_micros, 0
    longest = OFFLINE_SPELL_MAX / OFFLINE_SPELL_MIN
    while per_week:
        starts = at + online_min + round(chance.expovariate(per_week / _WEEK_MICROS))
        ends = starts + round(micros_of(OFFLINE_SPELL_MIN) * longest ** chance.random())
        if starts >= until_micros:
            return
        if starts > at:
            yield Spell(at, starts, State.ONLINE)
        yield Spell(starts, ends, State.OFFLINE)
        at, online_min = ends, micros_of(ONLINE_SPELL_MIN)
