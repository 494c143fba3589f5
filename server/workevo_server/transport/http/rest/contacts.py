"""Contacts over REST: made, described, merged, deleted, each found by its id (R16, R29, R32)."""

import uuid
from dataclasses import dataclass

from starlette.responses import Response

from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.workspace import KeyCharset
from workevo_server.ports.audit import Author
from workevo_server.ports.key_ring import KeyRing
from workevo_server.ports.people import Contact, ContactFinder, ContactRef
from workevo_server.services.contacts import Contacts
from workevo_server.services.people import People
from workevo_server.transport.http.guard import HttpCall
from workevo_server.transport.http.refusals import HttpRefusal
from workevo_server.transport.http.rest import contact_codec as codec
from workevo_server.transport.http.rest import shapes
from workevo_server.transport.http.rest.operations import Operation, json_answer
from workevo_server.transport.http.rest.requests import body_of, query_of
from workevo_server.transport.receipt import Receipt

_TAG = "Contacts"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsApi:
    contacts: Contacts
    people: People
    finder: ContactFinder
    key_ring: KeyRing
    receipt: Receipt

    def operations(self) -> list[Operation]:
        def operation(method: str, path: str, operation_id: str, summary: str, **more: object) -> Operation:
            return Operation(
                method=method,
                path=path,
                operation_id=operation_id,
                summary=summary,
                tag=_TAG,
                **{"result": shapes.Contact} | more,  # type: ignore[arg-type]
            )

        return [
            operation(
                "POST",
                "/contacts",
                "createContact",
                "Make a user or a lead.",
                answer=self._create,
                body=shapes.NewContact,
                refusals=(409,),
            ),
            operation(
                "POST",
                "/contacts/merge",
                "mergeContacts",
                "Make a visitor or lead part of a contact that is known better.",
                answer=self._merge,
                body=shapes.ContactMerge,
                refusals=(404, 409),
            ),
            operation(
                "POST",
                "/visitors/convert",
                "convertVisitor",
                "A visitor has logged in, or become a lead.",
                answer=self._convert,
                body=shapes.VisitorConversion,
                refusals=(404, 409),
            ),
            operation(
                "GET",
                "/visitors",
                "getVisitor",
                "The contact of a visitor's id.",
                answer=self._visitor,
                query=shapes.VisitorQuery,
                refusals=(404,),
            ),
            operation(
                "GET",
                "/contacts/find_by_external_id/{external_id:path}",
                "findContactByExternalId",
                "The user of an id of your own.",
                answer=self._by_external_id,
                refusals=(404,),
            ),
            operation(
                "GET",
                "/contacts/{id}",
                "getContact",
                "A contact; one that was merged is the one it was merged into.",
                answer=self._get,
                refusals=(404,),
            ),
            operation(
                "PUT",
                "/contacts/{id}",
                "updateContact",
                "Add to what is known of a contact; a lead becomes a user by its role and external_id.",
                answer=self._update,
                body=shapes.NewContact,
                refusals=(404, 409),
            ),
            operation(
                "DELETE",
                "/contacts/{id}",
                "deleteContact",
                "Erase a contact with its events, for good (R32).",
                answer=self._delete,
                query=shapes.Deletion,
                result=shapes.DeletedContact,
                refusals=(404,),
            ),
        ]

    async def _create(self, call: HttpCall) -> Response:
        told = body_of(call, shapes.NewContact)
        if told.role == "lead":
            return await self._create_lead(call, told)
        user_id = told.external_id or (codec.email_ref(told.email).email if told.email else None)
        if not user_id:
            raise RequestInvalid(FieldViolation("external_id", "A user has an external_id or an email."))
        taken = [codec.user_ref(user_id), *([codec.email_ref(told.email)] if told.email else [])]
        for ref in taken:
            await self._refuse_known(call, ref)
        return await self._made_user(call, codec.user_ref(user_id), user_id, told)

    async def _create_lead(self, call: HttpCall, told: shapes.NewContact) -> Response:
        ref = codec.visitor_ref(told.external_id or uuid.uuid4().hex)
        if told.external_id:
            await self._refuse_known(call, ref)
        lead = await self.contacts.make_lead(
            call.principal.workspace_id,
            ref,
            occurred_at_micros=None,
            author=self._author(call),
            email=told.email or "",
            attributes=codec.attributes_of(told),
            charset=self._charset(call),
        )
        return _answer(lead, call.principal.workspace_id)

    async def _update(self, call: HttpCall) -> Response:
        told, ref = body_of(call, shapes.NewContact), _ref_in_path(call)
        contact = await self.people.contact(call.principal.workspace_id, ref)
        if told.role == "user" and contact.kind is not ContactKind.USER:
            user_id = told.external_id or (codec.email_ref(told.email).email if told.email else None)
            if not user_id:
                raise RequestInvalid(FieldViolation("external_id", "A user has an external_id or an email."))
            return await self._made_user(call, ref, user_id, told)
        if told.external_id and told.external_id != codec.external_id_of(contact):
            raise HttpRefusal(
                409, "conflict", "A contact's external_id does not change.", field="external_id"
            )
        described = await self.contacts.describe(
            call.principal.workspace_id,
            ref,
            email=told.email or "",
            attributes=codec.attributes_of(told),
            charset=self._charset(call),
        )
        return _answer(described, call.principal.workspace_id)

    async def _made_user(
        self, call: HttpCall, ref: ContactRef, user_id: str, told: shapes.NewContact
    ) -> Response:
        """Made and described at once, so that a request that is refused has made nobody."""
        user = await self.contacts.make_user(
            call.principal.workspace_id,
            ref,
            user_id=user_id,
            email=told.email or "",
            attributes=codec.attributes_of(told),
            charset=self._charset(call),
            occurred_at_micros=None,
            author=self._author(call),
        )
        return _answer(user, call.principal.workspace_id)

    def _charset(self, call: HttpCall) -> KeyCharset:
        return self.key_ring.settings(call.principal.workspace_id).key_charset

    async def _refuse_known(self, call: HttpCall, ref: ContactRef) -> None:
        """Two who make the same one at once may both be answered with it, which harms nobody."""
        known = await self.finder.contact(call.principal.workspace_id, ref)
        if known is not None:
            raise HttpRefusal(
                409,
                "conflict",
                f"A contact matching those details already exists with id={known.contact_id}.",
                field="email" if ref.email is not None else "external_id",
            )

    async def _get(self, call: HttpCall) -> Response:
        return await self._found(call, _ref_in_path(call))

    async def _by_external_id(self, call: HttpCall) -> Response:
        external_id: str = call.request.path_params["external_id"]
        return await self._found(call, codec.user_ref(external_id))

    async def _visitor(self, call: HttpCall) -> Response:
        return await self._found(call, codec.visitor_ref(query_of(call, shapes.VisitorQuery).user_id))

    async def _found(self, call: HttpCall, ref: ContactRef) -> Response:
        workspace_id = call.principal.workspace_id
        return _answer(await self.people.contact(workspace_id, ref), workspace_id)

    async def _delete(self, call: HttpCall) -> Response:
        query, ref = query_of(call, shapes.Deletion), _ref_in_path(call)
        workspace_id = call.principal.workspace_id
        contact = await self.people.contact(workspace_id, ref)
        await self.contacts.delete(workspace_id, ref, suppress=query.suppress, author=self._author(call))
        return json_answer(
            shapes.DeletedContact(id=contact.contact_id, external_id=codec.external_id_of(contact))
        )

    async def _merge(self, call: HttpCall) -> Response:
        told = body_of(call, shapes.ContactMerge)
        merged = await self.contacts.merge(
            call.principal.workspace_id,
            codec.ref_of_id(told.source),
            codec.ref_of_id(told.into),
            preview=False,
            author=self._author(call),
        )
        return _answer(merged.contact, call.principal.workspace_id)

    async def _convert(self, call: HttpCall) -> Response:
        told = body_of(call, shapes.VisitorConversion)
        workspace_id, visitor = call.principal.workspace_id, _visitor_ref(told.visitor)
        await self.people.contact(workspace_id, visitor)
        if told.type == "lead":
            lead = await self.contacts.make_lead(
                workspace_id, visitor, occurred_at_micros=None, author=self._author(call)
            )
            return _answer(lead, workspace_id)
        user_id, email = await self._user_named(workspace_id, told.user or shapes.UserNamed())
        return await self._made_user(call, visitor, user_id, shapes.NewContact(email=email))

    async def _user_named(self, workspace_id: WorkspaceId, user: shapes.UserNamed) -> tuple[str, str]:
        """The user's own id and the address to give it; one that is named by our id is known already."""
        if user.user_id:
            return user.user_id, user.email or ""
        ref = codec.ref_of_id(user.id) if user.id else codec.email_ref(user.email) if user.email else None
        if ref is None:
            raise RequestInvalid(FieldViolation("user", "Name the user by user_id, id or email."))
        known = await self.finder.contact(workspace_id, ref)
        if known is not None and known.user_id:
            return known.user_id, ""
        if user.email:
            return codec.email_ref(user.email).email or "", user.email
        raise RequestInvalid(FieldViolation("user.id", "There is no user with this id; name it by user_id."))

    def _author(self, call: HttpCall) -> Author:
        return Author(made_by=call.principal.key_prefix, made_at_micros=self.receipt(call.headers))


def _ref_in_path(call: HttpCall) -> ContactRef:
    contact_id: str = call.request.path_params["id"]
    return codec.ref_of_id(contact_id)


def _visitor_ref(visitor: shapes.VisitorNamed) -> ContactRef:
    if visitor.user_id:
        return codec.visitor_ref(visitor.user_id)
    if visitor.id:
        return codec.ref_of_id(visitor.id)
    raise RequestInvalid(FieldViolation("visitor", "Name the visitor by user_id or id."))


def _answer(contact: Contact, workspace_id: WorkspaceId) -> Response:
    return json_answer(codec.contact_to_json(contact, workspace_id))
