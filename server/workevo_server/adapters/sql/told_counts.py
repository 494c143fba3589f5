"""Keeping what back ends tell as counts (R29): one call in one transaction, locked as uploads are."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from workevo_server.adapters.sql import statements
from workevo_server.adapters.sql.catalogue_counts import CatalogueCounts
from workevo_server.adapters.sql.contact_rows import ContactRows, claim_of
from workevo_server.adapters.sql.known_world import KnownWorld, UploadView
from workevo_server.adapters.sql.workspaces import workspace_no_of
from workevo_server.domain import contacts
from workevo_server.domain.events import ContactClaim, ContactKind
from workevo_server.domain.identifiers import ContactId, WorkspaceId
from workevo_server.domain.naming import is_well_formed
from workevo_server.domain.told_counts import (
    CountsAnswer,
    JudgedCount,
    JudgedCounts,
    decide_counts,
    rejected,
)
from workevo_server.domain.verdicts import Refusal, Verdict
from workevo_server.ports.people import ContactRef

_Told = tuple[int, int, int]  # event_count, first_occurred_at, last_occurred_at


@dataclass(frozen=True, slots=True)
class CountsJob:
    judged: JudgedCounts
    new_id: Callable[[], str]
    erasure_secret: bytes
    receipts_micros: Collection[int] = ()
    may_share: bool = False

    @property
    def workspace_id(self) -> WorkspaceId:
        return self.judged.workspace_id

    @property
    def weight(self) -> int:
        return max(1, len(self.judged.counts))

    def run(self, connection: Connection) -> CountsAnswer:
        return _Telling(connection, self).run()


class _Telling:
    def __init__(self, connection: Connection, job: CountsJob) -> None:
        self._connection = connection
        self._told = job.judged
        self._workspace_no = workspace_no_of(connection, job.workspace_id)
        self._rows = ContactRows(connection, self._workspace_no, job.new_id)
        self._world = KnownWorld(connection, erasure_secret=job.erasure_secret)
        self._catalogue = CatalogueCounts(connection, self._world)

    def run(self) -> CountsAnswer:
        claim = self._meant()
        refusal = contacts.judge_claim(claim)
        if refusal is not None:
            return rejected(refusal)
        no = self._workspace_no
        names = {(no, count.name_key) for count in self._told.counts}
        self._world.load_named({(no, claim): self._told.workspace_id}, names)
        view = UploadView(self._world, no, None, install_is_marked=False)
        kept = decide_counts(self._told, claim, view)
        if isinstance(kept, Refusal):
            return rejected(kept)
        if not kept:
            return CountsAnswer(verdict=Verdict.ARCHIVED)
        is_new = self._keep(claim, kept)
        return CountsAnswer(verdict=Verdict.ACCEPTED if is_new else Verdict.DUPLICATE)

    def _meant(self) -> ContactClaim:
        """Whom our own id or an address names, and not whom that was merged into: what is told of one id
        again replaces what was told of it before, and a split takes it along (R16)."""
        claim = self._told.contact
        if not claim.is_unresolved or not is_well_formed(claim.contact_id or claim.email or ""):
            return claim
        contact_id = ContactId(claim.contact_id) if claim.contact_id is not None else None
        found = self._rows.find(ContactRef(contact_id=contact_id, email=claim.email))
        return claim_of(found) if found is not None else claim

    def _keep(self, claim: ContactClaim, kept: Sequence[JudgedCount]) -> bool:
        """Whether anything changed by it."""
        is_known = (self._workspace_no, claim) in self._world.contacts
        if not is_known and not any(count.event_count for count in kept):
            return False
        contact = self._rows.of_claim(claim, now_micros=self._told.received_at_micros)
        told = {self._definition_no(count): _told(count) for count in kept if self._has_entry(count)}
        of_contact = {"workspace_no": self._workspace_no, "contact_no": contact.contact_no}
        before = self._before(of_contact, told)
        changed = [no for no, count in told.items() if count != before.get(no, _nothing(count))]
        self._write(of_contact, {no: told[no] for no in changed})
        for definition_no in changed:
            self._catalogue.hear(
                self._workspace_no, definition_no, ContactKind(contact.kind), self._told.received_at_micros
            )
        self._catalogue.write()
        return bool(changed)

    def _has_entry(self, count: JudgedCount) -> bool:
        """Taking a count back makes no entry in the catalogue."""
        return count.event_count > 0 or (self._workspace_no, count.name_key) in self._world.definitions

    def _definition_no(self, count: JudgedCount) -> int:
        return self._catalogue.definition_no(
            self._workspace_no, count.name_key, count.name, self._told.received_at_micros
        )

    def _before(self, of_contact: dict[str, int], told: dict[int, _Told]) -> dict[int, _Told]:
        rows = self._connection.execute(statements.TOLD_COUNTS, {**of_contact, "definition_nos": list(told)})
        return {row.definition_no: (row[1], row[2], row[3]) for row in rows}

    def _write(self, of_contact: dict[str, int], changed: dict[int, _Told]) -> None:
        gone = [no for no, (event_count, _, _) in changed.items() if not event_count]
        if gone:
            self._connection.execute(statements.DROP_TOLD_COUNTS, {**of_contact, "definition_nos": gone})
        set_now = [_row(of_contact, no, told) for no, told in sorted(changed.items()) if no not in gone]
        if set_now:
            self._connection.execute(statements.KEEP_TOLD_COUNT, set_now)


def _told(count: JudgedCount) -> _Told:
    return count.event_count, count.first_occurred_at_micros, count.last_occurred_at_micros


def _nothing(count: _Told) -> _Told | None:
    """What stands where nothing was told: as much as a count of none says."""
    return None if count[0] else count


def _row(of_contact: dict[str, int], definition_no: int, told: _Told) -> dict[str, Any]:
    event_count, first, last = told
    return {
        **of_contact,
        "definition_no": definition_no,
        "event_count": event_count,
        "first_occurred_at": first,
        "last_occurred_at": last,
    }
