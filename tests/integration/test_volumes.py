"""Volumes count what is stored, once each, and the latest of a name are found at once; on both stores."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from workevo_server.adapters.sql import schema
from workevo_server.domain.errors import PageTokenInvalid, RequestInvalid
from workevo_server.domain.events import ReceivedEvent
from workevo_server.domain.metadata import MetadataItem, Monetary, Number, Text
from workevo_server.domain.verdicts import Reason
from workevo_server.ports.catalogue import EventDefinition
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.ports.volumes import Bar, Facet, Occurrence, Step
from workevo_server.services.catalogue import Catalogue
from workevo_server.services.failed_events import FailedEvents
from workevo_server.services.volumes import Volumes
from workevo_testing.people import DAY, NOW, SECOND, Town, open_town, operator, phone, user_ref
from workevo_testing.places import Place
from workevo_testing.plans import accesses, noted
from workevo_testing.uploads import back_end_event, good_event, user, visitor

NOON = NOW // SECOND // 86_400 * 86_400 - 43_200
"""Of the day before NOW's, in seconds."""
HOUR_SECONDS, DAY_SECONDS = 3600, 86_400
ALWAYS = {"from_seconds": NOON - 1000 * DAY_SECONDS, "end_seconds": NOON + 100 * DAY_SECONDS}
LATELY = {"from_seconds": NOON - 1000 * HOUR_SECONDS, "end_seconds": NOON + 100 * HOUR_SECONDS}
"""As much as is told at once."""
AT = NOON * SECOND + SECOND


@pytest.fixture
async def town(place: Place) -> AsyncIterator[Town]:
    async with open_town(place) as opened:
        yield opened


def volumes(town: Town) -> Volumes:
    return Volumes(reader=town.store.volumes, page_token_secret=town.store.page_token_secret)


async def definition(town: Town, name: str) -> EventDefinition:
    catalogue = Catalogue(
        reader=town.store.catalogue,
        store=town.store.catalogue,
        key_ring=town.store.key_ring,
        page_token_secret=town.store.page_token_secret,
    )
    return await catalogue.definition(town.workspace_id, name)


async def live(town: Town) -> None:
    """Stored, sent again, copied, rejected, archived later, late, from a back end, and on several days."""
    ios = replace(phone(1), platform="ios", app_version="1.0")
    android = replace(phone(2), platform="android", app_version="2.0")
    first = [
        good_event(0, 1, user("u1"), "opened", NOON),
        good_event(1, 2, user("u1"), "opened", NOON - HOUR_SECONDS),
        good_event(2, 3, user("u2"), "closed", NOON - DAY_SECONDS),
        good_event(3, 4, user("u2"), "", NOON),
    ]
    await town.send(*first, install=ios, at=AT)
    await town.send(*first, install=ios, at=AT + SECOND)
    copy = good_event(0, 1, user("u1"), "opened", NOON)
    late = good_event(1, 2, user("u1"), "opened", NOON - 90 * DAY_SECONDS)
    await town.send(copy, late, good_event(2, 3, visitor("v"), "opened", NOON), install=android, at=AT)
    await town.send(back_end_event(0, user("u1"), "opened", NOON - 5), install=None, at=AT)


async def test_what_is_stored_is_counted_once_by_hour_day_and_facet(town: Town) -> None:
    await live(town)
    opened = await definition(town, "opened")
    read, of = volumes(town), town.workspace_id
    today = NOON - NOON % DAY_SECONDS

    days = await read.bars(of, opened, step=Step.DAY, **ALWAYS)
    hours = await read.bars(of, opened, step=Step.HOUR, **LATELY)
    platforms = await read.shares(of, opened, facet=Facet.PLATFORM, **ALWAYS)
    versions = await read.shares(of, opened, facet=Facet.APP_VERSION, **ALWAYS)
    lateness = await read.shares(of, opened, facet=Facet.LATENESS, **ALWAYS)

    assert days == [Bar(today - 90 * DAY_SECONDS, 1), Bar(today, 4)]
    assert await read.first_and_last_day(of, opened) == (days[0].starts_at_seconds, today)
    assert hours == [Bar(NOON - HOUR_SECONDS, 2), Bar(NOON, 2)]  # The one that was too late has no hour.
    assert {share.value: share.count for share in platforms} == {"ios": 2, "android": 2, "": 1}
    assert {share.value: share.count for share in versions} == {"1.0": 2, "2.0": 2, "": 1}
    assert [(share.value, share.count) for share in lateness] == [("0", 3), ("4", 1), ("7", 1)]
    android = next(share for share in platforms if share.value == "android")
    assert android.days == [Bar(today - 90 * DAY_SECONDS, 1), Bar(today, 1)]


