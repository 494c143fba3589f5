"""The services over a store, once for all doors, and the parts of the HTTP door over them."""

import importlib.metadata
import time
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_hex

from starlette.routing import BaseRoute

from workevo_server.adapters.sql.store import SqlStore
from workevo_server.adapters.system_clock import SystemClock
from workevo_server.ports.audit import AuditReader
from workevo_server.ports.fault_point import FaultPoint
from workevo_server.ports.key_ring import KeyRing
from workevo_server.ports.people import ContactFinder
from workevo_server.services.catalogue import Catalogue
from workevo_server.services.contacts import Contacts
from workevo_server.services.delivery import Delivery
from workevo_server.services.failed_events import FailedEvents
from workevo_server.services.identity_secrets import IdentitySecrets
from workevo_server.services.ingest import Ingest
from workevo_server.services.live import LiveFeeds
from workevo_server.services.people import People
from workevo_server.services.people_search import PeopleSearch
from workevo_server.services.sessions import Sessions
from workevo_server.services.volumes import Volumes
from workevo_server.services.whereabouts import Whereabouts
from workevo_server.services.workspaces import Workspaces
from workevo_server.transport import receipt
from workevo_server.transport.address import Address
from workevo_server.transport.grpc.event_codec import event_from_wire
from workevo_server.transport.http.browser.assets import BrowserFiles
from workevo_server.transport.http.console.delivery import DeliveryPages
from workevo_server.transport.http.console.event import EventPages
from workevo_server.transport.http.console.event_changes import EventChangePages
from workevo_server.transport.http.console.events import EventsPages
from workevo_server.transport.http.console.guard import ConsoleGuard
from workevo_server.transport.http.console.home import HomePages
from workevo_server.transport.http.console.image import ImagePages
from workevo_server.transport.http.console.live import LivePages
from workevo_server.transport.http.console.pages import Page
from workevo_server.transport.http.console.people import PeoplePages
from workevo_server.transport.http.console.profile import ProfilePages
from workevo_server.transport.http.console.rejected import RejectedPages
from workevo_server.transport.http.console.rendering import Templates
from workevo_server.transport.http.console.settings import SettingsPages
from workevo_server.transport.http.console.sign_in import SignIn
from workevo_server.transport.http.console.start import StartPages
from workevo_server.transport.http.console.static_files import StaticFiles
from workevo_server.transport.http.console.where import WherePages
from workevo_server.transport.http.guard import HttpGuard
from workevo_server.transport.http.rest.catalogue import CatalogueApi
from workevo_server.transport.http.rest.contact_search import ContactSearchApi
from workevo_server.transport.http.rest.contacts import ContactsApi
from workevo_server.transport.http.rest.delivery import DeliveryApi
from workevo_server.transport.http.rest.description import description_routes
from workevo_server.transport.http.rest.event_codec import event_from_json
from workevo_server.transport.http.rest.events import EventsApi
from workevo_server.transport.http.rest.operations import make_routes
from workevo_server.transport.http.rest.summaries import SummariesApi
from workevo_server.transport.http.rest.tolls import RestToll
from workevo_server.transport.metrics import Metrics
from workevo_server.transport.receipt import Receipt
from workevo_server.transport.reception import Reception

_SPEAKER_BYTES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    ingest: Ingest
    people: People
    contacts: Contacts
    delivery: Delivery
    failed_events: FailedEvents
    catalogue: Catalogue
    people_search: PeopleSearch
    whereabouts: Whereabouts
    finder: ContactFinder
    live: LiveFeeds
    volumes: Volumes
    sessions: Sessions
    workspaces: Workspaces
    identity_secrets: IdentitySecrets
    audit: AuditReader
    device_receipt: Receipt
    """When a device's call was received; on a simulated clock it has to say so."""
    back_end_receipt: Receipt
    """When a back end's was; on a simulated clock it may say so."""


