"""A fleet at work: phones made from what was drawn for them, shared out over lanes, run to the end."""

import random
import resource
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from workevo_mobile import QueueUnavailable, Transport
from workevo_simulator.crew import Household, Member
from workevo_simulator.errors import SimulatorError
from workevo_simulator.households import shared_out
from workevo_simulator.lane import Conductor, Lane
from workevo_simulator.limits import FILES_KEPT_FREE, FILES_PER_TRACKER, TRACKERS_OPEN_MAX
from workevo_simulator.line import Line, Patience
from workevo_simulator.outages import Mortal, Outage, Outages
from workevo_simulator.phone import Habits, Phone, file_stem
from workevo_simulator.phone_clocks import clocks_of
from workevo_simulator.phone_network import PhoneNetwork, Pushing
from workevo_simulator.truth import ContactId, Generated
from workevo_simulator.virtual_time import VirtualTime
from workevo_simulator.witness import Happening, Refused, Witness

_MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - The throw-away queues go into a fresh directory in it, 0700.


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

    @property
    def refused(self) -> list[Refused]:
        return sorted((each for w in self.witnesses for each in w.refused), key=lambda each: each.line)

    @property
    def merged(self) -> dict[ContactId, tuple[ContactId, int]]:
        """Of each visitor that became a user's: the user, and when."""
        return {
            ContactId("visitor", visitor): (ContactId("user", user), at)
            for witness in self.witnesses
            for visitor, (user, at) in witness.merged.items()
        }


@dataclass(slots=True, kw_only=True)
class Fleet:
    """The same seed, the same life, on any number of lanes.

    Only where there are more phones than queues may be open at once do some
    restart more often, and so start their backoff anew.
    """

    households: Sequence[Household]
    seed: int
    flush_interval: timedelta | None
    """The app's; None: the SDK's own."""
    pushing: Pushing
    outages: Sequence[Outage]
    mortal: Mortal | None
    """The server, where it is ours to kill."""
    lanes: int
    queue_dir: Path
    """Empty; one queue a phone is made in it."""
    connect: Callable[[VirtualTime], Transport]
    """One connection for a lane, telling the server the time of receipt."""
    patience: Patience
    trackers_open_max: int = field(default_factory=lambda: room_for_trackers())

    def run(self, *, on_progress: Callable[[int], None]) -> FleetLife:
        """Live through everything and deliver it. `on_progress` is told of acts done, from any lane's thread.

        Raises the SimulatorError that ended the run early, when all threads are done.
        """
        shares = shared_out(self.households, lanes=self.lanes)
        witnesses = [Witness() for _ in shares]
        made = [self._lane(number, shares, witnesses[number]) for number in range(len(shares))]
        conductor = Outages(len(made), self.patience.stop, self.outages, self.mortal)
        run_lanes([lane for lane, _ in made], conductor, on_progress=on_progress)
        phones = [phone for _, of_lane in made for phone in of_lane]
        return FleetLife(phones=phones, witnesses=witnesses, kill_count=conductor.kill_count)

    def _lane(
        self, number: int, shares: Sequence[Sequence[Member]], witness: Witness
    ) -> tuple[Lane, list[Phone]]:
        time, wire_time = VirtualTime(), VirtualTime()
        line = Line(self.connect(wire_time), wire_time, self.patience)
        phones = [self._phone(member, time, line, witness) for member in shares[number]]
        room = max(1, self.trackers_open_max // len(shares))
        return Lane(number, time, line, phones, lambda: witness.acts_done, room), phones

    def _phone(self, member: Member, lane_time: VirtualTime, line: Line, witness: Witness) -> Phone:
        time = VirtualTime(member.acts[0].at_micros if member.acts else 0)
        clocks = clocks_of(member.kind.clock, self._chance(member, "clocks"), name=member.name, time=time)
        if member.is_recorded:
            clocks.set_ahead(0)
        phone = Phone(
            habits=self._habits(member),
            acts=member.acts,
            time=time,
            lane_time=lane_time,
            clocks=clocks,
            weather=member.weather,
            witness=witness,
            chance=self._chance(member, "tracker"),
            ends_micros=member.ends_micros,
        )
        phone.network = PhoneNetwork(
            line=line,
            wire_time=line.time,
            time=time,
            weather=member.weather,
            faults=member.kind.network,
            pushing=self.pushing,
            chance=self._chance(member, "network"),
            witness=witness,
            dies_in_call=phone.dies_in_call,
        )
        return phone

    def _habits(self, member: Member) -> Habits:
        stem = file_stem(member.name)
        return Habits(
            name=member.name,
            kind=member.kind_name,
            queue=self.queue_dir / f"{stem}.queue",
            marker=self.queue_dir / f"{stem}.marker" if member.keeps_marker else None,
            has_small_queue=member.has_small_queue,
            is_recorded=member.is_recorded,
            flush_interval=self.flush_interval,
        )

    def _chance(self, member: Member, purpose: str) -> random.Random:
        return random.Random(f"{self.seed}/{purpose}/{member.name}")


def _generated(happening: Happening) -> Generated:
    return Generated(
        label=happening.mark,
        contact=happening.contact,
        name=happening.name,
        created_at_micros=happening.created_at_micros,
        occurred_at_micros=happening.true_micros,
        metadata=happening.metadata,
        keys=tuple(happening.keys),
        left_keys=tuple(happening.left_keys),
        unplaced=happening.unplaced,
        device=happening.phone,
        clock_is_right=happening.is_recorded,
        wire_micros=happening.wire_micros,
        answers=happening.answers,
        is_wiped=happening.is_wiped,
    )


def run_lanes(lanes: Sequence[Lane], conductor: Conductor, *, on_progress: Callable[[int], None]) -> None:
    """Each on a thread of its own; raises what ended the run early, when all threads are done."""
    with ThreadPoolExecutor(len(lanes), thread_name_prefix="lane") as threads:
        running = [threads.submit(_run_lane, lane, conductor, on_progress) for lane in lanes]
        try:
            wait(running)
        except BaseException:  # Ctrl-C: the lanes must end before the pool lets go of them.
            conductor.stop.set()
            raise
    for lane in running:
        lane.result()


def _run_lane(lane: Lane, conductor: Conductor, on_progress: Callable[[int], None]) -> None:
    try:
        lane.live(conductor, on_progress=on_progress)
    except QueueUnavailable as error:
        conductor.stop.set()
        raise SimulatorError(f"A device's queue cannot be used: {error}") from error
    except BaseException:
        conductor.stop.set()
        raise
    finally:
        conductor.finish(lane.number)
        lane.close()


def room_for_trackers() -> int:
    """How many queues may be open, after raising the soft limit of open files as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = TRACKERS_OPEN_MAX * FILES_PER_TRACKER + FILES_KEPT_FREE
    allowed = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft not in (resource.RLIM_INFINITY, allowed) and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(1, (allowed - FILES_KEPT_FREE) // FILES_PER_TRACKER)


@contextmanager
def queues(queue_dir: Path | None) -> Iterator[Path]:
    """Where they go: an empty directory that was named and stays, or one that is thrown away."""
    if queue_dir is not None:
        queue_dir.mkdir(parents=True, exist_ok=True)
        if any(queue_dir.iterdir()):
            raise SimulatorError(f"{queue_dir} is not empty: a device's queue must be new.")
        yield queue_dir
        return
    memory = _MEMORY_DISK if _MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="workevo-queues-", dir=memory) as made:
        yield Path(made)


def patient(patience: timedelta, monotonic: Callable[[], float]) -> Patience:
    """How long this run waits for a server that went away."""
    return Patience(patience, monotonic, threading.Event())
