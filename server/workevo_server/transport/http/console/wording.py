"""How values read on a page."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from workevo_server.domain import naming
from workevo_server.domain.metadata import Text
from workevo_server.ports.people import Contact

_MICROS = 1_000_000
_NAME, _EMAIL = naming.name_key("name"), naming.name_key("email")
_CONTROLS = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
_MARKS = (0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
_UNSEEN = _CONTROLS | {code: f"⟨U+{code:04X}⟩" for code in _MARKS}


def shown(text: str) -> str:
    """What somebody sent, with what cannot be seen made visible: NUL as ␀, marks of direction by number."""
    return text.translate(_UNSEEN).encode("utf-8", "replace").decode()


def in_field(text: str) -> str:
    """For the value of a field, which is sent again as it stands: with its marks as they are. What a field
    of one line cannot hold, NUL and line breaks, is made visible."""
    return text.translate(_CONTROLS).encode("utf-8", "replace").decode()


def display(name: str) -> str:
    """An event's name or a metadata key as people read it (R2)."""
    return shown(naming.display_name(name))


def count(number: int) -> str:
    return f"{number:,}"


def iso(micros: int) -> str:
    """For `<time datetime>`; the browser shows it in the reader's time zone."""
    return _moment(micros).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def utc(micros: int) -> str:
    """For readers without scripts."""
    return _moment(micros).strftime("%-d %b %Y, %H:%M:%S UTC")


def utc_day(micros: int) -> str:
    """A day of UTC: days are counted so, wherever the reader is."""
    return _moment(micros).strftime("%-d %b %Y")


def _moment(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def lasted(micros: int) -> str:
    """A duration in its largest unit: 3 s, 12 min, 5 h, 2 days."""
    seconds = micros / _MICROS
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def query(values: Mapping[str, Any]) -> str:
    """The query of an address, without what is empty; a list gives its name once for each."""
    return urlencode(
        {name: value for name, value in values.items() if value not in (None, "")},
        doseq=True,
        errors="replace",
    )


def called(contact: Contact) -> str:
    """What a person is called: its name, else its e-mail, else an id."""
    told = {
        naming.name_key(entry.key): entry.value.value
        for entry in contact.attributes
        if isinstance(entry.value, Text)
    }
    ids = (contact.email, told.get(_EMAIL, ""), contact.user_id, *contact.visitor_ids[:1])
    return next((text for text in (told.get(_NAME, ""), *ids) if text.strip()), contact.contact_id)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "shown": shown,
    "in_field": in_field,
    "display": display,
    "count": count,
    "iso": iso,
    "utc": utc,
    "utc_day": utc_day,
    "lasted": lasted,
    "query": query,
    "called": called,
}
