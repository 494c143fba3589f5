"""The one task that writes, with group commit.

What waits while a transaction is being committed goes together into the next one:
concurrent uploads share a transaction and an fsync, and a lone upload waits for
nobody. A group that fails is tried again job by job, so that one bad job costs no
other anything (R12). A transaction that met another process's is run again; who needs
a row that another one keeps is told to come back, as one task writes for all.

    submit ─▶ queue ─▶ group ─▶ BEGIN … COMMIT ─▶ answers
                          └ failed ─▶ each job alone ─▶ answer or StoreUnavailable
"""

import asyncio
import random
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

import structlog
from sqlalchemy import Connection

from workevo_server.adapters.sql.database import LOCK_WAIT, Database, TryAgain, is_ours
from workevo_server.adapters.sql.error_codes import error_code
from workevo_server.domain.errors import Overloaded, StoreUnavailable, WorkevoError
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.fault_point import FaultPoint

JOBS_WAITING_MAX = 1024  # The transport admits fewer; a backstop so that memory stays bounded.
GROUP_EVENTS_MAX = 5000  # Ten full uploads: beyond that the fsync is shared well and answers only get later.
OVERLOADED_RETRY = timedelta(seconds=2)
SCRUB_TRIES_MAX = 3  # Each waits for readers as long as the busy timeout says.
SCRUB_PAUSE = timedelta(milliseconds=100)
TRIES_MAX = 8  # Of a transaction that met another's; each time one of the two gets through.
TRY_PAUSE_SECONDS_MAX = 0.05
APART_GRACE_SECONDS = 5.0  # Then it is rolled back, as nobody was told that it is done.
HELD_LOCK_WAIT = timedelta(milliseconds=250)  # Of a workspace in which somebody held a row a moment ago.
HELD_SECONDS = 10.0  # For so long, after which it may have its whole wait again.
HELD_JOBS_MAX = 4  # Of one group; then the rest is told to come back too, as the other workspaces wait.
HELD_RETRY = timedelta(seconds=5)

log = structlog.get_logger()
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Job(Protocol[T_co]):
    """Something to write. Run inside a transaction, perhaps twice; its result is what is answered."""

    @property
    def workspace_id(self) -> WorkspaceId | None:
        """The workspace that it writes; None for the store as a whole."""

    @property
    def weight(self) -> int:
        """How many events it holds, at least 1."""

    @property
    def receipts_micros(self) -> Collection[int]:
        """When the events that it may store were received; none where it stores none."""

    @property
    def may_share(self) -> bool:
        """Whether it may be in one transaction with others of its kind, where other processes write too."""

    def run(self, connection: Connection) -> T_co: ...


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """A small job of one function."""

    workspace_id: WorkspaceId | None
    change: Callable[[Connection], T]
    weight: int = 1
    receipts_micros: Collection[int] = ()
    may_share: bool = False

    def run(self, connection: Connection) -> T:
        return self.change(connection)


@dataclass(frozen=True, slots=True)
class Refused:
    """The result of a job that left nothing in the transaction which it was in with others."""

    why: WorkevoError


class Runner(Protocol):
    """Runs the jobs of one transaction, in order, and returns a result for each.

    What it raises ends the transaction for all of them.
    """

    def __call__(self, connection: Connection, jobs: Sequence[Job[Any]]) -> list[Any]: ...


@dataclass(slots=True)
class _Waiting:
    job: Job[Any]
    answer: asyncio.Future[Any]
    alone: bool = False
    """In a transaction of its own."""


