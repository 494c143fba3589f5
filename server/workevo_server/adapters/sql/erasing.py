"""Erasing contacts with all that is known of them (R32), and what only one install has (R31).

    contacts ─┬─ events ──▶ ledgers.erased_count (the balance holds, R14)
              ├─ summaries, told counts, activities, merges, unverified claims, words of the name
              ├─ failed events ──▶ failed_event_usage
              └─ ids ──▶ erased_ids, as keyed hashes

What is deleted is overwritten (secure_delete); who calls then has the writer empty the
log and scrub the file, so that no file holds any of it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, and_, delete, or_, select, union, update

from workevo_server.adapters.sql import statements
from workevo_server.adapters.sql.contact_rows import ContactRow, ContactRows, claim_of
from workevo_server.adapters.sql.counted_deletes import delete_counted
from workevo_server.adapters.sql.database import TryAgain
from workevo_server.adapters.sql.failed_events import WHOLE_WORKSPACE, FailedEventsWriter
from workevo_server.adapters.sql.known_world import by_first
from workevo_server.adapters.sql.locks import hold_installs, hold_members, hold_unread_off, is_shared
from workevo_server.adapters.sql.schema import (
    SCRUB_FACT,
    activities,
    contact_words,
    contacts,
    events,
    failed_events,
    installs,
    ledgers,
    merges,
    summaries,
    told_counts,
    unverified_claims,
)
from workevo_server.domain.erasure import id_hash
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.verdicts import Reason
from workevo_server.ports.contact_store import ErasureReceipt


@dataclass(slots=True, kw_only=True)
class Erasing:
    """Runs once, inside a transaction."""

    rows: ContactRows
    workspace_id: WorkspaceId
    erasure_secret: bytes
    erased_at: int
    suppress: bool
    with_back_ends: bool
    """Whether what back ends sent and nobody can read goes too, as it may be of who is deleted; a device
    erases only what is its own (R31)."""
    _erased: Counter[str] = field(default_factory=Counter)
    _install_nos: set[int] = field(default_factory=set)
    _failed: FailedEventsWriter = field(init=False)

    def __post_init__(self) -> None:
        self._failed = FailedEventsWriter(self.rows.connection)

    def erase(
        self, find: Callable[[], Sequence[ContactRow]], *, install_nos: Iterable[int] = ()
    ) -> ErasureReceipt:
        """Erase the contacts found, and what names nobody of their installs and of those given."""
        self._install_nos.update(install_nos)
        members = self._hold(find)
        for member in members:
            self._erase_events(member.contact_no)
        if self.with_back_ends:  # After what may take long, as it stops others that delete in the workspace.
            hold_unread_off(self.rows.connection, self.rows.workspace_no)
        if not is_shared(self.rows.connection):
            self.rows.connection.execute(statements.KEEP_FACT, {"name": SCRUB_FACT, "value": b"1"})
        for member in members:
            self._erase_contact(member)
        self._mark_installs()
        for install_no in sorted(self._install_nos):
            self._erase_failed(
                and_(failed_events.c.install_no == install_no, failed_events.c.external_id.is_(None))
            )
        if self.with_back_ends:
            self._erase_failed(_UNREAD)
        self._failed.write()
        return ErasureReceipt(
            contact_count=len(members),
            event_count=self._erased["events"],
            failed_event_count=self._erased["failed_events"],
            activity_count=self._erased["activities"],
        )

    def _hold(self, find: Callable[[], Sequence[ContactRow]]) -> Sequence[ContactRow]:
        """Their installs first and then they, as uploads do; found again once nobody else can change them."""
        connection = self.rows.connection
        if not is_shared(connection):
            return find()
        seen = find()
        hold_installs(connection, self._install_nos | self._installs_of(seen))
        hold_members(connection, [contact.contact_no for contact in seen])
        members = find()
        if {contact.contact_no for contact in members} != {contact.contact_no for contact in seen}:
            raise TryAgain
        return members

    def _installs_of(self, contacts_seen: Sequence[ContactRow]) -> set[int]:
        """All that will be marked: one taken only then may be held by an upload that waits for a contact."""
        workspace_no, failed = self.rows.workspace_no, failed_events.c
        named = by_first((contact.id_kind, contact.external_id) for contact in contacts_seen)
        nos = [contact.contact_no for contact in contacts_seen]
        used = union(
            select(events.c.install_no).where(
                events.c.workspace_no == workspace_no, events.c.contact_no.in_(nos)
            ),
            *(
                select(failed.install_no).where(
                    failed.workspace_no == workspace_no,
                    failed.id_kind == kind,
                    failed.external_id.in_(external_ids),
                )
                for kind, external_ids in named.items()
            ),
        )
        first = {contact.first_install_no for contact in contacts_seen}
        return {*first, *self.rows.connection.execute(used).scalars()} - {None, WHOLE_WORKSPACE}

    def _erase_contact(self, contact: ContactRow) -> None:
        connection, workspace_no = self.rows.connection, self.rows.workspace_no
        if contact.first_install_no is not None:
            self._install_nos.add(contact.first_install_no)
        for table in (summaries, told_counts, activities):
            done = connection.execute(
                delete(table).where(
                    table.c.workspace_no == workspace_no, table.c.contact_no == contact.contact_no
                )
            )
            self._erased[table.name] += done.rowcount
        connection.execute(delete(contact_words).where(contact_words.c.contact_no == contact.contact_no))
        self._install_nos.update(self._erase_failed(_names(contact)))
        connection.execute(
            delete(merges).where(
                or_(merges.c.contact_no == contact.contact_no, merges.c.into_no == contact.contact_no)
            )
        )
        if contact.id_kind == "user":
            connection.execute(
                delete(unverified_claims).where(
                    unverified_claims.c.workspace_no == workspace_no,
                    unverified_claims.c.user_id == contact.external_id,
                )
            )
        self._keep_hash(contact)
        connection.execute(delete(contacts).where(contacts.c.contact_no == contact.contact_no))

    def _erase_events(self, contact_no: int) -> None:
        """The ledgers of its installs go on calling them stored: stored is present and erased (R14)."""
        gone = delete_counted(
            self.rows.connection,
            events,
            and_(events.c.workspace_no == self.rows.workspace_no, events.c.contact_no == contact_no),
            events.c.install_no,
            events.c.epoch,
        )
        for install_no, epoch, count, _ in gone:
            self._erased["events"] += count
            if install_no is None:
                continue
            self._install_nos.add(install_no)
            self.rows.connection.execute(
                update(ledgers)
                .where(
                    ledgers.c.workspace_no == self.rows.workspace_no,
                    ledgers.c.install_no == install_no,
                    ledgers.c.epoch == epoch,
                )
                .values(erased_count=ledgers.c.erased_count + count)
            )

    def _erase_failed(self, condition: ColumnElement[bool]) -> Iterable[int]:
        """The installs that had sent them; a back end is nobody's device."""
        gone = self._failed.delete(self.rows.workspace_no, condition)
        self._erased["failed_events"] += gone.total()
        return gone.keys() - {WHOLE_WORKSPACE}

    def _keep_hash(self, contact: ContactRow) -> None:
        self.rows.connection.execute(
            statements.KEEP_ERASURE,
            {
                "workspace_no": self.rows.workspace_no,
                "id_hash": id_hash(
                    claim_of(contact), workspace_id=self.workspace_id, secret=self.erasure_secret
                ),
                "erased_at": self.erased_at,
                "suppressed": self.suppress,
            },
        )

    def _mark_installs(self) -> None:
        """What they send from now on and names nobody may be of the contact, and is not kept."""
        for install_no in sorted(self._install_nos):
            self.rows.connection.execute(
                update(installs).where(installs.c.install_no == install_no).values(erased_at=self.erased_at)
            )


_UNREAD = and_(
    failed_events.c.install_no == WHOLE_WORKSPACE,
    failed_events.c.reason.in_([Reason.EVENT_MALFORMED.value, Reason.EVENT_TOO_LARGE.value]),
    failed_events.c.external_id.is_(None),
)
"""Of back ends, and of whom nobody can say."""


def _names(contact: ContactRow) -> ColumnElement[bool]:
    table = failed_events.c
    return and_(table.id_kind == contact.id_kind, table.external_id == contact.external_id)
