"""How a timeline reads: what an activity was, by which clock an event was placed, how late it came."""

from collections.abc import Callable, Mapping
from typing import Any

from workevo_server.domain.events import ClockMethod
from workevo_server.ports.people import ActivityKind, StoredActivity, StoredEvent
from workevo_server.transport.http.console.wording import lasted

_SECOND = 1_000_000
_CLOCKS = {
    ClockMethod.UPTIME: "Placed by how long the device had been running, whatever its clock said.",
    ClockMethod.SKEW: "The device's clock, put right by how wrong it was when it sent.",
    ClockMethod.DEVICE: "The device's clock, as it was.",
}


def activity(entry: StoredActivity) -> str:
    match entry.kind:
        case ActivityKind.FIRST_CONTACT:
            return "First contact"
        case ActivityKind.CONVERSATION:
            return "Conversation started"
        case ActivityKind.CONVERSION:
            before = f", until then a {entry.from_kind.value.lower()}" if entry.from_kind is not None else ""
            return f"Became a user{before}"


def clock(event: StoredEvent) -> str:
    """How the time it stands at came about (R8)."""
    return _CLOCKS[event.clock_method] if event.install_id is not None else "As the back end told it."


def lateness(event: StoredEvent) -> str:
    """How long after it occurred it was received; R8 places none after its receipt."""
    late_micros = event.received_at_micros - event.occurred_at_micros
    return "at once" if late_micros < _SECOND else f"{lasted(late_micros)} after it occurred"


FILTERS: Mapping[str, Callable[..., Any]] = {"activity": activity, "clock": clock, "lateness": lateness}
