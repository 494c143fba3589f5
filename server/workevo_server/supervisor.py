"""`workevo serve --workers N`: processes that share the ports, and the one that looks after them.

                 ┌─ worker ─┐
    supervisor ──┼─ worker ─┼── one gRPC and one HTTP port, one PostgreSQL
                 └─ worker ─┘

The supervisor takes no call and loads neither gRPC nor the store: a process that has begun with gRPC
must not fork, so that workers are programs of their own. A worker ends when its standard input does;
none outlives the supervisor, however that ends.
"""

import asyncio
import json
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

import structlog

from workevo_server.logs import task_failed
from workevo_server.settings import HTTP_OFF, ServeSettings
from workevo_server.transport.address import Address
from workevo_server.transport.tls import ServerRefused

SETTLED_AFTER = timedelta(seconds=10)  # Who has served for so long did not die of how it was started.
PAUSE_FIRST = timedelta(seconds=0.5)
PAUSE_LONGEST = timedelta(seconds=8)  # A store that is back is served again within 10 s.
STARTS_MAX = 5  # Of one worker that nobody misses yet, while the server starts or renews its workers.
READY_WITHIN = timedelta(hours=2)  # The first one migrates the store, which may take an hour.
ENDING_SLACK = timedelta(seconds=10)  # For writing what waits, once the grace of calls is over.
_REFUSED = frozenset({1, 2})  # What `workevo` exits with after a sentence; again it would say the same.

log = structlog.get_logger()


class WorkersRefused(Exception):
    """No worker came to serve; carries a sentence for whoever started them."""


def pause_before_start(failures: int, *, chance: random.Random) -> timedelta:
    """None after the first failure; then longer with each, and with jitter, as siblings fail together."""
    if failures <= 1:
        return timedelta(0)
    longest = min(PAUSE_FIRST * (1 << min(failures - 2, 16)), PAUSE_LONGEST)
    return longest * (1 + chance.random()) / 2


async def supervise(
    settings: ServeSettings, arguments: Sequence[str], *, announce: Callable[[str], None]
) -> None:
    """Keep `settings.workers` workers serving until SIGTERM or SIGINT; SIGHUP replaces them one by one.

    `arguments` are those that this process was started with; each worker gets them too. `announce` is
    given the JSON line that says where they serve, once all do.

    Raises ServerRefused, WorkersRefused: each a sentence for the operator.
    """
    stop, renew = _orders()
    with _reserved(settings) as where:
        pool = Pool(
            _command(arguments, where),
            ending_within=settings.drain + 2 * settings.grace + ENDING_SLACK,
            chance=random.Random(),
        )
        serving = asyncio.create_task(_serve(pool, settings.workers, where, renew, announce), name="workers")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (serving, stopping):
                task.cancel()
            await asyncio.wait({serving, stopping})
            await pool.end()
    if not serving.cancelled():
        serving.result()
    log.info("server_stopped")


async def _serve(
    pool: "Pool",
    workers: int,
    where: "_Where",
    renew: asyncio.Event,
    announce: Callable[[str], None],
) -> None:
    await pool.fill(workers)
    told = {"grpc": str(where.grpc), "http": str(where.http) if where.http else None}
    announce(json.dumps({"event": "ready", **told}))
    log.info("server_started", **told, pid=os.getpid(), count=workers)
    async with asyncio.TaskGroup() as tasks:
        for place in pool.places:
            tasks.create_task(pool.keep(place), name="keep a worker")
        while await renew.wait():
            renew.clear()
            await pool.renew()


# Workers ---------------------------------------------------------------------