@dataclass(slots=True, kw_only=True)
class Writer:
    database: Database
    runner: Runner
    faults: FaultPoint
    fatal: Callable[[BaseException], None]
    chance: random.Random = field(default_factory=random.Random)
    _queue: asyncio.Queue[_Waiting | None] = field(default_factory=lambda: asyncio.Queue(JOBS_WAITING_MAX))
    _next: _Waiting | None = None
    """Taken from the queue and not of the last group's workspace, so first in the next."""
    _task: asyncio.Task[None] | None = None
    _closing: bool = False
    _scrubbing: asyncio.Task[None] | None = None
    _next_scrub: asyncio.Task[None] | None = None
    _apart: set[asyncio.Task[None]] = field(default_factory=set)
    _held: dict[WorkspaceId | None, float] = field(default_factory=dict)
    """Until when a workspace waits less for its rows, by the loop's clock."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="store writer")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nobody would be answered any more by a server whose writer is gone."""
        if not self._closing and not task.cancelled():
            self.fatal(task.exception() or RuntimeError("The writer ended."))

    @property
    def jobs_waiting(self) -> int:
        return self._queue.qsize()

    async def submit(self, job: Job[T]) -> T:
        """Write the job and return its result after it is durable. Raises StoreUnavailable or Overloaded.

        Being cancelled leaves the job where it is: it is written all the same.
        """
        return await self._queued(job, alone=False)

    async def _queued(self, job: Job[T], *, alone: bool) -> T:
        if self._closing:
            raise StoreUnavailable
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Waiting(job, answer, alone))
        except asyncio.QueueFull:
            raise Overloaded(OVERLOADED_RETRY) from None
        return await asyncio.shield(answer)

    async def submit_apart(self, job: Job[T]) -> T:
        """As `submit`, for what may take minutes: beside the queue, where the database can do that.

        Elsewhere in a transaction of its own. Beside others it would have a savepoint (`Refused`), for
        which SQLite keeps every page that it changes in memory.
        """
        if not self.database.writes_apart:
            return await self._queued(job, alone=True)
        if self._closing:
            raise StoreUnavailable
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._write_apart(_Waiting(job, answer)), name="written apart")
        self._apart.add(task)
        task.add_done_callback(self._apart.discard)
        return await asyncio.shield(answer)

    async def _write_apart(self, waiting: _Waiting) -> None:
        try:
            (result,) = await self._transaction([waiting.job], apart=True)
        except Exception as error:  # noqa: BLE001 - as in `_write`.
            await self._after_failure([waiting], error, apart=True)
        except asyncio.CancelledError:
            _fail(waiting, StoreUnavailable())
            raise
        else:
            _answer(waiting, result)

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
            try:
                if await self.database.leave_nothing_deleted():
                    return
            except OSError as error:
                self.fatal(error)
            await asyncio.sleep(SCRUB_PAUSE.total_seconds())
        log.warning("log_not_truncated")
        raise StoreUnavailable

    async def close(self) -> None:
        """Write what waits, finish what is being scrubbed, and give up what takes long apart."""
        self._closing = True
        if self._apart:
            await asyncio.wait(self._apart, timeout=APART_GRACE_SECONDS)
            for task in self._apart:
                task.cancel()
            await asyncio.gather(*self._apart, return_exceptions=True)
        if self._task is not None:
            await self._queue.put(None)
            await self._task
        if self._scrubbing is not None:
            await asyncio.wait([self._scrubbing])

    async def _run(self) -> None:
        while (first := await self._take()) is not None:
            group = self._gather(first)
            await self._write(group)

    async def _take(self) -> _Waiting | None:
        held, self._next = self._next, None
        return held if held is not None else await self._queue.get()

    def _gather(self, first: _Waiting) -> list[_Waiting]:
        """All that waits by now and may share a transaction, up to a bound. None, which closes, stays."""
        group, weight = [first], first.job.weight
        while weight < GROUP_EVENTS_MAX and not self._queue.empty():
            waiting = self._queue.get_nowait()
            if waiting is None:
                self._queue.put_nowait(None)
                break
            if not self._may_share(first, waiting):
                self._next = waiting
                break
            group.append(waiting)
            weight += waiting.job.weight
        return group

    def _may_share(self, first: _Waiting, other: _Waiting) -> bool:
        """Where others write too, a transaction takes its locks once and in order: uploads with uploads."""
        if first.alone or other.alone:
            return False
        if self.database.shares_transactions:
            return True
        alike = type(first.job) is type(other.job) and first.job.workspace_id == other.job.workspace_id
        return first.job.may_share and alike

    async def _write(self, group: list[_Waiting]) -> Exception | None:
        """Answer all of them; what kept them from being written together, if anything did."""
        try:
            results = await self._transaction([waiting.job for waiting in group])
        except Exception as error:  # noqa: BLE001 - whatever it was, no job may stay without an answer.
            await self._after_failure(group, error)
            return error
        for waiting, result in zip(group, results, strict=True):
            if isinstance(result, Refused):
                _fail(waiting, result.why)
            else:
                _answer(waiting, result)
        return None

    async def _write_alone(self, group: list[_Waiting]) -> None:
        """Each by itself, so that one bad job costs no other anything (R12)."""
        held = 0
        for waiting in group:
            if held == HELD_JOBS_MAX:
                _fail(waiting, StoreUnavailable(HELD_RETRY))
                continue
            error = await self._write([waiting])
            held += error is not None and self.database.is_held(error)

    async def _transaction(self, jobs: Sequence[Job[Any]], *, apart: bool = False) -> list[Any]:
        """One transaction for all of them, tried again when another process was in its way."""
        receipts = {receipt for job in jobs for receipt in job.receipts_micros}
        for tries in range(1, TRIES_MAX + 1):
            await self.database.make_room(receipts)
            try:
                return await self._once(jobs, apart=apart)
            except Exception as error:
                if tries == TRIES_MAX or not (isinstance(error, TryAgain) or self.database.is_passing(error)):
                    raise
                log.info("transaction_met_another", error=type(error).__name__, tries=tries)
                await self._drop_connection(error)
            await asyncio.sleep(self.chance.random() * TRY_PAUSE_SECONDS_MAX)
        raise AssertionError("The last try returned or raised.")

    async def _once(self, jobs: Sequence[Job[Any]], *, apart: bool) -> list[Any]:
        def work(connection: Connection) -> list[Any]:
            results = self.runner(connection, jobs)
            self.faults("before_commit")
            return results

        workspace_id = jobs[0].workspace_id
        lock_wait = LOCK_WAIT if apart else self._lock_wait(workspace_id)
        results = await self.database.transact(work, workspace_id, lock_wait=lock_wait, apart=apart)
        self.database.absence.end()
        self.faults("after_commit")
        return results

    def _lock_wait(self, workspace_id: WorkspaceId | None) -> timedelta:
        """A row held by a server that hangs stops those that need it, and the others as little as may be."""
        if self._held.get(workspace_id, 0.0) > asyncio.get_running_loop().time():
            return HELD_LOCK_WAIT
        self._held.pop(workspace_id, None)
        return LOCK_WAIT

    def _wait_less(self, workspace_id: WorkspaceId | None) -> None:
        """From a whole wait on, and for so long alone: a short one that fails may be somebody passing."""
        if self._lock_wait(workspace_id) == LOCK_WAIT:
            self._held[workspace_id] = asyncio.get_running_loop().time() + HELD_SECONDS

    async def _drop_connection(self, error: Exception) -> None:
        if not is_ours(error):
            await self.database.drop_connection()

    async def _after_failure(self, group: list[_Waiting], error: Exception, *, apart: bool = False) -> None:
        if self.database.is_fatal(error):
            self.fatal(error)
        await self._drop_connection(error)
        if self.database.is_held(error) and not apart:  # Who is apart has kept nobody waiting.
            self._wait_less(group[0].job.workspace_id)
        if self.database.is_unreachable(error):
            self.database.absence.begin(error)
            for waiting in group:
                _fail(waiting, StoreUnavailable())
            return
        if len(group) > 1:
            log.warning("group_failed", jobs=len(group), error=type(error).__name__, reason=error_code(error))
            await self._write_alone(group)
            return
        if self.database.is_held(error):
            log.warning("row_held", error=type(error).__name__, reason=error_code(error))
            error = StoreUnavailable(HELD_RETRY)
        if not isinstance(error, WorkevoError):
            # The frames alone: an exception's text may quote what a device sent.
            log.error(
                "write_failed",
                error=type(error).__name__,
                reason=error_code(error),
                frames=traceback.format_tb(error.__traceback__),
            )
            error = StoreUnavailable()
        _fail(group[0], error)


def _answer(waiting: _Waiting, result: object) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result(result)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
