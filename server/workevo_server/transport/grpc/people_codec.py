"""Contacts and what they did, between the wire and the domain."""

import hashlib

from workevo.insight.v1 import people_pb2 as wire
from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.identifiers import ContactId, WorkspaceId
from workevo_server.domain.naming import display_name
from workevo_server.ports.people import Contact, ContactRef, EventSummary, StoredEvent
from workevo_server.transport.grpc.metadata_codec import entry_to_wire
from workevo_server.transport.grpc.time_codec import micros_to_wire

_ACTIVITY_ID_BYTES = 16


def contact_ref_from_wire(
    wire_request: wire.GetEventSummaryRequest | wire.ListActivitiesRequest,
) -> ContactRef:
    """Raises RequestInvalid unless one id is given."""
    match wire_request.WhichOneof("contact"):
        case "contact_id":
            return ContactRef(contact_id=ContactId(wire_request.contact_id))
        case "user_id":
            return ContactRef(user_id=wire_request.user_id)
        case "visitor_id":
            return ContactRef(visitor_id=wire_request.visitor_id)
    raise RequestInvalid(FieldViolation("contact", "Name the contact by contact_id, user_id or visitor_id."))


def contact_to_wire(contact: Contact) -> wire.Contact:
    return wire.Contact(
        contact_id=contact.contact_id,
        kind=wire.ContactKind.Value(f"CONTACT_KIND_{contact.kind.name}"),
        user_id=contact.user_id,
        visitor_ids=contact.visitor_ids,
    )


def summary_to_wire(summary: EventSummary) -> wire.EventSummary:
    return wire.EventSummary(
        name=summary.name,
        display_name=display_name(summary.name),
        description=summary.description,
        count=summary.count,
        first_occurred_at=micros_to_wire(summary.first_occurred_at_micros),
        last_occurred_at=micros_to_wire(summary.last_occurred_at_micros),
    )


def activity_to_wire(event: StoredEvent, *, workspace_id: WorkspaceId) -> wire.Activity:
    return wire.Activity(
        activity_id=_activity_id(event, workspace_id),
        occurred_at=micros_to_wire(event.occurred_at_micros),
        event=wire.EventActivity(
            name=event.name,
            display_name=display_name(event.name),
            description=event.description,
            contact_kind=wire.ContactKind.Value(f"CONTACT_KIND_{event.contact_kind.name}"),
            created_at=micros_to_wire(event.created_at_micros),
            received_at=micros_to_wire(event.received_at_micros),
            clock_method=wire.ClockMethod.Value(f"CLOCK_METHOD_{event.clock_method.name}"),
            metadata=[entry_to_wire(entry) for entry in event.metadata],
            install_id=event.install_id or "",
            epoch=event.epoch,
            sequence=event.sequence,
        ),
    )


def _activity_id(event: StoredEvent, workspace_id: WorkspaceId) -> str:
    """The number itself counts the receipts of all workspaces, which is nobody's to see."""
    named = f"{workspace_id}/{event.receipt_no}".encode()
    return hashlib.blake2b(named, digest_size=_ACTIVITY_ID_BYTES).hexdigest()