async def test_days_of_several_names_are_read_together_and_only_of_the_range(town: Town) -> None:
    await live(town)
    opened, closed = await definition(town, "opened"), await definition(town, "closed")
    today = NOON - NOON % DAY_SECONDS
    found = await volumes(town).days(
        town.workspace_id,
        [opened, closed],
        from_seconds=today - DAY_SECONDS,
        end_seconds=today + DAY_SECONDS,
    )
    assert found == {
        opened.definition_no: [Bar(today, 4)],
        closed.definition_no: [Bar(today - DAY_SECONDS, 1)],
    }
    assert await volumes(town).days(town.workspace_id, [], **ALWAYS) == {}


async def test_a_range_is_bounded_and_a_longer_one_refused_with_a_sentence(town: Town) -> None:
    await live(town)
    read, of, opened = volumes(town), town.workspace_id, await definition(town, "opened")
    days, hours = ({**whole, "end_seconds": whole["end_seconds"] + 1} for whole in (ALWAYS, LATELY))
    for asked, word in (
        (read.days(of, [opened], **days), "days"),
        (read.days(of, [], **days), "days"),
        (read.bars(of, opened, step=Step.DAY, **days), "days"),
        (read.bars(of, opened, step=Step.HOUR, **hours), "hours"),
        (read.shares(of, opened, facet=Facet.PLATFORM, **days), "days"),
    ):
        with pytest.raises(RequestInvalid) as refused:
            await asked
        assert refused.value.violations[0].sentence == f"A range has at most 1,100 {word}."


async def test_the_sums_of_every_dimension_are_what_is_stored(town: Town) -> None:
    await live(town)
    await replay_all(town)
    stored = Counter(no for (no,) in town.rows("SELECT definition_no FROM events"))
    assert sum(stored.values()) == 7
    for dimension in ("platform", "app_version", "lateness"):
        rows = town.rows(
            f"SELECT definition_no, event_count FROM event_volumes WHERE dimension = '{dimension}'"
        )
        counted: Counter[int] = Counter()
        for no, count in rows:
            counted[no] += count
        assert counted == stored, dimension


def mended(_index: int, _raw: bytes) -> ReceivedEvent:
    """What was sent with a metadata value too long, as a release reads it that allows more."""
    return good_event(0, 50, user("u1"), "opened", NOON + 60)


async def replay_all(town: Town) -> None:
    too_long = (MetadataItem("key", Text("x" * 256)),)
    await town.send(replace(mended(0, b""), metadata=too_long), install=phone(3), at=AT + 100 * SECOND)
    failed_events = FailedEvents(
        reader=town.store.failed_events,
        store=town.store.failed_events,
        key_ring=town.store.key_ring,
        people=town.store.people,
        read_event=mended,
        read_json_event=mended,
        page_token_secret=town.store.page_token_secret,
    )
    await failed_events.replay(
        town.workspace_id,
        FailedFilter(reason=Reason.METADATA_VALUE_INVALID),
        page_size=0,
        page_token="",
        author=operator(),
    )


async def test_other_workspaces_have_their_own(town: Town, place: Place) -> None:
    await live(town)
    opened = await definition(town, "opened")
    other = await town.workspaces.create("other")
    found = await volumes(town).bars(other.workspace.workspace_id, opened, step=Step.DAY, **ALWAYS)
    assert found == []
    occurred = await volumes(town).occurrences(
        other.workspace.workspace_id, opened, page_size=5, page_token=""
    )
    assert occurred.occurrences == []