def wire_services(store: SqlStore, *, simulated_clock: bool, metrics: Metrics) -> Services:
    secret, clock = store.page_token_secret, SystemClock()
    live = LiveFeeds(
        clock=clock,
        monotonic=time.monotonic,
        read_event=event_from_wire,
        read_json_event=event_from_json,
        relay=store.relay,
        speaker=token_hex(_SPEAKER_BYTES),
    )
    by_clock = receipt.by_clock(clock)
    failed_events = FailedEvents(
        reader=store.failed_events,
        store=store.failed_events,
        key_ring=store.key_ring,
        people=store.people,
        read_event=event_from_wire,
        read_json_event=event_from_json,
        page_token_secret=secret,
    )
    return Services(
        ingest=Ingest(
            sink=store.sink,
            key_ring=store.key_ring,
            people=store.people,
            observers=(metrics.judged, live.observe),
            forgotten=live.forget,
        ),
        people=People(reader=store.people, page_token_secret=secret),
        contacts=Contacts(store=store.contacts, reader=store.people, forgotten=live.forget),
        delivery=Delivery(reader=store.delivery, page_token_secret=secret),
        failed_events=failed_events,
        catalogue=Catalogue(
            reader=store.catalogue, store=store.catalogue, key_ring=store.key_ring, page_token_secret=secret
        ),
        people_search=PeopleSearch(searcher=store.people_search, page_token_secret=secret),
        whereabouts=Whereabouts(
            reader=store.whereabouts, delivery=store.delivery, failed_events=failed_events
        ),
        finder=store.people,
        live=live,
        volumes=Volumes(reader=store.volumes, page_token_secret=secret),
        sessions=Sessions(store=store.sessions, key_ring=store.key_ring, link_secret=secret, clock=clock),
        workspaces=Workspaces(store=store.workspaces, clock=clock),
        identity_secrets=IdentitySecrets(store=store.secrets, clock=clock),
        audit=store.audit,
        device_receipt=receipt.by_metadata if simulated_clock else by_clock,
        back_end_receipt=receipt.by_metadata_or_clock(clock) if simulated_clock else by_clock,
    )


def wire_rest(services: Services, guard: HttpGuard, faults: FaultPoint) -> list[BaseRoute]:
    events = EventsApi(
        ingest=services.ingest,
        people=services.people,
        receipt=services.back_end_receipt,
        faults=faults,
    )
    summaries = SummariesApi(ingest=services.ingest, receipt=services.back_end_receipt, faults=faults)
    toll = RestToll(key_ring=guard.reception.key_ring, clock=SystemClock())
    contacts = ContactsApi(
        contacts=services.contacts,
        people=services.people,
        finder=services.finder,
        key_ring=guard.reception.key_ring,
        receipt=services.back_end_receipt,
    )
    search = ContactSearchApi(people=services.people, finder=services.finder)
    catalogue = CatalogueApi(catalogue=services.catalogue, receipt=services.back_end_receipt)
    delivery = DeliveryApi(
        delivery=services.delivery,
        failed_events=services.failed_events,
        receipt=services.back_end_receipt,
    )
    parts = (events, summaries, contacts, search, catalogue, delivery)
    operations = [each for part in parts for each in part.operations()]
    described = description_routes(operations, version=importlib.metadata.version("workevo"))
    return [*described, *make_routes(operations, guard, toll)]


def wire_console(
    services: Services,
    reception: Reception,
    new_request_id: Callable[[], str],
    *,
    browser_files: BrowserFiles,
    grpc_address: Callable[[], Address],
) -> list[BaseRoute]:
    static_files = StaticFiles()
    templates = Templates(static_files, version=importlib.metadata.version("workevo"))
    guard = ConsoleGuard(
        reception=reception, sessions=services.sessions, templates=templates, new_request_id=new_request_id
    )
    pages = console_pages(
        services, reception.key_ring, templates, browser_files=browser_files, grpc_address=grpc_address
    )
    sign_in = SignIn(guard, services.sessions, templates)
    return [*static_files.routes(), *sign_in.routes(), *guard.routes(pages)]


def console_pages(
    services: Services,
    key_ring: KeyRing,
    templates: Templates,
    *,
    browser_files: BrowserFiles,
    grpc_address: Callable[[], Address],
) -> list[Page]:
    """Every page of the console but those of signing in."""
    parts = (
        HomePages(catalogue=services.catalogue),
        PeoplePages(people_search=services.people_search, catalogue=services.catalogue, templates=templates),
        ProfilePages(people=services.people, templates=templates),
        ImagePages(templates=templates),
        SettingsPages(
            workspaces=services.workspaces,
            identity_secrets=services.identity_secrets,
            audit=services.audit,
            key_ring=key_ring,
            templates=templates,
        ),
        StartPages(
            catalogue=services.catalogue,
            workspaces=services.workspaces,
            grpc_address=grpc_address,
            browser_files=browser_files,
            templates=templates,
        ),
        LivePages(live=services.live, finder=services.finder, templates=templates),
        DeliveryPages(delivery=services.delivery, failed_events=services.failed_events, templates=templates),
        WherePages(whereabouts=services.whereabouts, finder=services.finder, templates=templates),
        RejectedPages(failed_events=services.failed_events, clock=SystemClock(), templates=templates),
        EventsPages(
            catalogue=services.catalogue, volumes=services.volumes, clock=SystemClock(), templates=templates
        ),
        EventPages(
            catalogue=services.catalogue, volumes=services.volumes, clock=SystemClock(), templates=templates
        ),
        EventChangePages(catalogue=services.catalogue, clock=SystemClock(), templates=templates),
    )
    return [page for part in parts for page in part.pages()]
