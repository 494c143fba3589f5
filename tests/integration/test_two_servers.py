"""Two servers of one PostgreSQL at once, where one changes what the other has read and waits to write.

A row is held by somebody else until both wait for it, or for each other: what was read before is old by
the time they go on, every time the test runs.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.events import ContactClaim, Install, ReceivedEvent
from workevo_server.domain.verdicts import Reason, Refusal, Verdict
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.services.failed_events import FailedEvents
from workevo_testing.people import (
    DAY,
    NOW,
    SECOND,
    Town,
    operator,
    phone,
    settle,
    town_of,
    user_ref,
    visitor_ref,
)
from workevo_testing.places import DatabasePlace, on_postgres
from workevo_testing.sinks import end_of_test
from workevo_testing.uploads import PHONE, back_end_event, bad_event, good_event, user, visitor

pytestmark = on_postgres

UNREADABLE = Refusal(reason=Reason.EVENT_MALFORMED, message="Its bytes do not parse.")


@asynccontextmanager
async def two_servers(
    place: DatabasePlace, settings: dict[str, str] | None = None
) -> AsyncIterator[tuple[Town, Town]]:
    """One workspace, and how each of them serves it."""
    one = await SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test)
    try:
        town = await settle(one, place)
        if settings:
            await town.workspaces.update_settings(town.workspace_id, settings)
        other = await SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test)
        try:
            yield town, town_of(other, place, town.workspace_id)
        finally:
            await other.close()
    finally:
        await one.close()


# A replay -----------------------------------------------------------------------


def late(install: Install | None) -> ReceivedEvent:
    return good_event(0, 2, user("u1"), "late", 5) if install else back_end_event(0, user("u1"), "late", 5)


def failed_events_of(town: Town, install: Install | None) -> FailedEvents:
    """As a release that can read what this one cannot."""

    def read(_index: int, _raw: bytes) -> ReceivedEvent:
        return late(install)

    return FailedEvents(
        reader=town.store.failed_events,
        store=town.store.failed_events,
        key_ring=town.store.key_ring,
        people=town.store.people,
        read_event=read,
        read_json_event=read,
        page_token_secret=town.store.page_token_secret,
    )


@pytest.mark.parametrize("install", [PHONE, None], ids=["phone", "back end"])
async def test_an_event_that_two_servers_replay_at_once_is_stored_once(
    place: DatabasePlace, install: Install | None
) -> None:
    """R13: though nothing looks for copies, as the workspace has switched R6 off."""
    async with two_servers(place, {"product_identity_window": "0"}) as towns:
        known = good_event(0, 1, user("u1"), "opened", 4)
        await towns[0].send(known)
        await towns[0].send(replace(late(install), refusal=UNREADABLE), install=install)
        held = "installs" if install else "contacts"
        async with place.held(f"SELECT FROM {held} FOR UPDATE") as hold:
            replays = [
                asyncio.create_task(
                    failed_events_of(town, install).replay(
                        town.workspace_id, FailedFilter(), page_size=0, page_token="", author=operator()
                    )
                )
                for town in towns
            ]
            await hold.waited_for_by(2)
        replayed = [
            verdict.verdict.value for page in await asyncio.gather(*replays) for _, verdict in page.verdicts
        ]
    assert replayed == ["ACCEPTED"]
    assert place.rows("SELECT count(*) FROM events") == [(2,)]
    assert set(place.rows("SELECT kept_count, kept_bytes FROM failed_event_usage")) == {(0, 0)}
    assert place.problems() == ()


async def test_a_month_that_another_server_dropped_a_moment_ago_is_made_again_by_a_replay(
    place: DatabasePlace,
) -> None:
    """R13: what this server knew of the months is old by then."""
    january = int(datetime(2031, 1, 5, tzinfo=UTC).timestamp()) * SECOND
    async with two_servers(place) as (one, other):
        good = good_event(0, 1, user("u1"), "opened", 4)
        await other.send(good, replace(late(PHONE), refusal=UNREADABLE), at=january)
        while (await one.store.retention.drop_aged_events({one.workspace_id: january + 60 * DAY})).is_more:
            pass
        assert place.rows("SELECT count(*) FROM events") == [(0,)]
        page = await failed_events_of(other, PHONE).replay(
            other.workspace_id, FailedFilter(), page_size=0, page_token="", author=operator()
        )
    assert [verdict.verdict for _, verdict in page.verdicts] == [Verdict.ACCEPTED]
    assert place.problems() == ()


# What goes by age, or with whom it names -------------------------------------------


@pytest.mark.parametrize("what", ["given up", "deleted"])
async def test_failed_events_that_two_servers_delete_at_once_give_their_room_back_once(
    place: DatabasePlace, what: str
) -> None:
    """R13: else a workspace's cap would hold less each time, and in the end nothing."""
    async with two_servers(place) as (one, other):
        await one.send(good_event(0, 1, user("u1"), "opened", 4), *(bad_event(n, n + 1) for n in range(1, 4)))

        async def give_up(town: Town) -> int:
            return await town.store.failed_events.give_up_failed(
                town.workspace_id, received_before_micros=NOW + SECOND, count_max=500
            )

        async def delete(town: Town) -> int:
            deletion = town.contacts.delete(
                town.workspace_id, user_ref("u1"), suppress=False, author=operator()
            )
            return (await deletion).failed_event_count

        async with place.held("SELECT FROM failed_event_usage FOR UPDATE") as hold:
            first = asyncio.create_task(give_up(one))
            await hold.waited_for_by(1)
            second = asyncio.create_task(give_up(other) if what == "given up" else delete(other))
            await hold.waited_for_by(2)
        assert await first + await second == 3
    assert place.rows("SELECT kept_count, kept_bytes FROM failed_event_usage") == [(0, 0), (0, 0)]
    assert place.problems() == ()


