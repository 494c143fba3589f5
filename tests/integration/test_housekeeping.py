"""What goes by age: rejected events after their days (R13), events after theirs (R32); balances hold."""

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from workevo_server.adapters.sql import retention
from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain import limits
from workevo_server.domain.events import ReceivedEvent
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.verdicts import MatchedIdentity, Reason, Verdict
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.delivery import Gone
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.ports.people import ContactRef
from workevo_server.services.housekeeping import Housekeeping
from workevo_server.services.people import People
from workevo_server.services.workspaces import Workspaces
from workevo_testing.places import Place
from workevo_testing.server_process import ServerProcess
from workevo_testing.sinks import FixedClock, end_of_test
from workevo_testing.uploads import PHONE, bad_event, good_event, upload, user
from workevo_testing.wire_calls import event as event_on_wire
from workevo_testing.wire_calls import phone

DAY_SECONDS = 24 * 3600
KEPT_FOR = {"event_retention": "10", "failed_events_age": "10"}


@dataclass
class House:
    store: SqlStore
    place: Place
    workspace_id: WorkspaceId
    keeper: Housekeeping

    async def send(self, day: int, *events: ReceivedEvent) -> UploadAnswer:
        sent = upload(self.workspace_id, events, at_seconds=day * DAY_SECONDS)
        return await self.store.sink.append(judge_upload(sent, WorkspaceSettings()))

    async def expire(self, day: int) -> int:
        expired = await self.keeper.expire_events(day * DAY_SECONDS * 1_000_000)
        assert self.place.problems() == ()
        return expired.count

    async def summary(self, user_id: str) -> dict[str, tuple[int, int, int]]:
        """Count, first and last day by name."""
        people = People(reader=self.store.people, page_token_secret=self.store.page_token_secret)
        _, found = await people.event_summary(self.workspace_id, ContactRef(user_id=user_id))
        day = DAY_SECONDS * 1_000_000
        return {
            each.name: (
                each.count,
                each.first_occurred_at_micros // day,
                each.last_occurred_at_micros // day,
            )
            for each in found
        }

    async def gone(self) -> Gone:
        record = await self.store.delivery.install(self.workspace_id, PHONE.install_id)
        assert record is not None
        return record.gone[PHONE.epoch]


@pytest.fixture
async def house(place: Place) -> AsyncIterator[House]:
    store = await SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test)
    workspaces = Workspaces(store=store.workspaces, clock=FixedClock())
    workspace_id = (await workspaces.create("acme")).workspace.workspace_id
    await workspaces.create("another, which keeps all")
    await workspaces.update_settings(workspace_id, KEPT_FOR)
    keeper = Housekeeping(
        workspaces=store.workspaces,
        failed_events=store.failed_events,
        retention=store.retention,
        pause=timedelta(0),
    )
    yield House(store, place, workspace_id, keeper)
    await store.close()


def event(sequence: int, day: int, name: str = "opened", index: int = 0) -> ReceivedEvent:
    return good_event(index, sequence, user("u1"), name, day * DAY_SECONDS)


async def test_events_expire_by_their_receipt_and_are_counted_as_expired(house: House) -> None:
    """Their summaries go on counting them: exact for events of any age (R20)."""
    await house.send(100, event(1, 100), event(2, 99, "closed", 1))
    await house.send(105, event(3, 90))  # Old when it came; kept from its receipt on.
    await house.send(108, event(4, 108))

    assert await house.expire(111) == 2
    counted = {"opened": (3, 90, 108), "closed": (1, 99, 99)}
    assert await house.summary("u1") == counted
    assert house.place.rows("SELECT count(*) FROM events") == [(2,)]
    assert await house.gone() == Gone(expired=2)
    assert await house.expire(111) == 0

    assert await house.expire(116) == 1
    assert await house.expire(200) == 1
    assert await house.summary("u1") == counted
    record = await house.store.delivery.install(house.workspace_id, PHONE.install_id)
    assert record is not None
    assert record.ledgers[0][1].balance().stored == 4


async def test_an_expired_event_that_is_sent_again_is_a_duplicate_and_a_younger_one_a_fork(
    house: House,
) -> None:
    """R14a: what can be compared no more is no sign of a second device, and what can is."""
    await house.send(100, event(1, 100), event(2, 100, "closed", 1))
    await house.expire(111)

    (again,) = (await house.send(112, event(1, 100))).verdicts
    (forked,) = (await house.send(112, event(2, 112, "other"))).verdicts

    assert (again.verdict, again.identity) == (Verdict.DUPLICATE, MatchedIdentity.TRANSPORT)
    assert forked.verdict is Verdict.RETRY
    assert forked.refusal is not None
    assert forked.refusal.reason is Reason.EPOCH_FORKED


async def test_more_events_than_a_stretch_or_a_transaction_expire_all(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STRETCH_ROWS", 7)
    monkeypatch.setattr(limits, "HOUSEKEEPING_ROWS_MAX", 3)
    await house.send(100, *(event(number, 50, f"name {number}", number - 1) for number in range(1, 30)))
    await house.send(109, event(30, 109))

    assert await house.expire(111) == 29
    assert house.place.rows("SELECT count(*) FROM events") == [(1,)]


async def test_rejected_events_go_after_their_days_and_stay_counted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HOUSEKEEPING_ROWS_MAX", 2)
    await house.send(100, *(bad_event(number - 1, number) for number in range(1, 6)))
    await house.send(105, bad_event(0, 6))

    assert await house.keeper.give_up_failed(111 * DAY_SECONDS * 1_000_000) == 5

    kept = await house.store.failed_events.failed_events(
        house.workspace_id, FailedFilter(), beyond=None, count_max=9, oldest_first=True
    )
    assert [record.place.sequence for record in kept.records] == [6]
    record = await house.store.delivery.install(house.workspace_id, PHONE.install_id)
    assert record is not None
    assert record.ledgers[0][1].balance().rejected == 6
    assert await house.keeper.give_up_failed(116 * DAY_SECONDS * 1_000_000) == 1
    usage = house.place.rows("SELECT kept_bytes, kept_count, unkept_count FROM failed_event_usage")
    assert usage == [(0, 0, 0)] * 2  # Of the install and of the workspace: their room is free again.


def test_a_server_keeps_house_from_its_start(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        with grpc.insecure_channel(server.grpc_address) as channel:
            phone(channel, server.keys).upload([event_on_wire(1, name="")])
        server.terminate()
        database = server.data_dir / "workevo.db"
        with closing(sqlite3.connect(database)) as aged:
            aged.execute("UPDATE failed_events SET received_at = 1")
            aged.commit()

        server.restart()

        for _ in range(100):
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
                if reader.execute("SELECT count(*) FROM failed_events").fetchone() == (0,):
                    break
            time.sleep(0.1)
        else:
            pytest.fail("the rejected event is still kept")
        assert server.terminate() == 0
