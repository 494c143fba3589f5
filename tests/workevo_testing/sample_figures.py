"""Figures that look like a run's, from a seed: to draw the report from before, and without, a run."""

import math
import random
from collections.abc import Sequence

from workevo_simulator.figures import (
    DELIVERY_BOUNDS_SECONDS,
    BalanceFigures,
    CallFigures,
    ClockFigures,
    DeliveryFigures,
    DeviceStrip,
    Figures,
    HourFigures,
    StripEvent,
    StripMark,
    StripSpell,
    VerdictFigures,
)

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
START = 1_772_409_600 * SECOND  # Monday, 2 March 2026, in UTC.
KINDS = ("commuter", "cloned", "festival", "flapping", "full disk", "steady", "traveller")
DROPS = {"QUEUE_FULL": 1871, "EXPIRED": 214, "OPTED_OUT": 655, "CORRUPT": 96, "QUARANTINED": 3}
MARKS = (
    "rebooted",
    "app killed",
    "clock set 3 h ahead",
    "clock set 2 d back",
    "disk full",
    "restored on a second phone",
    "logged out",
    "app reinstalled",
)


def sample_figures(seed: int = 7, *, devices: int = 2000, days: int = 7, busyness: int = 1) -> Figures:
    """A hostile week that is balanced; equal arguments give equal figures.

    busyness multiplies the events of the oddest devices.
    """
    chance = random.Random(seed)
    until = START + days * DAY + 5 * HOUR
    hours = _hours(chance, devices, days * 24 + 5)
    generated = sum(hour.tracked for hour in hours)
    calls = _calls(chance, generated)
    parts = {
        "duplicate": generated // 320,
        "archived": generated // 900,
        "rejected": generated // 260,
        "dropped": sum(DROPS.values()),
        "wiped": 1204,
    }
    stored = generated - sum(parts.values())
    return Figures(
        scenario="hostile",
        seed=seed,
        device_count=devices,
        person_count=devices * 23 // 20,
        from_micros=START,
        until_micros=until,
        server_kills=9,
        balance=BalanceFigures(
            generated=generated,
            stored=stored,
            **parts,
            open=0,
            resent=calls.events_sent - calls.events_first_sent,
            missing=0,
            unexpected=0,
            differing=0,
            imbalances=0,
            balanced=True,
        ),
        findings=[],
        hours=hours,
        delivery=[_delivery(chance, kind, devices // 7, stored // 7) for kind in sorted(KINDS)],
        verdicts=_verdicts(stored, parts),
        drops=DROPS,
        calls=calls,
        clocks=_clocks(stored),
        oddities=[_device(chance, number, until, busyness) for number in range(10)],
    )


def _hours(chance: random.Random, devices: int, count: int) -> list[HourFigures]:
    hours, queued = [], 0
    for place in range(count):
        awake = max(0.06, math.sin((place % 24 - 7) / 24 * 2 * math.pi))
        storm = 52 <= place <= 55
        tracked = int(devices * 1.4 * awake * chance.uniform(0.85, 1.15)) if place < count - 5 else 0
        offline = int(devices * (0.14 + 0.3 * (1 - awake)) * chance.uniform(0.9, 1.1))
        stored = int((queued + tracked) * (0.03 if storm else chance.uniform(0.55, 0.8)))
        if place == count - 1:
            stored = queued + tracked
        queued += tracked - stored
        calls = int(stored / 9 * chance.uniform(0.9, 1.2)) + (1900 if storm else 12)
        hours.append(
            HourFigures(
                at_micros=START + place * HOUR,
                tracked=tracked,
                stored=stored,
                queued=queued,
                offline=offline,
                calls=calls,
                failed_calls=int(calls * (0.8 if storm else chance.uniform(0.15, 0.25))),
                pushed_back=1500 if storm else 0,
            )
        )
    return hours


def _delivery(chance: random.Random, kind: str, devices: int, events: int) -> DeliveryFigures:
    center = chance.uniform(1.5, 5.5)
    weights = [math.exp(-((place - center) ** 2) / 3) for place in range(len(DELIVERY_BOUNDS_SECONDS) + 1)]
    histogram = [int(events * weight / sum(weights)) for weight in weights]
    histogram[0] += events - sum(histogram)
    p50 = 10 ** (center * 0.75 + 0.2)
    return DeliveryFigures(
        kind=kind,
        device_count=devices,
        event_count=events,
        p50_seconds=round(p50, 3),
        p90_seconds=round(p50 * 9.3, 3),
        p99_seconds=round(p50 * 41.7, 3),
        max_seconds=round(p50 * 120.1, 3),
        histogram=histogram,
    )


def _verdicts(stored: int, parts: dict[str, int]) -> list[VerdictFigures]:
    found = [
        ("ACCEPTED", "", stored),
        ("DUPLICATE", "TRANSPORT", stored // 11),
        ("RETRY", "EPOCH_FORKED", 412),
        ("DUPLICATE", "PRODUCT", parts["duplicate"]),
        ("ARCHIVED", "", parts["archived"]),
        ("REJECTED", "METADATA_VALUE_INVALID", parts["rejected"] - 61),
        ("REJECTED", "EVENT_TOO_LARGE", 40),
        ("REJECTED", "CONTACT_ERASED", 21),
    ]
    ordered = sorted(found, key=lambda each: -each[2])
    return [VerdictFigures(verdict=verdict, reason=reason, count=count) for verdict, reason, count in ordered]


def _calls(chance: random.Random, generated: int) -> CallFigures:
    calls = generated // 8
    first = generated - 3043
    return CallFigures(
        calls=calls,
        events_sent=int(first * 1.118),
        events_first_sent=first,
        bytes_sent=first * 171,
        offline=calls // 21,
        lost_requests=calls // 13,
        lost_answers=calls // 14,
        duplicated=calls // 33,
        timed_out=calls // 70,
        refused=calls // 18,
        server_down=calls // 90,
        returns=[int(chance.gauss(33, 5)) if place else 21 for place in range(60)],
        returns_slice_seconds=10.0,
    )


def _clocks(stored: int) -> list[ClockFigures]:
    def clock(method: str, share: float, errors: tuple[float, float, float], over: int) -> ClockFigures:
        p50, p99, longest = errors
        return ClockFigures(
            method=method,
            event_count=int(stored * share),
            share=share,
            p50_seconds=p50,
            p99_seconds=p99,
            max_seconds=longest,
            over_bound=over,
        )

    return [
        clock("UPTIME", 0.912, (0.182, 4.1, 29.8), 0),
        clock("SKEW", 0.061, (1.9, 10_812.0, 172_801.5), 3180),
        clock("DEVICE", 0.027, (0.4, 7200.0, 172_800.0), 402),
    ]


def _device(chance: random.Random, number: int, until: int, busyness: int) -> DeviceStrip:
    network = _network(chance, until)
    marks = sorted(
        (
            StripMark(at_micros=chance.randrange(START, until - 6 * HOUR), what=chance.choice(MARKS))
            for _ in range(chance.randint(4, 13))
        ),
        key=lambda mark: mark.at_micros,
    )
    epochs = [mark.at_micros for mark in marks if mark.what in MARKS[5:8:2]]
    return DeviceStrip(
        name=f"phone-{chance.randrange(2000):04}",
        kind=chance.choice(KINDS),
        why=f"Lived through {len(marks)} accidents, {len(epochs)} of which began a new queue.",
        events=_events(chance, network, epochs, until, per_hour=busyness * (1 + number % 5)),
        network=network,
        marks=marks,
    )


def _network(chance: random.Random, until: int) -> list[StripSpell]:
    spells: list[StripSpell] = []
    at = START
    while at < until:
        state = chance.choices(("online", "slow", "flapping", "offline"), (5, 2, 1.5, 3))[0]
        end = min(
            until, at + int(chance.expovariate(1 / (6 if state != "flapping" else 2)) * HOUR) + 60 * SECOND
        )
        if spells and spells[-1].state == state:
            continue
        spells.append(StripSpell(from_micros=at, until_micros=end, state=state))
        at = end
    return spells


def _events(
    chance: random.Random, network: Sequence[StripSpell], epochs: list[int], until: int, *, per_hour: int
) -> list[StripEvent]:
    events: list[StripEvent] = []
    at, sequence, epoch = START, 0, 0
    while at < until - 6 * HOUR:
        at += int(chance.expovariate(per_hour / 2) * HOUR)
        if chance.random() < 0.04 / per_hour:
            at += 9 * HOUR
        now = sum(1 for each in epochs if each <= at)
        sequence, epoch = (1, now) if now != epoch else (sequence + 1, epoch)
        delivered = next((max(at, each.from_micros) for each in network if _carries(each, at)), None)
        fate = chance.choices(
            ("stored", "duplicate", "rejected", "archived", "dropped", "wiped"), (90, 3, 2, 1, 2, 2)
        )[0]
        settles = delivered is not None and fate not in ("dropped", "wiped")
        events.append(
            StripEvent(
                tracked_micros=at,
                settled_micros=delivered + chance.randrange(30) * 60 * SECOND
                if settles and delivered
                else None,
                epoch_number=epoch + 1,
                sequence=sequence,
                fate=fate if settles or fate in ("dropped", "wiped") else "open",
                attempts=chance.randint(1, 7) if settles else 0,
            )
        )
    return events


def _carries(spell: StripSpell, at: int) -> bool:
    return spell.state in ("online", "slow") and spell.until_micros > at
