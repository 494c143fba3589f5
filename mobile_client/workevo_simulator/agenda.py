"""All that will happen to one phone, drawn before the run: acts in the order of time. Pure."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workevo_simulator.app_life import Metadata, Session, sessions
from workevo_simulator.phone_clocks import odd_offset, offset_in_words
from workevo_simulator.scenario import Kind
from workevo_simulator.weather import Weather

_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_WEEK = 7 * _DAY

KILL_POINTS = ("now", "before_row", "after_row", "before_settle", "after_settle", "in_call")
"""Where the system ends an app: between two things, around each commit that matters, and in a call."""


@dataclass(frozen=True, slots=True)
class Track:
    name: str
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class TrackAs:
    """A row of a recorded log: whoever it names is logged in first, where nobody or somebody else is."""

    user_id: str
    name: str
    metadata: Metadata
    line: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The app comes to the screen."""


@dataclass(frozen=True, slots=True)
class LeftScreen:
    pass


@dataclass(frozen=True, slots=True)
class LogIn:
    user_id: str


@dataclass(frozen=True, slots=True)
class LogOut:
    pass


@dataclass(frozen=True, slots=True)
class NetworkTold:
    """The platform says so; whether there really is one is the weather's."""


@dataclass(frozen=True, slots=True)
class Reboot:
    pass


@dataclass(frozen=True, slots=True)
class Kill:
    point: str


@dataclass(frozen=True, slots=True)
class DiskFull:
    until_micros: int


@dataclass(frozen=True, slots=True)
class ClockSet:
    ahead_micros: int


@dataclass(frozen=True, slots=True)
class Reinstall:
    pass


@dataclass(frozen=True, slots=True)
class BackUp:
    pass


@dataclass(frozen=True, slots=True)
class Restore:
    """The last backup of phone `source` takes the place of the queue; nothing where there is none."""

    source: str


@dataclass(frozen=True, slots=True)
class OptOut:
    pass


@dataclass(frozen=True, slots=True)
class OptIn:
    pass


What = (
    Track
    | TrackAs
    | Opened
    | LeftScreen
    | LogIn
    | LogOut
    | NetworkTold
    | Reboot
    | Kill
    | DiskFull
    | ClockSet
    | Reinstall
    | BackUp
    | Restore
    | OptOut
    | OptIn
)


@dataclass(frozen=True, slots=True)
class Act:
    at_micros: int
    what: What


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    from_micros: int
    until_micros: int
    day_starts_micros: int
    """Some midnight where the phone is."""


def agenda(
    kind: Kind, chance: random.Random, span: Span, *, name: str, users: Sequence[str], weather: Weather
) -> list[Act]:
    """`users`: who logs in on this phone, in turn; none where nobody does."""
    acts = [*_uses(kind, chance, span, users), *_faults(kind, chance, span, name)]
    if chance.random() < kind.network.tells_app:
        edges = [spell.from_micros for spell in weather.spells]
        acts += [Act(at, NetworkTold()) for at in edges if at > span.from_micros]
    return sorted(acts, key=lambda act: act.at_micros)


def _uses(kind: Kind, chance: random.Random, span: Span, users: Sequence[str]) -> Iterator[Act]:
    lived = sessions(
        chance,
        from_micros=span.from_micros,
        until_micros=span.until_micros,
        per_day=kind.sessions_per_day,
        events_mean=kind.events_per_session,
        day_starts_micros=span.day_starts_micros,
    )
    per_session = kind.people.log_outs_per_week / 7 / kind.sessions_per_day
    for number, session in enumerate(lived):
        yield Act(session.steps[0].at_micros - 1, Opened())
        yield from _person(number, session, chance, users, log_out=min(0.9, per_session))
        for step in session.steps:
            yield Act(step.at_micros, Track(step.name, step.metadata))
        yield Act(session.ends_micros, LeftScreen())


def _person(
    number: int, session: Session, chance: random.Random, users: Sequence[str], *, log_out: float
) -> Iterator[Act]:
    """Someone looks round first and logs in the second time; two who share a phone take turns."""
    begins = session.steps[0].at_micros
    if not users or number == 0:
        return
    user = users[number % len(users)]
    if chance.random() < log_out:
        yield Act(begins, LogOut())
    elif number == 1 or len(users) > 1 or log_out > 0:
        yield Act(begins, LogIn(user))


def _faults(kind: Kind, chance: random.Random, span: Span, name: str) -> Iterator[Act]:
    faults, clock = kind.faults, kind.clock

    def times(per_week: float) -> Iterator[int]:
        at = span.from_micros
        while per_week > 0:
            at += round(chance.expovariate(per_week / _WEEK))
            if at >= span.until_micros:
                return
            yield at

    yield from (Act(at, Reboot()) for at in times(faults.reboots_per_week))
    yield from (Act(at, Kill(chance.choice(KILL_POINTS))) for at in times(faults.kills_per_week))
    for at in times(faults.full_disks_per_week):
        yield Act(at, DiskFull(at + chance.randint(10 * _MINUTE, 12 * _HOUR)))
    for at in times(clock.jumps_per_week):
        yield Act(at, ClockSet(odd_offset(chance)))
        if chance.random() < 0.8:
            yield Act(at + chance.randint(_MINUTE, _DAY), ClockSet(chance.randint(-800_000, 800_000)))
    yield from (Act(at, Reinstall()) for at in times(faults.reinstalls_per_week))
    for at in times(faults.restores_per_week):
        yield Act(max(span.from_micros, at - chance.randint(_HOUR, _DAY)), BackUp())
        yield Act(at, Restore(name))
    for at in times(faults.opt_outs_per_week):
        yield Act(at, OptOut())
        yield Act(at + _DAY, OptIn())


def in_words(what: What) -> str | None:
    """What a report marks it by; None where it is everyday life."""
    match what:
        case Reboot():
            return "rebooted"
        case Kill():
            return f"app killed ({what.point.replace('_', ' ')})"
        case DiskFull():
            return "disk full"
        case ClockSet():
            return f"clock set {offset_in_words(what.ahead_micros)}"
        case Reinstall():
            return "app reinstalled, queue gone"
        case Restore():
            return "queue restored from a backup"
        case OptOut():
            return "opted out"
        case OptIn():
            return "opted in"
        case LogIn():
            return "logged in"
        case LogOut():
            return "logged out"
        case _:
            return None
