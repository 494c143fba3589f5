"""From an event that the app has tracked to its receipt."""

import logging
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from datetime import timedelta

from workevo_mobile.errors import QueueFull
from workevo_mobile.moments import ZERO
from workevo_mobile.queue import Appended, Draft, Queue
from workevo_mobile.receipt import Receipt
from workevo_mobile.writer import Writer

_log = logging.getLogger("workevo_mobile")


class Intake:
    """Hands events to `writer`; without one, commits each before it returns. Safe from any thread."""

    def __init__(self, queue: Queue, writer: Writer | None) -> None:
        self._queue = queue
        self._writer = writer
        self._waited_in_vain: Future[Appended] | None = None
        self.never_committed = 0
        """Events whose receipt was pending when it was given, and that the disk then refused."""

    def take(self, draft: Draft, *, wait: timedelta | None) -> Receipt:
        """Raises as `Tracker.track`, from here or from the receipt."""
        if self._writer is None:
            return Receipt.of(self._committed(draft))
        appended = self._writer.hand_over(draft)
        self._wait(appended, wait)
        if not appended.done():
            appended.add_done_callback(self._note_late_failure)
        return Receipt.of(appended)

    @property
    def backlog(self) -> int:
        """Events that are not on the disk yet."""
        return self._writer.backlog if self._writer is not None else 0

    def catch_up(self) -> None:
        """Wait until what was taken before is committed, or has failed."""
        if self._writer is not None:
            self._writer.catch_up()

    def close(self) -> None:
        """Commit what was taken; take no more."""
        if self._writer is not None:
            self._writer.close()

    def _committed(self, draft: Draft) -> Future[Appended]:
        (result,) = self._queue.append([draft])
        if isinstance(result, QueueFull):
            raise result
        appended: Future[Appended] = Future()
        appended.set_result(result)
        return appended

    def _wait(self, appended: Future[Appended], wait: timedelta | None) -> None:
        """Not at all behind an event that has waited in vain: the disk is slow, and commits in order."""
        if wait is None:
            wait_for_futures([appended])
        elif wait > ZERO and (self._waited_in_vain is None or self._waited_in_vain.done()):
            done, _ = wait_for_futures([appended], wait.total_seconds())
            self._waited_in_vain = None if done else appended

    def _note_late_failure(self, appended: Future[Appended]) -> None:
        error = appended.exception()
        if error is not None:
            self.never_committed += 1
            _log.warning("an event could not be committed: %s", type(error).__name__)
