"""The door of the SDK."""

import logging
import random
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from workevo_mobile import event_codec
from workevo_mobile.caps import Caps
from workevo_mobile.clocks import Clocks, SystemClocks, read_moment
from workevo_mobile.codec import AppInfo
from workevo_mobile.intake import Intake
from workevo_mobile.limits import COMMIT_WAIT_DEFAULT
from workevo_mobile.metadata import MetadataInput
from workevo_mobile.moments import ZERO
from workevo_mobile.owner import Owner
from workevo_mobile.policy import Asked, Rest
from workevo_mobile.queue import Draft, Queue
from workevo_mobile.queue_sql import Contact
from workevo_mobile.receipt import Receipt
from workevo_mobile.stats import DeadLetter, Stats, dead_letter_of, stats_of
from workevo_mobile.transport import Transport
from workevo_mobile.uploader import Uploader
from workevo_mobile.writer import Writer

_log = logging.getLogger("workevo_mobile")


def _no_fault(_point: str) -> None:
    """What runs when nobody is testing."""


class Tracker:
    """Tracks what happens in an app. Safe from any thread.

    What a committed receipt of `track` stands for is in the queue file, as is
    what `identify` returned from: it survives the end of the process at any
    moment. It leaves the file by the server's verdict, or is given up at one of
    `caps` or by `opt_out`, and then the server is told (R14). One Tracker a
    queue file, ever.

    With `background` two daemon threads work: one commits, so that no screen
    waits for a disk; one uploads: as soon as `flush_event_count` events wait,
    when one has waited for `flush_interval`, and on `flush`. Where the app does
    not choose these two the workspace may. Without `background`, `track`
    commits before it returns, and nothing is uploaded but in `step` and
    `flush`, which the host calls.

    `commit_wait` is how long `track` waits for the disk in the background mode;
    None: as long as it takes. Several processes of one app each have a queue
    file of their own and share `install_path`, a file made on first use. Keep
    `marker_path` where no backup reaches: a queue that was restored or cloned
    is known by it at once (R14a), and without it by the server's answer.

    `fault` is called with `before_row`, `after_row`, `before_settle` and
    `after_settle`, around the two commits that matter, for tests that kill the
    process there. Raises QueueUnavailable when a file cannot be used.
    """

    def __init__(
        self,
        queue_path: str | Path,
        *,
        transport: Transport,
        app: AppInfo = AppInfo(),  # noqa: B008  # Frozen.
        clocks: Clocks | None = None,
        chance: random.Random | None = None,
        flush_event_count: int | None = None,
        flush_interval: timedelta | None = None,
        background: bool = True,
        caps: Caps = Caps(),  # noqa: B008  # Frozen.
        commit_wait: timedelta | None = COMMIT_WAIT_DEFAULT,
        install_path: str | Path | None = None,
        marker_path: str | Path | None = None,
        fault: Callable[[str], None] = _no_fault,
    ) -> None:
        self._clocks = clocks if clocks is not None else SystemClocks()
        chance = chance if chance is not None else random.SystemRandom()
        self._transport = transport
        self._queue = Queue(
            Path(queue_path),
            chance=chance,
            fault=fault,
            caps=caps,
            install_path=None if install_path is None else Path(install_path),
            marker_path=None if marker_path is None else Path(marker_path),
        )
        self._uploader = Uploader(
            self._queue,
            transport,
            app,
            clocks=self._clocks,
            chance=chance,
            flush_event_count=flush_event_count,
            flush_interval=flush_interval,
        )
        self._stepping = threading.Lock()
        self._owner = Owner(self._own_step)
        self._commit_wait = commit_wait
        self._background = background
        writer = Writer(self._queue, on_commit=self._owner.rows_came) if background else None
        self._intake = Intake(self._queue, writer)
        if background:
            self._owner.start()

    @property
    def install_id(self) -> str:
        return self._queue.install_id

    @property
    def epoch(self) -> bytes:
        """Of the next event; another one after the queue was found on two devices (R14a)."""
        return self._queue.epoch

    @property
    def visitor_id(self) -> str:
        return self._queue.contact.visitor_id

    @property
    def user_id(self) -> str | None:
        return self._queue.contact.user_id

    def track(
        self,
        name: str,
        metadata: Mapping[str, MetadataInput] | None = None,
        *,
        created_at: datetime | None = None,
    ) -> Receipt:
        """Queue one event of whoever is identified now; its receipt says whether it is committed.

        Waits up to `commit_wait` for the disk. A receipt that is pending then
        is committed a moment later; until it is, the end of the process loses
        the event, and nobody knows of it.

        Raises InvalidEvent when it breaks a limit, QueueUnavailable (QueueFull)
        when it cannot be committed; then it is not queued and never will be
        sent (but for a disk that fails in the very commit: sent again by the
        app, R6 absorbs the copy). What becomes known after the wait raises from
        the receipt, is logged, and is counted in `stats`.
        """
        return self._intake.take(self._draft(name, metadata, created_at), wait=self._commit_wait)

    def hand_over(
        self,
        name: str,
        metadata: Mapping[str, MetadataInput] | None = None,
        *,
        created_at: datetime | None = None,
    ) -> Receipt:
        """As `track`, without waiting for the disk at all; for an event loop."""
        return self._intake.take(self._draft(name, metadata, created_at), wait=ZERO)

    def _draft(
        self, name: str, metadata: Mapping[str, MetadataInput] | None, created_at: datetime | None
    ) -> Draft:
        moment = read_moment(self._clocks)
        template = event_codec.event_template(name, metadata, created_at, moment)
        contact, bytes_max = self._queue.contact, self._queue.orders.event_bytes_max
        body = event_codec.event_body(
            template, visitor_id=contact.visitor_id, user_id=contact.user_id, bytes_max=bytes_max
        )
        return Draft(body=body, user_id=contact.user_id, moment=moment, name=name)

    def identify(
        self, user_id: str, *, user_hash: str | None = None, attributes: Mapping[str, str] | None = None
    ) -> None:
        """Log in: what is tracked from now on is this user's (R15), the visitor's past is theirs (R16).

        `user_hash` is the app's back end's proof (R19); `email` and `name` are
        the attributes that the server knows. Another user than the one logged
        in is logged out first. Returns when it is committed; raises as `track` does.
        """
        known = dict(attributes or {})
        event_codec.check_identify(user_id, user_hash, known)
        moment = read_moment(self._clocks)

        def encode(contact: Contact) -> bytes:
            return event_codec.identify_body(
                visitor_id=contact.visitor_id,
                user_id=user_id,
                user_hash=user_hash,
                attributes=known,
                moment=moment,
            )

        self._intake.catch_up()
        self._queue.append_identify(user_id, user_hash, encode, moment)
        self._owner.rows_came(1)

    def reset(self) -> None:
        """Log out: what is tracked from now on is a new visitor's. What is queued stays whose it was."""
        self._intake.catch_up()
        self._queue.log_out()

    def opt_out(self) -> None:
        """Empty the queue and the dead letters, and track nothing until `opt_in` (R32).

        The server is told how many events it will not get (OPTED_OUT), and
        nothing else. Survives restarts. Returns when it is committed.
        """
        self._intake.catch_up()
        self._queue.opt_out(read_moment(self._clocks))
        self._owner.nudge()

    def opt_in(self) -> None:
        self._intake.catch_up()  # What was tracked before is not taken now.
        self._queue.opt_in()

    @property
    def opted_out(self) -> bool:
        return self._queue.opted_out

    def on_background(self) -> None:
        """The app leaves the screen: upload what waits, as it may not come back. Returns at once."""
        self.request_flush()

    def on_foreground(self) -> None:
        """The app is on the screen again: what became due while it slept is due now."""
        self._owner.nudge()

    def on_network(self, available: bool) -> None:  # noqa: FBT001  # As platforms' callbacks have it.
        """What the platform says about the network.

        No call is made while there is none. When it comes back what waits is
        uploaded, and the backoff forgotten; waits that the server asked for hold.
        """
        self._uploader.on_network(available=available)
        if available:
            self.request_flush()
        else:
            self._owner.nudge()

    def request_flush(self) -> None:
        """Let what waits now go with the next upload, whatever count and interval say; returns at once."""
        self._intake.catch_up()
        position, drop_id = self._queue.last_marks()
        self._uploader.ask(Asked(rows_through=position, drops_through=drop_id))
        self._owner.nudge()

    def flush(self, timeout: timedelta = timedelta(seconds=30)) -> bool:
        """Upload now; whether everything that was queued at the call is settled.

        With `background` waits for it up to `timeout`. Without, steps until
        there is nothing to do at once; a call takes as long as it takes.
        """
        self._intake.catch_up()
        through, _ = self._queue.last_marks()
        self.request_flush()
        if self._background:
            settled = self._owner.wait_for(lambda: self._is_settled(through), timeout)
            return settled and not self._owner.is_closed
        while self.step() == ZERO:
            pass
        return self._is_settled(through)

    def step(self) -> timedelta | None:
        """Do what is due now, at most one call to the server; say how long until something is due.

        Zero: call again at once. None: not before the next track, identify or
        flush. For `background=False` only.
        """
        if self._background:
            raise RuntimeError("The Tracker steps itself; build it with background=False to do it yourself.")
        with self._stepping:
            return self._uploader.step().delay

    def pending(self) -> int:
        """Events and log-ins that are not settled; never too few."""
        return self._intake.backlog + self._queue.pending()

    def stats(self) -> Stats:
        return stats_of(
            self._queue.counts(),
            backlog=self._intake.backlog,
            failures=self._uploader.failures,
            never_committed=self._intake.never_committed,
        )

    def dead_letters(self) -> list[DeadLetter]:
        """Events that no upload carries any more, oldest first; 1,000 and 4 MiB at most.

        The server has the outcome of each or was told of the drop (R14); they
        are kept to be read by a developer.
        """
        return [dead_letter_of(row) for row in self._queue.dead_letters()]

    def clear_dead_letters(self) -> None:
        self._queue.clear_dead_letters()

    def close(self) -> None:
        """Commit what was handed over, let go of the queue file and close the transport.

        Uploads nothing; what is queued stays queued.
        """
        self._intake.close()
        self._owner.close()
        self._transport.close()
        self._queue.close()
        self._owner.join()

    def _is_settled(self, through: int) -> bool:
        return self._owner.is_closed or self._queue.pending(through=through) == 0

    def _own_step(self) -> Rest:
        try:
            return self._uploader.step()
        except Exception as error:  # noqa: BLE001  # Whatever fails, uploads must not stop until the next start.
            if not self._owner.is_closed:
                _log.warning("upload step failed: %s", type(error).__name__)
            return self._uploader.back_off()
