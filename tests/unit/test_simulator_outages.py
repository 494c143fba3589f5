"""Outages: where the server is cut off follows from virtual time, and from no thread."""

import random
import threading
from datetime import timedelta

import pytest

from workevo_simulator.limits import RUN_BEGINS_MICROS as BEGINS
from workevo_simulator.outages import Outage, Outages, drawn_outages

DAY = 24 * 3600 * 1_000_000


class MortalInMemory:
    """Dies at the first `upload` after it was armed."""

    def __init__(self) -> None:
        self.is_dead = False
        self._armed = False
        self.cut_off: list[int] = []
        self.disarmed_count = 0

    def arm(self, point: str) -> None:
        assert point == "after_commit"
        self._armed, self.is_dead = True, False

    def disarm(self) -> None:
        self.disarmed_count += 1

    def await_revival(self, timeout: timedelta) -> bool:
        return self.is_dead and timeout > timedelta(0)

    def upload(self, at: int) -> None:
        if self._armed:
            self._armed, self.is_dead = False, True
            self.cut_off.append(at)


def lived(lanes: list[list[int]], outages: list[int]) -> tuple[MortalInMemory, Outages, list[int]]:
    """Each lane's moments, odd ones uploading; returns how often each lane was told of a new server too."""
    server = MortalInMemory()
    conductor = Outages(len(lanes), threading.Event(), [Outage(at, "after_commit") for at in outages], server)
    news = [0] * len(lanes)

    def live(lane: int) -> None:
        for at in lanes[lane]:
            news[lane] += conductor.reach(lane, at)
            if at % 2:
                server.upload(at)
        conductor.finish(lane)

    threads = [threading.Thread(target=live, args=(lane,)) for lane in range(len(lanes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return server, conductor, news


@pytest.mark.parametrize("lanes", [1, 2, 3, 7])
def test_the_first_upload_after_the_moment_is_cut_off_on_any_number_of_lanes(lanes: int) -> None:
    moments = list(range(0, 400, 3))
    shares = [moments[lane::lanes] for lane in range(lanes)]

    server, conductor, news = lived(shares, [100, 101, 250])

    assert server.cut_off == [105, 111, 255]
    assert conductor.kill_count == 3
    assert all(told >= 1 for told in news)


def test_a_lane_that_begins_after_an_outage_holds_nobody_up() -> None:
    week = 7 * DAY

    server, _, _ = lived([[1, 3, 5 + week], [8 * DAY, 8 * DAY + 1]], [2])

    assert server.cut_off == [3]


def test_a_lane_that_waits_sees_that_the_run_was_stopped() -> None:
    conductor = Outages(2, threading.Event(), [Outage(5, "after_commit")], MortalInMemory())
    waiting = threading.Thread(target=conductor.reach, args=(0, 10))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()

    conductor.stop.set()

    waiting.join(10)
    assert not waiting.is_alive()


def test_a_server_that_nobody_calls_any_more_is_disarmed() -> None:
    server, conductor, _ = lived([[0, 200, 300], [4, 100]], [50])

    assert (server.cut_off, conductor.kill_count, server.disarmed_count) == ([], 0, 1)


def test_without_outages_nobody_waits_for_anybody() -> None:
    conductor = Outages(1, threading.Event(), [], None)

    assert not conductor.reach(0, BEGINS)


def test_a_run_that_was_stopped_waits_no_longer() -> None:
    conductor = Outages(2, threading.Event(), [Outage(5, "after_commit")], MortalInMemory())
    conductor.stop.set()

    assert not conductor.reach(0, 10)


def test_outages_are_drawn_from_the_seed_at_their_rate() -> None:
    def drawn(seed: int) -> list[Outage]:
        return list(
            drawn_outages(random.Random(seed), per_day=2, from_micros=BEGINS, until_micros=BEGINS + 50 * DAY)
        )

    assert drawn(1) == drawn(1) != drawn(2)
    assert 60 < len(drawn(1)) < 140
    assert {each.point for each in drawn(1)} == {"before_commit", "after_commit", "before_answer"}
    assert not list(drawn_outages(random.Random(1), per_day=0, from_micros=0, until_micros=DAY))
