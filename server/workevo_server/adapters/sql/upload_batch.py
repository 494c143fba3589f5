"""A group of uploads in one transaction: read what they name, decide each, write what was decided.

The number of statements follows the group and not the uploads in it, and what they
touch follows the uploads and not the store.
"""

import json
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from workevo_server.adapters.sql import ledger_document, metadata_document, statements
from workevo_server.adapters.sql.catalogue_counts import CatalogueCounts
from workevo_server.adapters.sql.failed_events import FailedEventsWriter
from workevo_server.adapters.sql.known_world import (
    KnownContact,
    KnownWorld,
    UploadView,
    by_first,
    chunks,
    external_id,
    id_kind,
)
from workevo_server.adapters.sql.receipts import take_receipt_numbers
from workevo_server.adapters.sql.unverified_claims import UnverifiedClaims
from workevo_server.adapters.sql.volume_counts import KnownValues, VolumeCounts
from workevo_server.domain import limits
from workevo_server.domain.admission import Decision, decide
from workevo_server.domain.contacts import kind_of
from workevo_server.domain.events import ContactClaim, Event, Install
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.judging import JudgedUpload
from workevo_server.domain.ledger import Ledger
from workevo_server.ports.event_sink import UploadAnswer

Row = dict[str, Any]


def new_id() -> str:
    """A public id that says nothing about how many there are."""
    return uuid.uuid4().hex


_LedgerKey = tuple[int, int, bytes]  # workspace_no, install_no, epoch


@dataclass(frozen=True, slots=True)
class UploadJob:
    """One judged upload for the writer."""

    judged: JudgedUpload
    erasure_secret: bytes
    known_values: KnownValues

    @property
    def workspace_id(self) -> WorkspaceId:
        return self.judged.upload.workspace_id

    @property
    def weight(self) -> int:
        return max(1, len(self.judged.candidates))

    @property
    def receipts_micros(self) -> Collection[int]:
        return (self.judged.upload.received_at_micros,)

    @property
    def may_share(self) -> bool:
        """Uploads are read and written together, and take their locks once and in order."""
        return True

    def run(self, connection: Connection) -> UploadAnswer:
        return run_uploads(connection, [self])[0]


def run_uploads(connection: Connection, jobs: Sequence[UploadJob]) -> list[UploadAnswer]:
    """All of them in the transaction of the connection, read and written together."""
    first = jobs[0]
    batch = UploadBatch(
        connection, new_id=new_id, erasure_secret=first.erasure_secret, known_values=first.known_values
    )
    return batch.run([job.judged for job in jobs])


