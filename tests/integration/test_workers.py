"""`workevo serve --workers N`: processes that share the ports, and are missed by nobody when they go."""

import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest

from workevo.tracking.v1.tracking_pb2 import UploadEventsResponse
from workevo_mobile import GrpcTransport, Tracker
from workevo_testing.oracle import NOTHING_AMISS, balance, compare, stored_names
from workevo_testing.pool import children, connections, is_alive, landed_on, wait_until, worker_pids
from workevo_testing.postgres import PostgresCluster
from workevo_testing.server_process import STOP_SECONDS_MAX, ServerProcess, run_command
from workevo_testing.wire_calls import UPLOAD_METHOD, Phone, bearer, event, refusal

pytestmark = pytest.mark.timeout(300)

WORKERS = 4
TLS = Path(__file__).parent / "tls"
FLUSH_SECONDS_MAX = 90
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
CHANCE_THAT_ONE_IS_LEFT_OUT = 1e-6


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresCluster) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("pool")
    with ServerProcess(
        directory, flags=["--workers", str(WORKERS)], store=postgres.make_database()
    ) as server:
        yield server


def enough(workers: int) -> int:
    """So many connections that each worker gets one."""
    count = workers
    while workers * (1 - 1 / workers) ** count > CHANCE_THAT_ONE_IS_LEFT_OUT:
        count += 1
    return count


def lines(server: ServerProcess, what: str) -> list[dict[str, Any]]:
    """Of its log and its workers'; the sentence of one that refuses to serve stands between them."""
    found = [json.loads(line) for line in server.log.splitlines() if not line.startswith("workevo: ")]
    return [line for line in found if line["event"] == what]


# One port ---------------------------------------------------------------------


def test_all_workers_answer_on_both_ports(pool: ServerProcess) -> None:
    with ExitStack() as opened:
        for _ in range(enough(WORKERS)):
            channel = opened.enter_context(grpc.insecure_channel(pool.grpc_address, options=OWN_CONNECTION))
            assert Phone(channel, pool.keys.sdk_key).upload([event(1)]).accepted_count == 1
            page = http.client.HTTPConnection(pool.http_address, timeout=20)
            opened.callback(page.close)
            page.request("GET", "/readyz")
            assert page.getresponse().read()

        for address in (pool.grpc_address, pool.http_address):
            shares = connections(pool, address)
            assert len(shares) == WORKERS
            assert min(shares.values()) > 0, shares


def test_nobody_else_gets_a_port_of_the_pool(pool: ServerProcess) -> None:
    for flags in (["--workers", "2"], []):
        with pytest.raises(subprocess.CalledProcessError) as caught:
            run_command(
                "serve", "--store", pool.store or "", "--grpc", pool.grpc_address, "--http", "off", *flags
            )
        assert caught.value.returncode == 1
        assert f"Cannot listen on {pool.grpc_address}" in caught.value.stderr


def test_a_port_stays_the_pools_while_no_worker_listens() -> None:
    from workevo_server.supervisor import _reserved_port
    from workevo_server.transport.address import Address

    with _reserved_port(Address("127.0.0.1", 0), "--grpc") as taken, socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            stranger.bind((taken.host, taken.port))
        with socket.create_server((taken.host, taken.port), reuse_port=True):
            pass


def test_a_key_made_or_revoked_elsewhere_is_known_to_every_worker(pool: ServerProcess) -> None:
    """R31: the command that did it has ended by then."""
    made = json.loads(pool.command("key", "create", "Test", "sdk", "--json"))
    with ExitStack() as opened:
        channels = [
            opened.enter_context(grpc.insecure_channel(pool.grpc_address, options=OWN_CONNECTION))
            for _ in range(enough(WORKERS))
        ]
        phones = [Phone(channel, made["key"]) for channel in channels]
        for phone in phones:
            assert phone.upload([event(1)]).accepted_count == 1

        *_, newest = json.loads(pool.command("key", "list", "Test", "--json"))["keys"]
        pool.command("key", "revoke", "Test", newest["prefix"])

        assert len(+connections(pool, pool.grpc_address)) == WORKERS
        for phone in phones:
            with pytest.raises(grpc.RpcError) as refused:
                phone.upload([event(2)])
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_where_the_console_is_stands_in_the_log_once(pool: ServerProcess) -> None:
    (told,) = lines(pool, "console_ready")

    assert told["pid"] in {line["pid"] for line in lines(pool, "worker_started")}
    assert told["console"].startswith(f"http://{pool.http_address}/console/sign-in/")


