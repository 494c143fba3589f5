"""What goes by age: rejected events (R13) and events (R32), a bounded number in each transaction."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from workevo_server.domain import limits
from workevo_server.domain.errors import Overloaded, StoreUnavailable
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.failed_events import FailedEventStore
from workevo_server.ports.key_ring import WorkspaceStore
from workevo_server.ports.retention import DroppedEvents, EventKey, RetentionStore

PAUSE = timedelta(milliseconds=20)  # Between two transactions, so that uploads never wait for a whole sweep.
WALK_EVERY_HOURS = 24
PUT_OFF_MAX = 23  # A month that somebody reads all day long goes one by one.
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    count: int
    is_done: bool = True
    """False when somebody was using what would have gone: to be tried again soon."""


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

    async def expire_events(self, now_micros: int, *, one_by_one: bool = False) -> Expired:
        """Delete events that were received longer ago than their workspace keeps them.

        What goes at once goes first, and the rest is walked through then: not while the
        former is put off, unless it is to go `one_by_one` as well.
        """
        dropped = await self._drop(now_micros)
        count = dropped.count
        if dropped.is_put_off and not one_by_one:
            return Expired(count=count, is_done=False)
        for workspace_id, before in (await self._kept_from(now_micros)).items():
            if before is not None:
                count += await self._expire_of(workspace_id, before)
        return Expired(count=count)

    async def _kept_from(self, now_micros: int) -> Mapping[WorkspaceId, int | None]:
        return {
            workspace.workspace_id: now_micros - retention // _MICROSECOND if retention is not None else None
            for workspace in await self.workspaces.workspaces()
            for retention in [workspace.settings.event_retention]
        }

    async def _drop(self, now_micros: int) -> DroppedEvents:
        """By the settings as they are each time: the one before may have taken minutes."""
        count = 0
        while True:
            dropped = await self._drop_once(await self._kept_from(now_micros))
            count += dropped.count
            if not dropped.is_more:
                return replace(dropped, count=count)

    async def _drop_once(self, kept_from: Mapping[WorkspaceId, int | None]) -> DroppedEvents:
        try:
            return await self.retention.drop_aged_events(kept_from)
        except Overloaded:
            return DroppedEvents(is_put_off=True)
        except StoreUnavailable:
            return DroppedEvents()  # Logged where it failed. What does not go at once goes one by one.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What went in a round."""

    failed_events: int = 0
    events: int = 0
    is_put_off: bool = False


@dataclass(slots=True, kw_only=True)
class Rounds:
    """Rejected events go every hour; all events, which have to be walked through, once a day.

    Of several servers on a store one goes its round; another whose hour it is meanwhile
    leaves it at that.
    """

    keeper: Housekeeping
    _hours_left: int = 0
    """Until events are due."""
    _put_off: int = 0
    """How often in a row."""

    async def hourly(self, now_micros: int) -> Kept:
        async with self.keeper.retention.alone() as is_alone:
            failed = await self.keeper.give_up_failed(now_micros) if is_alone else 0
            if self._hours_left > 0:
                self._hours_left -= 1
                return Kept(failed_events=failed)
            expired = await self._expire(now_micros) if is_alone else Expired(count=0)
        if expired.is_done:
            self._hours_left, self._put_off = WALK_EVERY_HOURS - 1, 0
        else:
            self._put_off += 1
        return Kept(failed_events=failed, events=expired.count, is_put_off=not expired.is_done)

    async def _expire(self, now_micros: int) -> Expired:
        return await self.keeper.expire_events(now_micros, one_by_one=self._put_off >= PUT_OFF_MAX)
