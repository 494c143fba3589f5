"""What a device or a back end sent, judged or not, as text that a page can show."""

from typing import assert_never

from workevo_server.domain import currencies, timestamps
from workevo_server.domain.events import ContactClaim, JsonTime, WireTime
from workevo_server.domain.metadata import (
    Date,
    Image,
    Link,
    MetadataItem,
    MetadataValue,
    Monetary,
    Number,
    RichLink,
    Stripe,
    Text,
)
from workevo_server.domain.verdicts import Refusal

_MICROS = 1_000_000
_VALUE_CHARACTERS_MAX = 2_048  # The longest value that can be right is a link of as many.


def created_at_micros(sent: WireTime | JsonTime | None, *, received_at_micros: int) -> int | None:
    """The time that was meant (R3); None for one that means none, or was not sent."""
    if sent is None:
        return None
    micros = timestamps.created_at_of(sent, received_at_micros=received_at_micros)
    return None if isinstance(micros, Refusal) else micros


def time_text(sent: WireTime | JsonTime | None) -> str:
    """A time that means none, in the numbers it was sent in."""
    match sent:
        case None:
            return "not sent"
        case WireTime(seconds=seconds, nanos=nanos):
            return f"{seconds} s and {nanos} ns"
        case JsonTime(value=value):
            return "not sent" if value is None else _cut(str(value))
        case _:
            assert_never(sent)


def person_text(claim: ContactClaim) -> str:
    """By whichever id it was named; empty when nobody was."""
    return claim.user_id or claim.visitor_id or claim.email or claim.contact_id or ""


def item_text(item: MetadataItem) -> str:
    match item.value:
        case None:
            return "null"
        case Refusal(message=message):
            return f"no value that fits: {message}"
        case value:
            return value_text(value)


def value_text(value: MetadataValue) -> str:
    """In one line; typed rendering is the timeline's."""
    match value:
        case Text(text):
            return _cut(text)
        case Number(number):
            return str(number)
        case Date(seconds, nanos):
            return f"{seconds}.{nanos:09d} s since 1970" if nanos else f"{seconds} s since 1970"
        case Link(url) | Image(url):
            return _cut(url)
        case RichLink(url, title):
            return f"{_cut(title)} ({_cut(url)})"
        case Stripe(kind, id):
            return f"Stripe {kind.value.lower() if kind is not None else 'of no known kind'} {_cut(id)}"
        case Monetary(amount, currency):
            return money_text(amount, currency)
        case _:
            assert_never(value)


def money_text(amount: int, currency: str) -> str:
    """In its currency's own number of decimals (R5); in minor units where the currency is unknown."""
    decimals = currencies.MINOR_UNIT_DECIMALS.get(currency.upper())
    if decimals is None:
        return f"{amount} in minor units of {_cut(currency)}"
    sign, digits = "-" if amount < 0 else "", f"{abs(amount):0{decimals + 1}d}"
    whole, part = (digits[:-decimals], "." + digits[-decimals:]) if decimals else (digits, "")
    return f"{sign}{whole}{part} {currency.upper()}"


def _cut(text: str) -> str:
    return text if len(text) <= _VALUE_CHARACTERS_MAX else text[:_VALUE_CHARACTERS_MAX] + "…"
