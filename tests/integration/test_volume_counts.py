"""Volumes are the sums of what is stored, whatever came before it and however many servers store it."""

import asyncio
import json
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest
from sqlalchemy import text

from workevo_server.adapters.sql import volume_counts
from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.events import ReceivedEvent
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.verdicts import Verdict
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.services.catalogue import Catalogue
from workevo_testing.people import SECOND, Town, open_town, operator, phone, settle
from workevo_testing.places import DatabasePlace, Place, on_postgres
from workevo_testing.sinks import end_of_test
from workevo_testing.uploads import good_event, upload, user, visitor

NOW_SECONDS = 1_800_000_000
PHONES = [
    replace(phone(1), platform="ios", app_version="1.0"),
    replace(phone(2), platform="ios", app_version="1.1"),
    replace(phone(3), platform="android"),
    replace(phone(4), app_version="\N{RIGHT-TO-LEFT OVERRIDE}<b>\0"),
]
NAMES = ["opened", "closed", "Opened", "a\0b", ""]
"""Two of them one name; what has none is rejected."""

Row = tuple[int, str, int, str]  # definition_no, dimension, starts_at, value
DAY_SECONDS, HOUR_SECONDS = 86_400, 3600
BUCKETS = (10, 60, 600, 3600, 6 * 3600, 86_400, 7 * 86_400)


@pytest.fixture
async def town(place: Place) -> AsyncIterator[Town]:
    async with open_town(place) as opened:
        yield opened


def counted_rows(place: Place) -> Counter[Row]:
    """Of all parts together."""
    found: Counter[Row] = Counter()
    for no, dimension, at, value, count in place.rows(
        "SELECT definition_no, dimension, starts_at, value, event_count FROM event_volumes"
    ):
        found[no, dimension, at, bytes(value).decode()] += count
    return found


