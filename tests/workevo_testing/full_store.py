"""A store with something of everything in it, and all that can be read of a store over its services."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from pprint import pformat
from typing import Any

from sqlalchemy import URL

from workevo_server.adapters.sql import ledger_document
from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.events import DroppedRange, DropReason, ReceivedEvent
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.metadata import (
    Date,
    Image,
    Link,
    MetadataItem,
    MetadataValue,
    Monetary,
    Number,
    RichLink,
    Stripe,
    StripeKind,
    Text,
)
from workevo_server.domain.workspace import KeyCharset
from workevo_server.ports.audit import OPERATOR, Author
from workevo_server.ports.catalogue import DefinitionFilter
from workevo_server.ports.contact_store import Conversation
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.ports.key_ring import KeyKind
from workevo_server.ports.people import ContactFilter, ContactRef
from workevo_server.services.identity_secrets import IdentitySecrets
from workevo_server.services.workspaces import Workspaces
from workevo_server.transport.metrics import Metrics
from workevo_server.wiring import Services, wire_services
from workevo_testing.people import DAY, NOW, SECOND, Town, operator, phone, settle, user_ref, visitor_ref
from workevo_testing.places import FilePlace
from workevo_testing.sinks import FixedClock, end_of_test
from workevo_testing.uploads import back_end_event, good_event, told_count, upload, user, visitor

MONTHS = 4
NAMES = (
    "opened",
    "nul\0in it",
    "back\\0slash",
    'it\'s "quoted"',
    "çédille ß 東京",
    "$dollars.and.dots",
    "archived",
)
PAGE_SIZE = 3
PAGE_WIDTH = 160
OPERATOR_NOW = Author(made_by=OPERATOR, made_at_micros=NOW)

_METADATA: Sequence[Mapping[str, MetadataValue]] = [
    {"k\0ey": Text("va\0lue \\0 \\ é"), "a": Number(1), "b": Number(1.0)},
    {"big": Number(2**63 - 1), "tiny": Number(-5e-324)},
    {"when_at": Date(1_700_000_000), "link": Link("https://example.org/?q=%00")},
    {"rich": RichLink("https://example.org", "Ti\0tle"), "pic": Image("https://example.org/a.png")},
    {"paid": Monetary(2999, "eur"), "stripe": Stripe(StripeKind.CHARGE, "ch_1")},
    {},
]
METADATA = [tuple(MetadataItem(key, value) for key, value in each.items()) for each in _METADATA]
DROPPED = (DropReason.QUEUE_FULL, DropReason.EXPIRED, DropReason.CORRUPT)


async def fill(path: Path) -> None:
    """Two workspaces, so that the rows of one lie between the other's."""
    store = await SqlStore.open(path, simulated_clock=False, fatal=end_of_test)
    try:
        towns = [await settle(store, FilePlace(path), name) for name in ("acme", "Bücher \\0 & Söhne")]
        for town in towns:
            await _configure(town)
        for month in range(MONTHS):
            for town in towns:
                await _live(town, month)
        for town in towns:
            await _change_people(town)
            await _change_catalogue(town)
            await _expire(town)
    finally:
        await store.close()


async def _configure(town: Town) -> None:
    await town.secrets.create(town.workspace_id)
    gone = await town.secrets.create(town.workspace_id)
    await town.secrets.revoke(town.workspace_id, gone.secret_id)
    await town.workspaces.update_settings(
        town.workspace_id, {"identity_verification": "report", "metadata_keys_max": "7"}
    )
    await town.workspaces.create_key(town.workspace_id, KeyKind.BROWSER, origins=["https://example.org"])
    support = await town.workspaces.create_key(town.workspace_id, KeyKind.SUPPORT)
    sessions = _services(town.store).sessions
    await sessions.sign_in(support)
    await sessions.follow_link(sessions.make_link(town.workspace_id))
    gone_key = (await town.workspaces.keys(town.workspace_id))[0]
    await town.workspaces.revoke_key(town.workspace_id, gone_key.prefix)


