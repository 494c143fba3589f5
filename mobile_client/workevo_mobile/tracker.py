"""The door of the SDK."""

import logging
import random
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from workevo_mobile import event_codec
from workevo_mobile.clocks import Clocks, SystemClocks, read_moment
from workevo_mobile.codec import AppInfo
from workevo_mobile.limits import FLUSH_EVENT_COUNT_DEFAULT, FLUSH_INTERVAL_DEFAULT
from workevo_mobile.metadata import MetadataInput
from workevo_mobile.moments import ZERO
from workevo_mobile.policy import Asked, Rest, Triggers
from workevo_mobile.queue import Queue
from workevo_mobile.queue_sql import Contact
from workevo_mobile.transport import Transport
from workevo_mobile.uploader import Uploader

_log = logging.getLogger("workevo_mobile")

_SLEEP_MAX = timedelta(days=1)  # What every platform can wait for at once; then the policy is asked again.


def _no_fault(_point: str) -> None:
    """What runs when nobody is testing."""


class Tracker:
    """Tracks what happens in an app. Safe from any thread.

    What `track` and `identify` returned from is committed to the queue file and
    survives the end of the process at any moment; it leaves the file only by
    the server's verdict. One Tracker a queue file, ever.

    With `background` one daemon thread uploads: as soon as `flush_event_count`
    events wait, when one has waited for `flush_interval`, and on `flush`.
    Without, nothing happens but in `step` and `flush`, which the host calls.

    `fault` is called with `before_row`, `after_row`, `before_settle` and
    `after_settle`, around the two commits that matter, for tests that kill the
    process there. Raises QueueUnavailable when the queue file cannot be used.
    """

    def __init__(
        self,
        queue_path: str | Path,
        *,
        transport: Transport,
        app: AppInfo = AppInfo(),  # noqa: B008  # Frozen.
        clocks: Clocks | None = None,
        chance: random.Random | None = None,
        flush_event_count: int = FLUSH_EVENT_COUNT_DEFAULT,
        flush_interval: timedelta = FLUSH_INTERVAL_DEFAULT,
        background: bool = True,
        fault: Callable[[str], None] = _no_fault,
    ) -> None:
        self._clocks = clocks if clocks is not None else SystemClocks()
        chance = chance if chance is not None else random.SystemRandom()
        self._transport = transport
        self._queue = Queue(Path(queue_path), chance=chance, fault=fault)
        triggers = Triggers(event_count=flush_event_count, interval=flush_interval)
        self._uploader = Uploader(
            self._queue, transport, app, clocks=self._clocks, chance=chance, triggers=triggers
        )
        self._stepping = threading.Lock()
        self._changed = threading.Condition()
        self._nudged = False
        self._rows_came = 0
        self._wake_at: int | None = 0
        self._closed = False
        self._owner = threading.Thread(target=self._run, name="workevo-uploader", daemon=True)
        self._background = background
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
    ) -> int:
        """Queue one event of whoever is identified now and return its sequence, once it is committed.

        Raises InvalidEvent when it breaks a limit, QueueUnavailable when it
        cannot be committed; then it is not queued and never will be sent (but
        for a disk that fails in the very commit: sent again by the app, R6
        absorbs the copy).
        """
        moment = read_moment(self._clocks)
        template = event_codec.event_template(name, metadata, created_at, moment)

        def encode(contact: Contact) -> bytes:
            return event_codec.event_body(template, visitor_id=contact.visitor_id, user_id=contact.user_id)

        sequence = self._queue.append_event(encode, moment)
        self._row_came()
        return sequence

    def identify(
        self, user_id: str, *, user_hash: str | None = None, attributes: Mapping[str, str] | None = None
    ) -> None:
        """Log in: what is tracked from now on is this user's (R15), the visitor's past is theirs (R16).

        `user_hash` is the app's back end's proof (R19); `email` and `name` are
        the attributes that the server knows. Another user than the one logged
        in is logged out first. Raises as `track` does.
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

        self._queue.append_identify(user_id, user_hash, encode, moment)
        self._row_came()

    def reset(self) -> None:
        """Log out: what is tracked from now on is a new visitor's. What is queued stays whose it was."""
        self._queue.log_out()

    def request_flush(self) -> None:
        """Let what waits now go with the next upload, whatever count and interval say; returns at once."""
        position, drop_id = self._queue.last_marks()
        self._uploader.ask(Asked(rows_through=position, drops_through=drop_id))
        self._nudge()

    def flush(self, timeout: timedelta = timedelta(seconds=30)) -> bool:
        """Upload now; whether everything that was queued at the call is settled.

        With `background` waits for it up to `timeout`. Without, steps until
        there is nothing to do at once; a call takes as long as it takes.
        """
        through, _ = self._queue.last_marks()
        self.request_flush()
        if self._background:
            with self._changed:
                settled = self._changed.wait_for(lambda: self._is_settled(through), timeout.total_seconds())
                return settled and not self._closed
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
        """Events and log-ins that are not settled."""
        return self._queue.pending()

    def close(self) -> None:
        """Let go of the queue file and close the transport. Uploads nothing; what is queued stays queued."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._transport.close()
        self._queue.close()
        if self._background:
            self._owner.join()

    def _is_settled(self, through: int) -> bool:
        return self._closed or self._queue.pending(through=through) == 0

    def _row_came(self) -> None:
        """Wake the owner only when the policy said that so many rows change its mind."""
        with self._changed:
            self._rows_came += 1
            if self._wake_at is not None and self._rows_came >= self._wake_at:
                self._changed.notify_all()

    def _nudge(self) -> None:
        with self._changed:
            self._nudged = True
            self._changed.notify_all()

    def _run(self) -> None:
        """The one owner of uploads. Sleeps until something is due; an empty queue wakes nobody."""
        while not self._closed:
            with self._changed:
                self._nudged = False
                seen = self._rows_came
            rest = self._own_step()
            with self._changed:
                self._changed.notify_all()  # A flush may wait for what was just settled.
                self._wake_at = None if rest.rows_wanted is None else seen + rest.rows_wanted
                timeout = None if rest.delay is None else min(rest.delay, _SLEEP_MAX).total_seconds()
                self._changed.wait_for(self._is_woken, timeout)

    def _is_woken(self) -> bool:
        enough = self._wake_at is not None and self._rows_came >= self._wake_at
        return self._closed or self._nudged or enough

    def _own_step(self) -> Rest:
        try:
            return self._uploader.step()
        except Exception as error:  # noqa: BLE001  # Whatever fails, uploads must not stop until the next start.
            if not self._closed:
                _log.warning("upload step failed: %s", type(error).__name__)
            return self._uploader.back_off()
