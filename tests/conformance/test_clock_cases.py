from decimal import Decimal

import pytest

from conformance.case_files import Case, parameters
from workevo_server.domain.events import ClockReading
from workevo_server.domain.timestamps import place


def micros(seconds: float) -> int:
    return int(Decimal(repr(seconds)) * 1_000_000)


def reading(told: Case) -> ClockReading:
    wall = None if told["wall"] is None else micros(told["wall"])
    return ClockReading(wall_micros=wall, uptime_millis=told["uptime"], boot_id=told["boot"])


@pytest.mark.parametrize("case", parameters("clocks.json"))
def test_an_event_is_placed_as_the_case_says(case: Case) -> None:
    placed = place(
        micros(case["event"]["wall"]),
        event_clock=reading(case["event"]),
        send_clock=reading(case["send"]),
        received_at_micros=micros(case["received_at"]),
    )

    assert placed.occurred_at_micros == micros(case["occurred_at"])
    assert placed.method.value == case["method"]
    assert (placed.warning and placed.warning.code.value) == case.get("warning")
