"""What only PostgreSQL has: a wall between workspaces, months, several processes at once, and its absence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, text

from workevo_server.adapters.sql.partitions import known_months
from workevo_server.adapters.sql.store import SqlStore, StoreRefused
from workevo_server.adapters.sql.tenant_wall import TABLES_WITH_WORKSPACE
from workevo_server.domain.errors import NotFound
from workevo_server.domain.events import ContactClaim, Install, ReceivedEvent
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.told_counts import CountsCall, JudgedCounts, ToldCount, judge_counts
from workevo_server.domain.verdicts import Reason, Verdict
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.ports.key_ring import KeyKind
from workevo_server.ports.people import ContactRef
from workevo_server.services.housekeeping import Housekeeping
from workevo_server.services.people import People
from workevo_server.services.workspaces import Workspaces
from workevo_testing.people import operator
from workevo_testing.places import DatabasePlace, Place, on_postgres
from workevo_testing.sinks import FixedClock, end_of_test
from workevo_testing.stores import opened_store
from workevo_testing.uploads import PHONE, good_event, told_count, upload, user

pytestmark = on_postgres

ONE_OF_FOUR = ["ACCEPTED", "DUPLICATE", "DUPLICATE", "DUPLICATE"]


@asynccontextmanager
async def opened(place: Place, count: int = 1) -> AsyncIterator[list[SqlStore]]:
    """As many servers' stores on one database."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opened_store(place)) for _ in range(count)]


async def workspace_in(store: SqlStore, name: str = "acme") -> WorkspaceId:
    made = await Workspaces(store=store.workspaces, clock=FixedClock()).create(name)
    return made.workspace.workspace_id


def phone(number: int) -> Install:
    return Install(install_id=InstallId(f"phone {number}"), epoch=b"e" * 16)


async def send(
    store: SqlStore,
    workspace_id: WorkspaceId,
    *events: ReceivedEvent,
    install: Install = PHONE,
    settings: WorkspaceSettings = WorkspaceSettings(),  # noqa: B008 - frozen.
    at_seconds: int = 1_700_000_000,
) -> UploadAnswer:
    sent = upload(workspace_id, events, install=install, at_seconds=at_seconds)
    return await store.sink.append(judge_upload(sent, settings))


# The wall


async def test_every_table_of_a_workspace_is_behind_the_wall(place: Place) -> None:
    async with opened(place) as (store,):
        await send(store, await workspace_in(store), good_event(0, 1, user("u1"), "opened", 1))
        place.execute("CREATE TABLE forgotten (workspace_no BIGINT)")
        async with store._database.reading(None) as connection:
            tables = (await connection.execute(TABLES_WITH_WORKSPACE)).all()

    assert {table.name for table in tables if not table.is_walled} == {"forgotten"}  # The control.
    assert {"events", "contacts", "summaries", "told_counts", "failed_events", "ledgers"} <= {
        table.name for table in tables
    }
    assert any(table.is_partition for table in tables)


async def seen_without_a_filter(store: SqlStore, workspace_id: WorkspaceId) -> dict[str, set[int]]:
    """The workspaces whose rows a statement without any filter finds, by table."""
    found: dict[str, set[int]] = {}
    async with store._database.reading(workspace_id) as connection:
        for table in (await connection.execute(TABLES_WITH_WORKSPACE)).all():
            if not table.is_partition:
                rows = await connection.execute(text(f"SELECT DISTINCT workspace_no FROM {table.name}"))
                found[table.name] = set(rows.scalars())
    return found


