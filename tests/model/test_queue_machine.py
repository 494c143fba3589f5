"""The device's queue and policy, driven at random: the real file and its stand-in say the same.

One machine does what apps, networks, disks and servers do to a queue: tracks, logs in, calls as
`policy.plan` says, answers with every verdict, loses answers, kills before and after each commit, fills the
disk, damages rows, turns clocks, restores backups. After every step the SQLite file and `MemoryQueue`, a
few hundred lines that know no SQL, must give the same answer to every question; so what the exhaustive
search proves of the one holds for the other.
"""

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from model.memory_queue import MemoryQueue, QueueState, new_state
from workevo_mobile import codec, drop_sql, failures, letter_sql, limits, policy, queue_sql, settlement
from workevo_mobile.caps import Caps
from workevo_mobile.errors import CallFailed, QueueUnavailable
from workevo_mobile.moments import ZERO, Moment
from workevo_mobile.policy import Asked, Call, Progress, Triggers
from workevo_mobile.queue import Draft, Queue
from workevo_mobile.settlement import Answer, Result, SequenceRange, Settlement, Verdict

CAPS = Caps(count=6, age=timedelta(hours=5))
STEPS_SHORT, EXAMPLES_SHORT = 40, 100
STEPS_SHORT_MIN = 1000  # So many are taken however early examples end.
STEPS_LONG, EXAMPLES_LONG = 100, 300
STATUSES = (
    (grpc.StatusCode.UNAVAILABLE, "", None),
    (grpc.StatusCode.DEADLINE_EXCEEDED, "", None),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", timedelta(seconds=5)),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPLOAD_TOO_LARGE", None),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "", None),
    (grpc.StatusCode.INVALID_ARGUMENT, "", None),
    (grpc.StatusCode.UNAUTHENTICATED, "", None),
)
ANSWERS = (
    Result(verdict=Verdict.ACCEPTED),
    Result(verdict=Verdict.DUPLICATE),
    Result(verdict=Verdict.ARCHIVED),
    Result(verdict=Verdict.REJECTED, reason="NAME_INVALID", field="name", message="No."),
    Result(verdict=Verdict.RETRY, retriable=True, retry_delay=timedelta(minutes=3)),
    Result(verdict=Verdict.RETRY, retriable=True, reason=settlement.EPOCH_FORKED),
    Result(verdict=Verdict.UNKNOWN, retriable=True),
    Result(verdict=Verdict.UNKNOWN, reason="OF_A_LATER_RELEASE"),
)
AROUND_A_ROW = ("", "", "", "before_row", "after_row")
AROUND_AN_ANSWER = ("", "", "", "before_settle", "after_settle")
step_count = 0


class Killed(Exception):
    """The process ended at a fault point."""


