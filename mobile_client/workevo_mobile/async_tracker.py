"""The asyncio face of a Tracker: the same core, nothing of it twice."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from workevo_mobile.metadata import MetadataInput
from workevo_mobile.receipt import Receipt
from workevo_mobile.stats import DeadLetter, Stats
from workevo_mobile.tracker import Tracker


class AsyncTracker:
    """`tracker` in the background mode, for an event loop: no call blocks it.

    Await the receipt of `track` where the event must be on the disk before the
    app goes on: `sequence = await tracker.track("Paid")`.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def track(
        self,
        name: str,
        metadata: Mapping[str, MetadataInput] | None = None,
        *,
        created_at: datetime | None = None,
    ) -> Receipt:
        """As `Tracker.hand_over`."""
        return self._tracker.hand_over(name, metadata, created_at=created_at)

    async def identify(
        self, user_id: str, *, user_hash: str | None = None, attributes: Mapping[str, str] | None = None
    ) -> None:
        await asyncio.to_thread(self._tracker.identify, user_id, user_hash=user_hash, attributes=attributes)

    async def reset(self) -> None:
        await asyncio.to_thread(self._tracker.reset)

    async def opt_out(self) -> None:
        await asyncio.to_thread(self._tracker.opt_out)

    async def opt_in(self) -> None:
        await asyncio.to_thread(self._tracker.opt_in)

    async def on_background(self) -> None:
        await asyncio.to_thread(self._tracker.on_background)

    async def on_foreground(self) -> None:
        await asyncio.to_thread(self._tracker.on_foreground)

    async def on_network(self, available: bool) -> None:  # noqa: FBT001  # As platforms' callbacks have it.
        await asyncio.to_thread(self._tracker.on_network, available)

    async def flush(self, timeout: timedelta = timedelta(seconds=30)) -> bool:
        return await asyncio.to_thread(self._tracker.flush, timeout)

    async def pending(self) -> int:
        return await asyncio.to_thread(self._tracker.pending)

    async def stats(self) -> Stats:
        return await asyncio.to_thread(self._tracker.stats)

    async def dead_letters(self) -> list[DeadLetter]:
        return await asyncio.to_thread(self._tracker.dead_letters)

    async def clear_dead_letters(self) -> None:
        await asyncio.to_thread(self._tracker.clear_dead_letters)

    async def close(self) -> None:
        await asyncio.to_thread(self._tracker.close)
