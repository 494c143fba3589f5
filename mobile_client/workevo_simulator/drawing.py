"""Where things stand in the report's drawings; the template turns places into SVG.

Across, places are per cent of the run's time, so that one drawing fits a phone and a desktop without being
scaled and its texts stay readable; down, they are pixels. A path takes no per cent: its units across are
those of SPAN, in an inner drawing that is stretched while its strokes are not. All of it is pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from workevo_simulator.figures import DeviceStrip, Figures, StripEvent, StripMark, StripSpell
from workevo_simulator.wording import DAY, HOUR, as_datetime, day

SPAN = 2000  # Units across: half a pixel on a wide screen.
FATES = ("stored", "duplicate", "archived", "rejected", "dropped", "open", "wiped", "missing")
SIGNS = {
    "duplicate": "=",
    "archived": "□",
    "rejected": "×",
    "dropped": "↓",
    "open": "○",
    "wiped": "†",
    "missing": "!",
}
"""What a fate is told by where colours are not: a stored event is a plain line."""
STATES = ("online", "slow", "flapping", "offline")

_TICKS_MAX = 8  # More dates than this touch each other on a phone.
_TICK_HOURS = (1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 672)
_LANES_HEIGHT = 168  # Of all lanes of a device together, while they are tall enough.
_LANE_HEIGHT_MAX, _LANE_HEIGHT_MIN = 108, 26
_LANE_GAP = 6
_SIGN_APART_PERCENT, _SIGN_APART_PIXELS = 1.2, 8.0  # Closer signs of one fate would make a blot.
_MARK_ROWS, _MARK_ROW_HEIGHT, _MARK_APART_PERCENT = 3, 15, 5.5
_NETWORK_HEIGHT = 16
_STATE_HEIGHTS = {"online": 16, "slow": 9, "flapping": 16, "offline": 2}
_RANGES_SHOWN_MAX = 60  # In a device's table; all are in the JSON.


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """From the beginning of a run to its end, neither of them empty of length."""

    from_micros: int
    until_micros: int

    def percent(self, micros: int) -> float:
        """0 to 100; what lies outside stands at the edge."""
        length = max(self.until_micros - self.from_micros, 1)
        return round(100 * min(max((micros - self.from_micros) / length, 0), 1), 2)

    def unit(self, micros: int) -> int:
        return round(self.percent(micros) * SPAN / 100)

    def ticks(self) -> list[tuple[float, str]]:
        """Whole hours or days in UTC, few enough for a phone, with what to call them."""
        hours = (self.until_micros - self.from_micros) / 1e6 / HOUR
        step = next((each for each in _TICK_HOURS if hours / each <= _TICKS_MAX), _TICK_HOURS[-1])
        step_micros = step * HOUR * 1_000_000
        first = -(-self.from_micros // step_micros) * step_micros
        if step * HOUR >= DAY:
            first = -(-self.from_micros // (DAY * 1_000_000)) * DAY * 1_000_000
        moments = range(first, self.until_micros + 1, step_micros)
        return [(self.percent(at), day(at) if step >= 24 else f"{as_datetime(at):%H:%M}") for at in moments]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One queue of a device: its events from top to bottom, each from tracked to settled."""

    epoch_number: int
    top: float
    height: float
    paths: list[tuple[str, str]]
    """Fate and path."""
    signs: list[tuple[str, str, str, str]]
    """Fate, then one character for each sign and the lists of its places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A mark over the lanes; row is None where its number found no room, and only its line is drawn."""

    number: int
    percent: float
    row: int | None
    mark: StripMark


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Events of one queue that follow each other and came to the same end."""

    epoch_number: int
    fate: str
    first_sequence: int
    last_sequence: int
    event_count: int
    attempts_max: int
    tracked_from_micros: int
    tracked_until_micros: int
    longest_seconds: float | None
    """From tracked to settled; None when none was settled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    lanes: list[Lane]
    flags: list[Flag]
    flags_height: int
    network_top: float
    network: list[tuple[str, str]]
    """State and path."""
    offline: list[tuple[float, float]]
    """From and width, in per cent: shaded behind the lanes."""
    height: float
    counts: list[tuple[str, int]]
    """How many of its events came to which end."""
    runs: list[Run]
    runs_left_out: int


def time_axis(figures: Figures) -> TimeAxis:
    return TimeAxis(figures.from_micros, figures.until_micros)


def strip(device: DeviceStrip, axis: TimeAxis) -> Strip:
    """Lay one device out: marks on top, one lane for each queue, the network below."""
    flags = _flags(device.marks, axis)
    flags_height = _MARK_ROW_HEIGHT * (1 + max((each.row or 0 for each in flags), default=-1)) + 3
    lanes = _lanes(device.events, axis, top=flags_height)
    network_top = (lanes[-1].top + lanes[-1].height if lanes else flags_height) + _LANE_GAP
    runs = _runs(device.events)
    return Strip(
        lanes=lanes,
        flags=flags,
        flags_height=flags_height,
        network_top=network_top,
        network=_network(device.network, axis),
        offline=_offline(device.network, axis),
        height=network_top + _NETWORK_HEIGHT + 18,  # The dates below.
        counts=_counts(device.events),
        runs=runs[:_RANGES_SHOWN_MAX],
        runs_left_out=len(runs[_RANGES_SHOWN_MAX:]),
    )


def by_fate(events: Iterable[StripEvent]) -> dict[str, list[tuple[int, StripEvent]]]:
    """Events with their rank, under their fates in the order of FATES; unknown fates last."""
    found: dict[str, list[tuple[int, StripEvent]]] = {fate: [] for fate in FATES}
    for rank, event in enumerate(events):
        found.setdefault(event.fate, []).append((rank, event))
    return {fate: each for fate, each in found.items() if each}


