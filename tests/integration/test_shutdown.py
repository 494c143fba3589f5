"""SIGTERM: look away, finish what is in flight, flush, exit 0; nothing that was answered is lost (F17)."""

import itertools
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import BackEnd, Phone, event, events, refusal

SERVING = health_pb2.HealthCheckResponse.SERVING
CALLERS = 16
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def _upload_until_refused(phone: Phone, accepted_counts: list[int], begun: threading.Event) -> None:
    first = 1
    while True:
        try:
            accepted_counts.append(phone.upload(events(20, first=first)).accepted_count)
        except grpc.RpcError:
            return
        begun.set()
        first += 20


def test_under_load_it_exits_0_and_loses_nothing_that_it_answered(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, grpc.insecure_channel(server.grpc_address) as channel:
        phones = [Phone(channel, server.keys.sdk_key) for _ in range(4)]
        answered: list[list[int]] = [[] for _ in phones]
        signs = [threading.Event() for _ in phones]
        threads = [
            threading.Thread(target=_upload_until_refused, args=each)
            for each in zip(phones, answered, signs, strict=True)
        ]
        for thread in threads:
            thread.start()
        assert all(sign.wait(20) for sign in signs)

        assert server.terminate() == 0
        for thread in threads:
            thread.join()

        server.restart()
        with grpc.insecure_channel(server.grpc_address) as second:
            back_end = BackEnd(second, server.keys.server_key)
            for phone, counts in zip(phones, answered, strict=True):
                stored = back_end.ledger(phone.install.install_id).balance.stored
                assert stored >= sum(counts) > 0


def _codes_at_the_end(server: ServerProcess) -> set[grpc.StatusCode]:
    """How calls fail of clients that call without a pause, each on a connection of its own, at SIGTERM."""
    codes: set[grpc.StatusCode] = set()
    begun = threading.Barrier(CALLERS + 1)

    def call() -> None:
        with grpc.insecure_channel(server.grpc_address, options=OWN_CONNECTION) as channel:
            phone = Phone(channel, server.keys.sdk_key)
            phone.upload([event(1)])
            begun.wait(30)
            for sequence in itertools.count(2):
                try:
                    phone.upload([event(sequence)])
                except grpc.RpcError as error:
                    codes.add(refusal(error).code)
                    return

    threads = [threading.Thread(target=call) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    begun.wait(30)
    time.sleep(0.3)
    assert server.terminate() == 0
    for thread in threads:
        thread.join()
    return codes


def test_no_call_falls_into_the_moment_in_which_it_closes(tmp_path: Path) -> None:
    """F17: each is answered, or finds no server, which says that nothing was begun."""
    with ServerProcess(tmp_path) as server:
        assert _codes_at_the_end(server) == {grpc.StatusCode.UNAVAILABLE}
        for _ in range(2):
            server.restart()
            assert _codes_at_the_end(server) == {grpc.StatusCode.UNAVAILABLE}


def test_control_where_no_answer_is_held_calls_are_cut_off(tmp_path: Path) -> None:
    sabotaged = [sys.executable, "-m", "workevo_testing.sabotaged_server", "answers-not-held"]
    with ServerProcess(tmp_path, command=sabotaged) as server:
        seen: set[grpc.StatusCode] = set()
        for _ in range(10):
            seen |= _codes_at_the_end(server)
            if grpc.StatusCode.CANCELLED in seen:
                return
            server.restart(command=sabotaged)
    raise AssertionError(seen)


def test_the_log_of_the_store_is_brought_into_its_file(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        with grpc.insecure_channel(server.grpc_address) as channel:
            Phone(channel, server.keys.sdk_key).upload([event(1)])

        assert server.terminate() == 0

        assert sorted(path.name for path in server.data_dir.iterdir()) == ["lock", "workevo.db"]


def test_while_it_drains_it_says_so_and_still_answers(tmp_path: Path) -> None:
    with (
        ServerProcess(tmp_path, flags=["--drain-seconds", "2", "--grace-seconds", "600"]) as server,
        grpc.insecure_channel(server.grpc_address) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)  # Its methods are not in its stubs.
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=600)
        assert next(watch).status == SERVING

        server.signal(signal.SIGTERM)

        assert next(watch).status == NOT_SERVING
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == NOT_SERVING
        assert Phone(channel, server.keys.sdk_key).upload([event(1)]).accepted_count == 1
        assert (
            server.wait() == 0
        )  # In less than its grace, and less than the watch would last: it holds nothing up.
        with pytest.raises(grpc.RpcError):
            next(watch)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_end_it_and_a_second_one_changes_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with ServerProcess(tmp_path, flags=["--drain-seconds", "0.5"]) as server:
        server.signal(number)
        time.sleep(0.1)
        server.signal(number)

        assert server.wait() == 0


def test_each_service_has_a_health_of_its_own(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, grpc.insecure_channel(server.grpc_address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)  # Its methods are not in its stubs.
        for service in ("", "workevo.tracking.v1.TrackingService", "workevo.insight.v1.PeopleService"):
            assert health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status == SERVING

        with pytest.raises(grpc.RpcError):
            health.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=5)
