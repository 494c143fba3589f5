"""A `ports.live_relay.LiveRelay` by PostgreSQL's NOTIFY, on the connection that watches the store anyway.

Few messages wait, and none while the store is away: nobody's upload ever waits for one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

WAITING_MAX = 200
SENT_AT_ONCE_MAX = 20
CHANNEL = "workevo_live"
_SEND = "SELECT pg_notify($1, message) FROM unnest($2::text[]) AS message"


class NotifyRelay:
    has_others = True

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._came = asyncio.Event()
        self._is_open = False
        self._heard: Callable[[str], None] = lambda _message: None
        self._missed: Callable[[], None] = lambda: None

    def say(self, message: str) -> bool:
        if not self._is_open or len(self._waiting) >= WAITING_MAX:
            return False
        self._waiting.append(message)
        self._came.set()
        return True

    def listen(self, heard: Callable[[str], None], missed: Callable[[], None]) -> None:
        self._heard, self._missed = heard, missed

    async def open(self, connection: Any) -> None:
        """Hear by this connection of asyncpg's. What was said before was missed."""
        await connection.add_listener(CHANNEL, lambda *told: self._heard(told[3]))
        self._missed()
        self._is_open = True

    def close(self) -> None:
        """The connection is gone; nothing waits for the next one."""
        self._is_open = False
        self._waiting.clear()
        self._missed()

    async def pass_on(self, connection: Any, *, seconds: float) -> None:
        """For so long, send what waits as it comes."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        while loop.time() < ends_at:
            self._came.clear()
            if self._waiting:
                await connection.execute(_SEND, CHANNEL, self._next())
                continue
            try:
                async with asyncio.timeout_at(ends_at):
                    await self._came.wait()
            except TimeoutError:
                return

    def _next(self) -> Sequence[str]:
        return [self._waiting.popleft() for _ in range(min(SENT_AT_ONCE_MAX, len(self._waiting)))]
