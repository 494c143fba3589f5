"""What `track` returns: whether the event is on the disk yet."""

import asyncio
from collections.abc import Generator
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

from workevo_mobile.queue import Appended


class Receipt(int):
    """The event's sequence, and a promise of it.

    As a number it is the sequence that was committed before `track` returned,
    and 0, which is no sequence, where it was not: an int so that an app that
    keeps sequences goes on as before, and what was still pending then never
    passes for a sequence. `sequence` and `epoch` tell it whenever it is known.

    Only what is committed survives the end of the process: an event whose
    receipt is pending is lost when the process is killed, and so are those
    handed over after it; at most `HANDED_OVER_MAX` of them wait.
    """

    _appended: Future[Appended]

    @classmethod
    def of(cls, appended: Future[Appended]) -> "Receipt":
        """Raises what `appended` failed with, where it has failed already."""
        receipt = cls(appended.result().sequence if appended.done() else 0)
        receipt._appended = appended
        return receipt

    @property
    def is_pending(self) -> bool:
        return not self._appended.done()

    @property
    def is_committed(self) -> bool:
        """False too when it failed, and when the person has opted out and nothing was queued."""
        return bool(self.sequence)

    @property
    def opted_out(self) -> bool:
        """The person has opted out: the event was not queued and never will be."""
        appended = self._known()
        return appended is not None and appended.sequence == 0

    @property
    def sequence(self) -> int | None:
        """None while pending or when it failed, 0 when the person has opted out."""
        appended = self._known()
        return None if appended is None else appended.sequence

    @property
    def epoch(self) -> bytes | None:
        appended = self._known()
        return None if appended is None else appended.epoch

    def wait(self, timeout: timedelta | None = None) -> int:
        """Wait for the commit and return the sequence.

        Raises QueueUnavailable (QueueFull) when it was not committed and never
        will be, TimeoutError when it is not known after `timeout`.
        """
        seconds = None if timeout is None else timeout.total_seconds()
        return self._appended.result(seconds).sequence

    def __await__(self) -> Generator[Any, None, int]:
        """As `wait`, in asyncio. Cancelling it does not take the event back."""
        appended = yield from asyncio.wrap_future(self._appended).__await__()
        return appended.sequence

    def _known(self) -> Appended | None:
        done = self._appended.done() and self._appended.exception() is None
        return self._appended.result() if done else None