class QueueMachine(RuleBasedStateMachine):
    @initialize(marked=st.booleans(), seed=st.integers(0, 3))
    def begin(self, marked: bool, seed: int) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="workevo-machine-"))
        self.path, self.backup = self.directory / "queue.db", self.directory / "backup.db"
        self.marker = self.directory / "marker" if marked else None
        self.chance = random.Random(seed)
        self.now = Moment(wall_micros=1_700_000_000_000_000, uptime_millis=10_000, boot_id="boot-0")
        self.fault_at, self.disk_is_full = "", False
        self.progress, self.asked = Progress(), Asked()
        self.saved: QueueState | None = None
        self.count = 0
        self.real = self.opened()
        told = None if self.marker is None else self.marker.read_text()
        self.model = MemoryQueue(
            new_state(self.real.epoch, self.real.contact, marker=told),
            new_epoch=lambda: self.real.epoch,
            caps=CAPS,
        )

    def opened(self) -> Queue:
        return Queue(self.path, chance=self.chance, fault=self.fault, caps=CAPS, marker_path=self.marker)

    def fault(self, point: str) -> None:
        if self.disk_is_full and point.startswith("before"):
            raise sqlite3.OperationalError("database or disk is full")
        if point == self.fault_at:
            raise Killed

    def teardown(self) -> None:
        if hasattr(self, "real"):
            self.real.close()
            shutil.rmtree(self.directory)

    def both(self, really: Callable[[], Any], in_model: Callable[[], Any]) -> None:
        """Do it to both, and to none where the real one says that nothing was committed."""
        global step_count
        try:
            result = really()
        except QueueUnavailable:
            assert self.disk_is_full
            return
        except Killed:
            if self.fault_at.startswith("after"):
                in_model()
            self.reopen()
            return
        expected = in_model()
        if expected is not None:
            assert [repr(each) for each in result] == [repr(each) for each in expected]

    def reopen(self) -> None:
        """What was learned in memory is gone; the file is as it was."""
        self.fault_at, self.progress, self.asked = "", Progress(), Asked()
        self.real.close()
        self.real = self.opened()

    # What the app does

    @rule(
        size=st.integers(1, 40),
        count=st.integers(1, 3),
        kill=st.sampled_from(["", "", "", "before_row", "after_row"]),
    )
    def track(self, size: int, count: int, kill: str) -> None:
        drafts = []
        for _ in range(count):
            self.count += 1
            body = f"{self.count:06}".encode() * size
            drafts.append(Draft(body=body, user_id=self.real.contact.user_id, moment=self.now, name="e"))
        self.fault_at = kill
        self.both(lambda: self.real.append(drafts), lambda: self.model.append(drafts))
        self.fault_at = ""

    @rule(user=st.sampled_from(["anna", "bert"]), proof=st.sampled_from([None, "ab" * 32]))
    def log_in(self, user: str, proof: str | None) -> None:
        body = b"identify " + user.encode()
        self.both(
            lambda: self.real.append_identify(user, proof, lambda _contact: body, self.now),
            lambda: self.model.append_identify(self.real.contact, proof, body, self.now),
        )

    @rule()
    def log_out(self) -> None:
        self.both(self.real.log_out, lambda: self.model.log_out(self.real.contact))

    @rule(out=st.sampled_from([False, False, False, False, True]))
    def opt(self, out: bool) -> None:
        if out:
            self.both(lambda: self.real.opt_out(self.now), lambda: self.model.opt_out(self.now))
        else:
            self.both(self.real.opt_in, self.model.opt_in)

    @rule()
    def clear_dead_letters(self) -> None:
        self.both(self.real.clear_dead_letters, self.model.clear_dead_letters)

    @rule()
    def flush(self) -> None:
        rows, drops = self.real.last_marks()
        self.asked = Asked(rows_through=rows, drops_through=drops)

    # What the network and the server do

    def planned(self) -> Call | None:
        self.both(lambda: self.real.expire(self.now), lambda: self.model.expire(self.now))
        waiting = self.real.waiting(self.now, rows_max=500)
        assert waiting == self.model.waiting(self.now, rows_max=500)
        call = policy.plan(waiting, self.progress, self.asked, Triggers(event_count=2), self.now)
        if not isinstance(call, Call):
            return None
        waits = [wait for wait in (waiting.quiet, self.progress.rest) if wait is not None]
        assert all(wait.remaining(self.now) == ZERO for wait in waits), "a call while a delay lasts"
        assert len(call.rows) <= limits.UPLOAD_EVENTS_MAX
        assert call.is_identify or {row.epoch for row in call.rows} <= {call.epoch}
        return call

    @rule(data=st.data(), kill=st.sampled_from(AROUND_AN_ANSWER))
    def call_that_is_answered(self, data: st.DataObject, kill: str) -> None:
        call = self.planned()
        if call is None:
            return None
        parcel = self.real.parcel(call)
        assert parcel == self.model.parcel(call)
        damaged = [row for row, body in zip(parcel.rows, parcel.bodies, strict=True) if not body]
        settled: Settlement | None
        if damaged:
            settled = settlement.corrupted(damaged[0])
        elif call.is_identify:
            settled = settlement.settle_identify(call, data.draw(st.sampled_from(ANSWERS)))
        else:
            settled = settlement.settle_upload(
                call, self.answer(call, data), told_drops=[drop.drop_id for drop in parcel.drops]
            )
        if settled is None:
            return self.learn(call, CallFailed(grpc.StatusCode.UNAVAILABLE))
        self.fault_at = kill
        applied: Settlement = settled
        self.both(lambda: self.real.settle(applied, self.now), lambda: self.model.settle(applied, self.now))
        self.fault_at = ""
        self.progress = failures.after_answer(self.progress, call)
        return None

    @rule(data=st.data(), count=st.integers(1, 3))
    def a_session_that_is_uploaded(self, data: st.DataObject, count: int) -> None:
        """What happens most: some events, nothing in the way, and an answer."""
        self.disk_is_full = False
        self.both(self.real.opt_in, self.model.opt_in)
        self.track(size=1, count=count, kill="")
        for _ in range(3):
            self.flush()
            self.time_passes(minutes=61)
            self.call_that_is_answered(data, kill="")

    def answer(self, call: Call, data: st.DataObject) -> Answer:
        given = [data.draw(st.sampled_from(ANSWERS)) for _ in call.rows]
        results = [
            replace(result, index=index, sequence=row.sequence)
            for index, (result, row) in enumerate(zip(given, call.rows, strict=True))
            if result.verdict is not Verdict.ACCEPTED
        ]
        gaps = data.draw(st.lists(st.integers(1, 12), max_size=2, unique=True).map(sorted))
        believed = data.draw(st.sampled_from([True, True, True, False]))
        return Answer(
            results=tuple(results),
            accepted_count=len(call.rows) - len(results) + (not believed),
            gaps=tuple(SequenceRange(gap, gap) for gap in gaps),
            next_upload_delay=data.draw(st.sampled_from([None, None, timedelta(seconds=90)])),
        )

    @rule(status=st.sampled_from(STATUSES))
    def call_that_fails(self, status: tuple[grpc.StatusCode, str, timedelta | None]) -> None:
        call = self.planned()
        if call is not None:
            code, reason, delay = status
            self.learn(call, CallFailed(code, reason=reason, retry_delay=delay))

    def learn(self, call: Call, failed: CallFailed) -> None:
        consequence = failures.after_failure(
            self.progress, call, codec.failure_from_call(failed), now=self.now, chance=random.Random(1)
        )
        self.progress = consequence.progress
        if consequence.quiet is not None:
            quiet = consequence.quiet
            self.both(
                lambda: self.real.keep_quiet(quiet, self.now), lambda: self.model.keep_quiet(quiet, self.now)
            )
        if consequence.quarantine is not None:
            given_up = settlement.quarantined(consequence.quarantine)
            self.both(
                lambda: self.real.settle(given_up, self.now), lambda: self.model.settle(given_up, self.now)
            )

    # What happens to the device

    @rule(minutes=st.sampled_from([0, 1, 5, 61, 200, 400]))
    def time_passes(self, minutes: int) -> None:
        uptime = self.now.uptime_millis
        self.now = replace(
            self.now,
            wall_micros=self.now.wall_micros + minutes * 60_000_000,
            uptime_millis=None if uptime is None else uptime + minutes * 60_000,
        )

    @rule(hours=st.integers(-50, 50))
    def the_clock_jumps(self, hours: int) -> None:
        self.now = replace(self.now, wall_micros=self.now.wall_micros + hours * 3_600_000_000)

    @rule()
    def reboot(self) -> None:
        boot = int(self.now.boot_id.split("-")[1]) + 1
        self.now = replace(self.now, uptime_millis=0, boot_id=f"boot-{boot}")
        self.reopen()

    @rule()
    def kill(self) -> None:
        self.reopen()

    @rule(full=st.sampled_from([False, False, False, True]))
    def the_disk_fills_or_empties(self, full: bool) -> None:
        self.disk_is_full = full

    @precondition(lambda self: any(kept.is_sound for kept in self.model.state.rows))
    @rule(data=st.data())
    def a_row_is_damaged(self, data: st.DataObject) -> None:
        kept = data.draw(st.sampled_from([kept for kept in self.model.state.rows if kept.is_sound]))
        body = bytes(byte ^ 1 for byte in kept.body)
        self.real.close()
        with sqlite3.connect(self.path) as file:
            file.execute("UPDATE queued SET body = ? WHERE position = ?", (body, kept.position))
        file.close()
        self.real = self.opened()
        self.model.damage_body(kept.position, body)

    @rule()
    def back_up(self) -> None:
        self.real.close()
        shutil.copyfile(self.path, self.backup)
        self.saved = self.model.state
        self.real = self.opened()

    @precondition(lambda self: self.saved is not None)
    @rule(elsewhere=st.booleans())
    def restore(self, elsewhere: bool) -> None:
        """Onto this device, or onto another one, whose marker differs (R14a)."""
        assert self.saved is not None
        self.real.close()
        for old in self.directory.glob("queue.db*"):
            old.unlink()
        shutil.copyfile(self.backup, self.path)
        if elsewhere and self.marker is not None:
            self.marker.unlink()
        self.reopen()
        self.model.state = self.saved
        self.model.opened(marker=None if self.marker is None else self.marker.read_text())

    # What must hold

    @invariant()
    def both_say_the_same(self) -> None:
        global step_count
        step_count += 1
        if not hasattr(self, "real"):
            return
        state = self.model.state
        assert (self.real.epoch, self.real.contact, self.real.opted_out) == (
            state.epoch,
            state.contact,
            state.opted_out,
        )
        assert self.real.counts() == self.model.counts()
        assert self.real.dead_letters() == self.model.dead_letters()
        assert self.real.last_marks() == self.model.last_marks()
        assert self.real.waiting(self.now, rows_max=500) == self.model.waiting(self.now, rows_max=500)

    @invariant()
    def every_sequence_is_where_it_belongs(self) -> None:
        """R7, R14: each was given once, none twice, and none is higher than what was given."""
        if not hasattr(self, "real"):
            return
        given = dict(self.model.state.last_sequences)
        places = [(kept.epoch, kept.sequence) for kept in self.model.state.rows if kept.sequence]
        assert len(places) == len(set(places))
        assert all(sequence <= given[epoch] for epoch, sequence in places)


