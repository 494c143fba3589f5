"""When a call was received: by the server's clock, or by the simulator's where a store lives on it."""

from collections.abc import Callable

from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.limits import CREATED_AT_SECONDS_MAX
from workevo_server.ports.clock import Clock
from workevo_server.transport.headers import Headers, values

SIMULATED_TIME_HEADER = "workevo-simulated-time-micros"
_MICROS_MAX = CREATED_AT_SECONDS_MAX * 1_000_000
_DIGITS_MAX = len(str(_MICROS_MAX))

Receipt = Callable[[Headers], int]
"""Microseconds since 1970 at which a call with this metadata was received."""


def by_clock(clock: Clock) -> Receipt:
    return lambda _metadata: clock.now_micros()


def by_metadata_or_clock(clock: Clock) -> Receipt:
    """The simulator's virtual time where it is told: back ends need not know of it."""
    return lambda metadata: (
        by_metadata(metadata) if values(metadata, SIMULATED_TIME_HEADER) else clock.now_micros()
    )


def by_metadata(metadata: Headers) -> int:
    """The simulator's virtual time. Raises RequestInvalid unless it is told once, as an integer."""
    match values(metadata, SIMULATED_TIME_HEADER):
        case [text] if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX:
            if int(text) <= _MICROS_MAX:
                return int(text)
    raise RequestInvalid(
        FieldViolation(
            SIMULATED_TIME_HEADER,
            f"This server runs on a simulated clock: send the metadata {SIMULATED_TIME_HEADER} once, "
            "as microseconds since 1970.",
        )
    )
