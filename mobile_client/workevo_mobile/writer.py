"""The one thread that commits events, so that no caller waits for a disk."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from workevo_mobile import limits
from workevo_mobile.errors import QueueFull, QueueUnavailable
from workevo_mobile.queue import Appended, Draft, Queue

_log = logging.getLogger("workevo_mobile")

_Handed = tuple[Draft, "Future[Appended]"]


class Writer:
    """Commits what it is handed in that order, all that waits in one commit. Safe from any thread."""

    def __init__(self, queue: Queue, *, on_commit: Callable[[int], None]) -> None:
        self._queue = queue
        self._on_commit = on_commit
        self._changed = threading.Condition()
        self._waiting: list[_Handed] = []
        self._handed_count = 0
        self._decided_count = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="workevo-writer", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Events that are not on the disk yet."""
        with self._changed:
            return self._handed_count - self._decided_count

    def hand_over(self, draft: Draft) -> Future[Appended]:
        """Returns at once. Raises QueueFull when too much waits already, QueueUnavailable when closed."""
        appended: Future[Appended] = Future()
        appended.set_running_or_notify_cancel()  # From now on nobody can take it back.
        with self._changed:
            if self._closing:
                raise QueueUnavailable("The queue is closed.")
            if self._handed_count - self._decided_count >= limits.HANDED_OVER_MAX:
                raise QueueFull("The disk is too slow: too many events wait for it.")
            self._waiting.append((draft, appended))
            self._handed_count += 1
            self._changed.notify_all()
        return appended

    def catch_up(self) -> None:
        """Wait until all that was handed over before is committed, or has failed."""
        with self._changed:
            handed_count = self._handed_count
            self._changed.wait_for(lambda: self._decided_count >= handed_count)

    def close(self) -> None:
        """Commit what was handed over, take no more, end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                batch, self._waiting = self._waiting, []
            if not batch:
                return
            self._commit(batch)
            with self._changed:
                self._decided_count += len(batch)
                self._changed.notify_all()
            self._on_commit(len(batch))

    def _commit(self, batch: Sequence[_Handed]) -> None:
        """All in one commit; where that fails each alone, so that a large one harms no small one."""
        try:
            results = self._queue.append([draft for draft, _ in batch])
        except Exception as error:  # noqa: BLE001  # It is the receipt's to raise, and this thread must go on.
            if len(batch) > 1:
                for handed in batch:
                    self._commit([handed])
            else:
                batch[0][1].set_exception(error)
            return
        for (_, appended), result in zip(batch, results, strict=True):
            if isinstance(result, QueueFull):
                appended.set_exception(result)
            else:
                appended.set_result(result)
