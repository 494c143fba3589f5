"""A month that nobody keeps goes at once, and keeps nobody waiting for it (R32); its tally is exact (R14)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from workevo_server.adapters.sql import aged_months
from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.verdicts import Verdict
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.services import housekeeping
from workevo_server.services.housekeeping import Expired, Housekeeping, Kept, Rounds
from workevo_server.services.workspaces import Workspaces
from workevo_testing.places import DatabasePlace, Place, on_postgres
from workevo_testing.sinks import FixedClock
from workevo_testing.stores import opened_store
from workevo_testing.uploads import PHONE, good_event, upload, user

pytestmark = on_postgres

JUNE = int(datetime(2031, 6, 1, tzinfo=UTC).timestamp()) * 1_000_000
OLD_MONTHS = (
    "SELECT count(*) FROM pg_inherits WHERE inhrelid::regclass::text IN ('events_2031_01', 'events_2031_02')"
)
WRITING = "LOCK TABLE events_2031_01 IN ROW EXCLUSIVE MODE"


@dataclass
class House:
    """Two servers, a workspace, and events of two months that it keeps no longer in June."""

    one: SqlStore
    other: SqlStore
    place: Place
    workspace_id: WorkspaceId

    def keeper(self, store: SqlStore) -> Housekeeping:
        return Housekeeping(
            workspaces=store.workspaces, failed_events=store.failed_events, retention=store.retention
        )

    async def send(self, store: SqlStore, sequence: int, month: int) -> Verdict:
        at = int(datetime(2031, month, 5, tzinfo=UTC).timestamp()) + sequence
        sent = upload(self.workspace_id, [good_event(0, sequence, user("u1"), "opened", at)], at_seconds=at)
        (verdict,) = (await store.sink.append(judge_upload(sent, WorkspaceSettings()))).verdicts
        return verdict.verdict

    async def present_and_expired(self) -> tuple[int, int]:
        """How many events are there, and how many the ledger calls expired."""
        assert self.place.problems() == ()
        record = await self.one.delivery.install(self.workspace_id, PHONE.install_id)
        assert record is not None
        gone = record.gone.get(PHONE.epoch)
        return self.place.rows("SELECT count(*) FROM events")[0][0], gone.expired if gone else 0


@pytest.fixture
async def house(place: Place) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(opened_store(place)) for _ in range(2)]
        workspaces = Workspaces(store=one.workspaces, clock=FixedClock())
        workspace_id = (await workspaces.create("acme")).workspace.workspace_id
        await workspaces.update_settings(workspace_id, {"event_retention": "10"})
        house = House(one, other, place, workspace_id)
        for sequence, month in enumerate((1, 1, 2, 6), start=1):
            await house.send(one, sequence, month)
        yield house


async def test_a_month_that_somebody_reads_for_long_stays_and_holds_nobody_up(
    house: House, place: DatabasePlace
) -> None:
    """As a dump of the database does: whoever comes while the month waits for it would wait too."""
    keeper = house.keeper(house.one)
    async with place.held("SELECT FROM events"):
        assert await keeper.expire_events(JUNE) == Expired(count=0, is_done=False)
        assert await house.send(house.other, 4, 6) is Verdict.DUPLICATE
        assert await house.present_and_expired() == (4, 0)

    assert await keeper.expire_events(JUNE) == Expired(count=3)
    assert await house.present_and_expired() == (1, 3)
    assert place.rows(OLD_MONTHS) == [(0,)]


async def test_a_month_whose_ledger_somebody_holds_is_put_off(house: House, place: DatabasePlace) -> None:
    """As an upload does that touches no event, while its commit waits for the disk."""
    keeper = house.keeper(house.one)
    async with place.held("SELECT FROM ledgers FOR UPDATE"):
        assert await keeper.expire_events(JUNE) == Expired(count=0, is_done=False)
        assert await house.present_and_expired() == (4, 0)

    assert await keeper.expire_events(JUNE) == Expired(count=3)
    assert await house.present_and_expired() == (1, 3)


async def test_uploads_to_the_server_that_drops_a_month_go_on(
    house: House, place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits here for somebody who writes into the old month, as a replay does, and uploads do not."""
    monkeypatch.setattr(aged_months, "LOCK_WAIT_MILLIS", 20_000)
    async with place.held(WRITING):
        expiring = asyncio.create_task(house.keeper(house.one).expire_events(JUNE))
        waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'events_2031_01'::regclass"
        async with asyncio.timeout(10):
            while not place.rows(waiting):
                assert not expiring.done(), await expiring
                await asyncio.sleep(0.01)
        assert await house.send(house.one, 5, 6) is Verdict.ACCEPTED
        assert await house.send(house.other, 6, 6) is Verdict.ACCEPTED
        assert not expiring.done()
    assert await expiring == Expired(count=3)
    assert await house.present_and_expired() == (3, 3)


async def test_a_month_that_cannot_be_dropped_goes_one_by_one(
    house: House, place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is dropped all the same once it can be: each month that is there costs uploads a look at it."""
    keeper = house.keeper(house.one)
    with monkeypatch.context() as now:
        now.setattr(aged_months, "_COUNT", "SELECT nothing FROM {table}")
        assert await keeper.expire_events(JUNE) == Expired(count=3)
    assert await house.present_and_expired() == (1, 3)
    assert place.rows(OLD_MONTHS) == [(2,)]

    assert await keeper.expire_events(JUNE) == Expired(count=0)
    assert place.rows(OLD_MONTHS) == [(0,)]


async def test_a_month_that_is_read_all_the_time_goes_one_by_one_at_last(
    house: House, place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "PUT_OFF_MAX", 1)
    rounds = Rounds(keeper=house.keeper(house.one))
    async with place.held("SELECT FROM events"):
        assert await rounds.hourly(JUNE) == Kept(is_put_off=True)
        assert await rounds.hourly(JUNE) == Kept(events=3)
    assert await house.present_and_expired() == (1, 3)


async def test_of_two_servers_one_keeps_house(house: House) -> None:
    """The other one leaves it at that, and has its next round a day later."""
    rounds = Rounds(keeper=house.keeper(house.other))
    async with house.one.retention.alone() as is_alone:
        assert is_alone
        assert await rounds.hourly(JUNE) == Kept()
    assert await rounds.hourly(JUNE) == Kept()
    assert await house.present_and_expired() == (4, 0)
    assert await Rounds(keeper=house.keeper(house.other)).hourly(JUNE) == Kept(events=3)


async def test_months_that_two_servers_drop_at_once_are_tallied_once(house: House) -> None:
    both = (house.keeper(store).expire_events(JUNE) for store in (house.one, house.other))
    expired = await asyncio.gather(*both)
    if not all(each.is_done for each in expired):
        expired.append(await house.keeper(house.one).expire_events(JUNE))
    assert sum(each.count for each in expired) == 3
    assert await house.present_and_expired() == (1, 3)
