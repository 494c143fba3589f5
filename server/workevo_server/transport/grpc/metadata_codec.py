"""Metadata between the wire and the domain: the eight types of R5, none judged here."""

from collections.abc import Iterable
from typing import assert_never

from google.protobuf.timestamp_pb2 import Timestamp as WireTimestamp

from workevo.tracking.v1 import event_pb2 as wire
from workevo_server.domain.metadata import (
    Date,
    Image,
    Link,
    MetadataEntry,
    MetadataItem,
    MetadataValue,
    Monetary,
    Number,
    RichLink,
    Stripe,
    StripeKind,
    Text,
)

_STRIPE_KINDS = {
    wire.Stripe.KIND_INVOICE: StripeKind.INVOICE,
    wire.Stripe.KIND_CUSTOMER: StripeKind.CUSTOMER,
    wire.Stripe.KIND_CHARGE: StripeKind.CHARGE,
}
_WIRE_STRIPE_KINDS = {kind: wire_kind for wire_kind, kind in _STRIPE_KINDS.items()}


def metadata_from_wire(wire_entries: Iterable[wire.MetadataEntry]) -> tuple[MetadataItem, ...]:
    """In the order sent, whose first keys are kept (R4)."""
    return tuple(MetadataItem(entry.key, _value_from_wire(entry)) for entry in wire_entries)


def entry_to_wire(entry: MetadataEntry) -> wire.MetadataEntry:
    """An admitted entry, for reading it back."""
    key, value = entry.key, entry.value
    match value:
        case Text():
            return wire.MetadataEntry(key=key, text=value.value)
        case Number():
            return _number_to_wire(key, value)
        case Date():
            return wire.MetadataEntry(key=key, date=WireTimestamp(seconds=value.seconds, nanos=value.nanos))
        case Link():
            return wire.MetadataEntry(key=key, link=value.url)
        case RichLink():
            return wire.MetadataEntry(key=key, rich_link=wire.RichLink(url=value.url, title=value.title))
        case Image():
            return wire.MetadataEntry(key=key, image=value.url)
        case Stripe():
            return wire.MetadataEntry(key=key, stripe=_stripe_to_wire(value))
        case Monetary():
            return wire.MetadataEntry(
                key=key, monetary=wire.Monetary(amount=value.amount, currency=value.currency)
            )
        case _:
            assert_never(value)


def _value_from_wire(wire_entry: wire.MetadataEntry) -> MetadataValue | None:
    """None when no value was sent, or one of a type that only a later release knows."""
    match wire_entry.WhichOneof("value"):
        case "text":
            return Text(wire_entry.text)
        case "number":
            return Number(wire_entry.number)
        case "integer":
            return Number(wire_entry.integer)
        case "date":
            return Date(wire_entry.date.seconds, wire_entry.date.nanos)
        case "link":
            return Link(wire_entry.link)
        case "rich_link":
            return RichLink(wire_entry.rich_link.url, wire_entry.rich_link.title)
        case "image":
            return Image(wire_entry.image)
        case "stripe":
            return Stripe(_STRIPE_KINDS.get(wire_entry.stripe.kind), wire_entry.stripe.id)
        case "monetary":
            return Monetary(wire_entry.monetary.amount, wire_entry.monetary.currency)
        case None:
            return None
        case unknown:
            assert_never(unknown)


def _number_to_wire(key: str, number: Number) -> wire.MetadataEntry:
    """R5 keeps both kinds exactly, so each goes back as it came."""
    if isinstance(number.value, int):
        return wire.MetadataEntry(key=key, integer=number.value)
    return wire.MetadataEntry(key=key, number=number.value)


def _stripe_to_wire(stripe: Stripe) -> wire.Stripe:
    kind = wire.Stripe.KIND_UNSPECIFIED if stripe.kind is None else _WIRE_STRIPE_KINDS[stripe.kind]
    return wire.Stripe(kind=kind, id=stripe.id)
