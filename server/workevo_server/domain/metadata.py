"""Metadata of an event: which keys are kept (R4) and what their values may be (R5)."""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from workevo_server.domain import currencies, unix_time
from workevo_server.domain.identifiers import NameKey
from workevo_server.domain.limits import (
    ID_CODE_POINTS_MAX,
    LINK_CODE_POINTS_MAX,
    METADATA_KEY_CODE_POINTS_MAX,
    METADATA_TEXT_CODE_POINTS_MAX,
)
from workevo_server.domain.links import is_image_link, is_link
from workevo_server.domain.naming import is_well_formed, judge_key, name_key, reportable
from workevo_server.domain.verdicts import Reason, Refusal
from workevo_server.domain.workspace import KeyCharset


class StripeKind(enum.Enum):
    INVOICE = "INVOICE"
    CUSTOMER = "CUSTOMER"
    CHARGE = "CHARGE"


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True)
class Number:
    """A double or an int64; the type of `value` says which and both are kept exactly."""

    value: float | int


@dataclass(frozen=True, slots=True)
class Date:
    """As sent; once admitted `nanos` is 0 and `seconds` rounded (R3)."""

    seconds: int
    nanos: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    url: str


@dataclass(frozen=True, slots=True)
class RichLink:
    url: str
    title: str


@dataclass(frozen=True, slots=True)
class Image:
    url: str


@dataclass(frozen=True, slots=True)
class Stripe:
    kind: StripeKind | None
    """None when the device sent no kind, or one this server does not know."""
    id: str


@dataclass(frozen=True, slots=True)
class Monetary:
    """`amount` in the currency's minor unit; `currency` in upper case once admitted."""

    amount: int
    currency: str


MetadataValue = Text | Number | Date | Link | RichLink | Image | Stripe | Monetary


@dataclass(frozen=True, slots=True)
class MetadataItem:
    """A key with what was sent under it; None is null, a Refusal is JSON that fits no type."""

    key: str
    value: MetadataValue | Refusal | None


@dataclass(frozen=True, slots=True)
class MetadataEntry:
    """A key and a value that were admitted."""

    key: str
    value: MetadataValue


@dataclass(frozen=True, slots=True)
class Admitted:
    """What is kept of an event's metadata, in the order sent."""

    entries: tuple[MetadataEntry, ...]
    dropped_keys: tuple[str, ...]
    """Keys beyond the limit, each once as first spelled: for METADATA_KEYS_DROPPED."""


_INT64 = range(-(2**63), 2**63)
_STRIPE_KEYS = {
    "stripe_invoice": StripeKind.INVOICE,
    "stripe_customer": StripeKind.CUSTOMER,
    "stripe_charge": StripeKind.CHARGE,
}
_DATE_SUFFIXES = ("_date", "_at")
_LINK_SENTENCE = (
    "A link is an absolute http or https URL with a host and no spaces, "
    f"at most {LINK_CODE_POINTS_MAX} code points."
)
_SENTENCES: dict[type[MetadataValue], str] = {
    Text: f"A string has at most {METADATA_TEXT_CODE_POINTS_MAX} code points.",
    Number: "A number is finite, an integer within 64 bits.",
    Date: "A date lies in the years 1970 to 9999, its nanos in 0 to 999,999,999.",
    Link: _LINK_SENTENCE,
    RichLink: f"{_LINK_SENTENCE} Its title has 1 to {ID_CODE_POINTS_MAX}.",
    Image: _LINK_SENTENCE,
    Stripe: f"A Stripe object has a kind and an id of 1 to {ID_CODE_POINTS_MAX} code points.",
    Monetary: "An amount is a 64-bit integer in minor units, its currency an active code of ISO 4217.",
}
_NO_TYPE_SENTENCE = (
    "A value is a string, a number, a boolean, {url, value}, {image} or {amount, currency}; "
    "nothing else is nested."
)


def admit(items: Sequence[MetadataItem], *, keys_max: int, charset: KeyCharset) -> Admitted | Refusal:
    """Keep the first `keys_max` keys (R4) if each of them and its last value is good (R5).

    Neither a dropped item is judged nor a value that a later one replaced.
    """
    kept: dict[NameKey, MetadataItem] = {}
    dropped: dict[NameKey, str] = {}
    for item in items:
        if item.value is None:
            continue
        key = _identity(item.key)
        if key in kept:
            kept[key] = MetadataItem(kept[key].key, item.value)
        elif len(kept) < keys_max:
            kept[key] = item
        else:
            dropped.setdefault(key, reportable(item.key))
    entries = _judge_entries(tuple(kept.values()), charset)
    if isinstance(entries, Refusal):
        return entries
    return Admitted(entries=entries, dropped_keys=tuple(dropped.values()))


def _identity(key: str) -> NameKey:
    """As R1 compares; a key that is too long stands for itself: it will be refused or dropped, and
    normalising takes the square of its length."""
    return name_key(key) if len(key) <= METADATA_KEY_CODE_POINTS_MAX else NameKey(key)


