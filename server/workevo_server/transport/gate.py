"""Bounds what is in progress: calls whose body has not come, calls at work, and their bodies' memory."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from workevo_server.domain.errors import Overloaded
from workevo_server.transport.limits import (
    MEMORY_PER_BODY_BYTE,
    OVERLOAD_RETRY_FIRST,
    OVERLOAD_RETRY_LAST,
    STRANGERS_ARRIVING_MAX,
)


@dataclass(slots=True, kw_only=True)
class Gate:
    """Says no at once and when to return. Nothing that was let in is put out again.

    Slow senders fill only the first room: who is still sending takes no place from
    those whose bodies have come. Who has shown no key has a small room of its own, so
    that whoever fills it takes no place from an upload.
    """

    arriving_max: int
    working_max: int
    memory_bytes_max: int
    chance: random.Random
    strangers_max: int = STRANGERS_ARRIVING_MAX
    arriving: int = 0
    strangers: int = 0
    working: int = 0
    memory_bytes: int = 0

    @contextmanager
    def arrive(self) -> Iterator[None]:
        """While a body is on its way. Raises Overloaded."""
        if self.arriving >= self.arriving_max:
            raise self._overloaded()
        self.arriving += 1
        try:
            yield
        finally:
            self.arriving -= 1

    @contextmanager
    def arrive_without_key(self) -> Iterator[None]:
        """While the body of somebody who has shown no key is on its way. Raises Overloaded."""
        if self.strangers >= self.strangers_max:
            raise self._overloaded()
        self.strangers += 1
        try:
            yield
        finally:
            self.strangers -= 1

    @contextmanager
    def work(self, body_bytes: int) -> Iterator[None]:
        """While a body is worked on. Raises Overloaded.

        A body is weighed as what it can become in memory, not as what it is. One alone
        is always let in, so that a small bound makes calls slow and never impossible.
        """
        weight = body_bytes * MEMORY_PER_BODY_BYTE
        if self.working and self.memory_bytes + weight > self.memory_bytes_max:
            raise self._overloaded()
        if self.working >= self.working_max:
            raise self._overloaded()
        self.working += 1
        self.memory_bytes += weight
        try:
            yield
        finally:
            self.working -= 1
            self.memory_bytes -= weight

    def _overloaded(self) -> Overloaded:
        """Full jitter: a herd refused together must not return together."""
        spread = OVERLOAD_RETRY_LAST - OVERLOAD_RETRY_FIRST
        return Overloaded(retry_after=OVERLOAD_RETRY_FIRST + spread * self.chance.random())