async def _live(town: Town, month: int) -> None:
    """One month: phones, a back end, what is rejected, what is dropped, and a copy of each kind."""
    at = NOW - (MONTHS - month) * 31 * DAY
    before = month * 100
    for number, reason in enumerate(DROPPED):
        sent = upload(
            town.workspace_id,
            [_event(month, number, place) for place in range(20)],
            install=replace(phone(number), platform="ios", locale="de\0"),
            last_sequence=before + 90,
            applied_through=before,
            dropped=[DroppedRange(first_sequence=before + 30, last_sequence=before + 40, reason=reason)],
        )
        for moment in (at, at + SECOND):  # The second time all of it is known by its sequence.
            await town.ingest.upload(replace(sent, received_at_micros=moment))
    copy = replace(_event(month, 0, 0), sequence=1)
    await town.send(copy, install=phone(50 + month), at=at + 2 * SECOND)
    billed = [
        back_end_event(place, user("u1"), "billed", 1_700_000_000 + before + place) for place in range(3)
    ]
    await town.tell(user("u1"), *(told_count(name, month + 1, 1, month + 2) for name in ("billed", NAMES[1])))
    nameless = back_end_event(3, user("u1"), "", raw=b'{"event_name": "\\u0000"}')
    await town.send(*billed, nameless, install=None, at=at)


def _event(month: int, number: int, place: int) -> ReceivedEvent:
    who = [
        user(f"u{number}"),
        visitor(f"v{number}\0"),
        visitor(f"lead{number}"),
        user("shared"),
        user("erased"),
    ]
    event = good_event(
        place,
        month * 100 + place + 1,
        who[place % len(who)],
        NAMES[(number + place) % len(NAMES)],
        1_700_000_000 + month * 1_000 + number * 100 + place,
    )
    if place % 7 == 6:
        too_long = (MetadataItem("long\0key \\", Text("x" * 256)),)
        return replace(event, raw=bytes(range(256)) * 3, metadata=too_long)
    return replace(event, metadata=METADATA[place % len(METADATA)])


async def _change_people(town: Town) -> None:
    contacts, of = town.contacts, town.workspace_id
    await town.log_in("v0\0", "u0")
    await town.log_in("v1\0", "u1")
    for lead, at in (("lead0", NOW - DAY), ("lead1", NOW)):
        await contacts.make_lead(of, visitor_ref(lead), occurred_at_micros=at, author=operator())
    conversation = Conversation(conversation_id="c1", title="He\0llo \\0")
    await contacts.describe(
        of,
        visitor_ref("lead0"),
        email="lead0@example.org",
        attributes=[MetadataItem("Name", Text("Zoë Nul\0byte"))],
        charset=KeyCharset.ANY,
    )
    await contacts.record_conversation(
        of, visitor_ref("lead2"), conversation, occurred_at_micros=NOW, now_micros=NOW
    )
    await contacts.make_user(
        of,
        visitor_ref("v2\0"),
        user_id="u2",
        email="U2@Example.org",
        occurred_at_micros=NOW,
        author=operator(),
    )
    first, second = visitor_ref("lead0"), visitor_ref("lead1")
    merged = await contacts.merge(of, first, second, preview=False, author=operator())
    await contacts.split(of, merged.joining.merge_id, author=operator(NOW + 1))
    await contacts.merge(of, first, user_ref("u0"), preview=False, author=operator(NOW + 2))
    await contacts.delete(of, user_ref("erased"), suppress=True, author=operator())
    await town.send(good_event(0, 500, user("erased"), "opened", 6), install=phone(0))
    await town.send(good_event(0, 1, visitor("own"), "opened", 5), install=phone(70))
    await town.forget(phone(70))


