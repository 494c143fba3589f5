"""Contacts and what they did, between the wire and the domain."""

from typing import TypeAlias, assert_never

from workevo.insight.v1 import people_pb2 as wire
from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import ContactId, WorkspaceId
from workevo_server.domain.naming import display_name
from workevo_server.ports.people import (
    ActivityKind,
    Contact,
    ContactFilter,
    ContactRef,
    EventSummary,
    Merge,
    StoredActivity,
    StoredEvent,
)
from workevo_server.transport.activity_ids import activity_id
from workevo_server.transport.grpc.metadata_codec import entry_to_wire
from workevo_server.transport.grpc.time_codec import micros_to_wire

_KIND_PREFIX = "CONTACT_KIND_"


WireContactRequest: TypeAlias = (
    wire.GetContactRequest
    | wire.GetEventSummaryRequest
    | wire.ListActivitiesRequest
    | wire.ListMergesRequest
    | wire.ConvertContactRequest
    | wire.RecordConversationRequest
    | wire.MergeContactsRequest
    | wire.DeleteContactRequest
)
"""Every request that names one contact."""


def contact_ref_from_wire(wire_request: WireContactRequest) -> ContactRef:
    """Raises RequestInvalid unless one id is given."""
    which = wire_request.WhichOneof("contact")
    if which is None:
        raise RequestInvalid(FieldViolation("contact", "Name the contact by one of its ids."))
    return _ref(which, getattr(wire_request, which))


def into_ref_from_wire(wire_request: wire.MergeContactsRequest) -> ContactRef:
    """Raises RequestInvalid unless one id is given."""
    which = wire_request.WhichOneof("into")
    if which is None:
        raise RequestInvalid(FieldViolation("into", "Name the contact to merge into by one of its ids."))
    return _ref(which.removeprefix("into_"), getattr(wire_request, which))


def _ref(field: str, value: str) -> ContactRef:
    match field:
        case "contact_id":
            return ContactRef(contact_id=ContactId(value))
        case "email":
            return ContactRef(email=value.strip().lower())
        case "user_id":
            return ContactRef(user_id=value)
    return ContactRef(visitor_id=value)


def contact_filter_from_wire(wire_request: wire.ListContactsRequest) -> ContactFilter:
    """Empty ids narrow nothing."""
    kind = kind_from_wire(wire_request.kind, field="kind")
    return ContactFilter(
        kinds=(kind,) if kind is not None else (),
        email=wire_request.email.strip().lower() or None,
        user_id=wire_request.user_id or None,
        visitor_id=wire_request.visitor_id or None,
    )


def kind_from_wire(wire_kind: "wire.ContactKind.ValueType", *, field: str) -> ContactKind | None:
    """None for any. A kind of a later release is refused: it would list what nobody asked for."""
    if wire_kind not in wire.ContactKind.values():
        raise RequestInvalid(FieldViolation(field, "This server knows no such kind."))
    if wire_kind == wire.CONTACT_KIND_UNSPECIFIED:
        return None
    return ContactKind[wire.ContactKind.Name(wire_kind).removeprefix(_KIND_PREFIX)]


def contact_to_wire(contact: Contact) -> wire.Contact:
    first_contact = contact.first_contact_micros
    return wire.Contact(
        contact_id=contact.contact_id,
        kind=kind_to_wire(contact.kind),
        user_id=contact.user_id,
        visitor_ids=contact.visitor_ids,
        email=contact.email,
        created_at=micros_to_wire(contact.created_at_micros),
        first_contact_at=micros_to_wire(first_contact) if first_contact is not None else None,
        attributes=[entry_to_wire(entry) for entry in contact.attributes],
    )


def kind_to_wire(kind: ContactKind) -> "wire.ContactKind.ValueType":
    return wire.ContactKind.Value(f"{_KIND_PREFIX}{kind.name}")


def merge_to_wire(merge: Merge) -> wire.Merge:
    split_at = merge.split_at_micros
    return wire.Merge(
        merge_id=merge.merge_id,
        contact_id=merge.contact_id,
        user_id=merge.user_id,
        visitor_id=merge.visitor_id,
        into_contact_id=merge.into_contact_id,
        merged_by=wire.MergedBy.Value(f"MERGED_BY_{merge.merged_by.name}"),
        occurred_at=micros_to_wire(merge.occurred_at_micros),
        split_at=micros_to_wire(split_at) if split_at is not None else None,
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


def activity_to_wire(entry: StoredEvent | StoredActivity, *, workspace_id: WorkspaceId) -> wire.Activity:
    wire_activity = wire.Activity(
        activity_id=activity_id(entry.receipt_no, workspace_id),
        occurred_at=micros_to_wire(entry.occurred_at_micros),
    )
    if isinstance(entry, StoredEvent):
        wire_activity.event.CopyFrom(_event_to_wire(entry))
        return wire_activity
    match entry.kind:
        case ActivityKind.FIRST_CONTACT:
            wire_activity.first_contact.SetInParent()
        case ActivityKind.CONVERSATION:
            wire_activity.conversation.conversation_id = entry.conversation_id
            wire_activity.conversation.title = entry.title
        case ActivityKind.CONVERSION:
            if entry.from_kind is not None:
                wire_activity.conversion.from_kind = kind_to_wire(entry.from_kind)
            wire_activity.conversion.merge_id = entry.merge_id
        case _:
            assert_never(entry.kind)
    return wire_activity


def _event_to_wire(event: StoredEvent) -> wire.EventActivity:
    return wire.EventActivity(
        name=event.name,
        display_name=display_name(event.name),
        description=event.description,
        contact_kind=kind_to_wire(event.contact_kind),
        created_at=micros_to_wire(event.created_at_micros),
        received_at=micros_to_wire(event.received_at_micros),
        clock_method=wire.ClockMethod.Value(f"CLOCK_METHOD_{event.clock_method.name}"),
        metadata=[entry_to_wire(entry) for entry in event.metadata],
        install_id=event.install_id or "",
        epoch=event.epoch,
        sequence=event.sequence,
    )
