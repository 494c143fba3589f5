"""The composition root: chooses the adapters, owns what runs, and knows the order in which it ends."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import URL

from workevo_server.adapters.data_directory import DataDirectory, private_socket
from workevo_server.adapters.sql.postgres_address import read_url
from workevo_server.adapters.sql.store import SqlStore
from workevo_server.adapters.system_clock import SystemClock
from workevo_server.doors import Bound, Doors, make_doors
from workevo_server.logs import task_failed
from workevo_server.ports.clock import Clock
from workevo_server.ports.fault_point import FaultPoint, no_fault
from workevo_server.services.housekeeping import Housekeeping, Rounds
from workevo_server.services.identity_secrets import IdentitySecrets
from workevo_server.services.sessions import Sessions
from workevo_server.services.workspaces import Workspaces
from workevo_server.settings import ServeSettings
from workevo_server.transport.address import web_address
from workevo_server.transport.administration import Administration
from workevo_server.transport.control import ControlServer
from workevo_server.transport.http.console.pages import CONSOLE_PATH

FSYNC_FAILED_EXIT_CODE = 70
CRASH_EXIT_CODE = 137
LINKS_AT_START_MAX = 3
_HOUR_SECONDS = 3600
_STANDARD_INPUT = 0
_INPUT_BYTES = 1024  # Nothing is ever sent; whatever comes is not looked at.

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    doors: Doors
    control: ControlServer | None
    """Where commands are taken; a PostgreSQL is written by the commands themselves."""


async def serve(settings: ServeSettings, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `announce` is given the JSON line that says where.

    Raises DataDirectoryRefused, StoreRefused, ServerRefused: each a sentence for the operator.
    """
    stop = _stop_requested(is_worker=settings.is_worker)
    faults = _faults(settings.crash_at)
    with _owned(settings) as directory:
        async with _open_store(directory, settings, faults) as store:
            running, bound = await _start(directory, store, settings, faults)
            where = {"grpc": str(bound.grpc), "http": str(bound.http) if bound.http else None}
            url = _console_url(bound, settings)
            announce(json.dumps({"event": "ready", **where}))
            log.info("server_started", **where, pid=os.getpid())
            if url and settings.shows_console:
                await _show_console(store, url)
            async with _house_kept(store, settings), _watched(store, running.doors):
                await stop.wait()
            await _shut_down(running, settings)
    log.info("server_stopped")


