"""The world a simulated device lives in: its networks, its boots, who keeps time with whom."""

import itertools
import random
import threading
from collections.abc import Sequence
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
from workevo_simulator.phone_clocks import PhoneClocks
from workevo_simulator.phone_network import AppKilled, PhoneNetwork, Pushing
from workevo_simulator.recorded_crew import BadNetwork, recorded_households
from workevo_simulator.recording import Row
from workevo_simulator.scenario import Network
from workevo_simulator.virtual_time import VirtualTime, micros_of
from workevo_simulator.weather import Spell, State, Weather
from workevo_simulator.witness import Witness

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


def network(
    transport: AnsweringTransport, faults: Network, *, seed: int = 1, weather: Weather | None = None
) -> PhoneNetwork:
    return PhoneNetwork(
        line=transport,
        wire_time=VirtualTime(),
        time=VirtualTime(NOW),
        weather=weather or Weather([]),
        faults=faults,
        pushing=Pushing(),
        chance=random.Random(seed),
        witness=Witness(),
        dies_in_call=lambda: False,
    )


def attempts(device: PhoneNetwork, count: int) -> list[bool]:
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
    device = network(transport, Network(lost_requests=0.2, lost_answers=0.2))

    answered = attempts(device, 1000)

    fared = device.witness.traffic
    assert transport.upload_count == 1000 - fared.lost_requests
    assert sum(answered) == 1000 - fared.lost_requests - fared.lost_answers
    assert 150 < fared.lost_requests < 250
    assert 110 < fared.lost_answers < 210


def test_a_call_takes_its_time_and_the_server_is_told_when_it_arrived() -> None:
    device = network(AnsweringTransport(), Network())

    device.upload_events(wire.UploadEventsRequest(), timeout=TIMEOUT)

    assert NOW < device.wire_time.now_micros < device.time.now_micros < NOW + 5_000_000


def test_a_slow_network_lets_some_calls_outlast_their_deadline() -> None:
    slow = Weather([Spell(NOW, NOW + 10**15, State.SLOW)])
    device = network(AnsweringTransport(), Network(), weather=slow)

    answered = attempts(device, 200)

    assert sum(answered) > 20
    assert device.witness.traffic.timed_out == 200 - sum(answered) > 20


def test_a_request_that_is_delivered_twice_is_answered_once() -> None:
    transport = AnsweringTransport()

    assert attempts(network(transport, Network(duplicated=1)), 10) == [True] * 10
    assert transport.upload_count == 20


def test_the_same_seed_gives_the_same_luck() -> None:
    faults = Network(lost_requests=0.3, lost_answers=0.3)

    first = attempts(network(AnsweringTransport(), faults), 100)

    assert first == attempts(network(AnsweringTransport(), faults), 100)
    assert first != attempts(network(AnsweringTransport(), faults, seed=2), 100)


def test_an_app_that_is_killed_in_a_call_has_been_heard_by_the_server() -> None:
    transport = AnsweringTransport()
    device = network(transport, Network())
    device.dies_in_call = lambda: True

    with pytest.raises(AppKilled):
        device.upload_events(wire.UploadEventsRequest(), timeout=TIMEOUT)

    assert transport.upload_count == 1


def recorded_spells(per_week: float, seed: int) -> Sequence[Spell]:
    rows = [row("d", "anna"), row("d", "anna", NOW + WEEKS * 7 * 24 * 60 * MINUTE)]
    luck = BadNetwork(lost_requests=0, lost_answers=0, offline_spells_per_week=per_week)
    ((member,),) = recorded_households(rows, luck, seed)
    return member.weather.spells


def test_every_offline_spell_of_a_replay_ends_within_23_hours_and_an_hour_online_follows() -> None:
    spells = recorded_spells(20.0, seed=3)

    offline = [spell for spell in spells if spell.state is State.OFFLINE]
    online = [spell for spell in spells[1:] if spell.state is State.ONLINE]
    assert len(offline) > WEEKS * 5
    assert max(spell.until_micros - spell.from_micros for spell in offline) <= micros_of(
        limits.OFFLINE_SPELL_MAX
    )
    assert min(spell.until_micros - spell.from_micros for spell in online) >= micros_of(
        limits.ONLINE_SPELL_MIN
    )
    assert all(a.until_micros == b.from_micros for a, b in itertools.pairwise(spells))


def length(spell: Spell) -> int:
    return spell.until_micros - spell.from_micros


def test_a_device_without_spells_is_never_offline() -> None:
    assert not recorded_spells(0.0, seed=1)


def test_an_offline_device_calls_nobody() -> None:
    transport = AnsweringTransport()
    device = network(transport, Network(), weather=Weather([Spell(NOW, NOW + MINUTE, State.OFFLINE)]))

    assert attempts(device, 3) == [False] * 3
    assert transport.upload_count == 0
    assert device.witness.traffic.offline == 3


def clocks(*, loses_time: bool = False, has_uptime: bool = True) -> PhoneClocks:
    return PhoneClocks(
        time=VirtualTime(NOW),
        name="p",
        chance=random.Random(1),
        loses_time=loses_time,
        has_uptime=has_uptime,
    )


def test_a_boot_starts_the_uptime_anew_and_the_wall_clock_goes_on() -> None:
    device = clocks()
    before, uptime = device.boot_id(), device.uptime_millis()
    assert uptime is not None
    assert 0 <= uptime <= limits.UPTIME_AT_START_MAX / timedelta(milliseconds=1)

    device.time.now_micros += 60 * MINUTE
    assert device.uptime_millis() == uptime + 3_600_000
    device.reboot()

    assert (device.boot_id() != before, device.uptime_millis()) == (True, 0)
    assert device.wall_micros() == NOW + 60 * MINUTE


def test_a_clock_that_loses_the_time_begins_in_2015_until_it_is_told() -> None:
    device = clocks(loses_time=True, has_uptime=False)
    device.reboot()

    assert device.wall_micros() // 10**6 == 1_420_070_400
    assert device.is_lost
    assert device.uptime_millis() is None
    device.set_ahead(0)
    assert (device.wall_micros(), device.is_lost) == (NOW, False)


def test_devices_that_share_a_contact_live_in_one_lane() -> None:
    rows = [row("d1", "anna"), row("d2", "bert"), row("d3", "anna"), row("d3", "carl"), row("d4", "dora")]

    groups = households(rows)

    assert sorted(sorted(group) for group in groups) == [["d1", "d3"], ["d2"], ["d4"]]
    homes = recorded_households(
        rows, BadNetwork(lost_requests=0, lost_answers=0, offline_spells_per_week=0), 1
    )
    for lanes in (1, 2, 3, 9):
        shares = [{member.name for member in share} for share in shared_out(homes, lanes=lanes)]
        assert all(shares)
        assert sorted(device for share in shares for device in share) == ["d1", "d2", "d3", "d4"]
        assert sum({"d1", "d3"} <= share for share in shares) == 1


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