class UploadBatch:
    """Runs once, inside the transaction of its connection."""

    def __init__(
        self,
        connection: Connection,
        *,
        new_id: Callable[[], str],
        erasure_secret: bytes,
        known_values: KnownValues,
    ) -> None:
        self._connection = connection
        self._new_id = new_id
        self._world = KnownWorld(connection, erasure_secret=erasure_secret)
        self._failed = FailedEventsWriter(connection)
        self._unverified = UnverifiedClaims(connection)
        self._marked_installs: set[int] = set()
        self._expired_before: dict[int, int | None] = {}
        self._ledgers: dict[_LedgerKey, Ledger] = {}
        self._started: dict[_LedgerKey, int] = {}
        self._events: list[Row] = []
        self._catalogue = CatalogueCounts(connection, self._world)
        self._volumes = VolumeCounts(connection, known_values)
        self._noted_contacts: dict[int, KnownContact] = {}

    def run(self, uploads: Sequence[JudgedUpload]) -> list[UploadAnswer]:
        workspace_nos = self._workspace_nos(uploads)
        numbered = [(workspace_nos[judged.upload.workspace_id], judged) for judged in uploads]
        install_nos = self._keep_installs(numbered)
        self._load_ledgers(numbered, install_nos)
        self._world.load(numbered)
        self._load_expired(workspace_nos.values())
        answers = [
            self._decide(no, _install_no(install_nos, no, judged.upload.install), judged)
            for no, judged in numbered
        ]
        self._write()
        return answers

    # Reading

    def _workspace_nos(self, uploads: Sequence[JudgedUpload]) -> Mapping[str, int]:
        wanted = {judged.upload.workspace_id for judged in uploads}
        rows = self._connection.execute(statements.WORKSPACE_NOS, {"workspace_ids": list(wanted)})
        return {row.workspace_id: row.workspace_no for row in rows}

    def _keep_installs(self, numbered: Sequence[tuple[int, JudgedUpload]]) -> dict[tuple[int, bytes], int]:
        rows = {
            (no, install.install_id.encode()): _install_row(no, install, judged.upload.received_at_micros)
            for no, judged in numbered
            if (install := judged.upload.install) is not None
        }
        if rows:
            # In order, as each stays locked where others write too.
            self._connection.execute(statements.KEEP_INSTALL, [rows[key] for key in sorted(rows)])
        found: dict[tuple[int, bytes], int] = {}
        for no, install_ids in by_first(rows).items():
            for chunk in chunks(install_ids):
                for install_id, install_no, erased_at in self._connection.execute(
                    statements.INSTALL_NOS, {"workspace_no": no, "install_ids": chunk}
                ):
                    found[no, install_id] = install_no
                    if erased_at is not None:
                        self._marked_installs.add(install_no)
        return found

    def _load_ledgers(
        self, numbered: Sequence[tuple[int, JudgedUpload]], install_nos: Mapping[tuple[int, bytes], int]
    ) -> None:
        for no, judged in numbered:
            install = judged.upload.install
            if install is None:
                continue
            key = no, install_nos[no, install.install_id.encode()], install.epoch
            self._ledgers[key] = Ledger()
            self._started.setdefault(key, judged.upload.received_at_micros)
        for no, of_workspace in by_first((no, (i, epoch)) for no, i, epoch in self._ledgers).items():
            for chunk in chunks(of_workspace):
                install_numbers, epochs = zip(*chunk, strict=True)
                for install_no, epoch, document in self._connection.execute(
                    statements.LEDGERS,
                    {"workspace_no": no, "install_nos": install_numbers, "epochs": epochs},
                ):
                    if (no, install_no, epoch) in self._ledgers:
                        self._ledgers[no, install_no, epoch] = ledger_document.decode(document)

    def _load_expired(self, workspace_nos: Collection[int]) -> None:
        """After the stored copies: where one of them is missing as it went by age, this says so (R14a)."""
        for no, expired_before in self._connection.execute(
            statements.EXPIRED_BEFORE, {"workspace_nos": list(workspace_nos)}
        ):
            self._expired_before[no] = expired_before

    # Deciding

    def _decide(self, workspace_no: int, install_no: int | None, judged: JudgedUpload) -> UploadAnswer:
        epoch, ledger = b"", Ledger()
        if judged.upload.install is not None and install_no is not None:
            epoch = judged.upload.install.epoch
            ledger = self._ledgers[workspace_no, install_no, epoch]
        is_marked = install_no in self._marked_installs
        view = UploadView(
            self._world,
            workspace_no,
            install_no,
            install_is_marked=is_marked,
            expired_before_micros=self._expired_before[workspace_no],
            kept_failed=partial(self._failed.kept, workspace_no, install_no, epoch),
        )
        decision = decide(judged, ledger=ledger, view=view)
        self._keep(workspace_no, install_no, judged, decision)
        self._failed.add(
            workspace_no,
            install_no,
            judged.upload,
            decision.failed,
            bytes_max=judged.settings.failed_events_bytes_max,
        )
        self._unverified.add(workspace_no, decision.unverified, judged.upload.received_at_micros)
        return UploadAnswer(
            verdicts=tuple(decision.verdicts),
            settled_through=ledger.settled_through,
            gaps=tuple(islice(ledger.gaps(), limits.ANSWER_GAPS_MAX)),
        )

    def _keep(
        self, workspace_no: int, install_no: int | None, judged: JudgedUpload, decision: Decision
    ) -> None:
        """What is stored, and who and which names were seen."""
        self._take_stored(workspace_no, install_no, judged, decision)
        for event in (*decision.duplicates, *decision.archived):
            known = self._world.contacts.get((workspace_no, event.identity.contact))
            if known is not None:
                self._note_install(known, install_no)
        self._catalogue.count(workspace_no, judged.upload.received_at_micros, decision)

    def _take_stored(
        self, workspace_no: int, install_no: int | None, judged: JudgedUpload, decision: Decision
    ) -> None:
        upload = judged.upload
        for event in decision.stored:
            contact = self._contact(
                workspace_no, install_no, event.identity.contact, upload.received_at_micros
            )
            definition_no = self._catalogue.definition_no(
                workspace_no, event.identity.name_key, event.name, upload.received_at_micros
            )
            ordinal = self._world.add_copy(
                workspace_no, event, received_at=upload.received_at_micros, install_no=install_no
            )
            self._events.append(
                {
                    "workspace_no": workspace_no,
                    "contact_no": contact.contact_no,
                    "definition_no": definition_no,
                    "ordinal": ordinal,
                    "received_at": upload.received_at_micros,
                    **_event_row(event),
                    **_queue_row(install_no, upload.install, event),
                }
            )
            self._catalogue.see(definition_no, event.contact_kind)
            self._volumes.count(
                workspace_no,
                definition_no,
                event,
                upload.install,
                received_at_micros=upload.received_at_micros,
            )

    def _contact(
        self, workspace_no: int, install_no: int | None, claim: ContactClaim, received_at: int
    ) -> KnownContact:
        """The contact of a claim, made by its first event (R18); notes when others use a visitor (R31)."""
        known = self._world.contacts.get((workspace_no, claim))
        if known is None:
            return self._new_contact(workspace_no, install_no, claim, received_at)
        self._note_install(known, install_no)
        return known

    def _note_install(self, known: KnownContact, install_no: int | None) -> None:
        """Keep which install used a contact first, and whether others did too (R31)."""
        if install_no is None:
            return
        if known.first_install_no is None:
            known.first_install_no = install_no
        elif known.first_install_no == install_no or known.shared:
            return
        else:
            known.shared = True
        self._noted_contacts[known.contact_no] = known

    def _new_contact(
        self, workspace_no: int, install_no: int | None, claim: ContactClaim, received_at: int
    ) -> KnownContact:
        contact_no = self._connection.execute(
            statements.NEW_CONTACT,
            {
                "workspace_no": workspace_no,
                "contact_id": self._new_id(),
                "kind": kind_of(claim).value,
                "id_kind": id_kind(claim),
                "external_id": external_id(claim),
                "first_install_no": install_no,
                "created_at": received_at,
            },
        ).scalar_one()
        known = KnownContact(contact_no, contact_no, install_no, shared=False)
        self._world.add_contact(workspace_no, claim, known)
        return known

    # Writing

    def _write(self) -> None:
        self._write_events()
        self._write_summaries()
        self._catalogue.write()
        self._write_noted_contacts()
        self._write_ledgers()
        self._failed.write()
        self._unverified.write()
        self._volumes.write()

    def _write_events(self) -> None:
        if not self._events:
            return
        first_receipt_no = take_receipt_numbers(self._connection, len(self._events))
        for offset, row in enumerate(self._events):
            row["receipt_no"] = first_receipt_no + offset
        self._connection.execute(statements.NEW_EVENT, self._events)

    def _write_summaries(self) -> None:
        rows: dict[tuple[int, int], Row] = {}
        for event in self._events:
            _add_to_summary(rows, event)
        if rows:
            self._connection.execute(statements.ADD_TO_SUMMARY, [rows[key] for key in sorted(rows)])

    def _write_noted_contacts(self) -> None:
        if self._noted_contacts:
            self._connection.execute(
                statements.NOTE_INSTALL,
                [
                    {"no": no, "first": known.first_install_no, "is_shared": known.shared}
                    for no, known in self._noted_contacts.items()
                ],
            )

    def _write_ledgers(self) -> None:
        if not self._ledgers:
            return
        self._connection.execute(
            statements.KEEP_LEDGER,
            [
                {
                    "workspace_no": workspace_no,
                    "install_no": install_no,
                    "epoch": epoch,
                    "started_at": self._started[workspace_no, install_no, epoch],
                    "document": ledger_document.encode(ledger),
                    **ledger_document.totals(ledger),
                }
                for (workspace_no, install_no, epoch), ledger in sorted(
                    self._ledgers.items(), key=itemgetter(0)
                )
            ],
        )


