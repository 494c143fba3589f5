"""Sessions of the console end by themselves, and what has ended is not kept; on both stores (R31)."""

import asyncio
from datetime import timedelta

from workevo_server.ports.key_ring import KeyKind
from workevo_server.ports.sessions import Role
from workevo_server.services.sessions import LINK_LASTS, SESSION_LASTS, Sessions
from workevo_testing.people import NOW, Town, open_town
from workevo_testing.places import Place
from workevo_testing.sinks import FixedClock


def at(town: Town, after: timedelta) -> Sessions:
    clock = FixedClock(NOW + after // timedelta(microseconds=1))
    return Sessions(
        store=town.store.sessions,
        key_ring=town.store.key_ring,
        link_secret=town.store.page_token_secret,
        clock=clock,
    )


async def test_a_session_lasts_its_hours_and_not_a_microsecond_longer(place: Place) -> None:
    async with open_town(place) as town:
        key = await town.workspaces.create_key(town.workspace_id, KeyKind.SUPPORT)
        signed = await at(town, timedelta()).sign_in(key)

        last = await at(town, SESSION_LASTS - timedelta(microseconds=1)).session(signed.token)
        after = await at(town, SESSION_LASTS).session(signed.token)

        assert last is not None
        assert (last.role, last.workspace_id, last.workspace_name) == (
            Role.SUPPORT,
            town.workspace_id,
            "acme",
        )
        assert after is None


async def test_a_link_that_nobody_followed_in_time_opens_nothing(place: Place) -> None:
    async with open_town(place) as town:
        early = at(town, timedelta()).make_link(town.workspace_id)
        late = at(town, timedelta()).make_link(town.workspace_id)

        assert await at(town, LINK_LASTS).follow_link(late) is None
        followed = await at(town, LINK_LASTS - timedelta(seconds=1)).follow_link(early)

        assert followed is not None
        session = await at(town, LINK_LASTS).session(followed.token)
        assert session is not None
        assert session.role is Role.ADMIN
        assert session.made_by == "operator"
        assert await at(town, timedelta()).follow_link(early) is None  # Once, whatever the clock says.


async def test_a_link_is_not_written_down_before_it_is_followed_and_cannot_be_made_up(place: Place) -> None:
    async with open_town(place) as town:
        link = at(town, timedelta()).make_link(town.workspace_id)
        other = (await town.workspaces.create("other")).workspace.workspace_id

        assert town.rows("SELECT count(*) FROM console_sessions") == [(0,)]
        for made_up in (
            link[:-1],
            link + "A",
            link.replace(town.workspace_id, other),
            link.partition(".")[2],
            ".",
        ):
            assert await at(town, timedelta()).follow_link(made_up) is None
        assert await at(town, timedelta()).follow_link(link) is not None


async def test_a_link_that_two_follow_at_once_opens_for_one(place: Place) -> None:
    async with open_town(place) as town:
        link = at(town, timedelta()).make_link(town.workspace_id)
        both = await asyncio.gather(*(at(town, timedelta()).follow_link(link) for _ in range(2)))
        assert sum(each is not None for each in both) == 1


async def test_what_has_ended_is_not_kept_and_no_token_is(place: Place) -> None:
    async with open_town(place) as town:
        key = await town.workspaces.create_key(town.workspace_id, KeyKind.VIEWER)
        old = await at(town, timedelta()).sign_in(key)
        new = await at(town, SESSION_LASTS).sign_in(key)

        (rows,) = town.rows("SELECT count(*) FROM console_sessions")

        assert rows[0] == 1
        assert town.found(old.token) == town.found(new.token) == 0
