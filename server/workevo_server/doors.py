"""The doors: gRPC and HTTP over the same services, one gate, and one set of calls in flight.

Both open together and close together, in the order that `app` documents.
"""

import asyncio
import importlib.metadata
import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from starlette.routing import BaseRoute

from workevo_server.adapters.sql.store import SqlStore
from workevo_server.ports.fault_point import FaultPoint
from workevo_server.ports.key_ring import OriginRing
from workevo_server.settings import HTTP_OFF, ServeSettings
from workevo_server.transport.address import Address, proxy_addresses
from workevo_server.transport.gate import Gate
from workevo_server.transport.grpc import (
    catalogue_servicer,
    delivery_servicer,
    people_servicer,
    tracking_servicer,
)
from workevo_server.transport.grpc.contacts_servicer import ContactsServicer
from workevo_server.transport.grpc.failed_events_servicer import FailedEventsServicer
from workevo_server.transport.grpc.guard import Guard
from workevo_server.transport.grpc.limits import REFLECTIONS_MAX, WATCHERS_MAX
from workevo_server.transport.grpc.server import GrpcServer
from workevo_server.transport.http.app import Readiness, make_app
from workevo_server.transport.http.browser.assets import BrowserFiles
from workevo_server.transport.http.connect.endpoint import ConnectEndpoint
from workevo_server.transport.http.guard import HttpGuard
from workevo_server.transport.http.metrics_page import metrics_routes
from workevo_server.transport.http.server import HttpServer
from workevo_server.transport.in_flight import InFlight
from workevo_server.transport.metrics import Metrics
from workevo_server.transport.reception import Method, Reception
from workevo_server.transport.reports import Reports
from workevo_server.transport.tls import TlsFiles
from workevo_server.wiring import Services, wire_console, wire_rest, wire_services

