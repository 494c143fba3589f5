"""The one thread that owns uploads. Sleeps until something is due; an empty queue wakes nobody."""

import threading
from collections.abc import Callable
from datetime import timedelta

from workevo_mobile.policy import Rest

_SLEEP_MAX = timedelta(days=1)  # What every platform can wait for at once; then the policy is asked again.


class Owner:
    """Calls `step` whenever the Rest that it returned last is over. Without `start` nothing happens."""

    def __init__(self, step: Callable[[], Rest]) -> None:
        self._step = step
        self._changed = threading.Condition()
        self._nudged = False
        self._rows_came = 0
        self._wake_at: int | None = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="workevo-uploader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def rows_came(self, count: int) -> None:
        """Wake only when the policy said that so many rows change its mind."""
        with self._changed:
            self._rows_came += count
            if self._wake_at is not None and self._rows_came >= self._wake_at:
                self._changed.notify_all()

    def nudge(self) -> None:
        """Let the policy think again."""
        with self._changed:
            self._nudged = True
            self._changed.notify_all()

    def wait_for(self, is_so: Callable[[], bool], timeout: timedelta) -> bool:
        """Until it is so, asked after every step, or the time is over."""
        with self._changed:
            return self._changed.wait_for(is_so, timeout.total_seconds())

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self) -> None:
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            with self._changed:
                self._nudged = False
                seen = self._rows_came
            rest = self._step()
            with self._changed:
                self._changed.notify_all()  # A flush may wait for what was just settled.
                self._wake_at = None if rest.rows_wanted is None else seen + rest.rows_wanted
                timeout = None if rest.delay is None else min(rest.delay, _SLEEP_MAX).total_seconds()
                self._changed.wait_for(self._is_woken, timeout)

    def _is_woken(self) -> bool:
        enough = self._wake_at is not None and self._rows_came >= self._wake_at
        return self._closed or self._nudged or enough