async def _change_catalogue(town: Town) -> None:
    catalogue, of = _services(town.store).catalogue, town.workspace_id
    described = "De\0scribed \\0 \\\\"
    await catalogue.update(of, NAMES[1], description=described, disabled=None, author=OPERATOR_NOW)
    await catalogue.update(of, NAMES[2], description=None, disabled=True, author=OPERATOR_NOW)
    await catalogue.archive(of, "archived", author=OPERATOR_NOW)
    await town.send(good_event(0, 600, user("u1"), "archived", 7), install=phone(1))
    dropped = DroppedRange(first_sequence=601, last_sequence=603, reason=DropReason.ARCHIVED, name="archived")
    await town.ingest.upload(upload(of, install=phone(1), dropped=[dropped], at_seconds=NOW // SECOND))


async def _expire(town: Town) -> None:
    """Some events of the oldest month."""
    retention, of = town.store.retention, town.workspace_id
    before = NOW - (MONTHS - 1) * 31 * DAY
    aged = await retention.aged_events(of, received_before_micros=before, behind=None)
    await retention.expire_events(of, aged.expired[:5], received_before_micros=before)


async def read_everything(where: Path | URL) -> list[str]:
    """All that the services tell of a store, a line each, types and all.

    Page tokens too, which name a place and are signed.
    """
    store = await SqlStore.open(where, simulated_clock=None, fatal=end_of_test)
    try:
        services = _services(store)
        workspaces = Workspaces(store=store.workspaces, clock=FixedClock(NOW))
        secrets = IdentitySecrets(store=store.secrets, clock=FixedClock(NOW))
        read: dict[str, Any] = {"workspaces": await workspaces.list()}
        for workspace in read["workspaces"]:
            of = workspace.workspace_id
            read[of] = {
                "settings": store.key_ring.settings(of),
                "identity secrets": store.key_ring.identity_secrets(of),
                "names": store.names.names_not_to_send(of),
                "keys": await workspaces.keys(of),
                "secrets": await secrets.list(of),
                "unverified": await secrets.report(of),
                "audit": await store.audit.audit_entries(of, before_entry_no=None, count_max=1000),
                "people": await _people(services, of),
                "catalogue": await _catalogue(services, of),
                "installs": await _installs(services, of),
                "failed": await _pages(services.failed_events.page, of, FailedFilter()),
            }
        return pformat(read, width=PAGE_WIDTH).splitlines()
    finally:
        await store.close()


async def _catalogue(services: Services, of: WorkspaceId) -> list[Any]:
    read = services.catalogue.definitions
    return [await _pages(read, of, which=which, seen_kind=None) for which in DefinitionFilter]


async def _installs(services: Services, of: WorkspaceId) -> list[Any]:
    pages = await _pages(services.delivery.installs, of)
    ids = [install.install.install_id for page in pages for install in page.installs]
    read = [(await services.delivery.ledger(of, install_id)).install for install_id in ids]
    ledgers = [ledger for install in read for ledger in install.ledgers]
    told = [(epoch, ledger_document.encode(ledger)) for epoch, ledger in ledgers]
    troubled = await _pages(services.delivery.troubled_installs, of)
    order = [install.install.install_id for page in troubled for install in page.installs]
    return [
        *told,
        await services.delivery.balance(of),
        order,
        *([replace(install, ledgers=()) for install in page.installs] for page in pages),
    ]


async def _people(services: Services, of: WorkspaceId) -> dict[str, Any]:
    people = services.people
    pages = await _pages(people.contacts, of, ContactFilter())
    read: dict[str, Any] = {
        "pages": pages,
        "by name": await _pages(services.people_search.find, of, text="zoe nul"),
        "by event": await _pages(services.people_search.find, of, event_name="opened"),
    }
    for contact in [contact for page in pages for contact in page.contacts]:
        ref = ContactRef(contact_id=contact.contact_id)
        read[contact.contact_id] = {
            "summary": await people.event_summary(of, ref),
            "timeline": await _pages(people.activities, of, ref),
            "merges": await _pages(people.merges, of, ref),
        }
    return read


async def _pages(read: Callable[..., Awaitable[Any]], *what: object, **narrowed: object) -> list[Any]:
    pages, token = [], ""
    while True:
        page = await read(*what, **narrowed, page_size=PAGE_SIZE, page_token=token)
        pages.append(page)
        token = page.next_page_token
        if not token:
            return pages


def _services(store: SqlStore) -> Services:
    return wire_services(store, simulated_clock=False, metrics=Metrics(version="test"))
