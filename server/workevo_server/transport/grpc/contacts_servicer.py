"""The methods of PeopleService that change who people are."""

from dataclasses import dataclass

from workevo.insight.v1 import people_pb2 as wire
from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.ports.audit import Author
from workevo_server.ports.contact_store import Conversation
from workevo_server.ports.key_ring import KeyKind
from workevo_server.services.contacts import Contacts
from workevo_server.transport.grpc.people_codec import (
    contact_ref_from_wire,
    contact_to_wire,
    into_ref_from_wire,
)
from workevo_server.transport.grpc.time_codec import moment_from_wire
from workevo_server.transport.grpc.wire_parse import parse_request
from workevo_server.transport.receipt import Receipt
from workevo_server.transport.reception import Call, Method

_BACK_ENDS = frozenset({KeyKind.SERVER, KeyKind.ADMIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsServicer:
    contacts: Contacts
    receipt: Receipt

    def methods(self) -> dict[str, Method]:
        return {
            "ConvertContact": Method(permitted=_BACK_ENDS, answer=self._convert_contact),
            "RecordConversation": Method(permitted=_BACK_ENDS, answer=self._record_conversation),
            "MergeContacts": Method(permitted=_BACK_ENDS, answer=self._merge_contacts),
            "SplitContact": Method(permitted=_BACK_ENDS, answer=self._split_contact),
            "DeleteContact": Method(permitted=_BACK_ENDS, answer=self._delete_contact),
        }

    async def _convert_contact(self, call: Call) -> bytes:
        wire_request = parse_request(wire.ConvertContactRequest, call.body)
        workspace_id, ref = call.principal.workspace_id, contact_ref_from_wire(wire_request)
        occurred_at = _occurred_at(wire_request)
        author = self._author(call)
        match wire_request.WhichOneof("to"):
            case "user_id":
                contact = await self.contacts.make_user(
                    workspace_id,
                    ref,
                    user_id=wire_request.user_id,
                    email=wire_request.email,
                    occurred_at_micros=occurred_at,
                    author=author,
                )
            case "first_contact":
                contact = await self.contacts.make_lead(
                    workspace_id, ref, occurred_at_micros=occurred_at, author=author
                )
            case _:
                raise RequestInvalid(
                    FieldViolation("to", "Say what it has become: user_id or first_contact.")
                )
        return wire.ConvertContactResponse(contact=contact_to_wire(contact)).SerializeToString()

    async def _record_conversation(self, call: Call) -> bytes:
        wire_request = parse_request(wire.RecordConversationRequest, call.body)
        contact = await self.contacts.record_conversation(
            call.principal.workspace_id,
            contact_ref_from_wire(wire_request),
            Conversation(conversation_id=wire_request.conversation_id, title=wire_request.title),
            occurred_at_micros=_occurred_at(wire_request),
            now_micros=self.receipt(call.metadata),
        )
        return wire.RecordConversationResponse(contact=contact_to_wire(contact)).SerializeToString()

    async def _merge_contacts(self, call: Call) -> bytes:
        wire_request = parse_request(wire.MergeContactsRequest, call.body)
        merged = await self.contacts.merge(
            call.principal.workspace_id,
            contact_ref_from_wire(wire_request),
            into_ref_from_wire(wire_request),
            preview=wire_request.validate_only,
            author=self._author(call),
        )
        return wire.MergeContactsResponse(
            contact=contact_to_wire(merged.contact),
            merged=contact_to_wire(merged.merged),
            event_count=merged.joining.event_count,
            event_name_count=merged.joining.event_name_count,
            merge_id=merged.joining.merge_id,
        ).SerializeToString()

    async def _split_contact(self, call: Call) -> bytes:
        wire_request = parse_request(wire.SplitContactRequest, call.body)
        contact, remaining = await self.contacts.split(
            call.principal.workspace_id, wire_request.merge_id, author=self._author(call)
        )
        return wire.SplitContactResponse(
            contact=contact_to_wire(contact), remaining=contact_to_wire(remaining)
        ).SerializeToString()

    async def _delete_contact(self, call: Call) -> bytes:
        wire_request = parse_request(wire.DeleteContactRequest, call.body)
        receipt = await self.contacts.delete(
            call.principal.workspace_id,
            contact_ref_from_wire(wire_request),
            suppress=wire_request.suppress,
            author=self._author(call),
        )
        return wire.DeleteContactResponse(
            contact_count=receipt.contact_count,
            event_count=receipt.event_count,
            failed_event_count=receipt.failed_event_count,
            activity_count=receipt.activity_count,
        ).SerializeToString()

    def _author(self, call: Call) -> Author:
        return Author(made_by=call.principal.key_prefix, made_at_micros=self.receipt(call.metadata))


def _occurred_at(wire_request: wire.ConvertContactRequest | wire.RecordConversationRequest) -> int | None:
    return moment_from_wire(wire_request.occurred_at) if wire_request.HasField("occurred_at") else None
