"""Making two persons one and two again (R16): a merge adds an edge and a split takes it away.

    contacts.merged_into_no   the edge; contacts.person_no, where the edges lead to
    merges                    the history
    activities                the conversion that the user's timeline shows

No event and no summary is touched, so both take as long as a person has ids.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, insert, or_, select, update

from workevo_server.adapters.sql.contact_rows import ContactRow, ContactRows
from workevo_server.adapters.sql.receipts import take_receipt_numbers
from workevo_server.adapters.sql.schema import activities, contacts, merges
from workevo_server.domain.contacts import merge_refusal
from workevo_server.domain.errors import MergeRefused
from workevo_server.domain.events import ContactKind
from workevo_server.ports.people import ActivityKind, MergedBy


@dataclass(frozen=True, slots=True)
class Merging:
    rows: ContactRows

    def check(self, person: ContactRow, into: ContactRow) -> None:
        """Raises MergeRefused when the two persons may not become one."""
        refusal = merge_refusal(ContactKind(person.kind), ContactKind(into.kind))
        if refusal is not None:
            raise MergeRefused(refusal)

    def merge(self, person: ContactRow, into: ContactRow, *, by: MergedBy, occurred_at: int) -> str:
        """Make `person` part of `into`, both the contacts that stand for a person; names the merge."""
        connection, table = self.rows.connection, contacts.c
        connection.execute(
            update(contacts)
            .where(or_(table.contact_no == person.contact_no, table.person_no == person.contact_no))
            .values(person_no=into.contact_no)
        )
        connection.execute(
            update(contacts)
            .where(table.contact_no == person.contact_no)
            .values(merged_into_no=into.contact_no, merged_at=occurred_at)
        )
        merge_id = self.rows.new_id()
        merge_no: int = connection.execute(
            insert(merges).returning(merges.c.merge_no),
            {
                "workspace_no": self.rows.workspace_no,
                "merge_id": merge_id,
                "contact_no": person.contact_no,
                "into_no": into.contact_no,
                "made_by": by.value,
                "occurred_at": occurred_at,
            },
        ).scalar_one()
        if into.kind == ContactKind.USER.value:
            self._tell_conversion(person, into, merge_no=merge_no, merge_id=merge_id, occurred_at=occurred_at)
        return merge_id

    def _tell_conversion(
        self, person: ContactRow, into: ContactRow, *, merge_no: int, merge_id: str, occurred_at: int
    ) -> None:
        self.rows.connection.execute(
            insert(activities),
            {
                "workspace_no": self.rows.workspace_no,
                "contact_no": into.contact_no,
                "occurred_at": occurred_at,
                "receipt_no": take_receipt_numbers(self.rows.connection, 1),
                "kind": ActivityKind.CONVERSION.value,
                "document": json.dumps({"from_kind": person.kind, "merge_id": merge_id}),
                "merge_no": merge_no,
            },
        )

    def split(self, merge: ContactRow, *, now_micros: int) -> None:
        """Take the edge of one merge away: what was below it is a person of its own again."""
        connection, table = self.rows.connection, contacts.c
        apart, rest = merge.contact_no, self.rows.person(self.rows.by_no(merge.contact_no)).contact_no
        below = self._below(apart, self.rows.members(rest))
        for contact_no in below:
            connection.execute(update(contacts).where(table.contact_no == contact_no).values(person_no=apart))
        connection.execute(
            update(contacts)
            .where(table.contact_no == apart)
            .values(person_no=None, merged_into_no=None, merged_at=None)
        )
        connection.execute(
            delete(activities).where(
                activities.c.workspace_no == self.rows.workspace_no,
                activities.c.contact_no == merge.into_no,
                activities.c.occurred_at == merge.occurred_at,
                activities.c.merge_no == merge.merge_no,
            )
        )
        connection.execute(
            update(merges).where(merges.c.merge_no == merge.merge_no).values(split_at=now_micros)
        )
        self.rows.refresh_kind(apart)
        self.rows.refresh_kind(rest)

    def find(self, merge_id: str) -> ContactRow | None:
        """A row of `merges` by its public name."""
        return self.rows.connection.execute(
            select(merges).where(
                merges.c.workspace_no == self.rows.workspace_no, merges.c.merge_id == merge_id
            )
        ).one_or_none()

    @staticmethod
    def _below(apart: int, members: Sequence[ContactRow]) -> list[int]:
        """What was merged into `apart`, directly or through others."""
        merged_into: dict[int, list[int]] = defaultdict(list)
        for row in members:
            merged_into[row.merged_into_no].append(row.contact_no)
        below, waiting = list[int](), [apart]
        while waiting:
            found = merged_into[waiting.pop()]
            below += found
            waiting += found
        return below
