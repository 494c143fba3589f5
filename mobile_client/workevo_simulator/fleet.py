"""All devices of a recorded log, spread over lanes and run to the end."""

import itertools
import random
import resource
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from workevo_mobile import AppInfo, QueueUnavailable, Tracker, Transport
from workevo_simulator.device import Device, DeviceTracker, Diary, RefusedRow
from workevo_simulator.errors import SimulatorError
from workevo_simulator.households import RowsByDevice, households, shared_out
from workevo_simulator.lane import Conductor, Lane, Pace
from workevo_simulator.limits import FILES_KEPT_FREE, FILES_PER_TRACKER, TRACKERS_OPEN_MAX
from workevo_simulator.line import Line, Patience
from workevo_simulator.network import CallCounts, DeviceNetwork, Faults, OfflineSpells
from workevo_simulator.recording import Row
from workevo_simulator.truth import Generated
from workevo_simulator.virtual_time import Boots, DeviceClocks, VirtualTime

_MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - The throw-away queues go into a fresh directory in it, 0700.
_APP = AppInfo(platform="simulator", app_version="1.0", os_version="1", locale="en", time_zone="UTC")
_DAY_MICROS = 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What the fleet has lived through."""

    generated: Sequence[Generated]
    refused: Sequence[RefusedRow]
    counts: CallCounts
    device_count: int
    restart_count: int


@dataclass(slots=True, kw_only=True)
class Fleet:
    """What a seed, a log and the faults make of it is the same whatever the number of lanes.

    Only where there are more devices than queues may be open at once do some
    restart more often, and so start their backoff anew.
    """

    rows: Sequence[Row]
    seed: int
    faults: Faults
    flush_interval: timedelta
    lanes: int
    queue_dir: Path
    """Empty; one queue a device is made in it."""
    connect: Callable[[VirtualTime], Transport]
    """One connection for a lane, telling the server its true time."""
    patience: Patience
    trackers_open_max: int = field(default_factory=lambda: room_for_trackers())
    _diaries: list[Diary] = field(default_factory=list, init=False)
    _counts: list[CallCounts] = field(default_factory=list, init=False)

    def run(self, *, on_progress: Callable[[int], None]) -> Life:
        """Live through all rows and deliver them. `on_progress` is told how many more rows were tracked, from
        any lane's thread. Raises the SimulatorError that ended the run early, when all threads are done."""
        lanes = self._lanes()
        run_lanes(lanes, Pace(len(lanes), self.patience.stop), on_progress=on_progress)
        return self._joined(lanes)

    def _lanes(self) -> list[Lane]:
        shares = shared_out(households(self.rows), lanes=self.lanes)
        numbers = {device: number for number, device in enumerate(sorted({row.device for row in self.rows}))}
        return [self._lane(number, share, numbers, len(shares)) for number, share in enumerate(shares)]

    def _lane(
        self, number: int, rows_by_device: RowsByDevice, numbers: Mapping[str, int], lane_count: int
    ) -> Lane:
        time, diary, counts = VirtualTime(), Diary(), CallCounts()
        self._diaries.append(diary)
        self._counts.append(counts)
        line = Line(self.connect(time), time, self.patience)
        devices = [
            self._device(device, rows, self.queue_dir / f"{numbers[device]}.queue", line, diary, counts)
            for device, rows in rows_by_device.items()
        ]
        trackers_open_max = max(1, self.trackers_open_max // lane_count)
        return Lane(number, time, line, devices, lambda: diary.row_count, trackers_open_max)

    def _device(
        self, name: str, rows: list[Row], queue: Path, line: Line, diary: Diary, counts: CallCounts
    ) -> Device:
        rows.sort(
            key=lambda row: row.at_micros
        )  # Stable: what happened in one second stays in the file's order.
        first_micros = rows[0].at_micros
        boots = Boots(self._chance(name, "boots"), first_micros)
        spells = OfflineSpells(
            self._chance(name, "spells"), self.faults.offline_spells_per_week, first_micros - _DAY_MICROS
        )
        network = DeviceNetwork(line, line.time, spells, self.faults, self._chance(name, "network"), counts)
        clocks = DeviceClocks(line.time, boots)
        chance = self._chance(name, "tracker")

        def open_tracker() -> DeviceTracker:
            return Tracker(
                queue,
                transport=network,
                app=_APP,
                clocks=clocks,
                chance=chance,
                flush_interval=self.flush_interval,
                background=False,
            )

        return Device(rows, line.time, boots, open_tracker, diary)

    def _joined(self, lanes: Sequence[Lane]) -> Life:
        counts = CallCounts(failed=sum(lane.line.failed_count for lane in lanes))
        for each in self._counts:
            counts.add(each)
        devices = sum(len(lane.devices) for lane in lanes)
        return Life(
            generated=list(itertools.chain.from_iterable(diary.generated for diary in self._diaries)),
            refused=list(itertools.chain.from_iterable(diary.refused for diary in self._diaries)),
            counts=counts,
            device_count=devices,
            restart_count=sum(diary.reopened_count for diary in self._diaries) - devices,
        )

    def _chance(self, device: str, purpose: str) -> random.Random:
        return random.Random(f"{self.seed}/{purpose}/{device}")


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
    if queue_dir is not None:
        queue_dir.mkdir(parents=True, exist_ok=True)
        if any(queue_dir.iterdir()):
            raise SimulatorError(f"{queue_dir} is not empty: a device's queue must be new.")
        yield queue_dir
        return
    memory = _MEMORY_DISK if _MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="workevo-queues-", dir=memory) as made:
        yield Path(made)