def _install_no(
    install_nos: Mapping[tuple[int, bytes], int], workspace_no: int, install: Install | None
) -> int | None:
    return None if install is None else install_nos[workspace_no, install.install_id.encode()]


def _install_row(workspace_no: int, install: Install, received_at: int) -> Row:
    return {
        "workspace_no": workspace_no,
        "install_id": install.install_id.encode(),
        "epoch": install.epoch,
        "description": describe(install),
        "first_seen": received_at,
        "last_seen": received_at,
    }


def _queue_row(install_no: int | None, install: Install | None, event: Event) -> Row:
    """Where on a device it stood; nowhere when a back end sent it."""
    if install is None:
        return {"install_no": None, "epoch": None, "sequence": None}
    return {"install_no": install_no, "epoch": install.epoch, "sequence": event.sequence}


def describe(install: Install) -> str:
    told = asdict(install)
    return json.dumps({key: told[key] for key in told if key not in {"install_id", "epoch"}})


def _event_row(event: Event) -> Row:
    return {
        "created_at_seconds": event.identity.created_at_seconds,
        "occurred_at": event.occurred_at_micros,
        "created_at": event.created_at_micros,
        "clock_method": event.clock_method.value,
        "contact_kind": event.contact_kind.value,
        "metadata": metadata_document.encode(event.metadata),
    }


def _add_to_summary(rows: dict[tuple[int, int], Row], event: Row) -> None:
    key = event["contact_no"], event["definition_no"]
    occurred_at = event["occurred_at"]
    row = rows.get(key)
    if row is None:
        rows[key] = {
            "workspace_no": event["workspace_no"],
            "contact_no": event["contact_no"],
            "definition_no": event["definition_no"],
            "event_count": 1,
            "first_occurred_at": occurred_at,
            "last_occurred_at": occurred_at,
        }
        return
    row["event_count"] += 1
    row["first_occurred_at"] = min(row["first_occurred_at"], occurred_at)
    row["last_occurred_at"] = max(row["last_occurred_at"], occurred_at)
