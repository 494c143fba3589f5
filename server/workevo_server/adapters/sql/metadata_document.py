"""Metadata as one JSON document that SQL can read, order and NUL kept (R1, R4).

Strings and numbers stand as themselves, every other type as an object with its
type's name as the only key: {"source": "desktop", "price": {"monetary": {"amount":
2999, "currency": "USD"}}}. Only ASCII is written, so that NUL travels as an escape.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from workevo_server.domain.metadata import (
    Date,
    Image,
    Link,
    MetadataEntry,
    MetadataValue,
    Monetary,
    Number,
    RichLink,
    Stripe,
    StripeKind,
    Text,
)


def encode(entries: Sequence[MetadataEntry]) -> str:
    return json.dumps({entry.key: _plain(entry.value) for entry in entries}, separators=(",", ":"))


def decode(document: str) -> tuple[MetadataEntry, ...]:
    plain: dict[str, Any] = json.loads(document)
    return tuple(MetadataEntry(key, _value(found)) for key, found in plain.items())


def _plain(value: MetadataValue) -> object:
    match value:
        case Text():
            return value.value
        case Number():
            return value.value
        case Date():
            return {"date": value.seconds}
        case Link():
            return {"link": value.url}
        case RichLink():
            return {"rich_link": {"url": value.url, "title": value.title}}
        case Image():
            return {"image": value.url}
        case Stripe():
            return {"stripe": {"kind": value.kind.value if value.kind else None, "id": value.id}}
        case Monetary():
            return {"monetary": {"amount": value.amount, "currency": value.currency}}
        case _:
            assert_never(value)


def _value(plain: object) -> MetadataValue:
    if isinstance(plain, str):
        return Text(plain)
    if isinstance(plain, int | float):
        return Number(plain)
    assert isinstance(plain, Mapping)
    ((type_name, content),) = plain.items()
    match type_name:
        case "date":
            return Date(content)
        case "link":
            return Link(content)
        case "image":
            return Image(content)
        case "rich_link":
            return RichLink(content["url"], content["title"])
        case "stripe":
            return Stripe(StripeKind(content["kind"]), content["id"])
        case "monetary":
            return Monetary(content["amount"], content["currency"])
        case _:
            raise ValueError(f"unknown metadata type {type_name!r} in the store")