# Load -------------------------------------------------------------------------


@dataclass(slots=True)
class Fleet:
    """Phones of real users that track all the time; every event has a name of its own (R10 allows 500)."""

    server: ServerProcess
    directory: Path
    trackers: list[Tracker] = field(default_factory=list)
    names: list[list[str]] = field(default_factory=list)

    def track(self, phone: int, stop: threading.Event) -> None:
        while not stop.wait(0.1) and len(self.names[phone]) < 120:
            name = f"event {len(self.names[phone])}"
            self.trackers[phone].track(name)
            self.names[phone].append(name)

    @contextmanager
    def tracking(self, phones: int) -> Iterator[None]:
        stop = threading.Event()
        for phone in range(phones):
            transport = GrpcTransport(self.server.grpc_address, self.server.keys.sdk_key)
            queue = self.directory / f"{phone}.db"
            self.trackers.append(Tracker(queue, transport=transport, flush_event_count=2))
            self.trackers[-1].identify(f"{self.directory.name} {phone}")
            self.names.append([])
        threads = [threading.Thread(target=self.track, args=(phone, stop)) for phone in range(phones)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def settle(self) -> None:
        for tracker in self.trackers:
            assert tracker.flush(timedelta(seconds=FLUSH_SECONDS_MAX))

    def assert_all_are_stored_once(self) -> None:
        for phone, (tracker, names) in enumerate(zip(self.trackers, self.names, strict=True)):
            stored = stored_names(self.server, f"{self.directory.name} {phone}")
            assert compare(stored, promised=names) == NOTHING_AMISS
            told = balance(self.server, tracker.install_id)
            assert (told.generated, told.stored, told.open) == (len(names), len(names), 0)
            tracker.close()


def test_workers_killed_under_load_are_started_again_and_every_event_is_stored_once(
    pool: ServerProcess, tmp_path: Path
) -> None:
    fleet = Fleet(pool, tmp_path)
    killed: set[int] = set()
    with fleet.tracking(phones=3):
        for _ in range(WORKERS):
            wait_until(lambda: bool(+connections(pool, pool.grpc_address)))
            ((pid, _count),) = (+connections(pool, pool.grpc_address)).most_common(1)
            killed.add(pid)
            kill(pool, pid)
    fleet.settle()

    fleet.assert_all_are_stored_once()
    assert len(killed) == WORKERS
    ended = {line["pid"]: line.get("signal") for line in lines(pool, "worker_ended")}
    assert {ended[pid] for pid in killed} == {"SIGKILL"}


def kill(server: ServerProcess, pid: int) -> None:
    """`kill -9` of a worker, and wait until another serves in its place."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in worker_pids(server))
    wait_until(lambda: len(ready_pids(server)) == WORKERS)


def ready_pids(server: ServerProcess) -> set[int]:
    return {line["pid"] for line in lines(server, "worker_started")} & worker_pids(server)


def test_one_that_dies_again_and_again_is_started_again_each_time(pool: ServerProcess) -> None:
    before = ready_pids(pool)
    victim = before.copy().pop()
    for _ in range(4):
        kill(pool, victim)
        (victim,) = ready_pids(pool) - before

    with grpc.insecure_channel(pool.grpc_address) as channel:
        assert Phone(channel, pool.keys.sdk_key).upload([event(1)]).accepted_count == 1


# Renewal ----------------------------------------------------------------------


class Held(Protocol):
    """An upload of one event whose body comes when we let it: in flight at one worker until then."""

    def begin(self) -> None: ...

    def finish(self) -> int:
        """How many events were accepted."""


class HeldCall:
    def __init__(self, channel: grpc.Channel, key: str) -> None:
        self._phone = Phone(channel, key)
        self._release = threading.Event()

    def begin(self) -> None:
        call: Any = self._phone.channel.stream_unary(UPLOAD_METHOD)
        self._answer = call.future(self._body(), metadata=bearer(self._phone.key), timeout=100)

    def finish(self) -> int:
        self._release.set()
        return UploadEventsResponse.FromString(self._answer.result(60)).accepted_count

    def _body(self) -> Iterator[bytes]:
        self._release.wait()
        yield self._phone.request([event(1)]).SerializeToString()


class HeldRequest:
    """By the Connect protocol, on the HTTP port."""

    def __init__(self, channel: grpc.Channel, address: str, key: str) -> None:
        self._body = Phone(channel, key).request([event(1)]).SerializeToString()
        self._http = http.client.HTTPConnection(address, timeout=60)
        self._key = key

    def begin(self) -> None:
        self._http.putrequest("POST", UPLOAD_METHOD)
        for name, value in (
            ("content-type", "application/proto"),
            ("content-length", str(len(self._body))),
            *bearer(self._key),
        ):
            self._http.putheader(name, value)
        self._http.endheaders(self._body[:1])

    def finish(self) -> int:
        self._http.send(self._body[1:])
        answer = self._http.getresponse()
        body = answer.read()
        self._http.close()
        assert answer.status == 200, body
        return UploadEventsResponse.FromString(body).accepted_count


class Caller:
    """Calls without end, on a connection of its own each time and on one that lasts; notes what failed."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._stop = threading.Event()
        self.answered = 0
        self.codes: set[grpc.StatusCode] = set()

    @contextmanager
    def calling(self) -> Iterator[None]:
        thread = threading.Thread(target=self._call)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _call(self) -> None:
        with self._channel() as lasting:
            for sequence in itertools.count(1):
                with self._channel() as fresh:
                    for channel in (lasting, fresh):
                        self._upload(channel, sequence)
                if self._stop.wait(0.05):
                    return

    def _channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self._server.grpc_address, options=OWN_CONNECTION)

    def _upload(self, channel: grpc.Channel, sequence: int) -> None:
        try:
            Phone(channel, self._server.keys.sdk_key).upload([event(sequence)])
            self.answered += 1
        except grpc.RpcError as error:
            self.codes.add(refusal(error).code)