class Worker:
    """One process, from its start to its end. Its log is the supervisor's, standard error."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, command: Sequence[str]) -> "Worker":
        """In a session of its own: what a terminal sends to all is for the supervisor to hand on."""
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, start_new_session=True)
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self) -> bool:
        """Whether it serves, which is all that it ever prints; False when it ended, or took too long."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_WITHIN.total_seconds()):
                return bool(await self._process.stdout.readline())
        except TimeoutError:
            self.kill()
            return False

    async def ended(self) -> int:
        """Its exit code once it has ended; of one that a signal ended, the signal's number below zero."""
        return await self._process.wait()

    def drain(self) -> None:
        """Let it finish what it has begun, and end."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()


@dataclass(slots=True, kw_only=True)
class Place:
    """What one worker after another fills. Only who holds the lock puts another one there."""

    worker: Worker
    since_seconds: float
    """When it came to serve, by the loop's clock."""
    failures: int = 0
    """How many in a row ended before they had settled."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Pool:
    def __init__(self, command: Sequence[str], *, ending_within: timedelta, chance: random.Random) -> None:
        self.places: list[Place] = []
        self._command = command
        self._ending_within = ending_within
        self._chance = chance
        self._running: dict[Worker, asyncio.Task[None]] = {}
        """Each process that has not ended, with the task that tells when it does."""

    async def fill(self, workers: int) -> None:
        """Start them all. The first one alone: it migrates the store, tells once what is wrong, and
        writes the links to the console.

        Raises WorkersRefused.
        """
        first = await self._start("--show-console")
        try:
            async with asyncio.TaskGroup() as tasks:
                others = [tasks.create_task(self._start()) for _ in range(workers - 1)]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        now = asyncio.get_running_loop().time()
        started = [first, *(other.result() for other in others)]
        self.places = [Place(worker=worker, since_seconds=now) for worker in started]

    async def keep(self, place: Place) -> None:
        """Until cancelled, put another worker there whenever one ends unasked. Never gives up."""
        while True:
            worker = place.worker
            await worker.ended()
            async with place.lock:
                if place.worker is worker:
                    await self._revive(place)

    async def renew(self) -> None:
        """Replace all, one by one: each is drained once another serves in its place, so that none is missed.

        When no other comes to serve, those that are left go on as they are.
        """
        log.info("renewal_begun", count=len(self.places))
        for place in self.places:
            async with place.lock:
                before = place.worker
                try:
                    self._put(place, await self._start())
                except WorkersRefused:
                    log.error("renewal_given_up", reason="no new worker came to serve; the others go on")
                    return
                place.failures = 0
            await self._end([before])
        log.info("renewal_done", count=len(self.places))

    async def end(self) -> None:
        """Drain all at once, and wait for them."""
        await self._end(list(self._running))

    async def _revive(self, place: Place) -> None:
        served_seconds = asyncio.get_running_loop().time() - place.since_seconds
        settled = served_seconds >= SETTLED_AFTER.total_seconds()
        for failures in count(1 if settled else place.failures + 1):
            place.failures = failures
            worker = await self._start_once(failures)
            if worker is not None:
                self._put(place, worker)
                return

    async def _start(self, *arguments: str) -> Worker:
        """One that serves. Raises WorkersRefused when it says that it cannot, or keeps ending."""
        for failures in range(STARTS_MAX):
            worker = await self._start_once(failures, *arguments, refusing=True)
            if worker is not None:
                return worker
        raise WorkersRefused(
            f"A worker was started {STARTS_MAX} times and ended each time before it could serve. "
            "What it logged stands above."
        )

    async def _start_once(self, failures: int, *arguments: str, refusing: bool = False) -> Worker | None:
        """One that serves, or None; raises WorkersRefused where it is `refusing` and says why it cannot."""
        await asyncio.sleep(pause_before_start(failures, chance=self._chance).total_seconds())
        try:
            worker = await Worker.start([*self._command, *arguments])
        except OSError as error:
            log.error("worker_not_started", error=type(error).__name__)
            return None
        self._running[worker] = asyncio.create_task(self._attend(worker), name="attend a worker")
        if await worker.ready():
            log.info("worker_started", pid=worker.pid)
            return worker
        if await worker.ended() in _REFUSED and refusing:
            raise WorkersRefused("A worker cannot serve as asked. Why stands above.")
        return None

    def _put(self, place: Place, worker: Worker) -> None:
        place.worker = worker
        place.since_seconds = asyncio.get_running_loop().time()

    async def _attend(self, worker: Worker) -> None:
        code = await worker.ended()
        del self._running[worker]
        how = {"signal": _signal_name(-code)} if code < 0 else {"exit_code": code}
        log.info("worker_ended", pid=worker.pid, **how)

    async def _end(self, workers: Collection[Worker]) -> None:
        """Drain them, and wait; who hangs beyond its grace is killed."""
        ending = [self._running[worker] for worker in workers if worker in self._running]
        if not ending:
            return
        for worker in workers:
            worker.drain()
        _done, hanging = await asyncio.wait(ending, timeout=self._ending_within.total_seconds())
        for worker in self._running.keys() & set(workers):
            log.error("worker_hung", pid=worker.pid)
            worker.kill()
        if hanging:
            await asyncio.wait(hanging)


# The process -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Where:
    grpc: Address
    http: Address | None


@contextmanager
def _reserved(settings: ServeSettings) -> Iterator[_Where]:
    """The addresses, ports 0 resolved, for this server's workers alone."""
    with ExitStack() as sockets:
        grpc = sockets.enter_context(_reserved_port(Address.parse(settings.grpc), "--grpc"))
        http = None
        if settings.http != HTTP_OFF:
            http = sockets.enter_context(_reserved_port(Address.parse(settings.http), "--http"))
        yield _Where(grpc=grpc, http=http)


@contextmanager
def _reserved_port(address: Address, flag: str) -> Iterator[Address]:
    """Bound as the only one, then shared, and never listened on: connections come to workers alone.

    While it is bound nobody else can take the port by chance, though all workers be gone. Linux decides
    whether a port is shared when the next one asks for it, so that it may be allowed after the fact.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as reserved:
        try:
            if family == socket.AF_INET6:
                reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # Whatever the last run left.
            reserved.bind((address.host, address.port))
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        except OSError:
            raise ServerRefused(
                f"Cannot listen on {address}: it is taken or not an address of this machine. "
                f"Stop what uses it or choose another with {flag}."
            ) from None
        yield Address(address.host, reserved.getsockname()[1])


def _command(arguments: Sequence[str], where: _Where) -> tuple[str, ...]:
    """Of a worker: what we were told, then what differs, as the last of an option counts.

    `-P` keeps Python from importing what happens to lie in the working directory.
    """
    http = str(where.http) if where.http else HTTP_OFF
    differing = ("--grpc", str(where.grpc), "--http", http, "--workers", "1", "--worker")
    return (sys.executable, "-P", "-m", "workevo_server", *arguments, *differing)


def _orders() -> tuple[asyncio.Event, asyncio.Event]:
    """Set by signals, from now on: to stop, and to renew the workers."""
    stop, renew = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(task_failed)

    def order(what: asyncio.Event, number: signal.Signals) -> None:
        log.info("stop_requested" if what is stop else "renewal_requested", signal=number.name)
        what.set()

    for number, what in ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, renew)):
        loop.add_signal_handler(number, order, what, number)
    return stop, renew


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