def driven(*, examples: int = EXAMPLES_SHORT, steps: int = STEPS_SHORT, shrinks: bool = True) -> None:
    phases = (Phase.generate, Phase.shrink) if shrinks else (Phase.generate,)
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            phases=phases,
            report_multiple_bugs=False,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_file_and_the_value_that_stands_for_it_say_the_same() -> None:
    before = step_count
    driven()
    assert step_count - before >= STEPS_SHORT_MIN


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_they_say_the_same_over_20000_steps() -> None:
    before = step_count
    driven(examples=EXAMPLES_LONG, steps=STEPS_LONG)
    assert step_count - before >= 20_000


# The controls: each fault in the real queue is found by the same machine.


def test_the_control_a_settled_row_that_stays_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_sql, "delete_rows", lambda _connection, _done: None)

    with pytest.raises(AssertionError):
        driven(shrinks=False)


def test_the_control_a_row_that_goes_by_the_watermark_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """R14: whatever lies below the first gap, without a verdict of its own."""
    settle = Queue.settle

    def settle_and_sweep(queue: Queue, settled: Settlement, now: Moment) -> None:
        settle(queue, settled, now)
        if settled.is_answer:
            watermark = settled.gaps[0].first if settled.gaps else limits.SEQUENCE_MAX
            with queue._store.transaction() as connection:
                connection.execute(
                    "DELETE FROM queued WHERE epoch = ? AND sequence < ?", (settled.epoch, watermark)
                )

    monkeypatch.setattr(Queue, "settle", settle_and_sweep)

    with pytest.raises(AssertionError):
        driven(shrinks=False)


def test_the_control_a_refused_event_that_vanishes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        letter_sql, "bury", lambda connection, burial, _now: queue_sql.delete_rows(connection, [burial.row])
    )

    with pytest.raises(AssertionError):
        driven(shrinks=False)


def test_the_control_a_drop_that_is_not_confessed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop_sql, "add_drop", lambda *_told, **_named: None)

    with pytest.raises(AssertionError):
        driven(shrinks=False)


def test_the_control_a_wait_that_a_restart_forgets_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_sql, "put_wait", lambda _connection, _wait_id, _wait: None)

    with pytest.raises(AssertionError):
        driven(shrinks=False)
