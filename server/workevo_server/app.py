"""The composition root: chooses the adapters, owns what runs, and knows the order in which it ends."""

import asyncio
import itertools
import json
import os
import random
import secrets
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from workevo_server.adapters.data_directory import DataDirectory, private_socket
from workevo_server.adapters.sql.store import SqlStore
from workevo_server.adapters.system_clock import SystemClock
from workevo_server.logs import task_failed
from workevo_server.ports.clock import Clock
from workevo_server.ports.fault_point import FaultPoint, no_fault
from workevo_server.services.catalogue import Catalogue
from workevo_server.services.contacts import Contacts
from workevo_server.services.delivery import Delivery
from workevo_server.services.failed_events import FailedEvents
from workevo_server.services.housekeeping import Housekeeping
from workevo_server.services.identity_secrets import IdentitySecrets
from workevo_server.services.ingest import Ingest
from workevo_server.services.people import People
from workevo_server.services.workspaces import Workspaces
from workevo_server.settings import ServeSettings
from workevo_server.transport.administration import Administration
from workevo_server.transport.control import ControlServer
from workevo_server.transport.grpc import (
    catalogue_servicer,
    delivery_servicer,
    people_servicer,
    receipt,
    tracking_servicer,
)
from workevo_server.transport.grpc.address import Address
from workevo_server.transport.grpc.contacts_servicer import ContactsServicer
from workevo_server.transport.grpc.event_codec import event_from_wire
from workevo_server.transport.grpc.failed_events_servicer import FailedEventsServicer
from workevo_server.transport.grpc.gate import Gate
from workevo_server.transport.grpc.guard import Guard
from workevo_server.transport.grpc.in_flight import InFlight
from workevo_server.transport.grpc.limits import REFLECTIONS_MAX, WATCHERS_MAX
from workevo_server.transport.grpc.reports import Reports
from workevo_server.transport.grpc.server import GrpcServer, TlsFiles
from workevo_server.transport.reception import Method, Reception

FSYNC_FAILED_EXIT_CODE = 70
CRASH_EXIT_CODE = 137
_INCIDENT_ID_BYTES = 8
_MEBIBYTE = 1024 * 1024
_HOUR_SECONDS = 3600

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    grpc: GrpcServer
    in_flight: InFlight
    control: ControlServer


