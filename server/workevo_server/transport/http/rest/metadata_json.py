"""Metadata as R5's column for JSON has it, so that what was read can be sent again."""

from collections.abc import Sequence
from typing import assert_never

from workevo_server.domain.links import is_image_link
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
    Text,
)


def metadata_to_json(entries: Sequence[MetadataEntry]) -> dict[str, object]:
    return {entry.key: value_to_json(entry.value) for entry in entries}


def value_to_json(value: MetadataValue) -> object:
    match value:
        case Text(text):
            return text
        case Number(number):
            return number
        case Date(seconds):
            return seconds
        case Link(url):
            return url
        case Image(url):
            return url if is_image_link(url) else {"image": url}
        case RichLink(url, title):
            return {"url": url, "value": title}
        case Stripe(_, id):
            return id
        case Monetary(amount, currency):
            return {"amount": amount, "currency": currency.lower()}
        case _:
            assert_never(value)