@pytest.mark.parametrize("first", ["what is kept", "the deletion"])
async def test_what_nobody_can_read_is_not_kept_past_a_deletion_on_another_server(
    place: DatabasePlace, first: str
) -> None:
    """R32: whichever of them goes on first, though neither sees what the other has not committed."""
    unread = replace(back_end_event(0, ContactClaim(), ""), refusal=UNREADABLE)
    async with two_servers(place) as (one, other):
        await one.send(good_event(0, 1, user("u1"), "opened", 4))
        await one.send(unread, install=None)

        async def keep() -> object:
            return await one.send(unread, install=None)

        async def delete() -> object:
            return await other.contacts.delete(
                other.workspace_id, user_ref("u1"), suppress=False, author=operator()
            )

        async with place.held("SELECT FROM failed_event_usage FOR UPDATE") as hold:
            both = []
            for work in (keep, delete) if first == "what is kept" else (delete, keep):
                both.append(asyncio.create_task(work()))
                await hold.waited_for_by(len(both))
        await asyncio.gather(*both)
    assert place.rows("SELECT count(*) FROM failed_events") == [(0,)]
    assert place.problems() == ()


async def test_an_event_that_went_by_age_while_it_was_sent_again_is_known_to_have(
    place: DatabasePlace,
) -> None:
    """R14a: else it would be taken for another phone's, and be stored once more in a new epoch."""
    async with two_servers(place) as (one, other):
        event = good_event(0, 1, user("u1"), "opened", 4)
        await one.send(event)
        async with place.held("SELECT FROM installs FOR UPDATE") as hold:
            again = asyncio.create_task(one.send(event))
            await hold.waited_for_by(1)
            aged = await other.store.retention.aged_events(
                other.workspace_id, received_before_micros=NOW + 1, behind=None
            )
            gone = await other.store.retention.expire_events(
                other.workspace_id, aged.expired, received_before_micros=NOW + 1
            )
        (verdict,) = (await again).verdicts
    assert (gone, verdict.verdict) == (1, Verdict.DUPLICATE)
    assert place.problems() == ()


async def test_an_expiry_and_uploads_take_ledgers_in_one_order(place: DatabasePlace) -> None:
    """Else each holds one that the other waits for, and PostgreSQL looks for that after a second only."""
    phones = [phone(number) for number in (1, 2)]
    async with two_servers(place) as (one, other):
        for second, install in enumerate(phones):
            await one.send(good_event(0, 1, user("u1"), "opened", second), install=install)
        aged = await other.store.retention.aged_events(
            other.workspace_id, received_before_micros=NOW + 1, behind=None
        )
        first = "SELECT FROM ledgers ORDER BY install_no LIMIT 1 FOR UPDATE"
        with capture_logs() as logs:
            async with place.held(first) as hold:
                expiry = asyncio.create_task(
                    other.store.retention.expire_events(
                        other.workspace_id, aged.expired, received_before_micros=NOW + 1
                    )
                )
                await hold.waited_for_by(1)
                uploads = [asyncio.create_task(one.send(install=install)) for install in reversed(phones)]
                await hold.waited_for_by(2)
            assert await expiry == 2
            await asyncio.gather(*uploads)
    assert "transaction_met_another" not in {line["event"] for line in logs}
    assert place.problems() == ()


