"""One journey from a judged upload to its answer, over each sink that must obey the same rules.

`PureSink` runs `domain.admission` alone over plain dictionaries: what the rules say
without any store. `open_sql_sink` is the product's store on a real SQLite file.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Protocol

from sqlalchemy import URL

from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain import limits, naming
from workevo_server.domain.admission import DefinitionState, FailedEvent, StoredCopy, decide
from workevo_server.domain.erasure import Erasure
from workevo_server.domain.events import ContactClaim, Event, Install, ProductIdentity, Upload
from workevo_server.domain.identification import Identification
from workevo_server.domain.identifiers import InstallId, NameKey, WorkspaceId
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.ledger import Balance, Ledger
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.audit import OPERATOR, Author
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.services.catalogue import Catalogue
from workevo_server.services.workspaces import Workspaces
from workevo_testing.uploads import good_event, upload, user

CATALOGUE = Install(install_id=InstallId("catalogue"), epoch=b"c" * limits.EPOCH_BYTES)


class RuledSink(Protocol):
    """What a conformance case needs of a sink."""

    workspace_id: WorkspaceId

    async def append(self, sent: Upload, settings: WorkspaceSettings) -> UploadAnswer: ...

    async def merge(self, *, visitor_id: str, user_id: str, at_seconds: int) -> None: ...

    async def archive(self, name: str) -> None: ...

    async def balance(self, install: Install) -> Balance: ...


_Copy = tuple[int, InstallId | None]
"""When it was received, and by which install."""


class PureSink:
    """The rules alone, over dictionaries that hold everything for ever."""

    workspace_id = WorkspaceId("ws_pure")

    def __init__(self) -> None:
        self._ledgers: dict[tuple[InstallId, bytes], Ledger] = defaultdict(Ledger)
        self._copies: dict[tuple[Hashable, NameKey, int], list[_Copy]] = defaultdict(list)
        self._names: set[NameKey] = set()
        self._archived: set[NameKey] = set()
        self._aliases: dict[ContactClaim, ContactClaim] = {}
        self.known: set[ContactClaim] = set()
        self.erasures: dict[ContactClaim, Erasure] = {}
        self.first_contacts: dict[ContactClaim, int] = {}
        self.installs_that_saw_a_deletion: set[InstallId] = set()
        self.expired_before: int | None = None
        self.secrets: tuple[bytes, ...] = ()
        self.failed: list[FailedEvent] = []
        self.failed_bytes: dict[tuple[InstallId | None, bytes, int], list[bytes]] = defaultdict(list)
        self.stored: list[Event] = []
        self.unverified: Counter[str] = Counter()

    async def append(self, sent: Upload, settings: WorkspaceSettings) -> UploadAnswer:
        install_id = sent.install.install_id if sent.install else None
        epoch = sent.install.epoch if sent.install else b""
        ledger = self._ledgers[install_id, epoch] if install_id is not None else Ledger()
        decision = decide(
            judge_upload(sent, settings, secrets=self.secrets),
            ledger=ledger,
            view=_PureView(self, install_id, epoch),
        )
        self.failed.extend(decision.failed)
        for failed in decision.failed:
            place = install_id, epoch, failed.received.sequence
            self.failed_bytes[place].append(failed.received.raw)
        self.stored.extend(decision.stored)
        self.unverified += decision.unverified
        for event in decision.stored:
            self._names.add(event.identity.name_key)
            self.known.add(event.identity.contact)
            # Kept under the contact that was named: a merge rewrites nothing (R16).
            key = event.identity.contact, event.identity.name_key, event.identity.created_at_seconds
            self._copies[key].append((sent.received_at_micros, install_id))
        return UploadAnswer(
            verdicts=tuple(decision.verdicts),
            settled_through=ledger.settled_through,
            gaps=tuple(islice(ledger.gaps(), limits.ANSWER_GAPS_MAX)),
        )

    async def merge(self, *, visitor_id: str, user_id: str, at_seconds: int) -> None:  # noqa: ARG002
        self._aliases[ContactClaim(visitor_id=visitor_id)] = ContactClaim(user_id=user_id)

    async def archive(self, name: str) -> None:
        self._names.add(naming.name_key(name))
        self._archived.add(naming.name_key(name))

    async def balance(self, install: Install) -> Balance:
        return self._ledgers[install.install_id, install.epoch].balance()

    def person(self, contact: ContactClaim) -> ContactClaim:
        return self._aliases.get(contact, contact)

    def copies(self, identity: ProductIdentity) -> list[_Copy]:
        person = self.person(identity.contact)
        return [
            copy
            for (contact, name_key, created_at), copies in self._copies.items()
            if isinstance(contact, ContactClaim) and self.person(contact) == person
            if (name_key, created_at) == (identity.name_key, identity.created_at_seconds)
            for copy in copies
        ]

    def definition(self, name_key: NameKey) -> DefinitionState | None:
        return DefinitionState(archived=name_key in self._archived) if name_key in self._names else None

    def active_definition_count(self) -> int:
        return len(self._names - self._archived)


class _PureView:
    def __init__(self, sink: PureSink, install_id: InstallId | None, epoch: bytes) -> None:
        self._sink = sink
        self._install_id = install_id
        self._epoch = epoch
        self.person = sink.person
        self.definition = sink.definition
        self.active_definition_count = sink.active_definition_count
        self.erasure = sink.erasures.get
        self.first_contact = sink.first_contacts.get

    def expired_before(self) -> int | None:
        return self._sink.expired_before

    def failed(self, sequence: int) -> Sequence[bytes]:
        return self._sink.failed_bytes[self._install_id, self._epoch, sequence]

    def knows(self, contact: ContactClaim) -> bool:
        return contact in self._sink.known

    def workspace_saw_a_deletion(self) -> bool:
        return bool(self._sink.erasures)

    def install_saw_a_deletion(self) -> bool:
        return self._install_id in self._sink.installs_that_saw_a_deletion

    def copies(self, identity: ProductIdentity) -> Sequence[StoredCopy]:
        return [
            StoredCopy(
                received_at_micros=received_at, same_install=install_id == self._install_id is not None
            )
            for received_at, install_id in self._sink.copies(identity)
        ]


def catalogue_of(store: SqlStore) -> Catalogue:
    return Catalogue(
        reader=store.catalogue,
        store=store.catalogue,
        key_ring=store.key_ring,
        page_token_secret=store.page_token_secret,
    )


class SqlSinkUnderTest:
    def __init__(self, store: SqlStore, workspace_id: WorkspaceId) -> None:
        self._store = store
        self._catalogue = catalogue_of(store)
        self.workspace_id = workspace_id

    async def append(self, sent: Upload, settings: WorkspaceSettings) -> UploadAnswer:
        return await self._store.sink.append(judge_upload(sent, settings))

    async def merge(self, *, visitor_id: str, user_id: str, at_seconds: int) -> None:
        answer = await self._store.sink.identify(
            Identification(
                workspace_id=self.workspace_id,
                install=Install(install_id=InstallId("phone"), epoch=b"e" * limits.EPOCH_BYTES),
                visitor_id=visitor_id,
                user_id=user_id,
                occurred_at_micros=at_seconds * 1_000_000,
                received_at_micros=at_seconds * 1_000_000,
            )
        )
        assert answer.refusal is None

    async def archive(self, name: str) -> None:
        event = good_event(0, 1, user("archivist"), name, 1)
        await self.append(upload(self.workspace_id, [event], install=CATALOGUE), WorkspaceSettings())
        await self._catalogue.archive(
            self.workspace_id, name, author=Author(made_by=OPERATOR, made_at_micros=1)
        )

    async def balance(self, install: Install) -> Balance:
        record = await self._store.delivery.install(self.workspace_id, install.install_id)
        assert record is not None
        return dict(record.ledgers)[install.epoch].balance()


class FixedClock:
    """A wall clock that stands where the test puts it."""

    def __init__(self, now_micros: int = 0) -> None:
        self.now = now_micros

    def now_micros(self) -> int:
        return self.now


def end_of_test(error: BaseException) -> None:
    raise AssertionError("an fsync failed") from error


@asynccontextmanager
async def open_sql_sink(where: Path | URL) -> AsyncIterator[SqlSinkUnderTest]:
    store = await SqlStore.open(where, simulated_clock=False, fatal=end_of_test)
    try:
        made = await Workspaces(store=store.workspaces, clock=FixedClock()).create("acme")
        yield SqlSinkUnderTest(store, made.workspace.workspace_id)
    finally:
        await store.close()
