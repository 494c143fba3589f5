"""A fleet drawn from a scenario and a seed: households of phones that share people or a backup. Pure."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from workevo_simulator.agenda import Act, BackUp, LeftScreen, Opened, Restore, Span, Track, agenda
from workevo_simulator.scenario import Kind, Scenario
from workevo_simulator.virtual_time import hours_of
from workevo_simulator.weather import Weather, forecast

_HOUR = 3600 * 1_000_000
_DAY = 24 * _HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One phone before it lives."""

    name: str
    kind_name: str
    kind: Kind
    acts: Sequence[Act]
    weather: Weather
    ends_micros: int
    """When its life is over and what it holds is delivered."""
    keeps_marker: bool = False
    has_small_queue: bool = False
    is_recorded: bool = False
    """Its clock is right and its events are tracked as they are; else each carries a mark of its own."""


Household = tuple[Member, ...]
"""Phones that must be lived through in the order of one time: R6 and R14a compare them with each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Draws phone after phone; each by its own chance, so that one more phone changes no other."""

    scenario: Scenario
    seed: int
    from_micros: int
    until_micros: int

    def households(self, device_count: int) -> list[Household]:
        """As many as have `device_count` phones together."""
        made: list[Household] = []
        left, number = device_count, 0
        while left > 0:
            members = tuple(self._household(number))[:left]
            made.append(members)
            left -= len(members)
            number += 1
        return made

    def _household(self, number: int) -> Iterator[Member]:
        chance = self.chance(f"household/{number}")
        kinds = self.scenario.kinds
        (kind_name,) = chance.choices(list(kinds), [kind.share for kind in kinds.values()])
        kind = kinds[kind_name]
        users = _users(number, kind, chance)
        zone_micros = chance.randint(-11, 12) * _HOUR
        span = Span(
            from_micros=self.from_micros,
            until_micros=self.until_micros,
            day_starts_micros=self.from_micros - self.from_micros % _DAY + zone_micros - _DAY,
        )
        first = self._member(f"phone-{number}", kind_name, kind, span, users)
        has_clone = chance.random() < kind.faults.clones
        cloned_micros = chance.randint(self.from_micros, self.until_micros)
        yield _backed_up(first, cloned_micros) if has_clone else first
        if chance.random() < kind.people.second_device:
            yield self._member(f"phone-{number}-second", kind_name, kind, span, users)
        if has_clone:
            clone = self._member(f"phone-{number}-clone", kind_name, kind, span, users)
            yield _restored(clone, first.name, cloned_micros)

    def _member(self, name: str, kind_name: str, kind: Kind, span: Span, users: Sequence[str]) -> Member:
        chance = self.chance(f"member/{name}")
        weather = forecast(
            kind.network,
            self.chance(f"weather/{name}"),
            from_micros=span.from_micros,
            until_micros=span.until_micros,
            day_starts_micros=span.day_starts_micros,
        )
        acts = agenda(kind, self.chance(f"agenda/{name}"), span, name=name, users=users, weather=weather)
        together = list(self._together())
        return Member(
            name=name,
            kind_name=kind_name,
            kind=kind,
            acts=_in_time([*acts, *together], self.until_micros),
            weather=weather,
            ends_micros=self.until_micros,
            keeps_marker=chance.random() < kind.faults.marker,
            has_small_queue=chance.random() < kind.faults.small_queue,
        )

    def _together(self) -> Iterator[Act]:
        """What everyone does at the very moment an overload begins."""
        for overload in self.scenario.overloads:
            if overload.everyone_at_once:
                at = self.from_micros + hours_of(overload.after_hours)
                yield Act(at, Opened())
                yield Act(at, Track("heard final whistle", {}))
                yield Act(at, LeftScreen())

    def chance(self, purpose: str) -> random.Random:
        return random.Random(f"{self.seed}/{purpose}")


def _users(number: int, kind: Kind, chance: random.Random) -> list[str]:
    if chance.random() < kind.people.shared:
        return [f"user-{number}-a", f"user-{number}-b"]
    return [f"user-{number}"] if chance.random() < kind.people.logged_in else []


def _in_time(acts: Sequence[Act], until_micros: int) -> list[Act]:
    return sorted((act for act in acts if act.at_micros < until_micros), key=lambda act: act.at_micros)


def _backed_up(member: Member, at_micros: int) -> Member:
    return _with_acts(member, [*member.acts, Act(at_micros - _HOUR, BackUp())])


def _restored(member: Member, source: str, at_micros: int) -> Member:
    """A phone that is set up from another's backup, and has no life before."""
    later = [act for act in member.acts if act.at_micros > at_micros]
    return _with_acts(member, [Act(at_micros, Restore(source)), *later])


def _with_acts(member: Member, acts: Sequence[Act]) -> Member:
    return replace(member, acts=sorted(acts, key=lambda act: act.at_micros))
