"""`kill -9` at every named point, of the server and of the phone: nothing answered is lost, nothing twice.

Each control takes one guarantee away and must make the same run fail.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from workevo.tracking.v1 import tracking_pb2 as wire
from workevo_mobile import GrpcTransport, Tracker
from workevo_mobile import uploader as uploader_module
from workevo_mobile.settlement import Settlement
from workevo_testing.killable_phone import KILLED_EXIT_CODE, USER_ID, Log
from workevo_testing.oracle import NOTHING_AMISS, Found, balance, compare, stored_names
from workevo_testing.server_process import ServerProcess

EVENTS = 24
FLUSH_EVENT_COUNT = 4
SABOTAGED = (sys.executable, "-m", "workevo_testing.sabotaged_server")
TESTS = Path(__file__).parent.parent


class PatientClocks:
    """Real enough, but every wait is over at once: backing off costs the test no time."""

    def __init__(self) -> None:
        self.millis = 1_000_000

    def wall_micros(self) -> int:
        return 1_790_000_000_000_000 + self.millis * 1_000

    def uptime_millis(self) -> int:
        return self.millis

    def boot_id(self) -> str:
        return "boot"

    def pass_time(self, span: timedelta) -> None:
        self.millis += max(1, int(span.total_seconds() * 1000))


class ToTheLivingServer:
    """A transport that follows the server to its new port after each restart."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server

    def _transport(self) -> GrpcTransport:
        return GrpcTransport(self._server.grpc_address, self._server.keys.sdk_key)

    def upload_events(
        self, request: wire.UploadEventsRequest, *, timeout: timedelta
    ) -> wire.UploadEventsResponse:
        transport = self._transport()
        try:
            return transport.upload_events(request, timeout=timeout)
        finally:
            transport.close()

    def identify(self, request: wire.IdentifyRequest, *, timeout: timedelta) -> wire.IdentifyResponse:
        transport = self._transport()
        try:
            return transport.identify(request, timeout=timeout)
        finally:
            transport.close()

    def close(self) -> None:
        pass


def live_through_a_kill(directory: Path, *, crash_at: str, sabotage: Sequence[str] = ()) -> Found:
    """Track and upload while the server dies once at the named point; then compare."""
    dying = {"WORKEVO_CRASH_AT": crash_at}
    with ServerProcess(directory, environment=dying, command=sabotage or None) as server:
        clocks = PatientClocks()
        tracker = Tracker(
            directory / "queue.db",
            transport=ToTheLivingServer(server),
            clocks=clocks,
            background=False,
            flush_event_count=FLUSH_EVENT_COUNT,
        )
        tracker.identify(USER_ID)
        deaths = 0
        promised = [f"event {n}" for n in range(EVENTS)]
        for name in promised:
            tracker.track(name)
            deaths += step_and_revive(tracker, clocks, server, sabotage)
        for _ in range(50):
            if not tracker.pending():
                break
            tracker.request_flush()
            deaths += step_and_revive(tracker, clocks, server, sabotage)
        assert deaths == 1, "the server never reached the point"
        assert tracker.pending() == 0
        found = compare(stored_names(server, USER_ID), promised=promised)
        told = balance(server, tracker.install_id)
        tracker.close()
        if found == NOTHING_AMISS:
            assert (told.generated, told.stored, told.open) == (EVENTS, EVENTS, 0)
        return found


def step_and_revive(
    tracker: Tracker, clocks: PatientClocks, server: ServerProcess, sabotage: Sequence[str]
) -> int:
    delay = tracker.step()
    clocks.pass_time(delay if delay is not None else timedelta(0))
    if server.returncode is None:
        return 0
    assert server.returncode == KILLED_EXIT_CODE
    server.restart(environment={}, command=sabotage or None)
    return 1


@pytest.mark.usefixtures("on_each_store")
@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("point", ["before_commit", "after_commit", "before_answer"])
def test_a_server_killed_at_any_point_loses_nothing_and_doubles_nothing(
    tmp_path: Path, point: str, nth: int
) -> None:
    found = live_through_a_kill(tmp_path, crash_at=f"{point}:{nth}")
    assert found == NOTHING_AMISS


@pytest.mark.usefixtures("on_each_store")
def test_control_without_identity_checks_a_lost_answer_stores_events_twice(tmp_path: Path) -> None:
    sabotage = [*SABOTAGED, "identity-checks-off"]
    found = live_through_a_kill(tmp_path, crash_at="after_commit:2", sabotage=sabotage)
    assert found.twice


@pytest.mark.usefixtures("on_each_store")
def test_control_an_answer_before_the_commit_loses_events(tmp_path: Path) -> None:
    sabotage = [*SABOTAGED, "answer-before-commit"]
    found = live_through_a_kill(tmp_path, crash_at="before_commit:2", sabotage=sabotage)
    assert found.lost


@pytest.mark.usefixtures("on_each_store")
def test_control_settling_before_the_answer_loses_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload: Callable[..., Any] = uploader_module.Uploader._upload

    def settle_then_upload(self: uploader_module.Uploader, call: Any) -> Any:
        parcel = self._queue.parcel
        early = self._queue.parcel(call)
        self._queue.settle(Settlement(epoch=call.epoch, done=call.rows), self._now())
        monkeypatch.setattr(self._queue, "parcel", lambda _call: early)
        try:
            return upload(self, call)
        finally:
            monkeypatch.setattr(self._queue, "parcel", parcel)

    monkeypatch.setattr(uploader_module.Uploader, "_upload", settle_then_upload)
    # Its first commit is the log-in, its second an upload.
    found = live_through_a_kill(tmp_path, crash_at="before_commit:2")
    assert found.lost


def phone(server: ServerProcess, directory: Path, *point: str) -> int:
    arguments = [directory / "queue.db", server.grpc_address, server.keys.sdk_key, EVENTS, directory / "log"]
    done = subprocess.run(
        [sys.executable, "-m", "workevo_testing.killable_phone", *map(str, arguments), *point],
        check=False,
        cwd=TESTS,
        timeout=60,
    )
    return done.returncode


@pytest.mark.usefixtures("on_each_store")
@pytest.mark.parametrize("nth", [1, 4])
@pytest.mark.parametrize("point", ["before_row", "after_row", "before_settle", "after_settle"])
def test_a_phone_killed_at_any_point_loses_nothing_it_promised_and_doubles_nothing(
    tmp_path: Path, point: str, nth: int
) -> None:
    with ServerProcess(tmp_path) as server:
        assert phone(server, tmp_path, f"{point}:{nth}") == KILLED_EXIT_CODE
        assert phone(server, tmp_path) == 0
        log = Log(tmp_path / "log")
        assert len(log.names("ok")) == EVENTS
        stored = stored_names(server, USER_ID)
        assert compare(stored, promised=log.names("ok"), attempted=log.names("try")) == NOTHING_AMISS
