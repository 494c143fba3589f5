"""A log-in told by a device: the alias of R16, in one transaction and in constant time."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from workevo_server.adapters.sql.contact_rows import EMAIL, ContactRow, ContactRows, email_in
from workevo_server.adapters.sql.erasures import find_erasure
from workevo_server.adapters.sql.merging import Merging
from workevo_server.adapters.sql.schema import contacts, installs
from workevo_server.adapters.sql.unverified_claims import UnverifiedClaims
from workevo_server.adapters.sql.workspaces import workspace_no_of
from workevo_server.domain import limits, naming
from workevo_server.domain.erasure import CONTACT_ERASED
from workevo_server.domain.events import ContactClaim, ContactKind
from workevo_server.domain.identification import Identification, IdentifyAnswer
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.proofs import UNVERIFIED
from workevo_server.domain.verdicts import Reason, Refusal
from workevo_server.domain.workspace import IdentityVerification
from workevo_server.ports.people import ContactRef, MergedBy

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
    erasure_secret: bytes
    receipts_micros: Collection[int] = ()
    may_share: bool = False

    @property
    def workspace_id(self) -> WorkspaceId:
        return self.identification.workspace_id

    @property
    def weight(self) -> int:
        return 1

    def run(self, connection: Connection) -> IdentifyAnswer:
        return _Identify(connection, self.identification, self.new_id, self.erasure_secret).run()


class _Identify:
    def __init__(
        self,
        connection: Connection,
        identification: Identification,
        new_id: Callable[[], str],
        erasure_secret: bytes,
    ) -> None:
        self._connection = connection
        self._said = identification
        self._erasure_secret = erasure_secret
        self._workspace_no = workspace_no_of(connection, identification.workspace_id)
        self._rows = ContactRows(connection, self._workspace_no, new_id)

    def run(self) -> IdentifyAnswer:
        claims = ContactClaim(user_id=self._said.user_id), ContactClaim(visitor_id=self._said.visitor_id)
        self._rows.hold(*(ContactRef(user_id=claim.user_id, visitor_id=claim.visitor_id) for claim in claims))
        if any(self._is_erased(claim) for claim in claims):
            return IdentifyAnswer(refusal=CONTACT_ERASED)
        if self._said.demand is not IdentityVerification.OFF and not self._said.verified:
            self._count_unverified()
            if self._said.demand is IdentityVerification.ENFORCED:
                return IdentifyAnswer(refusal=UNVERIFIED)
        user, visitor = (
            self._rows.of_claim(claim, now_micros=self._said.received_at_micros) for claim in claims
        )
        person = self._rows.person(visitor)
        if person.contact_no != user.contact_no:
            refusal = self._merge_refusal(person, user)
            if refusal is not None:
                return IdentifyAnswer(refusal=refusal)
            Merging(self._rows).merge(
                person, user, by=MergedBy.DEVICE, occurred_at=self._said.occurred_at_micros
            )
        self._keep_attributes(user)
        return IdentifyAnswer()

    def _is_erased(self, claim: ContactClaim) -> bool:
        erasure = find_erasure(
            self._connection,
            claim,
            workspace_no=self._workspace_no,
            workspace_id=self._said.workspace_id,
            secret=self._erasure_secret,
        )
        return erasure is not None and erasure.covers(self._said.occurred_at_micros)

    def _count_unverified(self) -> None:
        claims = UnverifiedClaims(self._connection)
        claims.add(self._workspace_no, {self._said.user_id: 1}, self._said.received_at_micros)
        claims.write()

    def _merge_refusal(self, person: ContactRow, user: ContactRow) -> Refusal | None:
        """Why a device may not merge the two (R16, R31)."""
        if person.kind == ContactKind.USER.value:
            return _VISITOR_TAKEN
        install_no = self._install_no()
        for member in self._rows.members(person.contact_no):
            if member.shared or member.first_install_no not in {None, install_no}:
                return _VISITOR_SHARED
        merged = self._connection.execute(
            select(func.count()).where(contacts.c.person_no == user.contact_no)
        ).scalar_one()
        return _VISITOR_LIMIT if merged >= limits.CONTACT_VISITOR_IDS_MAX else None

    def _keep_attributes(self, user: ContactRow) -> None:
        self._rows.keep_attributes(user, self._said.attributes)
        told = next((each for each in self._said.attributes if naming.name_key(each.key) == EMAIL), None)
        if told is not None:
            self._keep_email(user, email_in(told))

    def _keep_email(self, user: ContactRow, email: str | None) -> None:
        """An address that another user has stays that user's; saying so would tell a device who is known."""
        if email is not None:
            self._rows.keep_email(user.contact_no, email)

    def _install_no(self) -> int | None:
        found: int | None = self._connection.execute(
            select(installs.c.install_no).where(
                installs.c.workspace_no == self._workspace_no,
                installs.c.install_id == self._said.install.install_id.encode(),
            )
        ).scalar()
        return found
