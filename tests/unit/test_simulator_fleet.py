"""A whole fleet against a server of a few lines: what chance does to a phone is its own affair."""

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
from workevo_simulator import phone
from workevo_simulator.errors import ServerGone, SimulatorError
from workevo_simulator.fleet import Fleet, FleetLife
from workevo_simulator.line import Patience
from workevo_simulator.phone_network import Pushing
from workevo_simulator.recorded_crew import BadNetwork, recorded_households
from workevo_simulator.recording import Row
from workevo_simulator.truth import EventKey, user
from workevo_simulator.virtual_time import VirtualTime
from workevo_simulator.witness import Refused, Traffic

START = 1_710_325_274_000_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
BAD = BadNetwork(lost_requests=0.2, lost_answers=0.2, offline_spells_per_week=20.0)
NO_SPELLS = BadNetwork(lost_requests=0.2, lost_answers=0.2, offline_spells_per_week=0.0)
GOOD = BadNetwork(lost_requests=0.0, lost_answers=0.0, offline_spells_per_week=0.0)


class AcceptingServer:
    """Takes every event as new, and remembers when each reached it and who logged in."""

    def __init__(self) -> None:
        self.received: dict[EventKey, list[int]] = {}
        self.logged_in: list[str] = []
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
        if not request.user_id:  # A probe.
            raise CallFailed(grpc.StatusCode.INVALID_ARGUMENT)
        self.server.logged_in.append(request.user_id)
        return wire.IdentifyResponse(verdict=verdict_pb2.VERDICT_ACCEPTED)

    def close(self) -> None:
        pass


def recorded(devices: int, *, events: int) -> list[Row]:
    return [
        Row(
            line=1 + number + device * events,
            device=f"d/{device}",
            contact=f"c{device}",
            name=f"e{number}",
            at_micros=START + (number * 700 + device * 13) * MINUTE,
            metadata=(("n", number),),
        )
        for device in range(devices)
        for number in range(events)
    ]


def one_device(*said: tuple[int, str, str]) -> list[Row]:
    """(seconds after the start, contact, name) of each row."""
    return [
        Row(line=2 + n, device="d", contact=contact, name=name, at_micros=START + at * SECOND, metadata=())
        for n, (at, contact, name) in enumerate(said)
    ]


def lived(
    directory: Path,
    server: AcceptingServer,
    rows: Sequence[Row],
    *,
    lanes: int = 1,
    seed: int = 1,
    network: BadNetwork = BAD,
    trackers_open_max: int = 100,
    patience: timedelta = timedelta(seconds=60),
) -> FleetLife:
    directory.mkdir(exist_ok=True)
    fleet = Fleet(
        households=recorded_households(rows, network, seed),
        seed=seed,
        flush_interval=timedelta(seconds=30),
        pushing=Pushing(),
        outages=(),
        mortal=None,
        lanes=lanes,
        queue_dir=directory,
        connect=server.connect,
        patience=Patience(patience, time.monotonic, threading.Event()),
        trackers_open_max=trackers_open_max,
    )
    return fleet.run(on_progress=lambda _count: None)


def traffic(life: FleetLife) -> Traffic:
    summed = Traffic()
    for witness in life.witnesses:
        summed.add(witness.traffic)
    return summed


def test_a_seed_gives_the_same_life_again_on_any_number_of_lanes(tmp_path: Path) -> None:
    rows = recorded(5, events=8)
    one, three, other = AcceptingServer(), AcceptingServer(), AcceptingServer()

    alone = lived(tmp_path / "1", one, rows, lanes=1)
    shared = lived(tmp_path / "3", three, rows, lanes=3)
    lived(tmp_path / "other", other, rows, lanes=3, seed=2)

    assert one.received == three.received
    assert one.received != other.received
    assert traffic(alone) == traffic(shared)
    assert alone.generated == shared.generated


def test_every_event_arrives_although_calls_get_lost_and_some_arrive_twice(tmp_path: Path) -> None:
    rows, server = recorded(4, events=10), AcceptingServer()

    life = lived(tmp_path / "queues", server, rows, lanes=2)

    assert {event.keys[0] for event in life.generated} == set(server.received)
    assert len(life.generated) == len(rows)
    fared = traffic(life)
    assert min(fared.lost_requests, fared.lost_answers, fared.offline) > 0
    assert max(len(times) for times in server.received.values()) > 1


def test_rows_are_tracked_at_their_time_and_uploaded_when_the_tracker_wants(tmp_path: Path) -> None:
    server = AcceptingServer()
    rows = one_device((0, "anna", "home"), (10, "anna", "cart"), (50, "anna", "buy"))

    life = lived(tmp_path, server, rows, network=GOOD)

    assert [event.created_at_micros for event in life.generated] == [row.at_micros for row in rows]
    assert [event.keys[0][2] for event in life.generated] == [1, 2, 3]
    arrived = [(times[0] - START) // SECOND for _, times in sorted(server.received.items())]
    assert arrived == [30, 30, 50]  # The last one as soon as the log is over.


def test_a_person_is_identified_once_and_the_next_one_when_the_device_changes_hands(tmp_path: Path) -> None:
    server = AcceptingServer()
    rows = one_device((0, "anna", "a"), (1, "anna", "b"), (2, "bert", "c"), (3, "bert", "d"))

    life = lived(tmp_path, server, rows, network=GOOD)

    assert server.logged_in == ["anna", "bert"]
    assert [event.contact for event in life.generated] == [
        user(who) for who in ("anna", "anna", "bert", "bert")
    ]


def test_a_row_the_tracker_refuses_is_noted_and_not_generated(tmp_path: Path) -> None:
    life = lived(tmp_path, AcceptingServer(), one_device((0, "anna", " "), (1, "anna", "home")), network=GOOD)

    assert life.refused == [Refused(2, "name must have 1 to 255 code points.")]
    assert [event.label for event in life.generated] == ["line 3 of the log"]


def test_a_boot_closes_the_queue_and_opens_it_again(tmp_path: Path) -> None:
    a_year = 365 * 24 * 3600
    rows = one_device((0, "anna", "home"), (a_year, "anna", "home"))

    life = lived(tmp_path, AcceptingServer(), rows, network=GOOD)

    assert [event.keys[0][2] for event in life.generated] == [1, 2]
    assert any(words == "rebooted" for _, words in life.phones[0].marks)
    assert life.phones[0].reopened_count >= 2


def test_more_devices_than_open_queues_lose_nothing(tmp_path: Path) -> None:
    rows, server = recorded(6, events=4), AcceptingServer()

    life = lived(tmp_path / "queues", server, rows, lanes=2, network=NO_SPELLS, trackers_open_max=2)

    assert len(server.received) == len(rows)
    assert sum(phone.reopened_count for phone in life.phones) > 12


def test_a_server_that_is_gone_ends_every_lane(tmp_path: Path) -> None:
    server = AcceptingServer()
    server.is_gone = True

    with pytest.raises(ServerGone):
        lived(tmp_path / "queues", server, recorded(4, events=2), lanes=4, patience=timedelta(0))


def test_a_queue_that_cannot_be_opened_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / f"{phone.file_stem('d/0')}.queue").mkdir()

    with pytest.raises(SimulatorError, match="A device's queue cannot be used"):
        lived(tmp_path, AcceptingServer(), recorded(1, events=1))


def test_a_tracker_that_is_never_done_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phone, "STEPS_AT_ONCE_MAX", 0)

    with pytest.raises(SimulatorError, match="was not done"):
        lived(tmp_path, AcceptingServer(), recorded(1, events=1))
