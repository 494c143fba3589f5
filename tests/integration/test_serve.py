"""`workevo serve`: one process a store, one a port, and back again after any end."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from workevo.tracking.v1 import tracking_pb2_grpc
from workevo_testing.server_process import ServerProcess, run_command
from workevo_testing.wire_calls import CALL_SECONDS_MAX, BackEnd, Phone, bearer, event, events, refusal

RECEIVED_AT = 1_600_000_000_123_456
SIMULATED_TIME = "workevo-simulated-time-micros"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as running:
        yield running


def _serve_fails(*flags: str) -> subprocess.CalledProcessError:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_command("serve", "--http", "off", *flags)
    assert "Traceback" not in caught.value.stderr
    return caught.value


def test_it_says_in_one_json_line_where_it_serves(server: ServerProcess) -> None:
    host, _, port = server.grpc_address.rpartition(":")

    assert host == "127.0.0.1"
    assert int(port) > 0


def test_every_line_of_its_log_is_a_json_object(server: ServerProcess) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel:
        Phone(channel, server.keys.sdk_key).upload([event(1)])
    server.terminate()

    lines = [json.loads(line) for line in server.log.splitlines()]

    assert [line["event"] for line in lines] == [
        "server_started",
        "console_ready",
        "stop_requested",
        "server_stopped",
    ]


def test_links_to_the_console_lead_where_people_reach_it(tmp_path: Path) -> None:
    flags = ["--http", "0.0.0.0:0", "--insecure"]
    with ServerProcess(tmp_path, flags=flags) as server:
        port = server.http_address.rpartition(":")[2]
        assert server.command("console", "link", "Test").startswith(
            f"http://127.0.0.1:{port}/console/sign-in/"
        )

        server.restart(flags=[*flags, "--console-url", "https://events.example.org"])
        linked = server.command("console", "link", "Test")
        server.terminate()

        lines = [json.loads(line) for line in server.log.splitlines()]
        *_, told = (line["console"] for line in lines if line["event"] == "console_ready")
        for link in (told, linked):
            assert link.startswith("https://events.example.org/console/sign-in/")


def test_a_second_server_on_the_data_directory_is_told_who_has_it(server: ServerProcess) -> None:
    failed = _serve_fails("--data-dir", str(server.data_dir), "--grpc", "127.0.0.1:0")

    assert failed.returncode == 1
    assert f"process {server.pid}" in failed.stderr


def test_without_the_http_door_it_serves_all_the_same(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, flags=["--http", "off"]) as server:
        assert server.http_address == ""
        with grpc.insecure_channel(server.grpc_address) as channel:
            assert Phone(channel, server.keys.sdk_key).upload([event(1)]).accepted_count == 1


def test_a_second_server_on_the_http_port_fails(server: ServerProcess, tmp_path: Path) -> None:
    flags = ["--data-dir", str(tmp_path / "other"), "--grpc", "127.0.0.1:0"]
    failed = _serve_fails(*flags, "--http", server.http_address)

    assert failed.returncode == 1
    assert f"Cannot listen on {server.http_address}" in failed.stderr


def test_a_second_server_on_the_port_fails(server: ServerProcess, tmp_path: Path) -> None:
    failed = _serve_fails("--data-dir", str(tmp_path / "other"), "--grpc", server.grpc_address)

    assert failed.returncode == 1
    assert f"Cannot listen on {server.grpc_address}" in failed.stderr


def test_what_was_answered_is_there_after_a_kill(server: ServerProcess) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel:
        phone = Phone(channel, server.keys.sdk_key)
        assert phone.upload(events(50)).accepted_count == 50

    server.restart()

    with grpc.insecure_channel(server.grpc_address) as channel:
        ledger = BackEnd(channel, server.keys.server_key).ledger(phone.install.install_id)
        assert ledger.balance.stored == 50


@pytest.mark.parametrize("point", ["before_commit", "after_commit", "before_answer"])
def test_it_can_be_made_to_die_at_a_named_point(tmp_path: Path, point: str) -> None:
    with ServerProcess(tmp_path, environment={"WORKEVO_CRASH_AT": f"{point}:2"}) as server:
        with grpc.insecure_channel(server.grpc_address) as channel:
            phone = Phone(channel, server.keys.sdk_key)
            phone.upload([event(1)])
            with pytest.raises(grpc.RpcError) as caught:
                phone.upload([event(2)])
            assert refusal(caught.value).code is grpc.StatusCode.UNAVAILABLE
        assert server.wait() == 137


def test_a_simulated_clock_is_told_by_each_call(tmp_path: Path) -> None:
    with (
        ServerProcess(tmp_path, simulated_clock=True) as server,
        grpc.insecure_channel(server.grpc_address) as channel,
    ):
        phone = Phone(channel, server.keys.sdk_key)
        answer = tracking_pb2_grpc.TrackingServiceStub(channel).UploadEvents(
            phone.request([event(1)]),
            metadata=(*bearer(phone.key), (SIMULATED_TIME, str(RECEIVED_AT))),
            timeout=CALL_SECONDS_MAX,
        )

    assert answer.server_time.ToMicroseconds() == RECEIVED_AT


@pytest.mark.parametrize("told", [[], ["soon"], ["-1"], ["1.5"], ["9" * 40], ["1", "2"]], ids=str)
def test_a_call_that_does_not_tell_the_simulated_time_is_refused(simulated: Phone, told: list[str]) -> None:
    metadata = (*bearer(simulated.key), *((SIMULATED_TIME, value) for value in told))

    with pytest.raises(grpc.RpcError) as caught:
        simulated.upload_bytes(simulated.request().SerializeToString(), metadata=metadata)

    refused = refusal(caught.value)
    assert (refused.reason, refused.fields) == ("REQUEST_INVALID", (SIMULATED_TIME,))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phone]:
    with (
        ServerProcess(tmp_path_factory.mktemp("simulated"), simulated_clock=True) as server,
        grpc.insecure_channel(server.grpc_address) as channel,
    ):
        yield Phone(channel, server.keys.sdk_key)


def test_a_store_keeps_to_its_kind_of_clock(server: ServerProcess) -> None:
    server.terminate()

    failed = _serve_fails("--data-dir", str(server.data_dir), "--grpc", "127.0.0.1:0", "--simulated-clock")

    assert failed.returncode == 1
    assert "clock" in failed.stderr


def test_the_log_holds_nothing_that_a_device_sent(tmp_path: Path) -> None:
    canary = "canary7f3a"
    with (
        ServerProcess(tmp_path, flags=["--log-level", "debug"]) as server,
        grpc.insecure_channel(server.grpc_address) as channel,
    ):
        phone = Phone(channel, server.keys.sdk_key)
        told = event(
            1, name=canary, user_id=canary, metadata=[{"key": canary, "text": canary}], boot_id=canary
        )
        phone.upload([told], upload_id=canary, config_version=canary)
        phone.upload([told, event(2, name="", user_id=canary)])
        phone.upload_raw_events(b"\x12\x7f" + canary.encode(), canary.encode())
        for body in (canary.encode(), b"\x12\x0c\x0a\x0a" + canary.encode(), b"\x1f\x8b" + canary.encode()):
            with pytest.raises(grpc.RpcError):
                phone.upload_bytes(body)
        for metadata in (bearer(canary), (*bearer(phone.key), ("x-large", canary * 3000))):
            with pytest.raises(grpc.RpcError):
                phone.upload_bytes(b"", metadata=metadata)
        server.terminate()

    assert "calls_refused" in server.log
    assert canary not in server.log
    assert server.keys.sdk_key not in server.log


def test_files_that_hold_events_are_the_owners_alone(server: ServerProcess) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel:
        Phone(channel, server.keys.sdk_key).upload([event(1)])

    modes = {path.name: path.stat().st_mode & 0o777 for path in server.data_dir.iterdir()}

    assert server.data_dir.stat().st_mode & 0o777 == 0o700
    assert {"workevo.db", "workevo.db-wal", "lock", "control.sock"} <= set(modes)
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--grpc", "nowhere"], "HOST:PORT"),
        (["--grpc", "127.0.0.1:65536"], "HOST:PORT"),
        (["--grpc", "0.0.0.0:0"], "plain text"),
        (["--grpc", "[::]:0"], "plain text"),
        (["--http", "nowhere"], "HOST:PORT"),
        (["--http", "0.0.0.0:0"], "plain text"),
        (["--http", "0.0.0.0:0", "--insecure", "--simulated-clock"], "loopback"),
        (["--tls-cert", "x.pem"], "together"),
        (["--grpc", "0.0.0.0:0", "--insecure", "--simulated-clock"], "loopback"),
        (["--crash-at", "somewhere"], "--crash-at"),
        (["--log-level", "loud"], "--log-level"),
        (["--calls-max", "0"], "calls-max"),
        (["--no-such-flag"], "no-such-flag"),
    ],
)
def test_wrong_use_is_told_before_anything_is_touched(
    tmp_path: Path, flags: list[str], sentence: str
) -> None:
    failed = _serve_fails("--data-dir", str(tmp_path / "data"), *flags)

    assert failed.returncode == 2
    assert sentence in failed.stderr
    assert not (tmp_path / "data").exists()


def test_settings_come_from_the_environment_too(tmp_path: Path) -> None:
    environment = {"WORKEVO_GRPC": "nowhere", "WORKEVO_DATA_DIR": str(tmp_path / "data")}

    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_command("serve", environment=environment)

    assert "'nowhere' is no address" in caught.value.stderr


def test_help_names_every_setting_with_its_variable() -> None:
    text = run_command("serve", "--help", environment={"COLUMNS": "200"})

    named = "DATA_DIR GRPC HTTP TLS_CERT CALLS_MAX MEMORY_MIB DRAIN_SECONDS GRACE_SECONDS"
    for name in named.split():
        assert f"WORKEVO_{name}" in text
    assert "127.0.0.1:7575" in text
    assert "CRASH_AT" not in text