@contextmanager
def calls_held_at_each(server: ServerProcess) -> Iterator[dict[int, list[Held]]]:
    """By the pid of the worker that waits for their bodies: of each door one at least."""
    by_pid: dict[int, list[Held]] = {pid: [] for pid in worker_pids(server)}
    key = server.keys.sdk_key
    with ExitStack() as opened:
        for address in (server.grpc_address, server.http_address):
            here: set[int] = set()
            while here != by_pid.keys():
                channel = opened.enter_context(grpc.insecure_channel(address, options=OWN_CONNECTION))
                is_grpc = address == server.grpc_address
                held: Held = HeldCall(channel, key) if is_grpc else HeldRequest(channel, address, key)
                pid = landed_on(server, address, held.begin)
                by_pid[pid].append(held)
                here.add(pid)
        yield by_pid


def test_sighup_replaces_every_worker_and_cuts_nothing_off(tmp_path: Path, postgres: PostgresCluster) -> None:
    """F17. What is in flight is answered; a call on a connection that closes meets UNAVAILABLE at worst."""
    flags = ["--workers", "2", "--grace-seconds", "30"]
    with ServerProcess(tmp_path, flags=flags, store=postgres.make_database()) as server:
        fleet, caller = Fleet(server, tmp_path), Caller(server)
        with calls_held_at_each(server) as held:
            with fleet.tracking(phones=2), caller.calling():
                server.signal(signal.SIGHUP)
                for done in range(len(held)):
                    wait_until(lambda: len(drained(server, held)) > done)  # noqa: B023
                    calls = held[drained(server, held)[done]]
                    assert [call.finish() for call in calls] == [1] * len(calls)
                wait_until(lambda: len(lines(server, "renewal_done")) == 1)
            after = worker_pids(server)
            assert len(after) == 2
            assert not after & held.keys()
        fleet.settle()
        fleet.assert_all_are_stored_once()
        assert caller.answered > 0
        assert caller.codes <= {grpc.StatusCode.UNAVAILABLE}
        assert order_of_renewal(server) == ["worker_started", "stop_requested", "worker_ended"] * 2
        assert {line["exit_code"] for line in lines(server, "worker_ended")} == {0}
        assert not lines(server, "calls_left")

        assert server.terminate() == 0

        assert not any(is_alive(pid) for pid in after)


def drained(server: ServerProcess, pids: Container[int]) -> list[int]:
    return [line["pid"] for line in lines(server, "stop_requested") if line.get("pid") in pids]


def order_of_renewal(server: ServerProcess) -> list[str]:
    told = [json.loads(line)["event"] for line in server.log.splitlines()]
    renewal = told[told.index("renewal_begun") : told.index("renewal_done")]
    return [each for each in renewal if each in {"worker_started", "stop_requested", "worker_ended"}]


def test_control_a_call_that_is_held_at_a_worker_does_not_survive_its_kill(pool: ServerProcess) -> None:
    with grpc.insecure_channel(pool.grpc_address, options=OWN_CONNECTION) as channel:
        held = HeldCall(channel, pool.keys.sdk_key)
        kill(pool, landed_on(pool, pool.grpc_address, held.begin))
        with pytest.raises(grpc.RpcError):
            held.finish()


