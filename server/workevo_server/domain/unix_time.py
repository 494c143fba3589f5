"""Unix times as clients write them, brought to one unit: microseconds since 1970 (R3).

What a function here returns instead of a time is the reason it is none. Digits
below the microsecond are cut, which no rounding to seconds can notice.
"""

import math
from decimal import ROUND_FLOOR, Context, Decimal

from workevo_server.domain.limits import CREATED_AT_SECONDS_MAX
from workevo_server.domain.verdicts import Reason

MICROS_A_SECOND = 1_000_000
NANOS_A_SECOND = 1_000_000_000

_RESOLUTIONS = (
    # Below this number the unit is ... whose microsecond stands at this power of ten.
    (Decimal(10) ** 11, -6),  # seconds
    (Decimal(10) ** 14, -3),  # milliseconds
    (Decimal(10) ** 17, 0),  # microseconds
    (Decimal(10) ** 21, 3),  # nanoseconds
)
_EXACT = Context(prec=40)  # Room for 10^21 with microseconds; quantize refuses what it cannot keep.


def rounded_seconds(micros: int) -> int:
    """The nearest second, halves up."""
    return (micros + MICROS_A_SECOND // 2) // MICROS_A_SECOND


def from_timestamp(seconds: int, nanos: int) -> int | Reason:
    """A protobuf Timestamp, whatever numbers it carries."""
    if not 0 <= nanos < NANOS_A_SECOND:
        return Reason.CREATED_AT_INVALID
    return _within_range(seconds * MICROS_A_SECOND + nanos // 1000)


def from_json(value: object) -> int | Reason:
    """A finite number or a string of ASCII digits; seconds, milli-, micro- or nanoseconds by its size."""
    number = _number(value)
    if number is None:
        return Reason.CREATED_AT_INVALID
    if number < 0:  # Also when it is so small that its microseconds would be 0.
        return Reason.CREATED_AT_OUT_OF_RANGE
    for below, micro_exponent in _RESOLUTIONS:
        if number < below:
            return _within_range(_micros(number, micro_exponent))
    return Reason.CREATED_AT_OUT_OF_RANGE


def _number(value: object) -> Decimal | None:
    match value:
        case bool():
            return None
        case int():
            return Decimal(value)
        case float() if math.isfinite(value):
            return Decimal(repr(value))  # What the sender wrote, not the binary fraction nearest to it.
        case Decimal() if value.is_finite():
            return value
        case str() if value.isascii() and value.isdigit():
            return Decimal(value)
        case _:
            return None


def _micros(number: Decimal, micro_exponent: int) -> int:
    micro = Decimal((0, (1,), micro_exponent))
    return int(number.quantize(micro, ROUND_FLOOR, _EXACT).scaleb(-micro_exponent, _EXACT))


def _within_range(micros: int) -> int | Reason:
    """Judged before rounding at the lower end, after it at the upper (R3)."""
    if micros < 0 or rounded_seconds(micros) > CREATED_AT_SECONDS_MAX:
        return Reason.CREATED_AT_OUT_OF_RANGE
    return micros
