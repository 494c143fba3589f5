"""One whole run, of a scenario or a recorded log: live, read all back, reconcile, say it in figures."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from workevo_simulator.audit import Progress, audit
from workevo_simulator.crew import Crew, Household
from workevo_simulator.errors import SimulatorError
from workevo_simulator.figures import Figures
from workevo_simulator.findings import Reconciliation, Rules
from workevo_simulator.fleet import Fleet, FleetLife, patient, queues
from workevo_simulator.limits import RUN_BEGINS_MICROS
from workevo_simulator.outages import Mortal, Outage, drawn_outages
from workevo_simulator.phone_network import Pushing
from workevo_simulator.recorded_crew import BadNetwork, recorded_households
from workevo_simulator.recording import Row
from workevo_simulator.scenario import Scenario
from workevo_simulator.tally import figures_of
from workevo_simulator.target import Server, require_empty_workspace
from workevo_simulator.virtual_time import hours_of, micros_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is decided before a run. The households, the seed and the outages decide on every event."""

    name: str
    """Of the scenario or the log, for the report."""
    seed: int
    households: Sequence[Household]
    from_micros: int
    flush_interval: timedelta | None = None
    """The app's: how long an event waits for others to go with; None: the SDK's own."""
    pushing: Pushing = Pushing()  # noqa: RUF009  # Frozen.
    outages: Sequence[Outage] = ()
    """Of a server that is the simulator's own; of another one they are left out."""
    lanes: int
    patience: timedelta
    queue_dir: Path | None
    """None: a directory of its own, in memory where the system offers that, gone afterwards."""
    rules: Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    found: Reconciliation
    figures: Figures
    life: FleetLife
    took: timedelta
    """Real time from the first event to the last answer."""


def scenario_plan(
    name: str,
    scenario: Scenario,
    *,
    seed: int,
    device_count: int,
    days: float,
    lanes: int,
    patience: timedelta,
    queue_dir: Path | None,
    rules: Rules,
) -> Plan:
    """`days` are virtual."""
    until_micros = RUN_BEGINS_MICROS + hours_of(days * 24)
    crew = Crew(scenario=scenario, seed=seed, from_micros=RUN_BEGINS_MICROS, until_micros=until_micros)
    kills = drawn_outages(
        random.Random(f"{seed}/outages"),
        per_day=scenario.server_kills_per_day,
        from_micros=RUN_BEGINS_MICROS,
        until_micros=until_micros,
    )
    pushed = [
        (RUN_BEGINS_MICROS + hours_of(each.after_hours), each.for_minutes) for each in scenario.overloads
    ]
    return Plan(
        name=name,
        seed=seed,
        households=crew.households(device_count),
        from_micros=RUN_BEGINS_MICROS,
        pushing=Pushing(times=[(at, at + micros_of(timedelta(minutes=long))) for at, long in pushed]),
        outages=list(kills),
        lanes=lanes,
        patience=patience,
        queue_dir=queue_dir,
        rules=rules,
    )


def recorded_plan(
    name: str,
    rows: Sequence[Row],
    *,
    network: BadNetwork,
    seed: int,
    flush_interval: timedelta,
    lanes: int,
    patience: timedelta,
    queue_dir: Path | None,
    rules: Rules,
) -> Plan:
    return Plan(
        name=name,
        seed=seed,
        households=recorded_households(rows, network, seed),
        from_micros=min(row.at_micros for row in rows),
        flush_interval=flush_interval,
        lanes=lanes,
        patience=patience,
        queue_dir=queue_dir,
        rules=rules,
    )


def run(
    plan: Plan,
    server: Server,
    mortal: Mortal | None = None,
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
    life = live(plan, server, mortal, monotonic=monotonic, on_lived=on_lived)
    took = timedelta(seconds=monotonic() - started)
    generated = life.generated
    if not generated and life.refused:
        raise SimulatorError(f"The tracker took none of the rows: {life.refused[0].why}.")
    found = audit(generated, server, rules_after(plan.rules, life), on_progress=on_read)
    figures = figures_of(
        name=plan.name,
        seed=plan.seed,
        from_micros=plan.from_micros,
        phones=life.phones,
        witnesses=life.witnesses,
        kill_count=life.kill_count,
        generated=generated,
        found=found.reconciliation,
        ledgers=found.readback.ledgers,
    )
    return Run(found=found.reconciliation, figures=figures, life=life, took=took)


def live(
    plan: Plan, server: Server, mortal: Mortal | None, *, monotonic: Callable[[], float], on_lived: Progress
) -> FleetLife:
    """Only the first half: everything tracked and delivered."""
    with queues(plan.queue_dir) as queue_dir:
        fleet = Fleet(
            households=plan.households,
            seed=plan.seed,
            flush_interval=plan.flush_interval,
            pushing=plan.pushing,
            outages=plan.outages if mortal is not None else (),
            mortal=mortal,
            lanes=plan.lanes,
            queue_dir=queue_dir,
            connect=server.connect,
            patience=patient(plan.patience, monotonic),
        )
        return fleet.run(on_progress=on_lived)


def rules_after(rules: Rules, life: FleetLife) -> Rules:
    """With who became whose, and what each device says it gave up."""
    return Rules(
        metadata_keys=rules.metadata_keys,
        identity_window=rules.identity_window,
        person_of={visitor: user for visitor, (user, _) in life.merged.items()},
        merged_at_micros={visitor: at for visitor, (_, at) in life.merged.items()},
        given_up_by={phone.habits.name: phone.given_up_count for phone in life.phones},
    )
