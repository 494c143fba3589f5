"""Seeded lives of one phone that loses events in every way it may: all of them are accounted for (R14)."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from workevo.tracking.v1 import event_pb2, verdict_pb2
from workevo_mobile import Caps, QueueUnavailable, Tracker, drop_sql
from workevo_testing.mobile_fakes import (
    FakeClocks,
    FakeTransport,
    HonestServer,
    bad_network,
    rejected,
    retry,
)

DAY = timedelta(days=1)
CAPS = Caps(count=12)


class Life:
    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.chance = random.Random(seed)
        self.server = HonestServer(judge=self._judge)
        self.transport = FakeTransport(self.server, fate=self._fate)
        self._network = bad_network(self.chance, request_lost=0.3, answer_lost=0.3)
        self.clocks = FakeClocks()
        self.promised: set[str] = set()
        self.reopened = 0
        self.tracker = self._opened()

    def _opened(self) -> Tracker:
        self.reopened += 1
        return Tracker(
            self.path,
            transport=self.transport,
            clocks=self.clocks,
            chance=random.Random(self.chance.random()),
            caps=CAPS,
            flush_event_count=4,
            background=False,
        )

    def _judge(self, _event: event_pb2.Event) -> verdict_pb2.EventResult | None:
        answers: list[verdict_pb2.EventResult | None] = [
            *[None] * 8,
            rejected("NAME_INVALID"),
            retry("IDENTITY_UNVERIFIED", delay=timedelta(seconds=5)),
        ]
        return self.chance.choice(answers)

    def _fate(self, before: bool) -> None:
        if self.chance.random() < 0.2:  # The app goes on while the call is on its way.
            for _ in range(self.chance.randrange(20)):
                self.track()
        self._network(before)

    def track(self) -> None:
        name = f"event {len(self.promised)}"
        with suppress(QueueUnavailable):  # Damage that shows only now; the next one is taken.
            if self.tracker.track(name):
                self.promised.add(name)

    def live(self) -> None:
        deeds: list[tuple[int, Callable[[], object]]] = [
            (60, self.track),
            (25, self._pass_time),
            (6, self._restart),
            (2, lambda: self.tracker.identify(f"user {self.chance.randrange(3)}")),
            (2, self._damage_a_row),
            (1, self._damage_the_file),
            (1, self.tracker_opts_out),
            (1, lambda: self.clocks.pass_time(31 * DAY)),
        ]
        weights = [weight for weight, _ in deeds]
        for _ in range(250):
            (deed,) = self.chance.choices([deed for _, deed in deeds], weights)
            deed()

    def come_to_rest(self) -> None:
        self._network = lambda _before: None
        for _ in range(500):
            rest = self.tracker.step()
            if rest is None:
                return
            self.clocks.pass_time(rest)
        raise AssertionError("the tracker never came to rest")

    def tracker_opts_out(self) -> None:
        self.tracker.opt_out()
        assert self.tracker.track("secret") == 0
        self.tracker.opt_in()

    def _pass_time(self) -> None:
        self.clocks.pass_time(timedelta(seconds=self.chance.randrange(120)))
        with suppress(QueueUnavailable):
            while self.tracker.step() == timedelta(0):
                pass

    def _restart(self) -> None:
        self.tracker.close()
        self.tracker = self._opened()

    def _damage_a_row(self) -> None:
        self.tracker.close()
        what = self.chance.choice(["body = x'00'", "kind = 'odd'", "sequence = 'odd'", "body = 'odd'"])
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute(f"UPDATE queued SET {what} WHERE position = (SELECT max(position) FROM queued)")
        connection.close()
        self.tracker = self._opened()

    def _damage_the_file(self) -> None:
        """The pages of the rows; had those of the epochs gone too, the rest would be unknown (R14)."""
        self.tracker.close()
        connection = sqlite3.connect(self.path)
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'queued'").fetchone()
        connection.close()
        with self.path.open("r+b") as file:
            file.seek((root - 1) * page_bytes)
            file.write(b"\xa5" * page_bytes)
        self.tracker = self._opened()

    def unaccounted(self) -> list[str]:
        """What is wrong with the balance."""
        names = [event.name for _, event in self.server.stored]
        outcomes = {identity for identity, _ in self.server.stored}
        settled = outcomes | set(self.server.outcomes) | set(self.server.dropped)
        generated = sum(self.server.last_sequences.values())
        found = [f"stored twice: {name}" for name in set(names) if names.count(name) > 1]
        for install in self.server.last_sequences:
            found += [f"open: {gap}" for gap in self.server.gaps(*install)]
        if len(self.promised) != generated:
            found.append(f"{len(self.promised)} promised, {generated} generated")
        if len(settled) != generated:
            found.append(f"{len(settled)} settled or dropped, {generated} generated")
        return found


def lived(path: Path, seed: int) -> Life:
    life = Life(path, seed)
    life.live()
    life.come_to_rest()
    life.tracker.close()
    return life


SEEDS = [*range(6), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(6, 60))]


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_the_device_gives_up_the_balance_closes(tmp_path: Path, seed: int) -> None:
    life = lived(tmp_path / "queue.db", seed)

    assert life.unaccounted() == []
    assert len(life.promised) > 100
    assert life.server.dropped


def test_the_control_that_confesses_nothing_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drop_sql, "add_drop", lambda *_args, **_named: None)
    life = Life(tmp_path / "queue.db", 1)
    for _ in range(30):
        life.track()

    life.come_to_rest()

    assert any(found.startswith("open") for found in life.unaccounted())
    life.tracker.close()
