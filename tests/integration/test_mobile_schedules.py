"""Devices that live through whatever a seed brings: nothing promised is lost, nothing is stored twice.

One device may become two with one queue (R14a). The control settles before the
answer is known and must be caught.
"""

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from workevo.tracking.v1 import event_pb2, verdict_pb2
from workevo_mobile import CallFailed, Tracker
from workevo_mobile.policy import Call
from workevo_mobile.settlement import Settlement
from workevo_mobile.uploader import Uploader
from workevo_testing.mobile_fakes import FakeClocks, FakeTransport, HonestServer, rejected, retry

STEPS = 250
FAILURES = (
    CallFailed(grpc.StatusCode.UNAVAILABLE),
    CallFailed(grpc.StatusCode.DEADLINE_EXCEEDED),
    CallFailed(grpc.StatusCode.INTERNAL),
    CallFailed(grpc.StatusCode.UNAUTHENTICATED),
    CallFailed(grpc.StatusCode.RESOURCE_EXHAUSTED),
    CallFailed(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_delay=timedelta(seconds=40)),
)


class Killed(BaseException):
    """The process ended here."""


class Phone:
    def __init__(self, path: Path, world: "World") -> None:
        self.path = path
        self.world = world
        self.clocks = FakeClocks(boot=f"boot of {path.name}")
        self.kill_at = ""
        self.tracker = self._opened()

    def _opened(self) -> Tracker:
        tracker = Tracker(
            self.path,
            transport=FakeTransport(self.world.server, fate=self.world.fate),
            clocks=self.clocks,
            chance=random.Random(self.world.chance.random()),
            flush_event_count=5,
            background=False,
            fault=self._fault,
        )
        self.world.prepare(tracker)
        return tracker

    def _fault(self, point: str) -> None:
        if point == self.kill_at:
            self.kill_at = ""
            raise Killed

    def restart(self) -> None:
        self.tracker.close()
        self.tracker = self._opened()

    def surviving(self, act: Callable[[], object]) -> bool:
        """Whether it was not killed in the act; then it starts again."""
        try:
            act()
        except Killed:
            self.restart()
            return False
        return True


