"""One whole replay: live through the log, read everything back, reconcile."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from workevo_simulator.audit import Progress, audit
from workevo_simulator.errors import SimulatorError
from workevo_simulator.fleet import Fleet, Life, queues
from workevo_simulator.line import Patience
from workevo_simulator.network import Faults
from workevo_simulator.reconciliation import Rules
from workevo_simulator.recording import Row
from workevo_simulator.report import Report
from workevo_simulator.target import Server, require_empty_workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    rows: list[Row]
    seed: int
    faults: Faults
    flush_interval: timedelta
    """The app's: how long an event waits for others to go with."""
    lanes: int
    patience: timedelta
    queue_dir: Path | None
    """None: a directory of its own, in memory where the system offers that, gone afterwards."""
    rules: Rules


def replay(
    plan: Plan, server: Server, *, monotonic: Callable[[], float], on_tracked: Progress, on_read: Progress
) -> Report:
    """Raises a SimulatorError when the run cannot be made or finished; an unaccounted event is a finding."""
    require_empty_workspace(server)
    started = monotonic()
    life = live(plan, server, monotonic=monotonic, on_progress=on_tracked)
    took = timedelta(seconds=monotonic() - started)
    if not life.generated:
        raise SimulatorError(f"The tracker took none of the rows: {life.refused[0].why}.")
    found = audit(life.generated, server, plan.rules, on_progress=on_read)
    return Report(found=found.reconciliation, life=life, took=took, seed=plan.seed)


def live(plan: Plan, server: Server, *, monotonic: Callable[[], float], on_progress: Progress) -> Life:
    """Only the first half: every row tracked and delivered."""
    with queues(plan.queue_dir) as queue_dir:
        fleet = Fleet(
            rows=plan.rows,
            seed=plan.seed,
            faults=plan.faults,
            flush_interval=plan.flush_interval,
            lanes=plan.lanes,
            queue_dir=queue_dir,
            connect=server.connect,
            patience=Patience(plan.patience, monotonic, threading.Event()),
        )
        return fleet.run(on_progress=on_progress)
