"""From what the app says to what is queued: checked against the limits, then serialized.

Only what is certain to be refused by every server is refused here; settings
(how many keys, which currencies) are the server's to judge.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from workevo.tracking.v1 import event_pb2 as wire
from workevo.tracking.v1 import tracking_pb2 as wire_tracking
from workevo_mobile import limits
from workevo_mobile.errors import InvalidEvent
from workevo_mobile.metadata import Image, Link, Metadata, MetadataInput, Monetary, RichLink, Stripe
from workevo_mobile.moments import Moment

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WALL_MICROS_MAX = limits.CREATED_AT_SECONDS_MAX * 1_000_000
_INTEGER_MAX = 2**63 - 1
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_SPACE_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_USER_HASH = re.compile(r"[0-9a-f]+")


def event_template(
    name: str, metadata: Metadata | None, created_at: datetime | None, moment: Moment
) -> wire.Event:
    """An event with all but its contact and sequence; raises InvalidEvent.

    One that the app dates itself carries no uptime: the device's clocks say
    nothing about it (R8).
    """
    check_text(name, "name", limits.NAME_CODE_POINTS_MAX, trimmed=True)
    event = wire.Event(name=name, boot_id=moment.boot_id)
    if created_at is not None:
        event.created_at.FromMicroseconds(_micros(created_at, "created_at"))
    else:
        # A clock that stands before 1970 or beyond 9999 would cost the event; uptime places it all the same.
        event.created_at.FromMicroseconds(min(max(moment.wall_micros, 0), _WALL_MICROS_MAX))
        if moment.uptime_millis is not None:
            event.uptime_millis = moment.uptime_millis
    event.metadata.extend(_entries(metadata or {}))
    return event


def event_body(
    template: wire.Event,
    *,
    visitor_id: str,
    user_id: str | None,
    bytes_max: int = limits.EVENT_BYTES_MAX,
) -> bytes:
    """The event as its row keeps it: without its sequence, which a fork may change (R14a)."""
    event = wire.Event()
    event.CopyFrom(template)
    if user_id is not None:
        event.user_id = user_id
    else:
        event.visitor_id = visitor_id
    event.sequence = limits.SEQUENCE_MAX
    if event.ByteSize() > bytes_max:
        raise InvalidEvent(f"The event is larger than {bytes_max} bytes.")
    event.ClearField("sequence")
    return event.SerializeToString()


def identify_body(
    *,
    visitor_id: str,
    user_id: str,
    user_hash: str | None,
    attributes: Mapping[str, str],
    moment: Moment,
) -> bytes:
    """A log-in as its row keeps it: without the install and the clocks of the call."""
    request = wire_tracking.IdentifyRequest(
        visitor_id=visitor_id,
        user_id=user_id,
        user_hash=user_hash or "",
        identify_clock=clock_to_wire(moment),
    )
    request.attributes.extend(_entries(attributes))
    return request.SerializeToString()


def check_identify(user_id: str, user_hash: str | None, attributes: Mapping[str, str]) -> None:
    check_text(user_id, "user_id", limits.ID_CODE_POINTS_MAX)
    if user_hash is not None and not _USER_HASH.fullmatch(
        check_text(user_hash, "user_hash", limits.ID_CODE_POINTS_MAX)
    ):
        raise InvalidEvent("user_hash must be lower-case hexadecimal.")
    for key, value in attributes.items():
        if not isinstance(value, str):
            raise InvalidEvent(f"The attribute {key!r} must be a string.")
    size = sum(entry.ByteSize() for entry in _entries(attributes))
    if size > limits.EVENT_BYTES_MAX:
        raise InvalidEvent(f"The attributes are larger than {limits.EVENT_BYTES_MAX} bytes.")


def clock_to_wire(moment: Moment) -> wire_tracking.Clock:
    clock = wire_tracking.Clock(boot_id=moment.boot_id, uptime_millis=moment.uptime_millis)
    clock.wall_time.FromMicroseconds(min(max(moment.wall_micros, 0), _WALL_MICROS_MAX))
    return clock


def check_text(value: object, what: str, code_points_max: int, *, trimmed: bool = False) -> str:
    """1 to `code_points_max` code points, counted after trimming where asked, that UTF-8 can carry."""
    if not isinstance(value, str):
        raise InvalidEvent(f"{what} must be a string.")
    if not 1 <= len(value.strip() if trimmed else value) <= code_points_max:
        raise InvalidEvent(f"{what} must have 1 to {code_points_max} code points.")
    _check_unicode(value, what)
    return value


def _check_unicode(value: str, what: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidEvent(f"{what} holds half of a surrogate pair.") from None


def _micros(time: object, what: str) -> int:
    if not isinstance(time, datetime) or time.utcoffset() is None:
        raise InvalidEvent(f"{what} must be a datetime with a time zone.")
    micros = (time - _EPOCH) // _MICROSECOND
    if not 0 <= micros < _WALL_MICROS_MAX + 500_000:  # The upper end is judged after rounding (R3).
        raise InvalidEvent(f"{what} must lie in the years 1970 to 9999.")
    return micros


def _entries(metadata: Metadata) -> list[wire.MetadataEntry]:
    return [_entry(key, value) for key, value in metadata.items() if value is not None]


def _entry(key: str, value: MetadataInput) -> wire.MetadataEntry:
    if not check_text(key, "A metadata key", limits.METADATA_KEY_CODE_POINTS_MAX).strip():
        raise InvalidEvent("A metadata key must not be all white space.")
    what = f"The metadata value of {key!r}"
    entry = wire.MetadataEntry(key=key)
    match value:
        case bool():
            entry.text = "true" if value else "false"
        case str():
            entry.text = _text(value, what)
        case int():
            entry.integer = _integer(value, what)
        case float():
            entry.number = _number(value, what)
        case datetime():
            entry.date.FromMicroseconds(_micros(value, what))
        case Link():
            entry.link = _url(value.url, what)
        case Image():
            entry.image = _url(value.url, what)
        case RichLink():
            entry.rich_link.url = _url(value.url, what)
            entry.rich_link.title = check_text(value.title, what, limits.METADATA_TEXT_CODE_POINTS_MAX)
        case Stripe():
            entry.stripe.kind = wire.Stripe.Kind.Value(f"KIND_{value.kind.value}")
            entry.stripe.id = check_text(value.id, what, limits.ID_CODE_POINTS_MAX)
        case Monetary():
            entry.monetary.CopyFrom(_monetary(value, what))
        case _:
            raise InvalidEvent(f"{what} is of no type that metadata can have.")
    return entry


def _text(value: str, what: str) -> str:
    if len(value) > limits.METADATA_TEXT_CODE_POINTS_MAX:
        raise InvalidEvent(f"{what} must have at most {limits.METADATA_TEXT_CODE_POINTS_MAX} code points.")
    _check_unicode(value, what)
    return value


def _integer(value: object, what: str) -> int:
    if (
        not isinstance(value, int)
        or isinstance(value, bool)
        or not -_INTEGER_MAX - 1 <= value <= _INTEGER_MAX
    ):
        raise InvalidEvent(f"{what} must be an integer of 64 bits.")
    return value


def _number(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise InvalidEvent(f"{what} must be finite.")
    return value


def _url(value: object, what: str) -> str:
    url = check_text(value, what, limits.LINK_CODE_POINTS_MAX)
    if _SPACE_OR_CONTROL.search(url) or not _names_a_host(url):
        raise InvalidEvent(f"{what} must be an absolute http or https URL with a host and no spaces.")
    return url


def _names_a_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # Reading it finds a port that is none.
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _monetary(value: Monetary, what: str) -> wire.Monetary:
    currency = check_text(value.currency, what, limits.METADATA_TEXT_CODE_POINTS_MAX)
    if not _CURRENCY.fullmatch(currency):
        raise InvalidEvent(f"{what} must name its currency by an ISO 4217 code.")
    return wire.Monetary(amount=_integer(value.amount, what), currency=currency)
