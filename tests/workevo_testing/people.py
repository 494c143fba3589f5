"""A store with its people's services, and the calls that a test makes on both."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain import limits
from workevo_server.domain.events import ClockReading, ContactClaim, IdentityProof, Install, ReceivedEvent
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.requests import ForgetCall, IdentifyCall
from workevo_server.domain.told_counts import CountsAnswer, CountsCall, ToldCount
from workevo_server.domain.verdicts import Reason
from workevo_server.ports.audit import OPERATOR, Author
from workevo_server.ports.contact_store import ErasureReceipt
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.ports.people import ContactRef, EventSummary, StoredActivity, StoredEvent
from workevo_server.services.contacts import Contacts
from workevo_server.services.identity_secrets import IdentitySecrets
from workevo_server.services.ingest import Ingest
from workevo_server.services.people import People
from workevo_server.services.workspaces import Workspaces
from workevo_testing.places import Place
from workevo_testing.sinks import FixedClock, end_of_test
from workevo_testing.uploads import PHONE, upload

SECOND, DAY = 1_000_000, 86_400_000_000
NOW = 1_800_000_000 * SECOND


def user_ref(user_id: str) -> ContactRef:
    return ContactRef(user_id=user_id)


def visitor_ref(visitor_id: str) -> ContactRef:
    return ContactRef(visitor_id=visitor_id)


def phone(number: int) -> Install:
    return Install(install_id=InstallId(f"phone {number}"), epoch=b"e" * limits.EPOCH_BYTES)


def proof(user_id: str, secret: str) -> IdentityProof:
    return IdentityProof(user_id, hmac.new(secret.encode(), user_id.encode(), hashlib.sha256).hexdigest())


def operator(at_micros: int = NOW) -> Author:
    return Author(made_by=OPERATOR, made_at_micros=at_micros)


@dataclass
class Town:
    """One workspace and all that can be done to its people."""

    store: SqlStore
    place: Place
    workspace_id: WorkspaceId
    workspaces: Workspaces
    ingest: Ingest
    people: People
    contacts: Contacts
    secrets: IdentitySecrets

    async def send(
        self,
        *events: ReceivedEvent,
        install: Install | None = PHONE,
        at: int = NOW,
        proofs: Sequence[IdentityProof] = (),
    ) -> UploadAnswer:
        sent = replace(
            upload(self.workspace_id, events, install=install),
            received_at_micros=at,
            identity_proofs=tuple(proofs),
        )
        return await self.ingest.upload(sent)

    async def tell(self, contact: ContactClaim, *counts: ToldCount, at: int = NOW) -> CountsAnswer:
        """Counts that a back end tells (R29)."""
        call = CountsCall(
            workspace_id=self.workspace_id, contact=contact, counts=counts, received_at_micros=at
        )
        return await self.ingest.tell_counts(call)

    async def log_in(
        self, visitor_id: str, user_id: str, *, install: Install = PHONE, at: int = NOW, user_hash: str = ""
    ) -> Reason | None:
        answer = await self.ingest.identify(
            IdentifyCall(
                workspace_id=self.workspace_id,
                install=install,
                visitor_id=visitor_id,
                user_id=user_id,
                user_hash=user_hash,
                attributes=(),
                identify_clock=ClockReading(wall_micros=at),
                send_clock=ClockReading(wall_micros=at),
                received_at_micros=at,
            )
        )
        return answer.refusal.reason if answer.refusal is not None else None

    async def forget(self, install: Install = PHONE, *, at: int = NOW) -> ErasureReceipt:
        call = ForgetCall(workspace_id=self.workspace_id, install=install, received_at_micros=at)
        return await self.ingest.forget(call)

    async def summary(self, ref: ContactRef) -> Sequence[EventSummary]:
        return (await self.people.event_summary(self.workspace_id, ref))[1]

    async def timeline(self, ref: ContactRef) -> list[StoredEvent | StoredActivity]:
        """All pages of it."""
        entries: list[StoredEvent | StoredActivity] = []
        token = ""
        while True:
            page = await self.people.activities(self.workspace_id, ref, page_size=7, page_token=token)
            entries += page.entries
            token = page.next_page_token
            if not token:
                return entries

    async def names(self, ref: ContactRef) -> list[str]:
        return [entry.name for entry in await self.timeline(ref) if isinstance(entry, StoredEvent)]

    async def kinds(self, ref: ContactRef) -> list[str]:
        """Of the activities that are no events."""
        return [entry.kind.value for entry in await self.timeline(ref) if isinstance(entry, StoredActivity)]

    def rows(self, query: str) -> list[Any]:
        return self.place.rows(query)

    def ledger(self, install: Install = PHONE) -> tuple[dict[str, Any], int]:
        rows = self.rows(
            "SELECT install_id, document, erased_count FROM ledgers"
            " JOIN installs ON ledgers.install_no = installs.install_no"
        )
        ((document, erased),) = [row[1:] for row in rows if bytes(row[0]).decode() == install.install_id]
        return json.loads(document), erased

    def found(self, text: str) -> int:
        """How often a text stands in the files of the data directory, or in the rows of the database."""
        return self.place.found(text)


async def settle(store: SqlStore, place: Place, name: str = "acme") -> Town:
    """In a workspace made for it."""
    made = await Workspaces(store=store.workspaces, clock=FixedClock(NOW)).create(name)
    return town_of(store, place, made.workspace.workspace_id)


def town_of(store: SqlStore, place: Place, workspace_id: WorkspaceId) -> Town:
    """In one that is there."""
    clock = FixedClock(NOW)
    return Town(
        store=store,
        place=place,
        workspace_id=workspace_id,
        workspaces=Workspaces(store=store.workspaces, clock=clock),
        ingest=Ingest(sink=store.sink, key_ring=store.key_ring, people=store.people),
        people=People(reader=store.people, page_token_secret=store.page_token_secret),
        contacts=Contacts(store=store.contacts, reader=store.people),
        secrets=IdentitySecrets(store=store.secrets, clock=clock),
    )


@asynccontextmanager
async def open_town(place: Place) -> AsyncIterator[Town]:
    store = await SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test)
    try:
        yield await settle(store, place)
    finally:
        await store.close()
