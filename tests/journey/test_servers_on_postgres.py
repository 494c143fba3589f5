"""Four server processes on one PostgreSQL: hammered at once, and left without their database for a while."""

import itertools
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from workevo.tracking.v1 import tracking_pb2
from workevo.tracking.v1.verdict_pb2 import Verdict
from workevo_simulator.audit import audit
from workevo_simulator.findings import Fate, Rules
from workevo_simulator.run import live, rules_after, scenario_plan
from workevo_simulator.scenario import load_scenario
from workevo_simulator.target import Server
from workevo_testing.console import Visit
from workevo_testing.http_calls import request
from workevo_testing.places import DatabasePlace
from workevo_testing.postgres import PostgresCluster
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import CREATED_AT, BackEnd, Phone, event, install, refusal

USER_ID = "hammered"
UPLOAD_EVENTS = 20
RECOVERY_SECONDS_MAX = 10
RSS_MEBIBYTES_MAX = 400
KILL_EVERY_SECONDS = 0.5, 2.0
TURNS_PER_STOP = 3
AWAY_SECONDS = 0.5, 3.0


@pytest.fixture
def cluster() -> Iterator[PostgresCluster]:
    """One that this test may stop."""
    with PostgresCluster() as own:
        yield own


class Hammer(threading.Thread):
    """One device on one server, and on the next when that does not take an upload."""

    def __init__(self, servers: list[ServerProcess], device: tracking_pb2.Install, until: float) -> None:
        super().__init__()
        self._servers = itertools.cycle(servers)
        self._device = device
        self._until = until
        self.outcomes: Counter[str] = Counter()
        self.sent = 0
        self.trouble: list[str] = []

    def run(self) -> None:
        while time.monotonic() < self._until:
            server = next(self._servers)
            with grpc.insecure_channel(
                server.grpc_address, [("grpc.use_local_subchannel_pool", 1)]
            ) as channel:
                phone = Phone(channel, server.keys.sdk_key, self._device)
                self._upload(phone)

    def _upload(self, phone: Phone) -> None:
        events = [
            event(self.sent + n, user_id=USER_ID, created_at={"seconds": CREATED_AT + self.sent + n})
            for n in range(1, UPLOAD_EVENTS + 1)
        ]
        try:
            answer = phone.upload(events)
        except grpc.RpcError as error:
            self.trouble.append(str(error))
            return
        self.outcomes["ACCEPTED"] += answer.accepted_count
        self.outcomes.update(Verdict.Name(result.verdict) for result in answer.results)
        if all(not result.retriable for result in answer.results):
            self.sent += UPLOAD_EVENTS


