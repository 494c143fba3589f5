"""One phone that lives through its agenda: an app on it, a queue file, and all that happens to both."""

import hashlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from workevo_mobile import AppInfo, Caps, InvalidEvent, QueueUnavailable, Tracker
from workevo_simulator import agenda
from workevo_simulator.agenda import Act, What
from workevo_simulator.app_life import Metadata
from workevo_simulator.errors import SimulatorError
from workevo_simulator.limits import (
    LAST_DELIVERY_MAX,
    SMALL_QUEUE_EVENTS,
    STEPS_AT_ONCE_MAX,
)
from workevo_simulator.phone_clocks import PhoneClocks
from workevo_simulator.phone_network import AppKilled, PhoneNetwork
from workevo_simulator.truth import ContactId, comparable
from workevo_simulator.virtual_time import VirtualTime, micros_of
from workevo_simulator.weather import Weather
from workevo_simulator.witness import MARK_KEY, Happening, Refused, Witness

_APP = AppInfo(platform="simulator", app_version="1.0", os_version="1", locale="en", time_zone="UTC")
_SUFFIXES = ("", "-wal", "-shm")


def file_stem(name: str) -> str:
    """What a phone's files are called: a name from a recorded log may be anything."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What stays with a phone all its life."""

    name: str
    kind: str
    queue: Path
    marker: Path | None
    has_small_queue: bool
    is_recorded: bool
    flush_interval: timedelta | None
    """The app's; None: the SDK's own."""


