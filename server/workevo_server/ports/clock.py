"""Where the server's time comes from."""

from typing import Protocol


class Clock(Protocol):
    def now_micros(self) -> int:
        """The wall clock: microseconds since 1970, UTC. Never for waits."""
