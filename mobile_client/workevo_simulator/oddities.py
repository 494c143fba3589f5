"""The devices that lived through most, each as a strip to be drawn. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from workevo_simulator.figures import DeviceStrip, StripEvent, StripMark, StripSpell
from workevo_simulator.limits import ODDITIES_MAX, STRIP_SPELLS_MAX
from workevo_simulator.phone import Phone
from workevo_simulator.witness import Happening

_WEIGHTS = {
    "queue restored from a backup": 30,
    "app reinstalled, queue gone": 10,
    "opted out": 10,
    "disk full": 5,
    "app killed": 3,
    "clock set": 2,
    "rebooted": 1,
}


def odd_devices(
    phones: Sequence[Phone],
    happenings: Mapping[str, Happening],
    fates: Mapping[str, str],
    *,
    from_micros: int,
    until_micros: int,
) -> list[DeviceStrip]:
    """Oddest first: by epochs, by what became of its events, by what was done to it."""
    by_phone: dict[str, list[Happening]] = defaultdict(list)
    for happening in happenings.values():
        by_phone[happening.phone].append(happening)
    scored = [(_score(phone, by_phone[phone.habits.name], fates), phone) for phone in phones]
    scored.sort(key=lambda each: (-each[0], each[1].habits.name))
    return [
        _strip(phone, by_phone[phone.habits.name], fates, from_micros, until_micros)
        for _, phone in scored[:ODDITIES_MAX]
    ]


def _score(phone: Phone, happenings: Sequence[Happening], fates: Mapping[str, str]) -> int:
    marks = sum(
        weight for _, words in phone.marks for start, weight in _WEIGHTS.items() if words.startswith(start)
    )
    epochs = len({key[:2] for each in happenings for key in each.keys})
    unusual = sum(fates[each.mark] != "stored" for each in happenings)
    missing = sum(fates[each.mark] == "missing" for each in happenings)
    return marks + 15 * epochs + min(unusual, 40) + 10_000 * missing


def _strip(
    phone: Phone,
    happenings: Sequence[Happening],
    fates: Mapping[str, str],
    from_micros: int,
    until_micros: int,
) -> DeviceStrip:
    ordered = sorted(happenings, key=lambda each: (each.true_micros, each.mark))
    numbers: dict[tuple[str, bytes], int] = {}
    events: list[StripEvent] = []
    for each in ordered:
        install_id, epoch, sequence = each.keys[-1] if each.keys else ("", b"", 0)
        number = numbers.setdefault((install_id, epoch), len(numbers) + 1)
        events.append(
            StripEvent(
                tracked_micros=each.true_micros,
                settled_micros=each.settled_micros,
                epoch_number=number,
                sequence=sequence,
                fate=fates[each.mark],
                attempts=each.attempts,
            )
        )
    return DeviceStrip(
        name=phone.habits.name,
        kind=phone.habits.kind,
        why=_why(phone, events, len(numbers)),
        events=events,
        network=_spells(phone, from_micros, until_micros),
        marks=[StripMark(at_micros=at, what=words) for at, words in phone.marks],
    )


def _why(phone: Phone, events: Sequence[StripEvent], epoch_count: int) -> str:
    counts = Counter(words.split(" (")[0] for _, words in phone.marks if not words.startswith("clock set"))
    clock = sum(words.startswith("clock set") for _, words in phone.marks)
    parts = [words if count == 1 else f"{words} {count} times" for words, count in counts.most_common(3)]
    if clock:
        parts.append("clock set" if clock == 1 else f"clock set {clock} times")
    others = Counter(event.fate for event in events if event.fate != "stored")
    fates = ", ".join(f"{count} {fate}" for fate, count in sorted(others.items()))
    queues = "one queue" if epoch_count == 1 else f"{epoch_count} queues one after another"
    lived = f" {', '.join(parts).capitalize()}." if parts else ""
    return f"{len(events)} events in {queues}{f'; {fates}' if fates else ''}.{lived}"


def _spells(phone: Phone, from_micros: int, until_micros: int) -> list[StripSpell]:
    """Without gaps; after the scenario's end the network is good."""
    spells = [
        StripSpell(from_micros=each.from_micros, until_micros=each.until_micros, state=each.state.value)
        for each in phone.weather.spells[:STRIP_SPELLS_MAX]
    ]
    ends = spells[-1].until_micros if spells else from_micros
    if ends < until_micros:
        spells.append(StripSpell(from_micros=ends, until_micros=until_micros, state="online"))
    return spells
