"""A whole fleet against a server of a few lines: what chance does to a device is its own affair."""

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from workevo.tracking.v1 import tracking_pb2 as wire
from workevo.tracking.v1 import verdict_pb2
from workevo_mobile import CallFailed
from workevo_simulator.errors import ServerGone, SimulatorError
from workevo_simulator.fleet import Fleet, Life
from workevo_simulator.line import Patience
from workevo_simulator.network import Faults
from workevo_simulator.recording import Row
from workevo_simulator.truth import EventKey
from workevo_simulator.virtual_time import VirtualTime

START = 1_710_325_274_000_000
MINUTE = 60_000_000
BAD_NETWORK = Faults(lost_requests=0.2, lost_answers=0.2, offline_spells_per_week=20.0)
NO_SPELLS = Faults(lost_requests=0.2, lost_answers=0.2, offline_spells_per_week=0.0)


class AcceptingServer:
    """Takes every event as new, and remembers when each reached it."""

    def __init__(self) -> None:
        self.received: dict[EventKey, list[int]] = {}
        self.is_gone = False
        self._lock = threading.Lock()

    def connect(self, time: VirtualTime) -> "AcceptingLine":
        return AcceptingLine(self, time)

    def keep(self, request: wire.UploadEventsRequest, now_micros: int) -> None:
        with self._lock:
            for event in request.events:
                key = (request.install.install_id, request.install.epoch, event.sequence)
                self.received.setdefault(key, []).append(now_micros)


class AcceptingLine:
    def __init__(self, server: AcceptingServer, time: VirtualTime) -> None:
        self.server, self.time = server, time

    def upload_events(
        self, request: wire.UploadEventsRequest, *, timeout: timedelta
    ) -> wire.UploadEventsResponse:
        assert timeout > timedelta(0)
        if self.server.is_gone:
            raise CallFailed(grpc.StatusCode.UNAVAILABLE)
        self.server.keep(request, self.time.now_micros)
        answer = wire.UploadEventsResponse(accepted_count=len(request.events))
        answer.server_time.FromMicroseconds(self.time.now_micros)
        return answer

    def identify(self, request: wire.IdentifyRequest, *, timeout: timedelta) -> wire.IdentifyResponse:
        assert timeout > timedelta(0)
        if self.server.is_gone:
            raise CallFailed(grpc.StatusCode.UNAVAILABLE)
        return wire.IdentifyResponse(verdict=verdict_pb2.VERDICT_ACCEPTED) if request.user_id else refused()

    def close(self) -> None:
        pass


def refused() -> wire.IdentifyResponse:
    raise CallFailed(grpc.StatusCode.INVALID_ARGUMENT)


def recorded(devices: int, *, events: int) -> list[Row]:
    return [
        Row(
            line=1,
            device=f"d{device}",
            contact=f"c{device}",
            name=f"e{number}",
            at_micros=START + (number * 700 + device * 13) * MINUTE,
            metadata=(("n", number),),
        )
        for device in range(devices)
        for number in range(events)
    ]


def lived(
    directory: Path,
    server: AcceptingServer,
    rows: Sequence[Row],
    *,
    lanes: int,
    seed: int = 1,
    faults: Faults = BAD_NETWORK,
    trackers_open_max: int = 100,
    patience: timedelta = timedelta(seconds=60),
) -> Life:
    directory.mkdir()
    fleet = Fleet(
        rows=rows,
        seed=seed,
        faults=faults,
        flush_interval=timedelta(seconds=30),
        lanes=lanes,
        queue_dir=directory,
        connect=server.connect,
        patience=Patience(patience, time.monotonic, threading.Event()),
        trackers_open_max=trackers_open_max,
    )
    return fleet.run(on_progress=lambda _count: None)


def test_a_seed_gives_the_same_life_again_on_any_number_of_lanes(tmp_path: Path) -> None:
    rows = recorded(5, events=8)
    one, three, other = AcceptingServer(), AcceptingServer(), AcceptingServer()

    alone = lived(tmp_path / "1", one, rows, lanes=1)
    shared = lived(tmp_path / "3", three, rows, lanes=3)
    lived(tmp_path / "other", other, rows, lanes=3, seed=2)

    assert one.received == three.received
    assert one.received != other.received
    assert alone.counts == shared.counts
    assert sorted(event.keys for event in alone.generated) == sorted(event.keys for event in shared.generated)


def test_every_event_arrives_although_calls_get_lost_and_some_arrive_twice(tmp_path: Path) -> None:
    rows, server = recorded(4, events=10), AcceptingServer()

    life = lived(tmp_path / "queues", server, rows, lanes=2)

    assert {event.keys[0] for event in life.generated} == set(server.received)
    assert len(life.generated) == len(rows)
    assert min(life.counts.lost_requests, life.counts.lost_answers, life.counts.offline) > 0
    assert max(len(times) for times in server.received.values()) > 1


def test_more_devices_than_open_queues_lose_nothing(tmp_path: Path) -> None:
    rows, server = recorded(6, events=4), AcceptingServer()

    life = lived(tmp_path / "queues", server, rows, lanes=2, faults=NO_SPELLS, trackers_open_max=2)

    assert len(server.received) == len(rows)
    assert life.restart_count > 6


def test_a_server_that_is_gone_ends_every_lane(tmp_path: Path) -> None:
    server = AcceptingServer()
    server.is_gone = True

    with pytest.raises(ServerGone):
        lived(tmp_path / "queues", server, recorded(4, events=2), lanes=4, patience=timedelta(0))


def test_a_queue_that_cannot_be_opened_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    rows = recorded(1, events=1)
    (tmp_path / "queues").mkdir()
    (tmp_path / "queues" / "0.queue").mkdir()
    fleet = Fleet(
        rows=rows,
        seed=1,
        faults=BAD_NETWORK,
        flush_interval=timedelta(seconds=30),
        lanes=1,
        queue_dir=tmp_path / "queues",
        connect=AcceptingServer().connect,
        patience=Patience(timedelta(0), time.monotonic, threading.Event()),
    )

    with pytest.raises(SimulatorError, match="A device's queue cannot be used"):
        fleet.run(on_progress=lambda _count: None)