def test_when_no_new_worker_can_serve_the_old_ones_go_on(tmp_path: Path, postgres: PostgresCluster) -> None:
    """A certificate that is not there, as after a deployment that went wrong; and there again."""
    files = {name: tmp_path / name for name in ("localhost-cert.pem", "localhost-key.pem")}
    for name, file in files.items():
        file.write_bytes((TLS / name).read_bytes())
    certificate, key = files.values()
    trust = grpc.ssl_channel_credentials(certificate.read_bytes())
    flags = ["--workers", "2", "--tls-cert", str(certificate), "--tls-key", str(key)]
    with ServerProcess(tmp_path, flags=flags, store=postgres.make_database()) as server:
        before = worker_pids(server)
        hidden = certificate.rename(tmp_path / "hidden")

        server.signal(signal.SIGHUP)

        wait_until(lambda: len(lines(server, "renewal_given_up")) == 1)
        assert worker_pids(server) == before
        with grpc.secure_channel(server.grpc_address, trust) as channel:
            assert Phone(channel, server.keys.sdk_key).upload([event(1)]).accepted_count == 1
        hidden.rename(certificate)
        server.signal(signal.SIGHUP)
        wait_until(lambda: len(lines(server, "renewal_done")) == 1)
        assert not worker_pids(server) & before
        assert server.terminate() == 0


# The end, and no beginning -----------------------------------------------------


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path, postgres: PostgresCluster) -> None:
    with ServerProcess(tmp_path, flags=["--workers", "2"], store=postgres.make_database()) as server:
        workers = worker_pids(server)
        assert len(workers) == 2

        server.kill()

        wait_until(lambda: not any(is_alive(pid) for pid in workers))
        reasons = [line.get("reason") for line in lines(server, "stop_requested")]
        assert reasons == ["supervisor_ended"] * 2


def test_a_worker_that_hangs_does_not_hold_the_end_up_for_ever(
    tmp_path: Path, postgres: PostgresCluster
) -> None:
    flags = ["--workers", "2", "--grace-seconds", "0"]
    with ServerProcess(tmp_path, flags=flags, store=postgres.make_database()) as server:
        hanging, other = worker_pids(server)
        os.kill(hanging, signal.SIGSTOP)

        assert server.terminate() == 0

        assert [line["pid"] for line in lines(server, "worker_hung")] == [hanging]
        ended = {line["pid"]: line.get("signal") for line in lines(server, "worker_ended")}
        assert ended == {hanging: "SIGKILL", other: None}


def test_a_server_that_is_ended_while_it_starts_leaves_no_worker(postgres: PostgresCluster) -> None:
    command = [sys.executable, "-m", "workevo_server", "serve", "--workers", "4"]
    places = ["--grpc", "127.0.0.1:0", "--http", "off", "--store", postgres.make_database()]
    with subprocess.Popen([*command, *places], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        wait_until(lambda: bool(children(server.pid)))
        started = children(server.pid)

        server.send_signal(signal.SIGTERM)

        assert server.wait(STOP_SECONDS_MAX) == 0
        assert server.stdout is not None
        assert server.stdout.read() == b""
        assert not any(is_alive(pid) for pid in started)


def refused(*flags: str) -> subprocess.CalledProcessError:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_command("serve", "--grpc", "127.0.0.1:0", "--http", "off", *flags)
    assert "Traceback" not in caught.value.stderr
    assert caught.value.stdout == ""
    return caught.value


def test_a_sqlite_store_has_one_writer_and_what_to_do_is_told(tmp_path: Path) -> None:
    told = refused("--data-dir", str(tmp_path / "data"), "--workers", "2")

    assert told.returncode == 2
    assert "one process writes a SQLite store, ever" in told.stderr
    assert "--store postgresql+asyncpg://" in told.stderr
    assert "workevo store copy" in told.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("workers", ["0", "65"])
def test_workers_are_1_to_64(workers: str) -> None:
    assert (
        refused("--store", "postgresql+asyncpg://nobody@127.0.0.1:1/x", "--workers", workers).returncode == 2
    )


def test_when_no_worker_can_serve_the_reason_is_told_once() -> None:
    told = refused("--store", "postgresql+asyncpg://nobody@127.0.0.1:1/x", "--workers", "4")

    assert told.returncode == 1
    assert told.stderr.count("PostgreSQL cannot be used as the store") == 1
    assert "A worker cannot serve as asked" in told.stderr
