"""A replay of what a later release can read, one of it outside its queue's balance (R13)."""

from dataclasses import replace
from datetime import UTC, datetime

from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.events import ReceivedEvent
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.ledger import Balance
from workevo_server.domain.verdicts import Reason, Refusal, Verdict
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.audit import OPERATOR, Author
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.services.failed_events import FailedEvents
from workevo_server.services.workspaces import Workspaces
from workevo_testing.people import SECOND, open_town
from workevo_testing.places import Place, on_postgres
from workevo_testing.sinks import FixedClock, end_of_test
from workevo_testing.uploads import PHONE, good_event, upload, user

UNREADABLE = Refusal(reason=Reason.EVENT_MALFORMED, message="Its bytes do not parse.")
AUTHOR = Author(made_by=OPERATOR, made_at_micros=1)


def read_by_a_later_release(_index: int, raw: bytes) -> ReceivedEvent:
    """Bytes that this release cannot read, as one does that can."""
    return good_event(0, int(raw), user("u1"), "late", 1_000 + int(raw))


def failed_events_of(store: SqlStore) -> FailedEvents:
    return FailedEvents(
        reader=store.failed_events,
        store=store.failed_events,
        key_ring=store.key_ring,
        people=store.people,
        read_event=read_by_a_later_release,
        read_json_event=read_by_a_later_release,
        page_token_secret=store.page_token_secret,
    )


async def test_an_event_outside_its_queues_balance_is_stored_outside_of_it(place: Place) -> None:
    store = await SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test)
    workspaces = Workspaces(store=store.workspaces, clock=FixedClock())
    workspace_id = (await workspaces.create("acme")).workspace.workspace_id
    failed_events = failed_events_of(store)

    async def send(*events: ReceivedEvent) -> None:
        await store.sink.append(judge_upload(upload(workspace_id, events), WorkspaceSettings()))

    async def balance() -> Balance:
        record = await store.delivery.install(workspace_id, PHONE.install_id)
        assert record is not None
        return record.ledgers[0][1].balance()

    await send(good_event(0, 1, user("u1"), "opened", 5))
    for sequence in (1, 2):  # The first under the sequence of the good one.
        bad = good_event(0, sequence, user("u1"), "late", 5)
        await send(replace(bad, raw=str(sequence).encode(), refusal=UNREADABLE))
    assert ((await balance()).stored, (await balance()).rejected) == (1, 1)

    page = await failed_events.replay(workspace_id, FailedFilter(), page_size=0, page_token="", author=AUTHOR)

    assert [verdict.verdict for _, verdict in page.verdicts] == [Verdict.ACCEPTED] * 2
    told = await balance()
    assert (told.generated, told.stored, told.rejected) == (2, 2, 0)
    assert (place.rows("SELECT count(*) FROM events"), place.problems()) == ([(3,)], ())
    await store.close()


@on_postgres
async def test_an_event_whose_month_went_by_age_is_stored_there_all_the_same(place: Place) -> None:
    """R13, R32: a workspace may keep its failed events for longer than its events."""
    january = int(datetime(2031, 1, 5, tzinfo=UTC).timestamp())
    async with open_town(place) as town:
        good = good_event(0, 1, user("u1"), "opened", 5)
        bad = replace(good_event(1, 2, user("u1"), "late", 5), raw=b"2", refusal=UNREADABLE)
        await town.send(good, bad, at=january * SECOND)
        kept_from = {town.workspace_id: (january + 60 * 86_400) * SECOND}
        while (await town.store.retention.drop_aged_events(kept_from)).is_more:
            pass
        await town.store._database.keep_up()
        assert place.rows("SELECT to_regclass('events_2031_01')") == [(None,)]

        page = await failed_events_of(town.store).replay(
            town.workspace_id, FailedFilter(), page_size=0, page_token="", author=AUTHOR
        )

        assert [verdict.verdict for _, verdict in page.verdicts] == [Verdict.ACCEPTED]
    assert place.rows("SELECT sequence FROM events_2031_01") == [(2,)]
    assert place.problems() == ()