def _counts(events: Sequence[StripEvent]) -> list[tuple[str, int]]:
    return [(fate, len(each)) for fate, each in by_fate(events).items()]


def _lanes(events: Sequence[StripEvent], axis: TimeAxis, *, top: float) -> list[Lane]:
    epochs: dict[int, list[StripEvent]] = {}
    for event in events:
        epochs.setdefault(event.epoch_number, []).append(event)
    if not epochs:
        return []
    room = _LANES_HEIGHT / len(epochs) - _LANE_GAP
    height = round(min(max(room, _LANE_HEIGHT_MIN), _LANE_HEIGHT_MAX), 1)
    return [
        _lane(number, epochs[number], axis, top=round(top + place * (height + _LANE_GAP), 1), height=height)
        for place, number in enumerate(sorted(epochs))
    ]


def _lane(number: int, events: list[StripEvent], axis: TimeAxis, *, top: float, height: float) -> Lane:
    def down(rank: int) -> float:
        return round((rank + 0.5) * height / len(events), 1)

    fates = by_fate(events)
    paths = [
        (fate, "".join(_line(event, axis, down(rank)) for rank, event in found))
        for fate, found in fates.items()
    ]
    signs = []
    for fate, found in fates.items():
        if fate in SIGNS:
            places = _apart([(axis.percent(event.tracked_micros), top + down(rank)) for rank, event in found])
            across = " ".join(f"{x:g}%" for x, _ in places)
            signs.append(
                (fate, SIGNS[fate] * len(places), across, " ".join(f"{y + 4:.1f}" for _, y in places))
            )
    return Lane(epoch_number=number, top=top, height=height, paths=paths, signs=signs)


def _line(event: StripEvent, axis: TimeAxis, down: float) -> str:
    """From tracked to settled; to the end of the run where the server still waits; else a point."""
    start = axis.unit(event.tracked_micros)
    end = start if event.settled_micros is None else axis.unit(event.settled_micros)
    if event.fate == "open":
        end = SPAN
    return f"M{start} {down:g}h{max(end - start, 0)}"


def _apart(places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    for x, y in places:
        near = (
            kept and abs(x - kept[-1][0]) < _SIGN_APART_PERCENT and abs(y - kept[-1][1]) < _SIGN_APART_PIXELS
        )
        if not near:
            kept.append((x, y))
    return kept


def _flags(marks: Sequence[StripMark], axis: TimeAxis) -> list[Flag]:
    free_from = [0.0] * _MARK_ROWS
    flags = []
    for number, mark in enumerate(sorted(marks, key=lambda each: each.at_micros), start=1):
        percent = axis.percent(mark.at_micros)
        row = next((row for row, free in enumerate(free_from) if free <= percent), None)
        if row is not None:
            free_from[row] = percent + _MARK_APART_PERCENT
        flags.append(Flag(number=number, percent=percent, row=row, mark=mark))
    return flags


def _network(spells: Sequence[StripSpell], axis: TimeAxis) -> list[tuple[str, str]]:
    paths: dict[str, str] = {}
    for spell in spells:
        start, end = axis.unit(spell.from_micros), axis.unit(spell.until_micros)
        height = _STATE_HEIGHTS.get(spell.state, _NETWORK_HEIGHT)
        box = f"M{start} {_NETWORK_HEIGHT}v-{height}h{max(end - start, 1)}v{height}z"
        paths[spell.state] = paths.get(spell.state, "") + box
    return sorted(paths.items())


def _offline(spells: Sequence[StripSpell], axis: TimeAxis) -> list[tuple[float, float]]:
    found = []
    for spell in spells:
        if spell.state == "offline":
            start, end = axis.percent(spell.from_micros), axis.percent(spell.until_micros)
            found.append((start, round(max(end - start, 0.1), 2)))
    return found


def _runs(events: Sequence[StripEvent]) -> list[Run]:
    ordered = sorted(events, key=lambda each: (each.epoch_number, each.sequence))
    return [
        _run(list(found)) for _, found in groupby(ordered, key=lambda each: (each.epoch_number, each.fate))
    ]


def _run(events: list[StripEvent]) -> Run:
    waits = [
        (event.settled_micros - event.tracked_micros) / 1e6
        for event in events
        if event.settled_micros is not None
    ]
    return Run(
        epoch_number=events[0].epoch_number,
        fate=events[0].fate,
        first_sequence=events[0].sequence,
        last_sequence=events[-1].sequence,
        event_count=len(events),
        attempts_max=max(event.attempts for event in events),
        tracked_from_micros=min(event.tracked_micros for event in events),
        tracked_until_micros=max(event.tracked_micros for event in events),
        longest_seconds=max(waits, default=None),
    )


def bars(values: Sequence[float]) -> list[tuple[float, float, float]]:
    """One bar for each value: its left edge and width in per cent, its height as 0 to 1 of the tallest."""
    tallest = max(values, default=0) or 1
    width = 100 / max(len(values), 1)
    return [(round(place * width, 3), round(width, 3), value / tallest) for place, value in enumerate(values)]


def segments(values: Sequence[tuple[str, float]]) -> list[tuple[str, float, float]]:
    """Parts of a whole side by side: name, left edge and width in per cent; empty ones left out."""
    whole = sum(value for _, value in values) or 1
    placed, left = [], 0.0
    for name, value in values:
        if value > 0:
            placed.append((name, round(left, 4), round(100 * value / whole, 4)))
            left += 100 * value / whole
    return placed


DRAWINGS: dict[str, object] = {
    "time_axis": time_axis,
    "strip": strip,
    "bars": bars,
    "segments": segments,
    "SIGNS": SIGNS,
    "SPAN": SPAN,
    "STATES": STATES,
}
"""What the template may ask for, by name."""