@dataclass(slots=True, kw_only=True)
class Phone:
    """Woken by its lane at `next_at_micros`; does what is due, then lets the SDK do what it will."""

    habits: Habits
    acts: Sequence[Act]
    time: VirtualTime
    """Its own true time: ahead of the lane's while a slow call lasts."""
    lane_time: VirtualTime
    clocks: PhoneClocks
    weather: Weather
    network: PhoneNetwork = field(init=False)
    witness: Witness
    chance: random.Random
    ends_micros: int
    """After this nothing happens any more, the network is good, and what is queued is delivered."""
    next_at_micros: int | None = field(init=False)
    reopened_count: int = 0
    marks: list[tuple[int, str]] = field(default_factory=list)
    pending_steps: list[tuple[int, int]] = field(default_factory=list)
    """(moment, events and log-ins that wait from then on)."""
    given_up_count: int = 0
    """Events that its SDK says it gave up, over all its queues; a cloned queue brings its own count along."""
    _tracker: Tracker | None = field(default=None, init=False)
    _done: int = field(default=0, init=False)
    _tracked_count: int = field(default=0, init=False)
    _armed: str = field(default="", init=False)
    _disk_full_until: int = field(default=0, init=False)
    _is_delivering: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.next_at_micros = self.acts[0].at_micros if self.acts else None

    # As its lane sees it --------------------------------------------------

    def wake(self) -> None:
        """Do all that is due. `next_at_micros` then says when to be woken again; None: all is delivered."""
        self.time.now_micros = max(self.time.now_micros, self.lane_time.now_micros)
        while self._done < len(self.acts) and self.acts[self._done].at_micros <= self.time.now_micros:
            act = self.acts[self._done]
            self._done += 1
            self.witness.acts_done += 1
            self._live(act)
        due_micros = self._work()
        self._note_pending()
        waiting = [] if due_micros is None else [due_micros]
        if self._done < len(self.acts):
            waiting.append(max(self.acts[self._done].at_micros, self.time.now_micros))
        elif not self._is_delivering:
            waiting.append(max(self.ends_micros, self.time.now_micros))
        self.next_at_micros = min(waiting, default=None)
        if not waiting:
            self._count_given_up()
            self.sleep()

    def sleep(self) -> None:
        """Close the queue, as an app does that the system ends."""
        if self._tracker is not None:
            self._tracker.close()
            self._tracker = None

    @property
    def idle(self) -> bool:
        return self._tracker is None or not self._tracker.pending()

    @property
    def awake(self) -> bool:
        return self._tracker is not None

    @property
    def is_online(self) -> bool:
        return self.weather.is_up(self.time.now_micros)

    # What happens to it ---------------------------------------------------

    def _live(self, act: Act) -> None:
        words = agenda.in_words(act.what)
        if words is not None:
            self.marks.append((self.time.now_micros, words))
        now_micros = self.time.now_micros
        if isinstance(act.what, agenda.Track | agenda.TrackAs):
            self.time.now_micros = act.at_micros  # A call in progress holds no screen up.
        try:
            self._act(act.what)
        except AppKilled:
            self._die()
        finally:
            self.time.now_micros = max(now_micros, self.time.now_micros)

    def _act(self, what: What) -> None:
        match what:
            case agenda.Track(name, metadata):
                self._tracked_count += 1
                self._track(name, metadata, label=f"{self.habits.name}/{self._tracked_count}")
            case agenda.TrackAs():
                self._track_as(what)
            case agenda.Opened():
                self._run().on_foreground()
            case agenda.LeftScreen():
                self._run().on_background()
            case agenda.LogIn(user_id):
                self._tell(lambda tracker: tracker.identify(user_id))
            case agenda.LogOut():
                self._tell(lambda tracker: tracker.reset())
            case agenda.OptOut():
                self._tell(lambda tracker: tracker.opt_out())
            case agenda.OptIn():
                self._tell(lambda tracker: tracker.opt_in())
            case agenda.NetworkTold():
                if self._tracker is not None:
                    self._tracker.on_network(self.is_online)
            case agenda.Kill(point):
                self._kill(point)
            case agenda.ClockSet(ahead_micros):
                self.clocks.set_ahead(ahead_micros)
            case agenda.DiskFull(until_micros):
                self._disk_full_until = until_micros
            case _:
                self._change_file(what)

    def _change_file(self, what: What) -> None:
        match what:
            case agenda.Reboot():
                self.sleep()
                self.clocks.reboot()
            case agenda.BackUp():
                self.back_up()
            case agenda.Reinstall():
                self._lose_queue()
            case agenda.Restore(source):
                self._restore(source)

    def _track_as(self, row: agenda.TrackAs) -> None:
        try:
            if self._run().user_id != row.user_id:
                self._run().identify(row.user_id)
            self._track(row.name, row.metadata, label=f"line {row.line} of the log")
        except InvalidEvent as error:  # The app would have been told: it never was an event.
            self.witness.refused.append(Refused(row.line, str(error)))

    def _track(self, name: str, metadata: Metadata, *, label: str) -> None:
        tracker = self._run()
        told = metadata if self.habits.is_recorded else {MARK_KEY: label, **metadata}
        happening = Happening(
            mark=label,
            phone=self.habits.name,
            kind=self.habits.kind,
            name=name,
            metadata=tuple((key, comparable(value)) for key, value in told.items()),
            true_micros=self.time.now_micros,
            created_at_micros=self.clocks.wall_micros(),
            contact=(
                ContactId("visitor", tracker.visitor_id)
                if tracker.user_id is None
                else ContactId("user", tracker.user_id)
            ),
            is_recorded=self.habits.is_recorded,
        )
        try:
            receipt = tracker.track(name, told)
        except QueueUnavailable:  # A full disk. The app was told: it never was an event.
            return
        except AppKilled:
            if self._armed == "after_row":  # Committed, and nobody knows where.
                happening.unplaced = 1
                self.witness.tracked(happening)
            raise
        if receipt.sequence and receipt.epoch is not None:
            happening.keys.append((tracker.install_id, receipt.epoch, receipt.sequence))
            self.witness.tracked(happening)

    def _tell(self, say: Callable[[Tracker], None]) -> None:
        try:
            say(self._run())
        except QueueUnavailable:  # A full disk; the app would say so and try again.
            self.marks.append((self.time.now_micros, "the app was told that the disk is full"))

    def _kill(self, point: str) -> None:
        if point == "now":
            self._die()
        elif self._tracker is not None:
            self._armed = point

    def _die(self) -> None:
        """What the app had in memory is gone; the queue file is as it was."""
        self._armed = ""
        self.sleep()

    def _fault(self, point: str) -> None:
        """What the SDK calls around its commits."""
        if point in ("before_row", "before_settle") and self.time.now_micros < self._disk_full_until:
            raise sqlite3.OperationalError("database or disk is full")
        if point == self._armed:
            raise AppKilled

    def dies_in_call(self) -> bool:
        return self._armed == "in_call"

    # Its queue file -------------------------------------------------------

    @property
    def backup(self) -> Path:
        return self.habits.queue.with_suffix(".backup")

    def back_up(self) -> None:
        """Nightly backups copy a queue that is closed: SQLite has brought its log into the file by then."""
        self.sleep()
        if self.habits.queue.exists():
            shutil.copyfile(self.habits.queue, self.backup)

    def _lose_queue(self) -> None:
        if self.habits.queue.exists():
            self._run()
            self._count_given_up()
        self.sleep()
        self.witness.wipe(self.habits.name)
        self.pending_steps.append((self.time.now_micros, 0))
        for suffix in _SUFFIXES:
            self.habits.queue.with_name(self.habits.queue.name + suffix).unlink(missing_ok=True)

    def _restore(self, source: str) -> None:
        backup = self.habits.queue.with_name(f"{file_stem(source)}.backup")
        if not backup.exists():
            return
        self._lose_queue()
        shutil.copyfile(backup, self.habits.queue)

    def _count_given_up(self) -> None:
        if self._tracker is not None:
            self.given_up_count += sum(self._tracker.stats().dropped.values())

    # Its SDK --------------------------------------------------------------

    def _run(self) -> Tracker:
        """The app is in use: it runs, started now if it did not."""
        if self._tracker is None:
            if self.clocks.is_lost and self.is_online:  # A network tells the time.
                self.clocks.set_ahead(self.chance.randint(-300_000, 300_000))
            self._tracker = self._opened()
            self.reopened_count += 1
        return self._tracker

    def _opened(self) -> Tracker:
        small = Caps(count=SMALL_QUEUE_EVENTS) if self.habits.has_small_queue else Caps()
        return Tracker(
            self.habits.queue,
            transport=self.network,
            app=_APP,
            clocks=self.clocks,
            chance=self.chance,
            flush_interval=self.habits.flush_interval,
            background=False,
            caps=small,
            marker_path=self.habits.marker,
            fault=self._fault,
        )

    def _work(self) -> int | None:
        """Let the SDK do what is due; when it wants to be called again. No app, no work."""
        if self.time.now_micros >= self.ends_micros and not self._is_delivering:
            self._begin_delivering()
        if self._tracker is None:
            return None
        if self._is_delivering and self.time.now_micros > self.ends_micros + micros_of(LAST_DELIVERY_MAX):
            return None
        try:
            for _ in range(STEPS_AT_ONCE_MAX):
                delay = self._tracker.step()
                if delay is None:
                    return None
                if delay > timedelta(0):
                    return self.time.now_micros + micros_of(delay)
        except AppKilled:
            self._die()
            return None
        raise SimulatorError(f"A phone took {STEPS_AT_ONCE_MAX:,} steps at one moment and was not done.")

    def _begin_delivering(self) -> None:
        """The run is over: the disk has room again, the app is opened once more, and all is sent."""
        self._is_delivering = True
        self._armed, self._disk_full_until = "", 0
        if self.habits.queue.exists():
            tracker = self._run()
            tracker.on_network(available=True)
            tracker.request_flush()

    def _note_pending(self) -> None:
        pending = self._tracker.pending() if self._tracker is not None else None
        if pending is not None and (not self.pending_steps or self.pending_steps[-1][1] != pending):
            self.pending_steps.append((self.time.now_micros, pending))