@pytest.mark.parametrize("seconds", [5, pytest.param(300, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_two_devices_of_a_user_and_a_clone_hammer_four_servers(
    tmp_path: Path, cluster: PostgresCluster, seconds: int
) -> None:
    """R6, R7: stored once, no deadlock reaches a client, and no lock is waited for longer than a second."""
    store = cluster.make_database()
    with ExitStack() as running:
        servers = []
        for number in range(4):
            directory = tmp_path / str(number)
            directory.mkdir()
            servers.append(running.enter_context(ServerProcess(directory, store=store)))
        for server in servers:
            server.keys = servers[0].keys
        one, other = install(), install()
        until = time.monotonic() + seconds
        hammers = [
            Hammer(servers[turn:] + servers[:turn], device, until)
            for turn, device in enumerate((one, other, one))  # The last one is a clone of the first.
        ]
        for hammer in hammers:
            hammer.start()
        for hammer in hammers:
            hammer.join()
        place = DatabasePlace(store)
        (counts,) = place.rows("SELECT count(*), count(DISTINCT created_at_seconds) FROM events")
        assert servers[0].command("check").endswith("the store is sound.\n")
        logs = "".join(server.log for server in servers)

    most = max(hammer.sent for hammer in hammers)
    assert most > 0
    assert counts == (most, most)  # Every event once, whoever sent it first.
    assert sum(hammer.outcomes["ACCEPTED"] for hammer in hammers) == most
    assert [hammer.trouble for hammer in hammers] == [[], [], []]
    assert "deadlock detected" not in cluster.log
    assert "still waiting for" not in cluster.log  # PostgreSQL says so of a lock after a second.
    assert "write_failed" not in logs


def test_a_server_without_its_database_says_so_and_comes_back_by_itself(
    tmp_path: Path, cluster: PostgresCluster
) -> None:
    with ServerProcess(tmp_path, store=cluster.make_database()) as server:
        with grpc.insecure_channel(server.grpc_address) as channel:
            phone = Phone(channel, server.keys.sdk_key)
            assert phone.upload([event(1, user_id=USER_ID)]).accepted_count == 1
            visit = Visit(server.http_address)
            assert visit.sign_in(server.keys.admin_key).status == 303
            health: Any = health_pb2_grpc.HealthStub(channel)  # Its methods are not in its stubs.

            def is_serving() -> bool:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=5)
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

            assert is_serving()
            cluster.stop()  # As `pg_ctl stop -m immediate` does.

            for sequence in range(2, 60):
                with pytest.raises(grpc.RpcError) as refused:
                    phone.upload([event(sequence, user_id=USER_ID)], timeout=20)
                told = refusal(refused.value)
                assert told.code is grpc.StatusCode.UNAVAILABLE
                assert told.retry_after is not None
            assert eventually(lambda: not is_serving(), within=5)
            assert "\nworkevo_store_answers 0.0\n" in metrics(server)
            assert rss_mebibytes(server.pid) < RSS_MEBIBYTES_MAX
            for is_part in (False, True):
                page = visit.get("/console/people", part=is_part)
                assert page.status == 503
                assert "The store cannot be reached" in page.body.decode()
                assert "Try again" in page.body.decode()

            cluster.start()
            came_back = time.monotonic()

            def takes_events() -> bool:
                try:
                    return bool(phone.upload([event(2, user_id=USER_ID)], timeout=5).settled_through)
                except grpc.RpcError:
                    return False

            assert eventually(takes_events, within=RECOVERY_SECONDS_MAX)
            assert eventually(is_serving, within=RECOVERY_SECONDS_MAX - (time.monotonic() - came_back))
            assert "\nworkevo_store_answers 1.0\n" in metrics(server)

            def reads_back() -> bool:
                try:
                    return len(BackEnd(channel, server.keys.server_key).activities(USER_ID)) == 2
                except grpc.RpcError:
                    return False  # A connection of before, which nobody has read by since.

            assert eventually(reads_back, within=RECOVERY_SECONDS_MAX - (time.monotonic() - came_back))
            assert visit.get("/console/people").status == 200
        assert server.terminate() == 0
        lines = [line for line in server.log.splitlines() if '"store_' in line]
        # One each, and not a line a call or a second; a connection of before may be met late.
        assert len(lines) in {2, 4}
        assert [json.loads(line)["event"] for line in lines[:2]] == ["store_unreachable", "store_is_back"]


def metrics(server: ServerProcess) -> str:
    return request(server.http_address, "GET", "/metrics").body.decode()


def eventually(holds: object, *, within: float) -> bool:
    assert callable(holds)
    ends = time.monotonic() + within
    while time.monotonic() < ends:
        if holds():
            return True
        time.sleep(0.1)
    return False


def rss_mebibytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 // (1024 * 1024)


class Chaos(threading.Thread):
    """Kills one worker of several at random every few seconds, and stops the database in between."""

    def __init__(self, server: ServerProcess, cluster: PostgresCluster, *, stops: int, seed: int) -> None:
        super().__init__()
        self._server = server
        self._cluster = cluster
        self._stops = stops
        self._chance = random.Random(seed)
        self._over = threading.Event()
        self.kills = 0
        self.stopped = 0

    def run(self) -> None:
        for turn in itertools.count(1):
            if self._over.wait(self._chance.uniform(*KILL_EVERY_SECONDS)):
                return
            if turn % TURNS_PER_STOP == 0 and self.stopped < self._stops:
                self._cluster.stop()
                self.stopped += 1
                self._over.wait(self._chance.uniform(*AWAY_SECONDS))
                self._cluster.start()
                continue
            workers = ready_workers(self._server)
            if len(workers) > 1:
                with suppress(ProcessLookupError):
                    os.kill(self._chance.choice(workers), signal.SIGKILL)
                    self.kills += 1

    def end(self) -> None:
        self._over.set()
        self.join()


@pytest.mark.parametrize(
    ("devices", "stops"), [(120, 2), pytest.param(2000, 5, marks=pytest.mark.long)], ids=str
)
@pytest.mark.timeout(3600)
def test_a_hostile_week_against_four_workers_that_die_and_a_database_that_stops(
    tmp_path: Path, cluster: PostgresCluster, devices: int, stops: int
) -> None:
    """Every event accounted for, none twice, with two kinds of servers killed under it."""
    scenario = load_scenario("hostile")[1]
    planned = scenario_plan(
        "hostile",
        scenario,
        seed=1,
        device_count=devices,
        days=7,
        lanes=8,
        patience=timedelta(seconds=120),
        queue_dir=None,
        rules=Rules(metadata_keys=5, identity_window=timedelta(hours=48)),
    )
    store = cluster.make_database()
    with ServerProcess(
        tmp_path, store=store, simulated_clock=True, flags=["--workers", "4", "--http", "off"]
    ) as server:
        chosen = [f"{key}={value}" for key, value in scenario.workspace.items()]
        server.command("workspace", "set", server.keys.workspace_id, *chosen)
        chaos = Chaos(server, cluster, stops=stops, seed=devices)
        chaos.start()

        target = Server(
            target=server.grpc_address, sdk_key=server.keys.sdk_key, server_key=server.keys.server_key
        )
        try:
            life = live(planned, target, None, monotonic=time.monotonic, on_lived=lambda _count: None)
        finally:
            chaos.end()  # Which starts the database again; what is read is read in peace.
        found = audit(
            life.generated, target, rules_after(planned.rules, life), on_progress=lambda _count: None
        ).reconciliation
        assert server.command("check").endswith("the store is sound.\n")

    assert found.balanced, found
    assert found.fates[Fate.STORED] > 0
    assert chaos.stopped == stops
    assert chaos.kills >= 1
    assert DatabasePlace(store).problems() == ()


def ready_workers(server: ServerProcess) -> list[int]:
    """The process ids of workers that serve, by the supervisor's log."""
    ready: dict[int, None] = {}
    for line in server.log.split("\n")[:-1]:  # The last one may be half written.
        if not line.startswith("{"):
            continue  # A worker's last sentence.
        told = json.loads(line)
        if told["event"] == "worker_started":
            ready[told["pid"]] = None
        elif told["event"] == "worker_ended":
            ready.pop(told["pid"], None)
    return list(ready)
