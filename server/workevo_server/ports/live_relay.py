"""What the processes of one store tell each other of what happens now; nothing that has to arrive."""

from collections.abc import Callable
from typing import Protocol

MESSAGE_CHARACTERS_MAX = 7_900  # ASCII; PostgreSQL carries less than 8,000 bytes.


class LiveRelay(Protocol):
    has_others: bool
    """Whether there may be another process on this store."""

    def say(self, message: str) -> bool:
        """Tell all processes, this one included, soon and if it can be done; ASCII. False when it cannot.

        Never waits and never raises.
        """

    def listen(self, heard: Callable[[str], None], missed: Callable[[], None]) -> None:
        """From now on `heard` is told what anybody says, `missed` that something may have been missed."""


class Alone:
    """The one process of its store."""

    has_others = False

    def say(self, message: str) -> bool:  # noqa: ARG002 - there is nobody to tell.
        return True

    def listen(self, heard: Callable[[str], None], missed: Callable[[], None]) -> None: ...
