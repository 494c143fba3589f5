"""One whole replay: live through the log, read everything back, reconcile."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc

from workevo_mobile import GrpcTransport, Transport
from workevo_simulator.errors import ServerUnusable, SimulatorError
from workevo_simulator.fleet import Fleet, Life
from workevo_simulator.line import SIMULATED_TIME_METADATA, Patience
from workevo_simulator.network import Faults
from workevo_simulator.readback import GrpcReadApi, read_back
from workevo_simulator.reconciliation import Reconciliation, Rules, reconcile
from workevo_simulator.recording import Row
from workevo_simulator.report import Report
from workevo_simulator.truth import Generated
from workevo_simulator.virtual_time import VirtualTime

_MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - The throw-away queues go into a fresh directory in it, 0700.

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Which one, and the keys of the workspace that is replayed into."""

    target: str
    sdk_key: str
    server_key: str

    def connect(self, time: VirtualTime) -> Transport:
        """A connection that tells the server `time` with every call.

        In plaintext, as a simulated clock is served on loopback only.
        """
        return GrpcTransport(
            self.target,
            self.sdk_key,
            insecure=True,
            metadata=lambda: ((SIMULATED_TIME_METADATA, str(time.now_micros)),),
        )

    @contextmanager
    def read_api(self) -> Iterator[GrpcReadApi]:
        with grpc.insecure_channel(self.target) as channel:
            yield GrpcReadApi(channel, self.server_key)


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
    _require_empty_workspace(server)
    started = monotonic()
    life = live(plan, server, monotonic=monotonic, on_progress=on_tracked)
    took = timedelta(seconds=monotonic() - started)
    if not life.generated:
        raise SimulatorError(f"The tracker took none of the rows: {life.refused[0].why}.")
    found = audit(life.generated, server, plan.rules, on_progress=on_read)
    return Report(found=found, life=life, took=took, seed=plan.seed)


def live(plan: Plan, server: Server, *, monotonic: Callable[[], float], on_progress: Progress) -> Life:
    """Only the first half: every row tracked and delivered."""
    with _queues(plan.queue_dir) as queue_dir:
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


def audit(
    generated: Sequence[Generated],
    server: Server,
    rules: Rules,
    *,
    on_progress: Progress,
) -> Reconciliation:
    """Only the second half: hold what the server has against the truth."""
    with server.read_api() as api:
        people = dict.fromkeys(event.contact for event in generated)
        return reconcile(generated, read_back(api, people, on_progress=on_progress), rules)


def _require_empty_workspace(server: Server) -> None:
    with server.read_api() as api:
        if next(iter(api.installs()), None) is not None:
            raise ServerUnusable(
                "The workspace already has installs. All that it holds is held against the log, so replay "
                "into a new one: `workevo workspace create NAME`."
            )


@contextmanager
def _queues(queue_dir: Path | None) -> Iterator[Path]:
    if queue_dir is not None:
        queue_dir.mkdir(parents=True, exist_ok=True)
        if any(queue_dir.iterdir()):
            raise SimulatorError(f"{queue_dir} is not empty: a device's queue must be new.")
        yield queue_dir
        return
    memory = _MEMORY_DISK if _MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="workevo-queues-", dir=memory) as made:
        yield Path(made)