async def test_events_that_go_by_age_while_their_contact_is_deleted_are_counted_once(
    place: DatabasePlace,
) -> None:
    """R14, R32: as expired or as erased, so that the ledgers of both phones hold."""
    async with two_servers(place) as (one, other):
        await one.send(good_event(0, 1, user("u1"), "opened", 4))
        await one.send(good_event(0, 1, user("u1"), "opened", 5), install=phone(2))
        aged = await other.store.retention.aged_events(
            other.workspace_id, received_before_micros=NOW + 1, behind=None
        )
        of_phone_2 = [key for key in aged.expired if key[1] == 5]
        first = "SELECT FROM ledgers ORDER BY install_no LIMIT 1 FOR UPDATE"
        async with place.held(first) as hold:
            deletion = asyncio.create_task(
                one.contacts.delete(one.workspace_id, user_ref("u1"), suppress=False, author=operator())
            )
            await hold.waited_for_by(1)
            expiry = asyncio.create_task(
                other.store.retention.expire_events(
                    other.workspace_id, of_phone_2, received_before_micros=NOW + 1
                )
            )
            await hold.waited_for_by(2)
        assert (await deletion).event_count + await expiry == 2
    assert place.rows("SELECT count(*) FROM events") == [(0,)]
    assert place.problems() == ()


# A person ------------------------------------------------------------------------


async def test_a_visitor_that_logs_in_while_it_is_being_deleted_is_deleted_with_its_user(
    place: DatabasePlace,
) -> None:
    """R32, R16: the same as if the log-in had come first, and nothing is left of either."""
    async with two_servers(place) as (one, other):
        await one.send(good_event(0, 1, visitor("v1"), "opened", 4))
        await one.send(good_event(0, 1, user("u1"), "opened", 5), install=phone(2))
        async with place.held("SELECT FROM installs FOR UPDATE") as hold:
            deletion = asyncio.create_task(
                one.contacts.delete(one.workspace_id, visitor_ref("v1"), suppress=False, author=operator())
            )
            await hold.waited_for_by(1)
            assert await other.log_in("v1", "u1") is None
        receipt = await deletion
    assert (receipt.contact_count, receipt.event_count) == (2, 2)
    assert place.rows("SELECT count(*) FROM contacts") == [(0,)]
    assert place.problems() == ()


async def test_a_deletion_takes_every_install_before_it_takes_a_contact(place: DatabasePlace) -> None:
    """As uploads do: else it held somebody while it waited for a phone, and an upload the other way round."""
    async with two_servers(place) as (one, other):
        await one.send(good_event(0, 1, user("u1"), "opened", 4))
        await one.send(bad_event(0, 1), install=phone(2))
        last = "SELECT FROM installs ORDER BY install_no DESC LIMIT 1 FOR UPDATE"
        async with place.held(last) as hold:
            deletion = asyncio.create_task(
                one.contacts.delete(one.workspace_id, user_ref("u1"), suppress=False, author=operator())
            )
            await hold.waited_for_by(1)
            (verdict,) = (
                await other.send(good_event(0, 1, user("u1"), "opened", 5), install=phone(3))
            ).verdicts
        receipt = await deletion
    assert verdict.verdict is Verdict.ACCEPTED
    assert (receipt.event_count, receipt.failed_event_count) == (2, 1)
    assert place.rows("SELECT count(*) FROM installs WHERE erased_at IS NULL") == [(0,)]
    assert place.problems() == ()


async def merged(town: Town) -> str:
    """A visitor that is u1; the name of the merge."""
    await town.send(good_event(0, 1, visitor("v1"), "opened", 4))
    await town.log_in("v1", "u1")
    ((merge_id,),) = town.rows("SELECT merge_id FROM merges")
    return str(merge_id)


AUDITED = "SELECT action FROM audit_entries WHERE action LIKE 'contact.%'"


@pytest.mark.parametrize("into", [None, "u2"])
async def test_a_merge_that_was_split_elsewhere_meanwhile_is_split_once(
    place: DatabasePlace, into: str | None
) -> None:
    """R16: and where its contact was merged into somebody else since then, it stays there."""
    async with two_servers(place) as (one, other):
        merge_id = await merged(one)
        await one.send(good_event(0, 1, user("u2"), "opened", 4), install=phone(2))
        number = "(SELECT contact_no FROM contacts WHERE external_id = '{}')".format
        async with place.held("LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE") as hold:
            split = asyncio.create_task(
                other.contacts.split(other.workspace_id, merge_id, author=operator(NOW + 9))
            )
            await hold.waited_for_by(1)
            somebody = number(into) if into else "NULL"
            await hold.execute(
                f"UPDATE contacts SET (person_no, merged_into_no) = ({somebody}, {somebody})"
                f" WHERE contact_no = {number('v1')}",
                f"UPDATE merges SET split_at = {NOW}",
            )
        await split
    assert place.rows("SELECT split_at FROM merges") == [(NOW,)]
    assert place.rows(f"SELECT person_no = {number('u2')} FROM contacts WHERE external_id = 'v1'") == [
        (True if into else None,)
    ]
    assert place.rows(AUDITED) == []
