"""What an app may say about an event (R5), as plain values."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Link:
    """An absolute http or https URL with a host and no spaces; shown as a link."""

    url: str


@dataclass(frozen=True, slots=True)
class RichLink:
    """As Link; shown as its title, linked."""

    url: str
    title: str


@dataclass(frozen=True, slots=True)
class Image:
    """As Link; shown as the image it points to."""

    url: str


class StripeKind(enum.Enum):
    INVOICE = "INVOICE"
    CUSTOMER = "CUSTOMER"
    CHARGE = "CHARGE"


@dataclass(frozen=True, slots=True)
class Stripe:
    """An object in Stripe; shown as a link to its dashboard."""

    kind: StripeKind
    id: str


@dataclass(frozen=True, slots=True)
class Monetary:
    """`amount` in the currency's minor unit, `currency` an ISO 4217 code in any case."""

    amount: int
    currency: str


MetadataInput = str | int | float | bool | datetime | Link | RichLink | Image | Stripe | Monetary | None
"""None is ignored, booleans become the strings `true` and `false`, an aware datetime is a date."""

Metadata = Mapping[str, MetadataInput]