async def test_the_latest_of_a_name_are_paged_without_skip_or_repeat_whoever_did_them(town: Town) -> None:
    for number in range(12):
        event = good_event(0, number + 1, visitor(f"v{number % 4}"), "opened", NOON - number // 4)
        await town.send(event, install=phone(number % 4), at=AT)
    await town.log_in("v1", "anna", install=phone(1))
    opened = await definition(town, "opened")
    read, token = volumes(town), ""
    seen: list[Occurrence] = []
    while True:
        page = await read.occurrences(town.workspace_id, opened, page_size=5, page_token=token)
        seen += page.occurrences
        token = page.next_page_token
        if not token:
            break

    places = [(each.event.occurred_at_micros, each.event.receipt_no) for each in seen]
    assert places == sorted(places, reverse=True)
    assert len(set(places)) == 12
    assert Counter(each.contact.user_id for each in seen) == {"anna": 3, "": 9}
    with pytest.raises(PageTokenInvalid):
        await read.occurrences(town.workspace_id, opened, page_size=5, page_token="AAAA")


async def test_keys_are_told_with_their_types_and_examples(town: Town) -> None:
    for number in range(5):
        metadata = [MetadataItem("price", Monetary(number % 2, "usd"))]
        if number == 4:
            metadata = [MetadataItem("price", Number(3)), MetadataItem("note", Text("a\0b"))]
        event = replace(good_event(0, number + 1, user("u"), "paid", NOON + number), metadata=tuple(metadata))
        await town.send(event, at=AT + 10 * SECOND)

    found = await volumes(town).metadata_keys(town.workspace_id, await definition(town, "paid"))

    price, note = found.keys
    assert found.searched == 5
    assert (price.key, price.count, price.types) == ("price", 5, [Monetary, Number])
    assert price.examples == [Number(3), Monetary(1, "USD"), Monetary(0, "USD")]
    assert (note.key, note.count, note.examples) == ("note", 1, [Text("a\0b")])


async def test_a_deleted_person_is_in_no_occurrence_and_stays_counted(town: Town) -> None:
    await live(town)
    await town.contacts.delete(town.workspace_id, user_ref("u1"), suppress=False, author=operator())
    opened = await definition(town, "opened")
    page = await volumes(town).occurrences(town.workspace_id, opened, page_size=50, page_token="")
    assert [each.contact.visitor_ids for each in page.occurrences] == [("v",)]
    days = await volumes(town).bars(town.workspace_id, opened, step=Step.DAY, **ALWAYS)
    assert sum(bar.count for bar in days) == 5


async def test_the_reads_find_their_rows_by_keys(town: Town) -> None:
    for number in range(40):
        events = [
            good_event(n, n + 1, visitor(f"v{number}"), f"name {n % 7}", NOON - n * 4000) for n in range(60)
        ]
        await town.send(*events, install=phone(number), at=AT)
    name = await definition(town, "name 1")
    read, of = volumes(town), town.workspace_id
    ranged = {"from_seconds": NOON - 30 * DAY_SECONDS, "end_seconds": NOON + DAY_SECONDS}
    with noted(town.store) as statements:
        await read.days(of, [name], **ranged)
        await read.bars(of, name, step=Step.HOUR, **LATELY)
        await read.first_and_last_day(of, name)
        await read.shares(of, name, facet=Facet.PLATFORM, **ranged)
        page = await read.occurrences(of, name, page_size=20, page_token="")
        await read.occurrences(of, name, page_size=20, page_token=page.next_page_token)
    found = await accesses(town.store, of, statements)
    tables = {access.table for access in found}
    assert any("event_volumes" in table for table in tables)
    scans = [access for access in found if not access.by_key and "workspaces" not in access.table]
    grown = [access for access in scans if any(table in access.table for table in schema.metadata.tables)]
    assert grown == []


async def test_a_store_of_before_is_counted_when_it_is_opened(place: Place) -> None:
    """As the migration of a store that knew no volumes does it, from what is stored."""
    async with open_town(place) as town:
        await live(town)
        before = volume_rows(town)
    place.execute(
        "DROP TABLE told_counts",  # Of the migration after it.
        "DROP TABLE event_volumes",
        "DROP INDEX events_of_name",
        "UPDATE alembic_version SET version_num = '0008'",
    )
    async with open_town(place) as again:
        assert volume_rows(again) == before


def volume_rows(town: Town) -> dict[tuple[int, str, int, bytes], int]:
    found: Counter[tuple[int, str, int, bytes]] = Counter()
    for no, dimension, at, value, count in town.rows(
        "SELECT definition_no, dimension, starts_at, value, event_count FROM event_volumes"
    ):
        found[no, dimension, at, bytes(value)] += count
    return dict(found)


assert DAY == DAY_SECONDS * SECOND