async def test_with_the_filter_forgotten_nothing_leaks(place: Place) -> None:
    """The control: without the wall the same statements show the other workspace."""
    async with opened(place) as (store,):
        mine, other = [await workspace_in(store, name) for name in ("mine", "other")]
        for workspace_id in (mine, other):
            bad = good_event(1, 2, user("u1"), "", 2)
            await send(store, workspace_id, good_event(0, 1, user("u1"), "opened", 1), bad)
        assert all(seen <= {1} for seen in (await seen_without_a_filter(store, mine)).values())
        assert (await seen_without_a_filter(store, other))["events"] == {2}
        assert (await seen_without_a_filter(store, WorkspaceId("ws_nobody")))["events"] == set()

        tables = await seen_without_a_filter(store, mine)
        place.execute(*(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY" for table in tables))
        leaked = await seen_without_a_filter(store, mine)
        assert {"events", "contacts", "summaries", "ledgers", "failed_events"} <= {
            table for table, seen in leaked.items() if seen == {1, 2}
        }


async def test_a_write_into_another_workspace_is_refused(place: Place) -> None:
    async with opened(place) as (store,):
        mine = await workspace_in(store, "mine")
        await workspace_in(store, "other")

        def trespass(connection: Connection) -> None:
            connection.execute(
                text(
                    "INSERT INTO contacts (workspace_no, contact_id, kind, id_kind, external_id, attributes,"
                    " shared, created_at) VALUES (2, 'c', 'USER', 'user', 'u', '{}', FALSE, 0)"
                )
            )

        with pytest.raises(Exception, match="row-level security"):
            await store._database.transact(trespass, mine)
    assert place.rows("SELECT count(*) FROM contacts") == [(0,)]


async def test_a_caller_that_goes_away_leaves_no_transaction_open(place: Place) -> None:
    """A pooled connection with an open transaction would still see the workspace it entered."""
    slow = "SELECT pg_sleep(60)"
    begun = f"SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query = '{slow}'"
    async with opened(place) as (store,):
        workspace_id = await workspace_in(store)

        async def read_slowly() -> None:
            async with store._database.reading(workspace_id) as connection:
                await connection.execute(text(slow))

        reading = [asyncio.create_task(read_slowly()) for _ in range(4)]
        pids = ", ".join(str(pid) for (pid,) in await rows_in_time(place, begun, 4))
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

        left = f"SELECT pid, state FROM pg_stat_activity WHERE pid IN ({pids}) AND state <> 'idle'"
        assert await rows_in_time(place, left, 0) == []


async def rows_in_time(place: Place, query: str, count: int) -> list[Any]:
    """What a query finds as soon as it finds so many."""
    async with asyncio.timeout(20):
        while True:
            rows = place.rows(query)
            if len(rows) == count:
                return rows
            await asyncio.sleep(0.02)


# Months


def seconds_of(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


async def test_events_lie_in_months_of_receipt_that_are_made_ahead_and_when_they_are_met(
    place: Place,
) -> None:
    async with opened(place) as (store,):
        workspace_id = await workspace_in(store)
        for number, month in enumerate((1, 2, 2, 12), start=1):
            at = seconds_of(2031, month, number)
            event = good_event(0, number, user("u1"), "opened", at)
            (verdict,) = (await send(store, workspace_id, event, at_seconds=at)).verdicts
            assert verdict.verdict is Verdict.ACCEPTED
    parts = "SELECT tableoid::regclass::text, count(*) FROM events GROUP BY 1 ORDER BY 1"
    assert place.rows(parts) == [("events_2031_01", 1), ("events_2031_02", 2), ("events_2031_12", 1)]
    months = place.rows("SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass")
    assert months[0][0] == 3 + 4  # This month, and three ahead.


async def test_months_that_nobody_keeps_are_dropped_and_tallied(place: Place) -> None:
    """R32, R14: the balance holds, summaries go on counting, and a month that somebody keeps stays."""
    async with opened(place) as (store,):
        workspaces = Workspaces(store=store.workspaces, clock=FixedClock())
        mine, other = [await workspace_in(store, name) for name in ("mine", "other")]
        january, march = seconds_of(2031, 1, 5), seconds_of(2031, 3, 5)
        await send(store, mine, good_event(0, 1, user("u1"), "opened", january), at_seconds=january)
        await send(store, mine, good_event(0, 2, user("u1"), "opened", march), at_seconds=march)
        await send(store, other, good_event(0, 1, user("u1"), "opened", march), at_seconds=march)
        await workspaces.update_settings(mine, {"event_retention": "10"})
        keeper = Housekeeping(
            workspaces=store.workspaces, failed_events=store.failed_events, retention=store.retention
        )

        assert (await keeper.expire_events(seconds_of(2031, 6, 1) * 1_000_000)).count == 2

        record = await store.delivery.install(mine, PHONE.install_id)
        assert record is not None
        assert record.gone[PHONE.epoch].expired == 2
        assert record.ledgers[0][1].balance().stored == 2
        people = People(reader=store.people, page_token_secret=store.page_token_secret)
        (summary,) = (await people.event_summary(mine, ContactRef(user_id="u1")))[1]
        assert summary.count == 2
        async with store._database.reading(None) as connection:
            months = set(await connection.run_sync(lambda each: list(known_months(each))))
    assert (2031, 1) not in months
    assert (2031, 3) in months
    assert place.rows("SELECT count(*) FROM events") == [(1,)]
    assert place.problems() == ()


# Several processes


async def test_one_event_that_comes_to_four_servers_at_once_is_stored_once(place: Place) -> None:
    """R6 across processes: whoever commits first has it, the others see that."""
    async with opened(place, 4) as stores:
        workspace_id = await workspace_in(stores[0])
        for second in range(15):
            answers = await asyncio.gather(
                *(
                    send(
                        store,
                        workspace_id,
                        good_event(0, second + 1, user("u1"), "opened", 1_000 + second),
                        install=phone(number),
                    )
                    for number, store in enumerate(stores)
                )
            )
            verdicts = [answer.verdicts[0].verdict.value for answer in answers]
            assert sorted(verdicts) == ONE_OF_FOUR
    assert place.rows("SELECT count(*), count(DISTINCT created_at_seconds) FROM events") == [(15, 15)]
    assert place.rows("SELECT event_count FROM summaries") == [(15,)]
    assert place.problems() == ()


async def test_one_install_on_four_servers_has_one_outcome_for_each_sequence(place: Place) -> None:
    """R7 across processes: two copies of a phone's queue lose nothing and store nothing twice."""
    async with opened(place, 4) as stores:
        workspace_id = await workspace_in(stores[0])
        for first in range(1, 60, 6):
            events = [good_event(n, first + n, user(f"u{n}"), "opened", 1_000 + first + n) for n in range(6)]
            answers = await asyncio.gather(*(send(store, workspace_id, *events) for store in stores))
            for verdicts in zip(*(answer.verdicts for answer in answers), strict=True):
                told = [verdict.verdict.value for verdict in verdicts]
                assert sorted(told) == ONE_OF_FOUR
        record = await stores[1].delivery.install(workspace_id, PHONE.install_id)
    assert record is not None
    balance = record.ledgers[0][1].balance()
    assert (balance.generated, balance.stored, balance.resent) == (60, 60, 180)
    assert place.problems() == ()


async def test_new_contacts_and_names_are_made_once_and_never_beyond_the_limit(place: Place) -> None:
    """R10 and R18 across processes: the last place in the catalogue goes to one name alone."""
    settings = WorkspaceSettings(event_names_max=6)
    async with opened(place, 4) as stores:
        workspace_id = await workspace_in(stores[0])
        answers = await asyncio.gather(
            *(
                send(
                    store,
                    workspace_id,
                    good_event(0, sequence, user(f"u{sequence}"), f"name {sequence} {number % 2}", sequence),
                    install=phone(number),
                    settings=settings,
                )
                for sequence in range(1, 9)
                for number, store in enumerate(stores)
            )
        )
    refused = [verdict.refusal.reason for answer in answers for verdict in answer.verdicts if verdict.refusal]
    assert set(refused) == {Reason.EVENT_NAME_LIMIT}
    assert place.rows("SELECT count(*) FROM event_definitions") == [(6,)]
    made = "SELECT count(*) = count(DISTINCT external_id) FROM contacts"
    assert place.rows(made) == [(True,)]
    assert place.problems() == ()


def counts_of(
    workspace_id: WorkspaceId, user_id: str, *counts: ToldCount, create: bool = False
) -> JudgedCounts:
    call = CountsCall(
        workspace_id=workspace_id, contact=user(user_id), counts=counts, received_at_micros=9_000_000
    )
    judged = judge_counts(call, WorkspaceSettings(create_unknown_users=create, event_names_max=6))
    assert isinstance(judged, JudgedCounts)
    return judged


async def test_a_count_that_is_told_to_four_servers_at_once_is_told_once(place: Place) -> None:
    """R29 across processes: contact and names are made by one of them, and never beyond R10's limit."""
    async with opened(place, 4) as stores:
        workspace_id = await workspace_in(stores[0])
        for turn in range(8):
            counts = [told_count(f"name {turn} {n}", n + 1, 1, 2) for n in range(2)]
            told = counts_of(workspace_id, f"u{turn}", *counts, create=True)
            answers = await asyncio.gather(*(store.sink.tell_counts(told) for store in stores))
            verdicts = [answer.verdict.value for answer in answers]
            assert sorted(verdicts) == (ONE_OF_FOUR if turn < 3 else ["REJECTED"] * 4)
    assert place.rows("SELECT sum(event_count), count(*) FROM told_counts") == [(9, 6)]
    assert place.rows("SELECT count(*) FROM event_definitions") == [(6,)]
    assert place.rows("SELECT count(*) FROM contacts") == [(3,)]
    assert place.problems() == ()


async def test_counts_told_of_a_contact_that_is_written_and_deleted_meanwhile_stay_whole(
    place: Place,
) -> None:
    """Tellings, uploads and deletions of one person at once: no deadlock, and nothing is left over."""
    async with opened(place, 3) as stores:
        workspace_id = await workspace_in(stores[0])

        async def tell() -> None:
            for second in range(40):
                counts = [told_count(f"name {(second + n) % 5}", second + 1, 1, 2 + second) for n in range(2)]
                await stores[0].sink.tell_counts(counts_of(workspace_id, "u1", *counts))

        async def write() -> None:
            for second in range(40):
                event = good_event(0, second + 1, user("u1"), f"name {second % 5}", 10 + second)
                await send(stores[1], workspace_id, event)

        async def delete() -> None:
            for turn in range(6):
                await asyncio.sleep(0.05)
                with suppress(NotFound):
                    await stores[2].contacts.delete(
                        workspace_id, ContactRef(user_id="u1"), suppress=False, author=operator(turn)
                    )

        await asyncio.gather(tell(), write(), delete())
    assert place.problems() == ()


async def test_a_contact_merged_and_deleted_while_it_is_written_stays_whole(place: Place) -> None:
    """Uploads, log-ins and deletions of one person at once: no deadlock, and every count adds up."""
    async with opened(place, 3) as stores:
        workspace_id = await workspace_in(stores[0])

        async def write(number: int) -> None:
            for second in range(25):
                contact = user("u1") if second % 2 else ContactClaim(visitor_id=f"v{number}")
                event = good_event(0, second + 1, contact, f"name {second % 5}", second)
                await send(stores[number], workspace_id, event, install=phone(number))

        async def change() -> None:
            contacts = stores[2].contacts
            for turn in range(8):
                await asyncio.sleep(0.03)
                await contacts.make_user(
                    workspace_id,
                    ContactRef(visitor_id=f"v{turn % 2}"),
                    user_id="u1",
                    email=None,
                    attributes=(),
                    occurred_at_micros=turn,
                    author=operator(turn),
                )
                if turn % 3 == 2:
                    await contacts.delete(
                        workspace_id, ContactRef(user_id="u1"), suppress=False, author=operator(turn)
                    )

        await asyncio.gather(write(0), write(1), change())
    assert place.problems() == ()


async def test_what_one_server_changes_the_others_hear(place: Place) -> None:
    """R31: a key revoked anywhere opens nothing anywhere."""

    async def until(store: SqlStore, key: str, *, known: bool) -> None:
        async with asyncio.timeout(5):
            while (store.key_ring.principal(key) is not None) != known:  # noqa: ASYNC110 - another process.
                await asyncio.sleep(0.01)

    async def note(_serving: bool) -> None:
        pass

    async with opened(place, 2) as (one, other):
        watching = asyncio.create_task(other.watch(note))
        workspaces = Workspaces(store=one.workspaces, clock=FixedClock())
        made = await workspaces.create("acme")
        workspace_id, key = made.workspace.workspace_id, made.keys[KeyKind.SDK]
        await until(other, key, known=True)
        await workspaces.update_settings(workspace_id, {"metadata_keys_max": "7"})
        principal = one.key_ring.principal(key)
        assert principal is not None
        await workspaces.revoke_key(workspace_id, principal.key_prefix)
        await until(other, key, known=False)
        assert other.key_ring.settings(workspace_id).metadata_keys_max == 7
        watching.cancel()
        await asyncio.wait([watching])


async def test_counts_of_definitions_are_exact_before_and_after_they_are_rolled_up(place: Place) -> None:
    async with opened(place) as (store,):
        workspace_id = await workspace_in(store)
        for sequence in range(1, 6):
            await send(store, workspace_id, good_event(0, sequence, user("u1"), "opened", sequence // 2))
        assert place.rows("SELECT stored_count FROM event_definitions") == [(0,)]
        before = await store.catalogue.definition(workspace_id, "opened")  # type: ignore[arg-type]
        await store._database.keep_up()
        after = await store.catalogue.definition(workspace_id, "opened")  # type: ignore[arg-type]
    assert before == after
    assert before is not None
    assert (before.stored_count, before.duplicate_count) == (3, 2)
    assert place.rows("SELECT stored_count, duplicate_count, seen_users FROM event_definitions") == [
        (3, 2, True)
    ]
    assert place.rows("SELECT count(*) FROM definition_counts") == [(0,)]


# A server that cannot be used


@pytest.mark.parametrize("wrong", ["port", "database"])
async def test_a_server_that_is_not_there_is_told_in_a_sentence(place: Place, wrong: str) -> None:
    assert isinstance(place, DatabasePlace)
    where = place.where.set(**({"port": 1} if wrong == "port" else {"database": "nowhere"}))
    with pytest.raises(StoreRefused, match=r"PostgreSQL cannot be used as the store: .*Check --store"):
        await SqlStore.open(where, simulated_clock=False, fatal=end_of_test)
    with pytest.raises(StoreRefused, match="PostgreSQL cannot be used as the store"):
        DatabasePlace(str(where)).problems()