class World:
    def __init__(self, directory: Path, seed: int, prepare: Callable[[Tracker], None]) -> None:
        self.directory = directory
        self.chance = random.Random(seed)
        self.prepare = prepare
        self.online = True
        self.healed = False
        self.server = HonestServer(judge=self._judge, knows_copies=True)
        self.names = 0
        self.promised: set[str] = set()
        self.perhaps: set[str] = set()
        self.phones = [Phone(directory / "phone-1.db", self)]

    def fate(self, before: bool) -> None:
        if self.healed:
            return
        if not self.online or self.chance.random() < 0.15:
            raise FAILURES[0] if not before else self.chance.choice(FAILURES)

    def _judge(self, event: event_pb2.Event) -> verdict_pb2.EventResult | None:
        match event.name.split()[0]:
            case "bad":
                return rejected("METADATA_VALUE_INVALID")
            case "archived":
                return verdict_pb2.EventResult(verdict=verdict_pb2.VERDICT_ARCHIVED)
            case "late" if not self.healed and self.chance.random() < 0.7:
                return retry("IDENTITY_UNVERIFIED", delay=timedelta(seconds=self.chance.randint(1, 200)))
        return None

    def live(self) -> None:
        for _ in range(STEPS):
            self.chance.choices(
                (self.track, self.step, self.sleep, self.change_network, self.change_person, self.mishap),
                weights=(40, 40, 20, 4, 4, 4),
            )[0]()
        self.recover()

    def track(self) -> None:
        phone = self.chance.choice(self.phones)
        # R14a compares stored sequences only: one that is rejected on one phone is rejected on its clone.
        others = 5 if len(self.phones) == 1 else 0
        kind = self.chance.choices(("good", "bad", "late", "archived"), weights=(80, others, 10, others))[0]
        self.names += 1
        name = f"{kind} {self.names}"
        phone.kill_at = self.chance.choices(("", "before_row", "after_row"), weights=(40, 1, 1))[0]
        if phone.kill_at == "after_row":
            self.perhaps.add(name)
        if phone.surviving(lambda: phone.tracker.track(name)):
            self.promised.add(name)

    def step(self) -> None:
        phone = self.chance.choice(self.phones)
        phone.kill_at = self.chance.choices(("", "before_settle", "after_settle"), weights=(20, 1, 1))[0]
        phone.surviving(phone.tracker.step)
        phone.kill_at = ""

    def sleep(self) -> None:
        length = timedelta(seconds=self.chance.choice((1, 10, 40, 400)))
        for phone in self.phones:
            phone.clocks.pass_time(length)

    def change_network(self) -> None:
        self.online = not self.online

    def change_person(self) -> None:
        tracker = self.chance.choice(self.phones).tracker
        if self.chance.random() < 0.7:
            tracker.identify(self.chance.choice(("anna", "ben")))
        else:
            tracker.reset()

    def mishap(self) -> None:
        phone = self.chance.choice(self.phones)
        match self.chance.choice(("restart", "reboot", "clock", "clone", "flush")):
            case "restart":
                phone.restart()
            case "reboot":
                phone.clocks.reboot(f"boot {self.chance.random()}")
                phone.restart()
            case "clock":
                phone.clocks.micros += self.chance.randint(-(10**12), 10**12)
            case "clone" if len(self.phones) < 3:
                self._clone(phone)
            case _:
                phone.tracker.request_flush()

    def _clone(self, phone: Phone) -> None:
        phone.tracker.close()
        copy = self.directory / f"phone-{len(self.phones) + 1}.db"
        copy.write_bytes(phone.path.read_bytes())
        phone.restart()
        self.phones.append(Phone(copy, self))

    def recover(self) -> None:
        """The network is good from now on, and everybody waits as long as they are told."""
        self.healed = True
        for phone in self.phones * 2:  # What one phone sends may fork another's queue.
            while (delay := phone.tracker.step()) is not None:
                phone.clocks.pass_time(delay)

    def close(self) -> None:
        for phone in self.phones:
            phone.tracker.close()


def as_it_is(_tracker: Tracker) -> None:
    return None


def lived(directory: Path, seed: int, prepare: Callable[[Tracker], None] = as_it_is) -> World:
    world = World(directory, seed, prepare)
    try:
        world.live()
        assert [phone.tracker.pending() for phone in world.phones] == [0] * len(world.phones)
    finally:
        world.close()
    return world


def missing(world: World) -> set[str]:
    """Promised events that the server was to store and did not."""
    stored = {event.name for _, event in world.server.stored}
    return {name for name in world.promised if name.startswith(("good", "late"))} - stored


def repeated(world: World) -> list[str]:
    counted = Counter(event.name for _, event in world.server.stored)
    return [name for name, count in counted.items() if count > 1]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_nothing_promised_is_lost_and_nothing_is_stored_twice(
    tmp_path: Path, seed: int
) -> None:
    world = lived(tmp_path, seed)

    assert missing(world) == set()
    assert repeated(world) == []
    assert len(set(world.server.identities())) == len(world.server.stored)
    unpromised = {event.name for _, event in world.server.stored} - world.promised - world.perhaps
    assert unpromised == set()
    assert world.server.dropped == {}
    assert [world.server.gaps(*install) for install in world.server.last_sequences] == [
        [] for _ in world.server.last_sequences
    ], "the ledger of every install closes (R14)"
    assert len(world.promised) > 50


class HastyUploader(Uploader):
    """The control: settles what it is about to send as if it had been accepted."""

    def _make(self, call: Call) -> None:
        self._settle(Settlement(epoch=call.epoch, done=call.rows))
        super()._make(Call(epoch=call.epoch))


def make_hasty(tracker: Tracker) -> None:
    tracker._uploader.__class__ = HastyUploader


@pytest.mark.parametrize("seed", range(3))
def test_the_control_that_settles_before_the_answer_is_caught(tmp_path: Path, seed: int) -> None:
    world = lived(tmp_path, seed, make_hasty)

    assert missing(world) != set()
