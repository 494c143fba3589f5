"""How the report words numbers: spans of time, moments, shares and sizes, for people."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def count(value: int) -> str:
    """With commas between thousands."""
    return f"{value:,}"


def span(seconds: float) -> str:
    """A length of time in at most two units: 40 ms, 1.5 s, 3 min 20 s, 6 h 5 min, 2 d 3 h."""
    if seconds < 0:
        return f"−{span(-seconds)}"
    if not seconds:
        return "0 s"
    if seconds < 0.0005:
        return "<1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 ", " ")
    whole = round(seconds)
    for size, unit, next_size, next_unit in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // next_size
            return f"{whole // size} {unit} {rest} {next_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def share(part: float, whole: float = 1) -> str:
    """Per cent, never rounded to none or to all: <0.1 % is not 0 %."""
    if not whole or not part:
        return "0 %"
    percent = 100 * part / whole
    if percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.1f} %".replace(".0 ", " ")


def size(byte_count: float) -> str:
    """Bytes in decimal units."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if byte_count >= factor:
            return f"{byte_count / factor:.1f} {unit}"
    return f"{byte_count:.0f} B"


def moment(micros: int) -> str:
    """A moment in UTC, by the day of the week, as people speak of a run: Tue 3 March 14:05."""
    at = as_datetime(micros)
    return f"{_DAYS[at.weekday()]} {at.day} {at:%B} {at:%H:%M}"


def day(micros: int) -> str:
    """The day of a moment, short: Tue 3."""
    at = as_datetime(micros)
    return f"{_DAYS[at.weekday()]} {at.day}"


def iso(micros: int) -> str:
    """A moment for programs, in UTC, to the second."""
    return as_datetime(micros).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_datetime(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def wrapped(name: str) -> Markup:
    """A name in capitals may be broken after its underscores, where a line is short."""
    return Markup("_<wbr>").join(name.split("_"))


FILTERS: dict[str, Callable[..., str]] = {
    "count": count,
    "span": span,
    "share_of": share,
    "size": size,
    "moment": moment,
    "day": day,
    "iso": iso,
    "wrapped": wrapped,
}
