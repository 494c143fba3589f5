"""From a run to the figures that its report is drawn from. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from workevo_simulator.figures import (
    DELIVERY_BOUNDS_SECONDS,
    BalanceFigures,
    CallFigures,
    ClockFigures,
    DeliveryFigures,
    DeviceStrip,
    Figures,
    HourFigures,
    VerdictFigures,
)
from workevo_simulator.findings import COUNTED, Reconciliation
from workevo_simulator.limits import LISTED_MAX, PUSH_BACK_LONGEST, RETURN_SLICES
from workevo_simulator.oddities import odd_devices
from workevo_simulator.phone import Phone
from workevo_simulator.readback import EpochLedger
from workevo_simulator.reconciliation import is_placed_wrongly
from workevo_simulator.truth import Generated
from workevo_simulator.virtual_time import micros_of
from workevo_simulator.weather import State
from workevo_simulator.witness import HourCounts, Traffic, Witness

_HOUR_MICROS = 3600 * 1_000_000


def figures_of(
    *,
    name: str,
    seed: int,
    from_micros: int,
    phones: Sequence[Phone],
    witnesses: Sequence[Witness],
    kill_count: int,
    generated: Sequence[Generated],
    found: Reconciliation,
    ledgers: Mapping[tuple[str, bytes], EpochLedger],
) -> Figures:
    until_micros = max((phone.time.now_micros for phone in phones), default=from_micros)
    return Figures(
        scenario=name,
        seed=seed,
        device_count=len(phones),
        person_count=len({event.contact for event in generated}),
        from_micros=from_micros,
        until_micros=until_micros,
        server_kills=kill_count,
        balance=balance_figures(found),
        hours=_hours(phones, witnesses, from_micros, until_micros),
        delivery=_delivery(phones, witnesses),
        verdicts=_verdicts(witnesses),
        drops=_drops(ledgers),
        calls=_calls(witnesses),
        clocks=_clocks(generated, found),
        findings=found.sentences(LISTED_MAX),
        oddities=_oddities(phones, witnesses, generated, found, from_micros, until_micros),
    )


def balance_figures(found: Reconciliation) -> BalanceFigures:
    return BalanceFigures(
        generated=found.generated,
        **{fate.value: found.fates[fate] for fate in COUNTED},
        resent=found.resent,
        missing=len(found.missing),
        unexpected=len(found.unexpected),
        differing=len(found.differing),
        imbalances=len(found.imbalances),
        balanced=found.balanced,
    )


def _hours(
    phones: Sequence[Phone], witnesses: Sequence[Witness], from_micros: int, until_micros: int
) -> list[HourFigures]:
    counts: dict[int, HourCounts] = defaultdict(HourCounts)
    for witness in witnesses:
        for hour, each in witness.hours.items():
            counts[hour].add(each)
    first, last = from_micros // _HOUR_MICROS, until_micros // _HOUR_MICROS
    moments = [(hour + 1) * _HOUR_MICROS for hour in range(first, last + 1)]
    queued = _sums_at(_queue_changes(phones), moments)
    offline = _sums_at(_offline_changes(phones), moments)
    made: list[HourFigures] = []
    for hour in range(first, last + 1):
        count = counts[hour]
        made.append(
            HourFigures(
                at_micros=hour * _HOUR_MICROS,
                tracked=count.tracked,
                stored=count.stored,
                queued=queued[hour - first],
                offline=offline[hour - first],
                calls=count.calls,
                failed_calls=count.failed_calls,
                pushed_back=count.pushed_back,
            )
        )
    return made


def _queue_changes(phones: Iterable[Phone]) -> Counter[int]:
    changes: Counter[int] = Counter()
    for phone in phones:
        before = 0
        for at, pending in phone.pending_steps:
            changes[at] += pending - before
            before = pending
    return changes


def _offline_changes(phones: Iterable[Phone]) -> Counter[int]:
    changes: Counter[int] = Counter()
    for phone in phones:
        for spell in phone.weather.spells:
            if spell.state is State.OFFLINE:
                changes[spell.from_micros] += 1
                changes[spell.until_micros] -= 1
    return changes


def _sums_at(changes: Mapping[int, int], moments: Sequence[int]) -> list[int]:
    """What has added up before each of the ascending moments."""
    steps = sorted(changes.items())
    sums: list[int] = []
    total, place = 0, 0
    for moment in moments:
        while place < len(steps) and steps[place][0] < moment:
            total += steps[place][1]
            place += 1
        sums.append(total)
    return sums


def _delivery(phones: Sequence[Phone], witnesses: Sequence[Witness]) -> list[DeliveryFigures]:
    seconds: dict[str, list[float]] = defaultdict(list)
    for witness in witnesses:
        for each in witness.happenings.values():
            if "ACCEPTED" in each.answers.values() and each.settled_micros is not None:
                seconds[each.kind].append((each.settled_micros - each.true_micros) / 1e6)
    kinds = Counter(phone.habits.kind for phone in phones)
    return [_delivery_of(kind, kinds[kind], sorted(seconds[kind])) for kind in sorted(kinds)]


def _delivery_of(kind: str, device_count: int, seconds: Sequence[float]) -> DeliveryFigures:
    bounds = (0.0, *DELIVERY_BOUNDS_SECONDS, float("inf"))
    return DeliveryFigures(
        kind=kind,
        device_count=device_count,
        event_count=len(seconds),
        p50_seconds=quantile(seconds, 0.5),
        p90_seconds=quantile(seconds, 0.9),
        p99_seconds=quantile(seconds, 0.99),
        max_seconds=quantile(seconds, 1),
        histogram=[sum(low <= each < high for each in seconds) for low, high in pairwise(bounds)],
    )


def quantile(ascending: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed; 0 where there is none."""
    if not ascending:
        return 0.0
    return round(ascending[min(len(ascending) - 1, int(share * len(ascending)))], 3)


