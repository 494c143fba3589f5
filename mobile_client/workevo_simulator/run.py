"""One whole run of a fleet: live through the scenario, read everything back, reconcile, say it in figures."""

import random
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from workevo_simulator.audit import Progress, audit
from workevo_simulator.crew import Crew, Household, Member
from workevo_simulator.figures import Figures
from workevo_simulator.fleet import queues, room_for_trackers, run_lanes
from workevo_simulator.lane import Lane
from workevo_simulator.limits import RUN_BEGINS_MICROS
from workevo_simulator.line import Line, Patience
from workevo_simulator.outages import Mortal, Outages, drawn_outages
from workevo_simulator.phone import Habits, Phone
from workevo_simulator.phone_clocks import clocks_of
from workevo_simulator.phone_network import PhoneNetwork, Pushing
from workevo_simulator.reconciliation import Reconciliation, Rules
from workevo_simulator.scenario import Scenario
from workevo_simulator.tally import figures_of
from workevo_simulator.target import Server, require_empty_workspace
from workevo_simulator.truth import ContactId, Generated
from workevo_simulator.virtual_time import VirtualTime, hours_of, micros_of
from workevo_simulator.witness import Happening, Witness

_DAY_HOURS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    scenario_name: str
    scenario: Scenario
    seed: int
    device_count: int
    days: float
    lanes: int
    patience: timedelta
    queue_dir: Path | None
    """None: a directory of its own, in memory where the system offers that, gone afterwards."""
    metadata_keys: int
    identity_window: timedelta

    @property
    def until_micros(self) -> int:
        return RUN_BEGINS_MICROS + hours_of(self.days * _DAY_HOURS)

    def crew(self) -> Crew:
        return Crew(
            scenario=self.scenario,
            seed=self.seed,
            from_micros=RUN_BEGINS_MICROS,
            until_micros=self.until_micros,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLife:
    """What was lived through."""

    phones: Sequence[Phone]
    witnesses: Sequence[Witness]
    kill_count: int

    @property
    def generated(self) -> list[Generated]:
        """In the order of the truth."""
        happenings = [each for witness in self.witnesses for each in witness.happenings.values()]
        happenings.sort(key=lambda each: (each.true_micros, each.mark))
        return [_generated(each) for each in happenings]

    def rules(self, plan: RunPlan) -> Rules:
        merged = {
            ContactId("visitor", visitor): (ContactId("user", user), at)
            for witness in self.witnesses
            for visitor, (user, at) in witness.merged.items()
        }
        return Rules(
            metadata_keys=plan.metadata_keys,
            identity_window=plan.identity_window,
            person_of={visitor: user for visitor, (user, _) in merged.items()},
            merged_at_micros={visitor: at for visitor, (_, at) in merged.items()},
            given_up_by={phone.habits.name: phone.given_up_count for phone in self.phones},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    found: Reconciliation
    figures: Figures
    took: timedelta
    """Real time from the first event to the last answer."""


def run_fleet(
    plan: RunPlan,
    server: Server,
    mortal: Mortal | None,
    households: Sequence[Household],
    *,
    monotonic: Callable[[], float],
    on_lived: Progress,
    on_read: Progress,
) -> Run:
    """`mortal`: the server, where it is ours to kill; None where it is somebody else's.

    Raises a SimulatorError when the run cannot be made or finished; an unaccounted event is a finding.
    """
    require_empty_workspace(server)
    started = monotonic()
    life = _live(plan, server, mortal, households, monotonic=monotonic, on_lived=on_lived)
    took = timedelta(seconds=monotonic() - started)
    generated, rules = life.generated, life.rules(plan)
    found = audit(generated, server, rules, on_progress=on_read)
    figures = figures_of(
        name=plan.scenario_name,
        seed=plan.seed,
        from_micros=RUN_BEGINS_MICROS,
        phones=life.phones,
        witnesses=life.witnesses,
        kill_count=life.kill_count,
        generated=generated,
        found=found.reconciliation,
        ledgers=found.readback.ledgers,
    )
    return Run(found=found.reconciliation, figures=figures, took=took)


def act_count(households: Iterable[Household]) -> int:
    """What `on_lived` will add up to."""
    return sum(len(member.acts) for household in households for member in household)


def _live(
    plan: RunPlan,
    server: Server,
    mortal: Mortal | None,
    households: Sequence[Household],
    *,
    monotonic: Callable[[], float],
    on_lived: Progress,
) -> FleetLife:
    stop = threading.Event()
    with queues(plan.queue_dir) as queue_dir:
        yard = _Yard(plan, server, queue_dir, Patience(plan.patience, monotonic, stop))
        lanes = yard.lanes(households)
        kills = drawn_outages(
            random.Random(f"{plan.seed}/outages"),
            per_day=plan.scenario.server_kills_per_day if mortal is not None else 0,
            from_micros=RUN_BEGINS_MICROS,
            until_micros=plan.until_micros,
        )
        outages = Outages(len(lanes), stop, list(kills), mortal)
        run_lanes(lanes, outages, on_progress=on_lived)
        return FleetLife(phones=yard.phones, witnesses=yard.witnesses, kill_count=outages.kill_count)


class _Yard:
    """Where phones are put together and given to lanes."""

    def __init__(self, plan: RunPlan, server: Server, queue_dir: Path, patience: Patience) -> None:
        self._plan = plan
        self._server = server
        self._queue_dir = queue_dir
        self._patience = patience
        self.phones: list[Phone] = []
        self.witnesses: list[Witness] = []

    def lanes(self, households: Sequence[Household]) -> list[Lane]:
        count = min(self._plan.lanes, len(households))
        room = max(1, room_for_trackers() // count)
        return [self._lane(number, households[number::count], room) for number in range(count)]

    def _lane(self, number: int, households: Sequence[Household], trackers_open_max: int) -> Lane:
        time, wire_time = VirtualTime(RUN_BEGINS_MICROS), VirtualTime(RUN_BEGINS_MICROS)
        line = Line(self._server.connect(wire_time), wire_time, self._patience)
        witness = Witness()
        self.witnesses.append(witness)
        phones = [self._phone(member, time, line, witness) for home in households for member in home]
        self.phones += phones
        return Lane(number, time, line, phones, lambda: witness.acts_done, trackers_open_max)

    def _phone(self, member: Member, lane_time: VirtualTime, line: Line, witness: Witness) -> Phone:
        time = VirtualTime(RUN_BEGINS_MICROS)
        phone = Phone(
            habits=self._habits(member),
            acts=member.acts,
            time=time,
            lane_time=lane_time,
            clocks=clocks_of(member.kind.clock, self._chance(member, "clocks"), name=member.name, time=time),
            weather=member.weather,
            witness=witness,
            chance=self._chance(member, "tracker"),
            ends_micros=self._plan.until_micros,
        )
        phone.network = PhoneNetwork(
            line=line,
            wire_time=line.time,
            time=time,
            weather=member.weather,
            faults=member.kind.network,
            pushing=self._pushing(),
            chance=self._chance(member, "network"),
            witness=witness,
            dies_in_call=phone.dies_in_call,
        )
        return phone

    def _habits(self, member: Member) -> Habits:
        marker = self._queue_dir / f"{member.name}.marker" if member.keeps_marker else None
        return Habits(
            name=member.name,
            kind=member.kind_name,
            queue=self._queue_dir / f"{member.name}.queue",
            marker=marker,
            has_small_queue=member.has_small_queue,
        )

    def _pushing(self) -> Pushing:
        begins = [
            (RUN_BEGINS_MICROS + hours_of(overload.after_hours), overload.for_minutes)
            for overload in self._plan.scenario.overloads
        ]
        return Pushing(times=[(at, at + micros_of(timedelta(minutes=long))) for at, long in begins])

    def _chance(self, member: Member, purpose: str) -> random.Random:
        return random.Random(f"{self._plan.seed}/{purpose}/{member.name}")


def _generated(happening: Happening) -> Generated:
    return Generated(
        label=happening.mark,
        contact=happening.contact,
        name=happening.name,
        created_at_micros=happening.created_at_micros,
        occurred_at_micros=happening.true_micros,
        metadata=happening.metadata,
        keys=tuple(happening.keys),
        device=happening.phone,
        clock_is_right=False,  # Only uptime is held to the truth here (R8).
        wire_micros=happening.wire_micros,
        answers=happening.answers,
        is_wiped=happening.is_wiped,
        settled_micros=happening.settled_micros,
    )
