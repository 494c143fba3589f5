"""Named moments at which a fault test ends the process (docs/RELIABILITY.md, F2)."""

from collections.abc import Callable

FaultPoint = Callable[[str], None]
"""Called with `before_commit`, `after_commit` or `before_answer` when that moment is reached."""


def no_fault(_point: str) -> None:
    """What runs when nobody is testing."""
