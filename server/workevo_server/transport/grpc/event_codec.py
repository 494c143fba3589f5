"""An event from the wire into the domain; what is still the wire's wears its prefix."""

from google.protobuf.message import DecodeError

from workevo.tracking.v1 import event_pb2 as wire
from workevo_server.domain.events import ContactClaim, ReceivedEvent
from workevo_server.domain.limits import EVENT_BYTES_MAX
from workevo_server.domain.verdicts import Reason, Refusal
from workevo_server.transport.grpc.metadata_codec import metadata_from_wire
from workevo_server.transport.grpc.time_codec import boot_id_from_wire, time_from_wire
from workevo_server.transport.grpc.wire_walk import salvage_sequence

_TOO_LARGE = Refusal(
    reason=Reason.EVENT_TOO_LARGE, message=f"A serialized event has at most {EVENT_BYTES_MAX} bytes."
)
_MALFORMED = Refusal(
    reason=Reason.EVENT_MALFORMED,
    message="The event's bytes are no event: truncated, bad UTF-8 in a string, or nested too deeply.",
)


def event_from_wire(index: int, raw: bytes) -> ReceivedEvent:
    """Read one event; one that cannot be read comes back with its refusal and the sequence it had."""
    if len(raw) > EVENT_BYTES_MAX:
        return _unread(index, raw, _TOO_LARGE)
    try:
        wire_event = wire.Event.FromString(raw)
    except DecodeError:
        return _unread(index, raw, _MALFORMED)
    return ReceivedEvent(
        index=index,
        sequence=wire_event.sequence,
        raw=raw,
        name=wire_event.name,
        created_at=time_from_wire(wire_event.created_at) if wire_event.HasField("created_at") else None,
        contact=_contact_from_wire(wire_event),
        metadata=metadata_from_wire(wire_event.metadata),
        uptime_millis=wire_event.uptime_millis if wire_event.HasField("uptime_millis") else None,
        boot_id=boot_id_from_wire(wire_event.boot_id),
    )


def _unread(index: int, raw: bytes, refusal: Refusal) -> ReceivedEvent:
    return ReceivedEvent(index=index, sequence=salvage_sequence(raw), raw=raw, refusal=refusal)


def _contact_from_wire(wire_event: wire.Event) -> ContactClaim:
    which = wire_event.WhichOneof("contact")
    if which == "user_id":
        return ContactClaim(user_id=wire_event.user_id)
    if which == "visitor_id":
        return ContactClaim(visitor_id=wire_event.visitor_id)
    return ContactClaim()
