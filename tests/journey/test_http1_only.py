"""Phones behind a proxy that speaks HTTP/1.1 only: gRPC does not get through, and no event is lost."""

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from journey.test_replay import replay_command, some_people
from workevo_mobile import AppInfo, ConnectTransport, FallbackTransport, GrpcTransport, Tracker, Transport
from workevo_testing.http1_proxy import Http1Proxy
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import BackEnd

pytestmark = pytest.mark.usefixtures("on_each_store")

EVENTS = 60
ROWS = 1000
FLUSH_MAX = timedelta(seconds=30)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as running:
        yield running


def a_life(queue: Path, transport: Transport) -> Tracker:
    """A visitor, a log-in, and events one by one with a flush after every tenth."""
    app = AppInfo(platform="test", app_version="1")
    tracker = Tracker(queue, transport=transport, app=app, chance=random.Random(4))
    for number in range(EVENTS):
        if number == EVENTS // 2:
            tracker.identify("behind the proxy")
        tracker.track(f"event {number}")
        if number % 10 == 9:
            tracker.flush(timeout=FLUSH_MAX)
    return tracker


def balance_of(server: ServerProcess, install_id: str) -> dict[str, int]:
    with grpc.insecure_channel(server.grpc_address) as channel:
        balance = BackEnd(channel, server.keys.server_key).ledger(install_id).balance
    return {name: getattr(balance, name) for name in ("generated", "stored", "open")}


def test_a_phone_falls_back_and_every_event_arrives_exactly_once_though_answers_are_lost(
    server: ServerProcess, tmp_path: Path
) -> None:
    with Http1Proxy(server.http_address, lose_every=4) as proxy:
        transport = FallbackTransport(
            GrpcTransport(proxy.address, server.keys.sdk_key),
            ConnectTransport(f"http://{proxy.address}", server.keys.sdk_key),
        )
        tracker = a_life(tmp_path / "queue.db", transport)
        install_id = tracker.install_id
        assert tracker.flush(timeout=FLUSH_MAX)
        tracker.close()

        assert proxy.refused >= 3  # After which the phone takes the other way.
        assert proxy.passed > 3
        assert proxy.lost > 0
    assert balance_of(server, install_id) == {"generated": EVENTS, "stored": EVENTS, "open": 0}
    with grpc.insecure_channel(server.grpc_address) as channel:
        activities = BackEnd(channel, server.keys.server_key).activities("behind the proxy")
    names = [activity.event.name for activity in activities if activity.HasField("event")]
    assert sorted(names) == sorted(f"event {number}" for number in range(EVENTS))


@pytest.mark.timeout(300)
def test_a_recorded_clickstream_through_the_proxy_is_accounted_for_event_by_event(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with ServerProcess(tmp_path, simulated_clock=True) as server:
        recording = some_people(tmp_path, row_count=ROWS)
        with Http1Proxy(server.http_address, lose_every=20) as proxy:
            url = ["--connect-url", f"http://{proxy.address}"]
            done = replay_command(recording, server, "--report", str(report), *url)
            assert proxy.lost > 5
            assert proxy.refused == 0

    assert done.returncode == 0, done.stdout + done.stderr
    balance = json.loads(report.read_text())["balance"]
    assert balance["generated"] == ROWS == balance["stored"] + balance["duplicate"]
    assert (balance["missing"], balance["unexpected"], balance["open"]) == (0, 0, 0)


def test_the_control_over_grpc_alone_nothing_gets_through_and_nothing_is_given_up(
    server: ServerProcess, tmp_path: Path
) -> None:
    with Http1Proxy(server.http_address) as proxy:
        transport = GrpcTransport(proxy.address, server.keys.sdk_key)
        tracker = Tracker(
            tmp_path / "queue.db", transport=transport, app=AppInfo(platform="test", app_version="1")
        )
        for number in range(EVENTS):
            tracker.track(f"event {number}")
        tracker.flush(timeout=timedelta(seconds=2))

        assert proxy.refused > 0
        assert tracker.stats().pending == EVENTS
        tracker.close()
