"""Changing who people are, for back ends (R16, R32)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workevo_server.domain import contacts as rules
from workevo_server.domain import limits, metadata, naming
from workevo_server.domain.errors import FieldViolation, NotFound, RequestInvalid
from workevo_server.domain.events import ContactClaim, ContactKind
from workevo_server.domain.identifiers import ContactId, WorkspaceId
from workevo_server.domain.metadata import MetadataEntry, MetadataItem, Text
from workevo_server.domain.naming import is_well_formed
from workevo_server.domain.verdicts import Refusal
from workevo_server.domain.workspace import KeyCharset
from workevo_server.ports.audit import Author
from workevo_server.ports.contact_store import ContactStore, Conversation, ErasureReceipt, Joining
from workevo_server.ports.people import Contact, ContactRef, PeopleReader
from workevo_server.services.finishing import Finishing

_EMAIL = naming.name_key("email")


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    contact: Contact
    """The one that both are; with a preview as it stands."""
    merged: Contact
    """The one that was merged, as it stood before."""
    joining: Joining


class Contacts:
    """Every method raises NotFound for an id that the workspace does not know, and RequestInvalid.

    `author` says who asks, for the audit, and when the call was received;
    `occurred_at_micros` is when what it tells of happened, None then. `forgotten` is
    told of a workspace in which somebody was erased.
    """

    def __init__(
        self,
        *,
        store: ContactStore,
        reader: PeopleReader,
        forgotten: Callable[[WorkspaceId], None] = lambda _workspace_id: None,
    ) -> None:
        self._store = store
        self._reader = reader
        self._forgotten = forgotten
        self._finishing = Finishing()

    async def make_user(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        *,
        user_id: str,
        email: str,
        occurred_at_micros: int | None,
        author: Author,
        attributes: Sequence[MetadataItem] = (),
        charset: KeyCharset = KeyCharset.ANY,
    ) -> Contact:
        """The contact has logged in (R16), and what else is said of the user, as by `describe`: all of it or,
        refused, nothing. Raises ContactSuppressed, and MergeRefused for another user."""
        _check_ids(ref, ContactRef(user_id=user_id))
        await self._store.make_user(
            workspace_id,
            ref,
            user_id=user_id,
            email=_checked_email(email) or _address_in(attributes),
            attributes=_admitted(attributes, charset),
            occurred_at_micros=_moment(occurred_at_micros, author.made_at_micros),
            author=author,
        )
        return await self._contact(workspace_id, ContactRef(user_id=user_id))

    async def describe(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        *,
        email: str,
        attributes: Sequence[MetadataItem],
        charset: KeyCharset,
    ) -> Contact:
        """Add to what is known of the contact: attributes are kept as an event's metadata is (R4, R5).

        Only a user has an email of its own, which an attribute of that name may say too, as a device's
        does; another contact's is an attribute like others.
        """
        contact = await self._contact(workspace_id, ref)
        address = _checked_email(email)
        if contact.kind is not ContactKind.USER:
            attributes, address = [*_as_attribute(address), *attributes], None
        else:
            address = address or _address_in(attributes)
        told = _admitted(attributes, charset)
        if address is not None or told:
            await self._store.describe(
                workspace_id,
                ContactRef(contact_id=contact.contact_id),
                email=address,
                attributes=told,
            )
        return await self._by_id(workspace_id, contact.contact_id)

    async def make_lead(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        *,
        occurred_at_micros: int | None,
        author: Author,
        email: str = "",
        attributes: Sequence[MetadataItem] = (),
        charset: KeyCharset = KeyCharset.ANY,
    ) -> Contact:
        """It has contacted the business; the earliest time told counts (R17). What else is said of it is
        kept with that, as by `make_user`. Raises ContactSuppressed."""
        _check_ids(ref)
        await self._store.make_lead(
            workspace_id,
            ref,
            attributes=_admitted([*_as_attribute(_checked_email(email)), *attributes], charset),
            occurred_at_micros=_moment(occurred_at_micros, author.made_at_micros),
            author=author,
        )
        return await self._contact(workspace_id, ref)

    async def record_conversation(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        conversation: Conversation,
        *,
        occurred_at_micros: int | None,
        now_micros: int,
    ) -> Contact:
        """A conversation was started, which makes a visitor a lead (R16)."""
        _check_conversation(conversation)
        occurred_at = _moment(occurred_at_micros, now_micros)
        await self._store.record_conversation(workspace_id, ref, conversation, occurred_at_micros=occurred_at)
        return await self._contact(workspace_id, ref)

    async def merge(
        self, workspace_id: WorkspaceId, ref: ContactRef, into: ContactRef, *, preview: bool, author: Author
    ) -> Merged:
        """Make two contacts one, or with `preview` tell what that would join. Raises MergeRefused."""
        before = await self._contact(workspace_id, ref)
        joining = await self._store.merge(workspace_id, ref, into, preview=preview, author=author)
        contact = await self._contact(workspace_id, ContactRef(contact_id=joining.into_id))
        return Merged(contact=contact, merged=before, joining=joining)

    async def split(
        self, workspace_id: WorkspaceId, merge_id: str, *, author: Author
    ) -> tuple[Contact, Contact]:
        """Undo a merge: who was split off, and who is left (R16)."""
        apart, rest = await self._store.split(workspace_id, merge_id, author=author)
        return await self._by_id(workspace_id, apart), await self._by_id(workspace_id, rest)

    async def delete(
        self, workspace_id: WorkspaceId, ref: ContactRef, *, suppress: bool, author: Author
    ) -> ErasureReceipt:
        """Erase a contact with all that was merged into it (R32). Takes as long as it takes, though its
        caller may not wait for so long."""

        async def erased() -> ErasureReceipt:
            try:
                return await self._store.delete(workspace_id, ref, suppress=suppress, author=author)
            finally:
                self._forgotten(workspace_id)  # Though it may have failed after it was committed.

        return await self._finishing.finish(erased())

    async def _by_id(self, workspace_id: WorkspaceId, contact_id: ContactId) -> Contact:
        return await self._contact(workspace_id, ContactRef(contact_id=contact_id))

    async def _contact(self, workspace_id: WorkspaceId, ref: ContactRef) -> Contact:
        contact = await self._reader.contact(workspace_id, ref)
        if contact is None:
            raise NotFound(ref.looked_for)
        return contact


def _check_ids(*refs: ContactRef) -> None:
    """Ids that a contact may be made of."""
    for ref in refs:
        if ref.contact_id is not None:
            continue
        refusal = rules.judge_claim(ContactClaim(user_id=ref.user_id, visitor_id=ref.visitor_id))
        if refusal is not None:
            raise RequestInvalid(FieldViolation(refusal.field, refusal.message))


def _checked_email(text: str) -> str | None:
    if not text:
        return None
    email = rules.email_of(text)
    if email is None or not is_well_formed(email):
        longest = limits.EMAIL_CODE_POINTS_MAX
        raise RequestInvalid(
            FieldViolation("email", f"An email has something on both sides of an @, {longest} code points.")
        )
    return email


def _address_in(attributes: Sequence[MetadataItem]) -> str | None:
    """The address that an attribute says, the last one (R4); None where none says one."""
    told = (item.value for item in reversed(attributes) if naming.comparable_key(item.key) == _EMAIL)
    addresses = (rules.email_of(value.value) for value in told if isinstance(value, Text))
    return next((each for each in addresses if each is not None and is_well_formed(each)), None)


def _as_attribute(address: str | None) -> list[MetadataItem]:
    """How the address of who is no user is kept."""
    return [MetadataItem("email", Text(address))] if address is not None else []


def _admitted(attributes: Sequence[MetadataItem], charset: KeyCharset) -> Sequence[MetadataEntry]:
    admitted = metadata.admit(attributes, keys_max=limits.METADATA_KEYS_SETTING_MAX, charset=charset)
    if isinstance(admitted, Refusal):
        raise RequestInvalid(FieldViolation(admitted.field, admitted.message))
    return admitted.entries


def _check_conversation(conversation: Conversation) -> None:
    longest = limits.CONVERSATION_TEXT_CODE_POINTS_MAX
    if not 1 <= len(conversation.conversation_id) <= longest:
        raise RequestInvalid(
            FieldViolation("conversation_id", f"A conversation_id has 1 to {longest} code points.")
        )
    if len(conversation.title) > longest:
        raise RequestInvalid(FieldViolation("title", f"A title has at most {longest} code points."))


def _moment(occurred_at_micros: int | None, now_micros: int) -> int:
    if occurred_at_micros is None:
        return now_micros
    if not 0 <= occurred_at_micros <= now_micros:
        raise RequestInvalid(FieldViolation("occurred_at", "occurred_at lies between 1970 and now."))
    return occurred_at_micros
