"""Work that, once begun, is finished whatever becomes of its caller (R12)."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")


class InFlight:
    """Owns a task for each call at work, so that a client that goes away cancels nothing."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    async def finished(self, *, within: timedelta) -> int:
        """Wait for all that has begun; how many were still at work when the time was over."""
        if not self._tasks:
            return 0
        _done, pending = await asyncio.wait(self._tasks, timeout=within.total_seconds())
        return len(pending)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # Nobody may be left to take it; what it says was logged where it arose.
