"""The one task that writes, with group commit.

What waits while a transaction is being committed goes together into the next one:
concurrent uploads share a transaction and an fsync, and a lone upload waits for
nobody. A group that fails is tried again job by job, so that one bad job costs no
other anything (R12).

    submit ─▶ queue ─▶ group ─▶ BEGIN … COMMIT (own thread) ─▶ answers
                          └ failed ─▶ each job alone ─▶ answer or StoreUnavailable
"""

import asyncio
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy import Connection, Engine

from workevo_server.adapters.sql.database import checkpoint, is_fsync_failure
from workevo_server.adapters.sql.scrub import scrub
from workevo_server.domain.errors import Overloaded, StoreUnavailable, WorkevoError
from workevo_server.ports.fault_point import FaultPoint

JOBS_WAITING_MAX = 1024  # The transport admits fewer; a backstop so that memory stays bounded.
GROUP_EVENTS_MAX = 5000  # Ten full uploads: beyond that the fsync is shared well and answers only get later.
OVERLOADED_RETRY = timedelta(seconds=2)
SCRUB_TRIES_MAX = 3  # Each waits for readers as long as the busy timeout says.
SCRUB_PAUSE = timedelta(milliseconds=100)

log = structlog.get_logger()
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Job(Protocol[T_co]):
    """Something to write. Run inside a transaction, perhaps twice; its result is what is answered."""

    @property
    def weight(self) -> int:
        """How many events it holds, at least 1."""

    def run(self, connection: Connection) -> T_co: ...


class Runner(Protocol):
    """Runs the jobs of one transaction, in order, and returns a result for each."""

    def __call__(self, connection: Connection, jobs: Sequence[Job[Any]]) -> list[Any]: ...


@dataclass(slots=True)
class _Waiting:
    job: Job[Any]
    answer: asyncio.Future[Any]


@dataclass(slots=True, kw_only=True)
class Writer:
    engine: Engine
    runner: Runner
    faults: FaultPoint
    fatal: Callable[[BaseException], None]
    file: int
    """The database file, open for scrubbing as long as any connection: closing a file gives up all locks
    that its process holds on it."""
    _queue: asyncio.Queue[_Waiting | None] = field(default_factory=lambda: asyncio.Queue(JOBS_WAITING_MAX))
    _task: asyncio.Task[None] | None = None
    _connection: Connection | None = None
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "store-writer"))
    """The one thread that touches the connection."""
    _closing: bool = False
    _scrubbing: asyncio.Task[None] | None = None
    _next_scrub: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="store writer")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nobody would be answered any more by a server whose writer is gone."""
        if not self._closing and not task.cancelled():
            self.fatal(task.exception() or RuntimeError("The writer ended."))

    async def submit(self, job: Job[T]) -> T:
        """Write the job and return its result after it is durable. Raises StoreUnavailable or Overloaded.

        Being cancelled leaves the job where it is: it is written all the same.
        """
        if self._closing:
            raise StoreUnavailable
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Waiting(job, answer))
        except asyncio.QueueFull:
            raise Overloaded(OVERLOADED_RETRY) from None
        return await asyncio.shield(answer)

    async def leave_nothing_deleted(self) -> None:
        """Bring the log into the database file, empty it, and scrub the file of what was deleted (R32).

        Who waits while it is done for others is served by the next round, with all who
        wait then. Raises StoreUnavailable when readers or another program kept it from
        that for too long; what was written is durable all the same.
        """
        if self._next_scrub is None:
            self._next_scrub = asyncio.create_task(self._scrub_after(self._scrubbing))
        await asyncio.shield(self._next_scrub)

    async def _scrub_after(self, running: asyncio.Task[None] | None) -> None:
        if running is not None:
            await asyncio.wait([running])
        self._scrubbing, self._next_scrub = self._next_scrub, None
        for _ in range(SCRUB_TRIES_MAX):
            if await self._on_thread(self._scrub):
                return
            await asyncio.sleep(SCRUB_PAUSE.total_seconds())
        log.warning("log_not_truncated")
        raise StoreUnavailable

    async def close(self) -> None:
        """Write what waits, bring the log into the database file, close the connection."""
        self._closing = True
        if self._task is not None:
            await self._queue.put(None)
            await self._task
        if self._scrubbing is not None:
            await asyncio.wait([self._scrubbing])
        await self._on_thread(self._close_connection)
        self._thread.shutdown()

    async def _run(self) -> None:
        while (first := await self._queue.get()) is not None:
            group = self._gather(first)
            await self._write(group)

    def _gather(self, first: _Waiting) -> list[_Waiting]:
        """All that waits by now, up to a bound. None, which closes, stays for the next turn."""
        group, weight = [first], first.job.weight
        while weight < GROUP_EVENTS_MAX and not self._queue.empty():
            waiting = self._queue.get_nowait()
            if waiting is None:
                self._queue.put_nowait(None)
                break
            group.append(waiting)
            weight += waiting.job.weight
        return group

    async def _write(self, group: list[_Waiting]) -> None:
        try:
            results = await self._on_thread(self._transaction, [waiting.job for waiting in group])
        except Exception as error:  # noqa: BLE001 - whatever it was, no job may stay without an answer.
            await self._after_failure(group, error)
        else:
            for waiting, result in zip(group, results, strict=True):
                _answer(waiting, result)

    async def _after_failure(self, group: list[_Waiting], error: Exception) -> None:
        if is_fsync_failure(error):
            self.fatal(error)
        await self._on_thread(self._drop_connection)
        if len(group) > 1:
            log.warning("group_failed", jobs=len(group), error=type(error).__name__)
            for waiting in group:
                await self._write([waiting])
            return
        if not isinstance(error, WorkevoError):
            # The frames alone: an exception's text may quote what a device sent.
            log.error(
                "write_failed", error=type(error).__name__, frames=traceback.format_tb(error.__traceback__)
            )
            error = StoreUnavailable()
        _fail(group[0], error)

    async def _on_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    # On the writer's thread

    def _transaction(self, jobs: Sequence[Job[Any]]) -> list[Any]:
        """One transaction for all of them; when this returns it is on disk."""
        if self._connection is None:
            self._connection = self.engine.connect()
        with self._connection.begin():
            results = self.runner(self._connection, jobs)
            self.faults("before_commit")
        self.faults("after_commit")
        return results

    def _scrub(self) -> bool:
        """False when a reader was in the way. Nothing writes meanwhile: this is the one thread that does."""
        if self._connection is None:
            self._connection = self.engine.connect()
        if not checkpoint(self._connection):
            return False
        self._drop_connection()
        try:
            scrub(self.file)
        except ValueError:
            log.warning("store_too_large_to_scrub")
        except OSError as error:
            self.fatal(error)
        return True

    def _drop_connection(self) -> None:
        """A connection that failed is not trusted with the next transaction."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception as error:  # noqa: BLE001 - it is given up either way.
                log.warning("connection_close_failed", error=type(error).__name__)

    def _close_connection(self) -> None:
        if self._connection is not None:
            checkpoint(self._connection)
            self._connection.close()


def _answer(waiting: _Waiting, result: object) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result(result)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