async def serve(settings: ServeSettings, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `announce` is given the JSON line that says where.

    Raises DataDirectoryRefused, StoreRefused, ServerRefused: each a sentence for the operator.
    """
    stop = _stop_requested()
    faults = _faults(settings.crash_at)
    directory = DataDirectory.lock(settings.data_dir)
    try:
        async with _open_store(directory, settings, faults) as store:
            running, bound = await _start(directory, store, settings, faults)
            announce(json.dumps({"event": "ready", "grpc": str(bound)}))
            log.info("server_started", grpc=str(bound), pid=os.getpid())
            async with _house_kept(store, settings):
                await stop.wait()
            await _shut_down(running, settings)
    finally:
        directory.release()
    log.info("server_stopped")


async def administer(directory: DataDirectory, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out a command of the operator on a store that no server has open.

    Raises StoreRefused, WorkevoError.
    """
    store = await SqlStore.open(directory.database, simulated_clock=None, fatal=_end_at_once)
    try:
        return await _administration(store).run(command, arguments)
    finally:
        await store.close()


async def _shut_down(running: _Running, settings: ServeSettings) -> None:
    """Look away first, then let go: nothing that was begun is cut off before its grace is over."""
    await running.grpc.drain()
    await asyncio.sleep(settings.drain.total_seconds())
    await running.grpc.stop(grace=settings.grace)
    left = await running.in_flight.finished(within=settings.grace)
    if left:
        log.warning("calls_left", calls=left)
    await running.control.close()


async def _start(
    directory: DataDirectory, store: SqlStore, settings: ServeSettings, faults: FaultPoint
) -> tuple[_Running, Address]:
    in_flight = InFlight()
    server = GrpcServer(
        guard=Guard(reception=_reception(store, settings, in_flight)),
        services=_services(store, settings, faults),
        reflection=settings.reflection,
        calls_max=2 * (settings.working_max + settings.arriving_max + WATCHERS_MAX + REFLECTIONS_MAX),
    )
    bound = server.bind(Address.parse(settings.grpc), tls=_tls_files(settings))
    control_path = directory.control_socket()
    control = ControlServer(_administration(store).run)
    await control.start(private_socket(control_path))
    await server.start()
    directory.announce(control_path)
    return _Running(grpc=server, in_flight=in_flight, control=control), bound


def _reception(store: SqlStore, settings: ServeSettings, in_flight: InFlight) -> Reception:
    gate = Gate(
        arriving_max=settings.arriving_max,
        working_max=settings.working_max,
        memory_bytes_max=settings.memory_mebibytes * _MEBIBYTE,
        chance=random.Random(),
    )
    reports = Reports(new_incident_id=lambda: secrets.token_hex(_INCIDENT_ID_BYTES))
    return Reception(key_ring=store.key_ring, gate=gate, in_flight=in_flight, reports=reports)


def _services(
    store: SqlStore, settings: ServeSettings, faults: FaultPoint
) -> dict[str, Mapping[str, Method]]:
    secret = store.page_token_secret
    tracking = tracking_servicer.TrackingServicer(
        ingest=Ingest(sink=store.sink, key_ring=store.key_ring),
        key_ring=store.key_ring,
        names=store.names,
        receipt=receipt.by_metadata if settings.simulated_clock else receipt.by_clock(SystemClock()),
        faults=faults,
    )
    clock = SystemClock()
    back_end_receipt = (
        receipt.by_metadata_or_clock(clock) if settings.simulated_clock else receipt.by_clock(clock)
    )
    people = people_servicer.PeopleServicer(
        people=People(reader=store.people, page_token_secret=secret),
        contacts=ContactsServicer(
            contacts=Contacts(store=store.contacts, reader=store.people),
            receipt=back_end_receipt,
        ),
    )
    delivery = delivery_servicer.DeliveryServicer(
        delivery=Delivery(reader=store.delivery, page_token_secret=secret),
        failed_events=FailedEventsServicer(
            failed_events=FailedEvents(
                reader=store.failed_events,
                store=store.failed_events,
                key_ring=store.key_ring,
                read_event=event_from_wire,
                page_token_secret=secret,
            ),
            receipt=back_end_receipt,
        ),
    )
    catalogue = catalogue_servicer.CatalogueServicer(
        catalogue=Catalogue(
            reader=store.catalogue, store=store.catalogue, key_ring=store.key_ring, page_token_secret=secret
        ),
        receipt=back_end_receipt,
    )
    return {
        catalogue_servicer.SERVICE: catalogue.methods(),
        tracking_servicer.SERVICE: tracking.methods(),
        people_servicer.SERVICE: people.methods(),
        delivery_servicer.SERVICE: delivery.methods(),
    }


def _administration(store: SqlStore) -> Administration:
    clock = SystemClock()
    return Administration(
        Workspaces(store=store.workspaces, clock=clock),
        IdentitySecrets(store=store.secrets, clock=clock),
        store.audit,
    )


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
    """Rejected events every hour; all events, which have to be walked through, once a day."""
    for hour in itertools.count():
        try:
            given_up = await keeper.give_up_failed(clock.now_micros())
            expired = await keeper.expire_events(clock.now_micros()) if hour % 24 == 0 else 0
            if given_up or expired:
                log.info("house_kept", failed_events=given_up, events=expired)
        except Exception as error:  # noqa: BLE001 - whatever it was, the next round may do.
            log.error("housekeeping_put_off", error=type(error).__name__)
        await asyncio.sleep(_HOUR_SECONDS)


@asynccontextmanager
async def _open_store(
    directory: DataDirectory, settings: ServeSettings, faults: FaultPoint
) -> AsyncIterator[SqlStore]:
    store = await SqlStore.open(
        directory.database,
        simulated_clock=settings.simulated_clock,
        fatal=_end_at_once,
        faults=faults,
    )
    try:
        yield store
    finally:
        await store.close()


def _tls_files(settings: ServeSettings) -> TlsFiles | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_cert, settings.tls_key)


def _stop_requested() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT, from now on; later ones change nothing."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(task_failed)

    def request(name: str) -> None:
        log.info("stop_requested", signal=name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, request, number.name)
    return stop


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