def oracle(place: Place) -> Counter[Row]:
    """The same, added up from the events that are there."""
    found: Counter[Row] = Counter()
    for no, occurred_at, received_at, description in place.rows(
        "SELECT definition_no, occurred_at, received_at, description"
        " FROM events LEFT JOIN installs ON events.install_no = installs.install_no"
    ):
        told = json.loads(description) if description is not None else {}
        at, late = occurred_at // SECOND, (received_at - occurred_at) / SECOND
        day = at // DAY_SECONDS * DAY_SECONDS
        if late <= 40 * DAY_SECONDS:
            found[no, "hour", at // HOUR_SECONDS * HOUR_SECONDS, ""] += 1
        found[no, "platform", day, told.get("platform", "")] += 1
        found[no, "app_version", day, told.get("app_version", "")] += 1
        found[no, "lateness", day, str(bisect_right(BUCKETS, late))] += 1
    return found


class History:
    """What phones and a back end send, from a seed: copies, repeats, late, rejected and archived events."""

    def __init__(self, town: Town, seed: int) -> None:
        self._town = town
        self._chance = random.Random(seed)
        self._sent: list[tuple[list[ReceivedEvent], int | None]] = []
        self._sequences = Counter[int]()
        self._catalogue = Catalogue(
            reader=town.store.catalogue,
            store=town.store.catalogue,
            key_ring=town.store.key_ring,
            page_token_secret=town.store.page_token_secret,
        )
        self.verdicts: Counter[Verdict] = Counter()

    async def live(self, steps: int) -> None:
        self._sequences[0] = 1
        await self._send([good_event(0, 1, user("u0"), "opened", 1)], 0, at=2)
        for step in range(steps):
            match self._chance.randrange(10):
                case 0:
                    await self._archive_or_take_back()
                case 1:
                    await self._town.log_in(f"v{self._chance.randrange(3)}", "u1")
                case 2 | 3:
                    await self._send(*self._chance.choice(self._sent), at=NOW_SECONDS + step)
                case _:
                    await self._send(*self._new(step), at=NOW_SECONDS + step)

    def _new(self, step: int) -> tuple[list[ReceivedEvent], int | None]:
        number = self._chance.choice([0, 1, 2, 3, None])
        events = []
        for index in range(self._chance.randint(1, 8)):
            self._sequences[number or 0] += 1
            person = self._chance.choice([user, visitor])(f"u{self._chance.randrange(3)}")
            ago = self._chance.choice([0, 9, 59, 3000, 3 * HOUR_SECONDS, 2 * DAY_SECONDS, 60 * DAY_SECONDS])
            at = NOW_SECONDS + step - ago - self._chance.randrange(3)
            name = self._chance.choice(NAMES)
            events.append(good_event(index, self._sequences[number or 0], person, name, at))
        return events, number

    async def _send(self, events: list[ReceivedEvent], number: int | None, *, at: int) -> None:
        self._sent.append((events, number))
        install = PHONES[number] if number is not None else None
        answer = await self._town.send(*events, install=install, at=at * SECOND)
        self.verdicts.update(verdict.verdict for verdict in answer.verdicts)

    async def _archive_or_take_back(self) -> None:
        of = self._town.workspace_id
        change = self._chance.choice([self._catalogue.archive, self._catalogue.unarchive])
        await change(of, "opened", author=operator())


@pytest.mark.parametrize("seed", range(3))
async def test_volumes_are_the_sums_of_what_is_stored(town: Town, seed: int) -> None:
    history = History(town, seed)
    await history.live(60)

    assert {Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.ARCHIVED, Verdict.REJECTED} <= set(history.verdicts)
    assert town.rows("SELECT count(*) FROM events") == [(history.verdicts[Verdict.ACCEPTED],)]
    assert counted_rows(town.place) == oracle(town.place)
    assert town.place.problems() == ()


async def test_an_event_that_is_counted_for_its_copy_too_is_seen(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the tests that add up."""
    count = volume_counts.VolumeCounts.count

    def twice(*arguments: object, **more: object) -> None:
        count(*arguments, **more)  # type: ignore[arg-type]
        count(*arguments, **more)  # type: ignore[arg-type]

    event = good_event(0, 1, user("u1"), "opened", NOW_SECONDS)
    await town.send(event)
    assert counted_rows(town.place) == oracle(town.place)
    monkeypatch.setattr(volume_counts.VolumeCounts, "count", twice)
    await town.send(replace(event, sequence=2, name="closed"))
    assert counted_rows(town.place) != oracle(town.place)
    assert set(town.place.problems()) == {
        f"1 {what} of a name that count more events than there are." for what in ("days", "hours")
    }


# Several servers


@on_postgres
async def test_no_server_waits_for_the_rows_that_another_adds_to(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [good_event(0, number, user("u1"), "opened", NOW_SECONDS + number) for number in range(1, 5)]
    await town.send(events[0])
    async with another_adds(town.place):
        await asyncio.wait_for(town.send(events[1]), 10)
        assert parts(town.place) == {0, 1}
        monkeypatch.setattr(volume_counts, "_TAKE_PART", text("SELECT 0"))  # The control.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(town.send(events[2]), 1)
        monkeypatch.undo()
    await town.send(events[3])  # After the one that waited.

    assert counted_rows(town.place) == oracle(town.place)
    assert parts(town.place) == {0, 1}


def parts(place: Place) -> set[int]:
    return {part for (part,) in place.rows("SELECT part FROM event_volumes")}


@asynccontextmanager
async def another_adds(place: Place) -> AsyncIterator[None]:
    """A server in the middle of a transaction that added to every row there is."""
    assert isinstance(place, DatabasePlace)
    plain = place.where.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    try:
        async with connection.transaction():
            assert await connection.fetchval(str(volume_counts._TAKE_PART)) == 0
            await connection.execute("UPDATE event_volumes SET event_count = event_count + 0")
            yield
    finally:
        await connection.close()


@on_postgres
async def test_what_four_servers_store_at_once_is_counted_once(place: Place) -> None:
    async with AsyncExitStack() as opened:
        towns: list[Town] = []
        for _ in range(4):
            store = await SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test)
            opened.push_async_callback(store.close)
            towns.append(replace(towns[0], store=store) if towns else await settle(store, place))

        async def send_from(server: int) -> None:
            for number in range(15):
                at = NOW_SECONDS - number * 600
                events = [good_event(n, n + 1, user(f"u{n}"), f"name {n % 3}", at) for n in range(20)]
                install = phone(server * 100 + number)
                sent = upload(towns[0].workspace_id, events, install=install, at_seconds=NOW_SECONDS)
                await towns[server].store.sink.append(judge_upload(sent, WorkspaceSettings()))

        await asyncio.gather(*map(send_from, range(4)))
    assert place.rows("SELECT count(*) FROM events") == [(15 * 20,)]
    assert counted_rows(place) == oracle(place)
