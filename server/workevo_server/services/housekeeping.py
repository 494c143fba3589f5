"""What goes by age: rejected events (R13) and events (R32), a bounded number in each transaction."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from workevo_server.domain import limits
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.failed_events import FailedEventStore
from workevo_server.ports.key_ring import WorkspaceStore
from workevo_server.ports.retention import EventKey, RetentionStore

PAUSE = timedelta(milliseconds=20)  # Between two transactions, so that uploads never wait for a whole sweep.
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    workspaces: WorkspaceStore
    failed_events: FailedEventStore
    retention: RetentionStore
    pause: timedelta = PAUSE

    async def give_up_failed(self, now_micros: int) -> int:
        """Delete rejected events that are older than their workspace keeps them, and say how many."""
        count = 0
        for workspace in await self.workspaces.workspaces():
            before = now_micros - workspace.settings.failed_events_age // _MICROSECOND
            given_up = limits.HOUSEKEEPING_ROWS_MAX
            while given_up == limits.HOUSEKEEPING_ROWS_MAX:
                given_up = await self.failed_events.give_up_failed(
                    workspace.workspace_id,
                    received_before_micros=before,
                    count_max=limits.HOUSEKEEPING_ROWS_MAX,
                )
                count += given_up
                await self._rest()
        return count

    async def expire_events(self, now_micros: int) -> int:
        """Delete events that were received longer ago than their workspace keeps them; says how many."""
        kept_from = {
            workspace.workspace_id: now_micros - retention // _MICROSECOND if retention is not None else None
            for workspace in await self.workspaces.workspaces()
            for retention in [workspace.settings.event_retention]
        }
        count = await self.retention.drop_aged_events(kept_from)
        for workspace_id, before in kept_from.items():
            if before is not None:
                count += await self._expire_of(workspace_id, before)
        return count

    async def _expire_of(self, workspace_id: WorkspaceId, before: int) -> int:
        count, behind, is_first = 0, None, True
        while is_first or behind is not None:
            is_first = False
            found = await self.retention.aged_events(
                workspace_id, received_before_micros=before, behind=behind
            )
            behind = found.behind
            for start in range(0, len(found.expired), limits.HOUSEKEEPING_ROWS_MAX):
                keys: list[EventKey] = list(found.expired[start : start + limits.HOUSEKEEPING_ROWS_MAX])
                count += await self.retention.expire_events(workspace_id, keys, received_before_micros=before)
                await self._rest()
            await self._rest()
        return count

    async def _rest(self) -> None:
        await asyncio.sleep(self.pause.total_seconds())
