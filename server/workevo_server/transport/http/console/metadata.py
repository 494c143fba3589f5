"""How what came with an event reads on a page, by its type (R5). Nothing here is fetched from anybody."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlsplit

from workevo_server.domain.currencies import MINOR_UNIT_DECIMALS
from workevo_server.domain.links import is_link
from workevo_server.domain.metadata import MetadataValue, Monetary, Stripe, StripeKind

_STRIPE = "https://dashboard.stripe.com"
_STRIPE_PATHS = {
    StripeKind.INVOICE: "invoices",
    StripeKind.CUSTOMER: "customers",
    StripeKind.CHARGE: "payments",
}
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
"""What a policy takes as the name of a host: nothing that would end it, or stand for many."""


def type_of(value: MetadataValue) -> str:
    """By which the template chooses: text, number, date, link, richlink, image, stripe, monetary."""
    return type(value).__name__.lower()


_TYPE_WORDS = {"richlink": "rich link", "monetary": "money"}


def type_word(kind: type[MetadataValue]) -> str:
    """What people call a type of value."""
    name = kind.__name__.lower()
    return _TYPE_WORDS.get(name, name)


def amount(money: Monetary) -> str:
    """In the currency's main unit, exactly: 2999 US cents are 29.99, and 2999 yen are 2999."""
    return f"{Decimal(money.amount).scaleb(-decimals(money)):f}"


def decimals(money: Monetary) -> int:
    return MINOR_UNIT_DECIMALS.get(money.currency, 0)


def stripe_address(value: Stripe) -> str:
    """The page of Stripe's dashboard; empty for a kind that it has none for."""
    path = _STRIPE_PATHS.get(value.kind) if value.kind is not None else None
    return f"{_STRIPE}/{path}/{quote(value.id, safe='')}" if path else ""


def host(url: str) -> str:
    """Where a link leads; empty where a browser may read another host out of it than we do."""
    origin = image_origin(url)
    return origin.partition("://")[2] if "\\" not in url else ""


def image_origin(url: str) -> str:
    """The origin by which a policy allows an image of this address, and nothing beside it; else empty.

    A host may be sent as `*`, or with a semicolon in it, and would then write the policy.
    """
    if not is_link(url):
        return ""
    parts = urlsplit(url)
    try:
        name = (parts.hostname or "").encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    if not _HOST.fullmatch(name):
        return ""
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme.lower()}://{name}{port}"


FILTERS: Mapping[str, Callable[..., Any]] = {
    "type_of": type_of,
    "type_word": type_word,
    "amount": amount,
    "decimals": decimals,
    "stripe_address": stripe_address,
    "host": host,
    "image_origin": image_origin,
    "is_link": is_link,
}