_INCIDENT_ID_BYTES = 8
_REQUEST_ID_BYTES = 16
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Where the doors are."""

    grpc: Address
    http: Address | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    grpc: GrpcServer
    http: HttpServer | None
    in_flight: InFlight

    def bind(self, settings: ServeSettings) -> Bound:
        """Take the addresses. Raises ServerRefused."""
        tls = _tls_files(settings)
        grpc = self.grpc.bind(Address.parse(settings.grpc), tls=tls)
        http = None
        if self.http is not None:
            address = Address.parse(settings.http)
            http = self.http.bind(address, tls=tls, shares_port=settings.is_worker)
        return Bound(grpc=grpc, http=http)

    async def open(self) -> None:
        await self.grpc.start()
        if self.http is not None:
            await self.http.start()

    async def show_serving(self, serving: bool) -> None:  # noqa: FBT001 - what the store's watch says.
        """Tell load balancers whether calls can be worked on; all are answered either way."""
        await self.grpc.show_serving(serving)
        if self.http is not None:
            self.http.show_ready(serving)

    async def drain(self) -> None:
        """Tell load balancers to look away; calls are still answered."""
        await self.grpc.drain()
        if self.http is not None:
            self.http.drain()

    async def close(self, *, grace: timedelta) -> int:
        """Let nothing new in, and finish what was begun; how many calls were left when the grace was over."""
        closing = [self.grpc.stop(grace=grace)]
        if self.http is not None:
            closing.append(self.http.stop(grace=grace))
        await asyncio.gather(*closing)
        return await self.in_flight.finished(within=grace)


def make_doors(store: SqlStore, settings: ServeSettings, faults: FaultPoint) -> Doors:
    metrics = Metrics(version=importlib.metadata.version("workevo"))
    services = wire_services(store, simulated_clock=settings.simulated_clock, metrics=metrics)
    in_flight = InFlight()
    gate = Gate(
        arriving_max=settings.arriving_max,
        working_max=settings.working_max,
        memory_bytes_max=settings.memory_mebibytes * _MEBIBYTE,
        chance=random.Random(),
    )
    reports = Reports(new_incident_id=lambda: secrets.token_hex(_INCIDENT_ID_BYTES), metrics=metrics)
    reception = Reception(key_ring=store.key_ring, gate=gate, in_flight=in_flight, reports=reports)
    methods = contract_methods(store, services, faults)
    grpc = GrpcServer(
        guard=Guard(reception=reception),
        services=methods,
        reflection=settings.reflection,
        shares_port=settings.is_worker,
        calls_max=2 * (settings.working_max + settings.arriving_max + WATCHERS_MAX + REFLECTIONS_MAX),
    )
    http = None
    if settings.http != HTTP_OFF:
        guard = HttpGuard(reception=reception, new_request_id=_new_request_id)
        browser_files = BrowserFiles()
        connect = _connect(reception, methods, store.key_ring)
        routes = [
            *connect.routes(),
            *browser_files.routes(),
            *wire_rest(services, guard, faults),
            *wire_console(
                services,
                reception,
                _new_request_id,
                browser_files=browser_files,
                grpc_address=lambda: grpc.address,
            ),
            *metrics_routes(metrics, token=settings.metrics_token or "", new_request_id=_new_request_id),
        ]
        http = _http_server(reception, routes, proxy_addresses(settings.trusted_proxies))
        metrics.watch("workevo_http_connections", http.connection_count)
    metrics.watch("workevo_store_answers", store.answers)
    metrics.watch("workevo_store_jobs_waiting", store.jobs_waiting)
    metrics.watch("workevo_calls_working", lambda: gate.working)
    metrics.watch("workevo_calls_arriving", lambda: gate.arriving)
    metrics.watch("workevo_calls_memory_bytes", lambda: gate.memory_bytes)
    return Doors(grpc=grpc, http=http, in_flight=in_flight)


def _connect(
    reception: Reception, methods: Mapping[str, Mapping[str, Method]], origins: OriginRing
) -> ConnectEndpoint:
    return ConnectEndpoint(
        reception=reception,
        service=tracking_servicer.DESCRIPTOR,
        methods=methods[tracking_servicer.SERVICE],
        origins=origins,
    )


def _http_server(
    reception: Reception, routes: Sequence[BaseRoute], trusted_proxies: Sequence[str]
) -> HttpServer:
    """What is mounted there is a list of routes from each part."""
    readiness = Readiness()
    app = make_app(routes, readiness=readiness, reports=reception.reports, new_request_id=_new_request_id)
    return HttpServer(app, readiness=readiness, trusted_proxies=trusted_proxies)


def _new_request_id() -> str:
    return secrets.token_hex(_REQUEST_ID_BYTES)


def contract_methods(
    store: SqlStore, services: Services, faults: FaultPoint
) -> dict[str, Mapping[str, Method]]:
    """Every method of the contract by its service, for whatever door speaks protobuf."""
    tracking = tracking_servicer.TrackingServicer(
        ingest=services.ingest,
        key_ring=store.key_ring,
        names=store.names,
        receipt=services.device_receipt,
        faults=faults,
    )
    receipt = services.back_end_receipt
    people = people_servicer.PeopleServicer(
        people=services.people,
        contacts=ContactsServicer(contacts=services.contacts, receipt=receipt),
    )
    delivery = delivery_servicer.DeliveryServicer(
        delivery=services.delivery,
        failed_events=FailedEventsServicer(failed_events=services.failed_events, receipt=receipt),
    )
    catalogue = catalogue_servicer.CatalogueServicer(catalogue=services.catalogue, receipt=receipt)
    return {
        catalogue_servicer.SERVICE: catalogue.methods(),
        tracking_servicer.SERVICE: tracking.methods(),
        people_servicer.SERVICE: people.methods(),
        delivery_servicer.SERVICE: delivery.methods(),
    }


def _tls_files(settings: ServeSettings) -> TlsFiles | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_cert, settings.tls_key)