async def administer(where: Path | URL, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out a command of the operator on a store that no server has open.

    Raises StoreRefused, WorkevoError.
    """
    store = await SqlStore.open(where, simulated_clock=None, fatal=_end_at_once)
    try:
        return await _administration(store).run(command, arguments)
    finally:
        await store.close()


async def _shut_down(running: _Running, settings: ServeSettings) -> None:
    """Look away first, then let go: nothing that was begun is cut off before its grace is over."""
    await running.doors.drain()
    await asyncio.sleep(settings.drain.total_seconds())
    left = await running.doors.close(grace=settings.grace)
    if left:
        log.warning("calls_left", calls=left)
    if running.control is not None:
        await running.control.close()


async def _start(
    directory: DataDirectory | None, store: SqlStore, settings: ServeSettings, faults: FaultPoint
) -> tuple[_Running, Bound]:
    doors = make_doors(store, settings, faults)
    bound = doors.bind(settings)
    if directory is None:
        await doors.open()
        return _Running(doors=doors, control=None), bound
    control_path = directory.control_socket()
    control = ControlServer(_administration(store, _console_url(bound, settings)).run)
    await control.start(private_socket(control_path))
    await doors.open()
    directory.announce(control_path)
    return _Running(doors=doors, control=control), bound


def _administration(store: SqlStore, console_url: str = "") -> Administration:
    clock = SystemClock()
    return Administration(
        Workspaces(store=store.workspaces, clock=clock),
        IdentitySecrets(store=store.secrets, clock=clock),
        Sessions(
            store=store.sessions,
            key_ring=store.key_ring,
            link_secret=store.page_token_secret,
            clock=clock,
        ),
        store.audit,
        console_url=console_url,
    )


def _console_url(bound: Bound, settings: ServeSettings) -> str:
    """Empty when the HTTP door is closed."""
    if bound.http is None:
        return ""
    if settings.console_url is not None:
        return web_address(settings.console_url) + CONSOLE_PATH
    scheme = "http" if settings.tls_cert is None else "https"
    return f"{scheme}://{bound.http.from_here}{CONSOLE_PATH}"


async def _show_console(store: SqlStore, url: str) -> None:
    """In the log, for whoever started the server: where people look, by links that sign in once and soon."""
    administration = _administration(store)
    workspaces = (await store.workspaces.workspaces())[:LINKS_AT_START_MAX]
    for workspace in workspaces:
        link = await administration.run("console.link", {"workspace": workspace.workspace_id})
        log.info("console_ready", workspace=workspace.workspace_id, console=url + link["path"])
    if not workspaces:
        log.info("console_ready", console=url)


@asynccontextmanager
async def _house_kept(store: SqlStore, settings: ServeSettings) -> AsyncIterator[None]:
    """With a task that deletes what goes by age; not on a simulated clock, which nobody here can read."""
    if settings.simulated_clock:
        yield
        return
    keeper = Housekeeping(
        workspaces=store.workspaces, failed_events=store.failed_events, retention=store.retention
    )
    task = asyncio.create_task(_keep_house(keeper, SystemClock()), name="housekeeping")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _keep_house(keeper: Housekeeping, clock: Clock) -> None:
    rounds = Rounds(keeper=keeper)
    while True:
        try:
            kept = await rounds.hourly(clock.now_micros())
            if kept.failed_events or kept.events or kept.is_put_off:
                log.info(
                    "house_kept",
                    failed_events=kept.failed_events,
                    events=kept.events,
                    put_off=kept.is_put_off,
                )
        except Exception as error:  # noqa: BLE001 - whatever it was, the next round may do.
            log.error("housekeeping_put_off", error=type(error).__name__)
        await asyncio.sleep(_HOUR_SECONDS)


@contextmanager
def _owned(settings: ServeSettings) -> Iterator[DataDirectory | None]:
    """The data directory, this process's alone; None where a PostgreSQL is the store."""
    if settings.store is not None:
        yield None
        return
    directory = DataDirectory.lock(settings.data_dir)
    try:
        yield directory
    finally:
        directory.release()


@asynccontextmanager
async def _watched(store: SqlStore, doors: Doors) -> AsyncIterator[None]:
    """With tasks that follow what other processes change, and look away while the store does not answer."""
    task = asyncio.create_task(store.watch(doors.show_serving), name="watch")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def _open_store(
    directory: DataDirectory | None, settings: ServeSettings, faults: FaultPoint
) -> AsyncIterator[SqlStore]:
    store = await SqlStore.open(
        directory.database if directory is not None else read_url(settings.store or ""),
        simulated_clock=settings.simulated_clock,
        fatal=_end_at_once,
        faults=faults,
    )
    try:
        yield store
    finally:
        await store.close()


def _stop_requested(*, is_worker: bool) -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT, from now on; later ones change nothing.

    For a worker by the end of its supervisor too, and a SIGHUP that was sent to all is not meant for it.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(task_failed)

    def request(**why: str) -> None:
        log.info("stop_requested", **why)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(request, signal=number.name))
    if is_worker:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        _when_input_ends(loop, partial(request, reason="supervisor_ended"))
    return stop


def _when_input_ends(loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> None:
    """Standard input is held open by who started us, and closed by the system if it is killed."""

    def read() -> None:
        if not os.read(_STANDARD_INPUT, _INPUT_BYTES):
            loop.remove_reader(_STANDARD_INPUT)
            then()

    loop.add_reader(_STANDARD_INPUT, read)


def _end_at_once(error: BaseException) -> None:
    """After a failed fsync, or without its writer, nobody knows what is on disk; starting again finds out."""
    log.error("store_failed", error=type(error).__name__)
    os._exit(FSYNC_FAILED_EXIT_CODE)


def _faults(crash_at: str) -> FaultPoint:
    """Ends the process as `kill -9` would, the N-th time that the named point is reached."""
    if not crash_at:
        return no_fault
    crash_point, _, nth = crash_at.partition(":")
    reached: Counter[str] = Counter()

    def crash(point: str) -> None:
        reached[point] += 1
        if point == crash_point and reached[point] == int(nth or 1):
            os._exit(CRASH_EXIT_CODE)

    return crash
