"""The world a simulated device lives in: its networks, its boots, who keeps time with whom."""

import itertools
import random
import threading
from datetime import timedelta

import grpc
import pytest

from workevo.tracking.v1 import tracking_pb2 as wire
from workevo_mobile import CallFailed
from workevo_simulator import limits
from workevo_simulator.errors import ServerGone, ServerUnusable
from workevo_simulator.households import households, shared_out
from workevo_simulator.lane import Pace
from workevo_simulator.line import Line, Patience
from workevo_simulator.network import CallCounts, DeviceNetwork, Faults, OfflineSpells
from workevo_simulator.recording import Row
from workevo_simulator.virtual_time import Boots, DeviceClocks, VirtualTime, micros_of

NOW = 1_710_325_274_000_000
MINUTE = 60_000_000
TIMEOUT = timedelta(seconds=5)
WEEKS = 52


def row(device: str, contact: str, at_micros: int = NOW) -> Row:
    return Row(line=1, device=device, contact=contact, name="e", at_micros=at_micros, metadata=())


class AnsweringTransport:
    """A server that answers every call, or fails it with the next of `failures`."""

    def __init__(self, *failures: CallFailed, server_micros: int = NOW) -> None:
        self.failures = list(failures)
        self.server_micros = server_micros
        self.upload_count = 0

    def upload_events(
        self, request: wire.UploadEventsRequest, *, timeout: timedelta
    ) -> wire.UploadEventsResponse:
        assert timeout == TIMEOUT
        assert not request.events
        self._fail()
        self.upload_count += 1
        answer = wire.UploadEventsResponse()
        answer.server_time.FromMicroseconds(self.server_micros)
        return answer

    def identify(self, request: wire.IdentifyRequest, *, timeout: timedelta) -> wire.IdentifyResponse:
        assert timeout > timedelta(0)
        assert not request.user_id
        self._fail()
        return wire.IdentifyResponse()

    def close(self) -> None:
        pass

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


def network(transport: AnsweringTransport, faults: Faults, seed: int = 1) -> DeviceNetwork:
    spells = OfflineSpells(random.Random(seed), faults.offline_spells_per_week, NOW)
    return DeviceNetwork(transport, VirtualTime(NOW), spells, faults, random.Random(seed), CallCounts())


def attempts(device: DeviceNetwork, count: int) -> list[bool]:
    answered = []
    for _ in range(count):
        try:
            device.upload_events(wire.UploadEventsRequest(), timeout=TIMEOUT)
            answered.append(True)
        except CallFailed:
            answered.append(False)
    return answered


def test_lost_requests_never_reach_the_server_and_lost_answers_do() -> None:
    transport = AnsweringTransport()
    device = network(transport, Faults(lost_requests=0.2, lost_answers=0.2, offline_spells_per_week=0))

    answered = attempts(device, 1000)

    assert transport.upload_count == device.counts.calls == 1000 - device.counts.lost_requests
    assert sum(answered) == device.counts.calls - device.counts.lost_answers
    assert 150 < device.counts.lost_requests < 250
    assert 110 < device.counts.lost_answers < 210


def test_the_same_seed_gives_the_same_luck() -> None:
    faults = Faults(lost_requests=0.3, lost_answers=0.3, offline_spells_per_week=0)

    first = attempts(network(AnsweringTransport(), faults), 100)

    assert first == attempts(network(AnsweringTransport(), faults), 100)
    assert first != attempts(network(AnsweringTransport(), faults, seed=2), 100)


def offline_minutes(per_week: float, seed: int) -> list[bool]:
    spells = OfflineSpells(random.Random(seed), per_week, NOW)
    return [spells.offline(NOW + minute * MINUTE) for minute in range(WEEKS * 7 * 24 * 60)]


def test_every_offline_spell_ends_within_23_hours_and_an_hour_online_follows() -> None:
    minutes = offline_minutes(20.0, seed=3)

    spells: list[int] = []
    gaps: list[int] = []
    length = 1
    for before, now in itertools.pairwise(minutes):
        if before == now:
            length += 1
        else:
            (spells if before else gaps).append(length)
            length = 1

    assert len(spells) > WEEKS * 5
    assert max(spells) <= limits.OFFLINE_SPELL_MAX / timedelta(minutes=1) + 1
    assert min(gaps[1:]) >= limits.ONLINE_SPELL_MIN / timedelta(minutes=1) - 1


def test_a_device_without_spells_is_never_offline() -> None:
    assert not any(offline_minutes(0.0, seed=1)[:10_000])