def value_from_json(key: str, value: object) -> MetadataValue | Refusal | None:
    """What a parsed JSON value means under its key (R5's JSON column); None is null.

    Takes what any reader of JSON makes: numbers as int, float or Decimal, objects
    as dict. A key that means a type (`_at`, `stripe_charge`) is matched as in R1.
    """
    if value is None:
        return None
    candidate = _meant_by_key(name_key(key), value) or _meant_by_shape(value)
    return _refusal(key, _NO_TYPE_SENTENCE) if candidate is None else _judge_value(key, candidate)


def _meant_by_key(key: NameKey, value: object) -> MetadataValue | None:
    if isinstance(value, str) and key in _STRIPE_KEYS:
        return Stripe(_STRIPE_KEYS[key], value)
    if key.endswith(_DATE_SUFFIXES):
        micros = unix_time.from_json(value)
        if isinstance(micros, int):
            return Date(unix_time.rounded_seconds(micros))
    return None


def _meant_by_shape(value: object) -> MetadataValue | None:
    match value:
        case bool():
            return Text("true" if value else "false")
        case int() | float():
            return Number(value)
        case Decimal() if value.is_finite():
            return Number(_plain_number(value))
        case str():
            return _meant_by_text(value)
        case dict():
            return _meant_by_object(value)
        case _:
            return None


def _meant_by_text(text: str) -> MetadataValue:
    if is_image_link(text):
        return Image(text)
    return Link(text) if is_link(text) else Text(text)


def _meant_by_object(members: dict[object, object]) -> MetadataValue | None:
    """What an object stands for; one with a member more or less stands for nothing."""
    match members:
        case {"url": str(url), "value": str(title), **more} if not more:
            return RichLink(url, title)
        case {"image": str(url), **more} if not more:
            return Image(url)
        case {"amount": amount, "currency": str(currency), **more} if not more:
            units = whole_number(amount)
            return None if units is None else Monetary(units, currency)
        case _:
            return None


def _plain_number(value: Decimal) -> float | int:
    """An integer where one was written, so that it stays exact; else the nearest double."""
    return int(value) if value.as_tuple().exponent == 0 else float(value)


def whole_number(number: object) -> int | None:
    """The integer that a number of JSON is, `1.0` included; None for what is none."""
    match number:
        case bool():
            return None
        case int():
            return number
        case float() if number.is_integer():
            return int(number)
        # Its size first: the integer that 1e999999999 stands for fits into no memory.
        case Decimal() if (
            number.is_finite() and number.copy_abs() < 2**64 and number == number.to_integral_value()
        ):
            return int(number)
        case _:
            return None


def _judge_entries(items: Sequence[MetadataItem], charset: KeyCharset) -> tuple[MetadataEntry, ...] | Refusal:
    entries = []
    for item in items:
        entry = _judge_entry(item, charset)
        if isinstance(entry, Refusal):
            return entry
        entries.append(entry)
    return tuple(entries)


def _judge_entry(item: MetadataItem, charset: KeyCharset) -> MetadataEntry | Refusal:
    refusal = judge_key(item.key, charset=charset)
    if refusal is not None:
        return refusal
    assert item.value is not None  # `admit` passes null over.
    value = item.value if isinstance(item.value, Refusal) else _judge_value(item.key, item.value)
    return value if isinstance(value, Refusal) else MetadataEntry(item.key, value)


def _judge_value(key: str, value: MetadataValue) -> MetadataValue | Refusal:
    return _normal(value) or _refusal(key, _SENTENCES[type(value)])


def _normal(value: MetadataValue) -> MetadataValue | None:
    """The value in the form that is kept; None when it breaks its type (R5)."""
    match value:
        case Text(text):
            return value if _has_length(text, least=0, most=METADATA_TEXT_CODE_POINTS_MAX) else None
        case Number(number):
            return value if _is_storable(number) else None
        case Date(seconds, nanos):
            micros = unix_time.from_timestamp(seconds, nanos)
            return Date(unix_time.rounded_seconds(micros)) if isinstance(micros, int) else None
        case Link(url) | Image(url):
            return value if is_link(url) else None
        case RichLink(url, title):
            return value if is_link(url) and _has_length(title, least=1, most=ID_CODE_POINTS_MAX) else None
        case Stripe(kind, id):
            return value if kind and _has_length(id, least=1, most=ID_CODE_POINTS_MAX) else None
    return _normal_money(value)


def _normal_money(money: Monetary) -> Monetary | None:
    code = (
        money.currency.upper() if money.currency.isascii() else ""
    )  # Outside ASCII other letters become I or K.
    return Monetary(money.amount, code) if code in currencies.CODES and money.amount in _INT64 else None


def _is_storable(number: float | int) -> bool:
    return number in _INT64 if isinstance(number, int) else math.isfinite(number)


def _has_length(text: str, *, least: int, most: int) -> bool:
    return least <= len(text) <= most and is_well_formed(text)


def _refusal(key: str, message: str) -> Refusal:
    return Refusal(reason=Reason.METADATA_VALUE_INVALID, field=reportable(key), message=message)
