"""A log-in told by a device: the alias of R16, in one transaction and in constant time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from workevo_server.adapters.sql import metadata_document
from workevo_server.adapters.sql.known_world import external_id, id_kind
from workevo_server.adapters.sql.schema import contacts, installs, workspaces
from workevo_server.domain import limits, naming
from workevo_server.domain.contacts import kind_of
from workevo_server.domain.events import ContactClaim
from workevo_server.domain.identification import Identification, IdentifyAnswer
from workevo_server.domain.verdicts import Reason, Refusal

_VISITOR_TAKEN = Refusal(
    reason=Reason.VISITOR_TAKEN,
    field="visitor_id",
    message="This visitor belongs to another user already. Make a new visitor at log-out (reset).",
)
_VISITOR_SHARED = Refusal(
    reason=Reason.VISITOR_SHARED,
    field="visitor_id",
    message="Other installs used this visitor too, so a device cannot claim it. Merge it from a back end.",
)

_VISITOR_LIMIT = Refusal(
    reason=Reason.VISITOR_LIMIT,
    field="visitor_id",
    message=f"{limits.CONTACT_VISITOR_IDS_MAX} visitors were merged into this user. Keep one visitor a user.",
)


@dataclass(frozen=True, slots=True)
class IdentifyJob:
    identification: Identification
    new_id: Callable[[], str]

    @property
    def weight(self) -> int:
        return 1

    def run(self, connection: Connection) -> IdentifyAnswer:
        return _Identify(connection, self.identification, self.new_id).run()


class _Identify:
    def __init__(
        self, connection: Connection, identification: Identification, new_id: Callable[[], str]
    ) -> None:
        self._connection = connection
        self._said = identification
        self._new_id = new_id
        self._workspace_no: int = connection.execute(
            select(workspaces.c.workspace_no).where(workspaces.c.workspace_id == identification.workspace_id)
        ).scalar_one()

    def run(self) -> IdentifyAnswer:
        user = self._contact(ContactClaim(user_id=self._said.user_id))
        visitor = self._contact(ContactClaim(visitor_id=self._said.visitor_id))
        if visitor.person_no != user.person_no:
            refusal = self._merge_refusal(visitor, user)
            if refusal is not None:
                return IdentifyAnswer(refusal=refusal)
            self._merge(visitor.contact_no, user.person_no)
        self._keep_attributes(user)
        return IdentifyAnswer()

    def _merge_refusal(self, visitor: Row[Any], user: Row[Any]) -> Refusal | None:
        """Why a device may not merge the two (R16, R31)."""
        if visitor.is_merged:
            return _VISITOR_TAKEN
        if visitor.shared or visitor.first_install_no not in {None, self._install_no()}:
            return _VISITOR_SHARED
        merged = self._connection.execute(
            select(func.count()).where(contacts.c.person_no == user.person_no)
        ).scalar_one()
        return _VISITOR_LIMIT if merged >= limits.CONTACT_VISITOR_IDS_MAX else None

    def _contact(self, claim: ContactClaim) -> Row[Any]:
        """The contact of an id, made when the workspace has none (R18)."""
        table = contacts.c
        query = select(
            table.contact_no,
            func.coalesce(table.person_no, table.contact_no).label("person_no"),
            table.person_no.is_not(None).label("is_merged"),
            table.first_install_no,
            table.shared,
            table.attributes,
        ).where(
            table.workspace_no == self._workspace_no,
            table.id_kind == id_kind(claim),
            table.external_id == external_id(claim),
        )
        found = self._connection.execute(query).one_or_none()
        if found is None:
            self._make_contact(claim)
            found = self._connection.execute(query).one()
        return found

    def _make_contact(self, claim: ContactClaim) -> None:
        self._connection.execute(
            insert(contacts),
            {
                "workspace_no": self._workspace_no,
                "contact_id": self._new_id(),
                "kind": kind_of(claim).value,
                "id_kind": id_kind(claim),
                "external_id": external_id(claim),
                "created_at": self._said.received_at_micros,
            },
        )

    def _keep_attributes(self, user: Row[Any]) -> None:
        """Add what was told to what is known, keys matched as in R1 and as many as an event may have."""
        if not self._said.attributes:
            return
        known = {naming.name_key(entry.key): entry for entry in metadata_document.decode(user.attributes)}
        for entry in self._said.attributes:
            key = naming.name_key(entry.key)
            if key in known or len(known) < limits.METADATA_KEYS_SETTING_MAX:
                known[key] = entry
        self._connection.execute(
            update(contacts)
            .where(contacts.c.contact_no == user.contact_no)
            .values(attributes=metadata_document.encode(tuple(known.values())))
        )

    def _install_no(self) -> int | None:
        found: int | None = self._connection.execute(
            select(installs.c.install_no).where(
                installs.c.workspace_no == self._workspace_no,
                installs.c.install_id == self._said.install.install_id.encode(),
            )
        ).scalar()
        return found

    def _merge(self, contact_no: int, person_no: int) -> None:
        """All contacts of the visitor's person become the user's; no event is touched."""
        table = contacts.c
        self._connection.execute(
            update(contacts)
            .where(or_(table.contact_no == contact_no, table.person_no == contact_no))
            .values(person_no=person_no, merged_at=self._said.occurred_at_micros)
        )