def test_an_offline_device_calls_nobody() -> None:
    transport = AnsweringTransport()
    device = network(transport, Faults(lost_requests=0, lost_answers=0, offline_spells_per_week=50))
    while not device.spells.offline(device.time.now_micros):
        device.time.now_micros += MINUTE

    assert attempts(device, 3) == [False] * 3
    assert transport.upload_count == 0
    assert device.counts.offline == 3


def test_a_boot_starts_the_uptime_anew_and_the_wall_clock_goes_on() -> None:
    time = VirtualTime(NOW)
    clocks = DeviceClocks(time, Boots(random.Random(1), NOW))
    boot_id, uptime, resets = clocks.boot_id(), clocks.uptime_millis(), 0
    assert uptime is not None
    assert 0 <= uptime <= limits.UPTIME_AT_START_MAX / timedelta(milliseconds=1)

    for _hour in range(100 * 24):
        time.now_micros += 60 * MINUTE
        now_uptime = clocks.uptime_millis()
        assert now_uptime is not None
        assert clocks.wall_micros() == time.now_micros
        if clocks.boot_id() == boot_id:
            assert now_uptime == uptime + 3_600_000
        else:
            assert now_uptime <= 3_600_000
            resets += 1
        boot_id, uptime = clocks.boot_id(), now_uptime

    assert 4 < resets < 20


def test_devices_that_share_a_contact_live_in_one_lane() -> None:
    rows = [row("d1", "anna"), row("d2", "bert"), row("d3", "anna"), row("d3", "carl"), row("d4", "dora")]

    groups = households(rows)

    assert sorted(sorted(group) for group in groups) == [["d1", "d3"], ["d2"], ["d4"]]
    for lanes in (1, 2, 3, 9):
        shares = shared_out(groups, lanes=lanes)
        assert all(shares)
        assert sorted(device for share in shares for device in share) == ["d1", "d2", "d3", "d4"]
        assert sum("d1" in share and "d3" in share for share in shares) == 1


def test_a_lane_waits_for_one_that_is_days_behind() -> None:
    pace, day = Pace(2, threading.Event()), 24 * 60 * MINUTE
    pace_reached: list[int] = []

    def run_ahead() -> None:
        for days in range(15):
            pace.reach(0, NOW + days * day)
            pace_reached.append(days)

    ahead = threading.Thread(target=run_ahead)
    ahead.start()
    pace.reach(1, NOW)
    ahead.join(0.05)
    assert len(pace_reached) <= limits.LANE_LEAD_DAYS_MAX + 1

    pace.finish(1)
    ahead.join(5)
    assert pace_reached == list(range(15))


def line(transport: AnsweringTransport, *, longest: timedelta = timedelta(seconds=60)) -> Line:
    ticks = iter(range(10_000))
    return Line(transport, VirtualTime(NOW), Patience(longest, lambda: float(next(ticks)), threading.Event()))


def test_a_call_the_server_failed_is_reported_only_once_it_answers_again() -> None:
    gone = CallFailed(grpc.StatusCode.UNAVAILABLE)
    transport = AnsweringTransport(gone, gone, CallFailed(grpc.StatusCode.INVALID_ARGUMENT))
    connection = line(transport)

    with pytest.raises(CallFailed):
        connection.upload_events(wire.UploadEventsRequest(), timeout=TIMEOUT)

    assert not transport.failures
    assert connection.failed_count == 1
    assert connection.broken is None


def test_patience_with_a_server_that_stays_away_ends_with_a_sentence() -> None:
    connection = line(
        AnsweringTransport(*[CallFailed(grpc.StatusCode.UNAVAILABLE)] * 9), longest=timedelta(seconds=1)
    )

    with pytest.raises(CallFailed):
        connection.upload_events(wire.UploadEventsRequest(), timeout=TIMEOUT)

    assert isinstance(connection.broken, ServerGone)
    assert str(connection.broken) == "The server went away and did not answer again within 1 s."


def test_a_refused_key_ends_the_run_at_once() -> None:
    connection = line(AnsweringTransport(CallFailed(grpc.StatusCode.UNAUTHENTICATED)))

    with pytest.raises(CallFailed):
        connection.upload_events(wire.UploadEventsRequest(), timeout=TIMEOUT)

    assert isinstance(connection.broken, ServerUnusable)


def test_a_server_that_keeps_its_own_time_ends_the_run() -> None:
    connection = line(AnsweringTransport(server_micros=NOW + 2_000_000))

    connection.upload_events(wire.UploadEventsRequest(), timeout=TIMEOUT)

    assert "--simulated-clock" in str(connection.broken)


def test_micros_are_whole() -> None:
    assert micros_of(timedelta(milliseconds=1)) == 1000
