"""The moment in which the gRPC server closes, made such that no call falls into it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

QUIET_SECONDS = 0.05  # Many times what taking in one call takes.
HELD_SECONDS_MAX = 1.0  # Who keeps calling without waiting for answers is not waited for.


class Turnstile:
    """Counts calls that come in, and holds answers back while the server is told to stop.

    The core ends as CANCELLED what it has received and not yet handed to us when it is told to stop. A
    client waits for an answer before it calls again; so while none goes out, soon all that was sent has
    been taken in, and the end of the connection reaches clients before their answers do.
    """

    def __init__(self) -> None:
        self._arrived = 0
        self._open = asyncio.Event()
        self._open.set()

    def enter(self) -> None:
        self._arrived += 1

    async def leave(self) -> None:
        await self._open.wait()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Within it no answer goes out; entered once nothing comes in any more."""
        self._open.clear()
        try:
            ends_at = asyncio.get_running_loop().time() + HELD_SECONDS_MAX
            before = -1
            while before != self._arrived and asyncio.get_running_loop().time() < ends_at:
                before = self._arrived
                await asyncio.sleep(QUIET_SECONDS)
            yield
        finally:
            self._open.set()