def _verdicts(witnesses: Iterable[Witness]) -> list[VerdictFigures]:
    counts: Counter[tuple[str, str]] = Counter()
    for witness in witnesses:
        counts.update(witness.verdicts)
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return [
        VerdictFigures(verdict=verdict, reason=reason, count=count) for (verdict, reason), count in ordered
    ]


def _drops(ledgers: Mapping[tuple[str, bytes], EpochLedger]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for ledger in ledgers.values():
        counts.update(dict(ledger.balance.dropped_by_reason))
    return dict(sorted(counts.items()))


def _calls(witnesses: Sequence[Witness]) -> CallFigures:
    traffic = Traffic()
    for witness in witnesses:
        traffic.add(witness.traffic)
    returns = _returns(witnesses)
    return CallFigures(
        calls=traffic.calls,
        events_sent=traffic.events_sent,
        events_first_sent=sum(
            each.attempts > 0 for witness in witnesses for each in witness.happenings.values()
        ),
        bytes_sent=traffic.bytes_sent,
        offline=traffic.offline,
        lost_requests=traffic.lost_requests,
        lost_answers=traffic.lost_answers,
        duplicated=traffic.duplicated,
        timed_out=traffic.timed_out,
        refused=traffic.refused,
        server_down=traffic.server_down,
        returns=returns,
        returns_slice_seconds=PUSH_BACK_LONGEST.total_seconds() / RETURN_SLICES if returns else 0.0,
    )


def _returns(witnesses: Sequence[Witness]) -> list[int]:
    """Calls that came again in each slice of the longest delay, after the first one that was pushed back."""
    pushed = [at for witness in witnesses for at in witness.pushed_back_micros]
    if not pushed:
        return []
    first, length = min(pushed), micros_of(PUSH_BACK_LONGEST)
    slices = [0] * RETURN_SLICES
    for witness in witnesses:
        for at in witness.return_micros:
            if first <= at < first + length:
                slices[(at - first) * RETURN_SLICES // length] += 1
    return slices


def _clocks(generated: Sequence[Generated], found: Reconciliation) -> list[ClockFigures]:
    errors: dict[str, list[float]] = defaultdict(list)
    over: Counter[str] = Counter()
    for place, stored in found.stored_as.items():
        truth = generated[place]
        off_micros = abs(stored.occurred_at_micros - truth.occurred_at_micros)
        errors[stored.clock_method].append(off_micros / 1e6)
        over[stored.clock_method] += is_placed_wrongly(truth, stored)
    return [
        ClockFigures(
            method=method,
            event_count=len(seconds),
            share=round(len(seconds) / len(found.stored_as), 6),
            p50_seconds=quantile(sorted(seconds), 0.5),
            p99_seconds=quantile(sorted(seconds), 0.99),
            max_seconds=quantile(sorted(seconds), 1),
            over_bound=over[method],
        )
        for method, seconds in sorted(errors.items())
    ]


def _oddities(
    phones: Sequence[Phone],
    witnesses: Sequence[Witness],
    generated: Sequence[Generated],
    found: Reconciliation,
    from_micros: int,
    until_micros: int,
) -> list[DeviceStrip]:
    happenings = {mark: each for witness in witnesses for mark, each in witness.happenings.items()}
    fates = {event.label: found.fate_of[place].value for place, event in enumerate(generated)}
    return odd_devices(phones, happenings, fates, from_micros=from_micros, until_micros=until_micros)
