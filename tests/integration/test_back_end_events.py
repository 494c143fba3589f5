"""What a back end sends: judged and kept as a device's, without a queue (R3, R6, R8, R13, R18)."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from workevo_server.domain import limits
from workevo_server.domain.events import ClockMethod, ContactClaim, JsonTime, ReceivedEvent
from workevo_server.domain.verdicts import EventVerdict, MatchedIdentity, Reason, Verdict
from workevo_server.ports.audit import OPERATOR, Author
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.ports.people import ContactRef, StoredEvent
from workevo_server.services.failed_events import FailedEvents, FailedPage
from workevo_server.transport.grpc.event_codec import event_from_wire
from workevo_server.transport.http.rest.event_codec import event_from_json
from workevo_testing.people import DAY, NOW, SECOND, Town, open_town, operator, phone, user_ref, visitor_ref
from workevo_testing.places import Place
from workevo_testing.uploads import back_end_event, good_event, user, visitor

NOW_SECONDS = NOW // SECOND
EVERYTHING = FailedFilter()
AUTHOR = Author(made_by=OPERATOR, made_at_micros=NOW)


@pytest.fixture
async def town(place: Place) -> AsyncIterator[Town]:
    async with open_town(place) as opened:
        yield opened
        assert opened.place.problems() == ()


@pytest.fixture
def failed(town: Town) -> FailedEvents:
    return FailedEvents(
        reader=town.store.failed_events,
        store=town.store.failed_events,
        key_ring=town.store.key_ring,
        people=town.store.people,
        read_event=event_from_wire,
        read_json_event=event_from_json,
        page_token_secret=town.store.page_token_secret,
    )


async def set_to(town: Town, **settings: str) -> None:
    await town.workspaces.update_settings(town.workspace_id, settings)


async def make_user(town: Town, user_id: str, *, email: str = "") -> None:
    await town.contacts.make_user(
        town.workspace_id,
        visitor_ref(f"visitor of {user_id}"),
        user_id=user_id,
        email=email,
        occurred_at_micros=None,
        author=operator(NOW - DAY),
    )


async def send(town: Town, *events: ReceivedEvent, at: int = NOW) -> list[EventVerdict]:
    return list((await town.send(*events, install=None, at=at)).verdicts)


async def verdict(town: Town, event: ReceivedEvent, *, at: int = NOW) -> EventVerdict:
    (only,) = await send(town, event, at=at)
    return only


def event(
    contact: ContactClaim | None = None, name: str = "bought", created_at: object = 1000
) -> ReceivedEvent:
    return back_end_event(0, contact or user("u1"), name, created_at)


def sent_as_json(index: int = 0, **members: Any) -> ReceivedEvent:
    return event_from_json(index, json.dumps(members).encode())


async def only_event(town: Town, ref: ContactRef) -> StoredEvent:
    (found,) = [entry for entry in await town.timeline(ref) if isinstance(entry, StoredEvent)]
    return found


async def failures(town: Town, failed: FailedEvents, narrowed: FailedFilter = EVERYTHING) -> FailedPage:
    return await failed.page(town.workspace_id, narrowed, page_size=0, page_token="")


async def test_it_is_stored_without_a_queue_and_occurred_when_it_says(town: Town) -> None:
    await make_user(town, "u1")

    assert (await verdict(town, event())).verdict is Verdict.ACCEPTED

    kept = await only_event(town, user_ref("u1"))
    assert (kept.install_id, kept.epoch, kept.sequence) == (None, b"", 0)
    assert (kept.occurred_at_micros, kept.clock_method) == (1000 * SECOND, ClockMethod.DEVICE)
    assert town.rows("SELECT count(*) FROM ledgers") == [(0,)]
    assert town.rows("SELECT count(*) FROM installs") == [(0,)]


async def test_without_a_time_it_was_when_it_was_received(town: Town) -> None:
    await make_user(town, "u1")

    await verdict(town, event(created_at=None))

    assert (await only_event(town, user_ref("u1"))).occurred_at_micros == NOW


async def test_a_day_ahead_is_as_it_says_and_a_second_more_is_refused(town: Town) -> None:
    """R3, and R8: a device's would become its receipt."""
    await make_user(town, "u1")
    day_ahead = NOW_SECONDS + DAY // SECOND

    refused = await verdict(town, event(created_at=day_ahead + 1))
    assert refused.refusal is not None
    assert refused.refusal.reason is Reason.CREATED_AT_OUT_OF_RANGE
    assert (await verdict(town, event(created_at=day_ahead))).warnings == ()
    assert (await only_event(town, user_ref("u1"))).occurred_at_micros == day_ahead * SECOND


async def test_the_same_event_from_a_device_and_a_back_end_is_one(town: Town) -> None:
    """R6, whichever came first."""
    await town.send(good_event(0, 1, user("u1"), "bought", 1000))

    again = await verdict(town, event())
    assert (again.verdict, again.identity) == (Verdict.DUPLICATE, MatchedIdentity.PRODUCT)

    await verdict(town, event(created_at=2000))
    answer = await town.send(good_event(0, 2, user("u1"), "bought", 2000))
    assert answer.verdicts[0].verdict is Verdict.DUPLICATE


async def test_twins_are_copies_even_where_one_install_s_are_kept(town: Town) -> None:
    """R6: `same_install_twins` is about installs, and a back end is none."""
    await set_to(town, same_install_twins="keep")
    await make_user(town, "u1")
    twins = [back_end_event(index, user("u1"), "bought", 1000) for index in range(2)]

    assert [each.verdict for each in await send(town, *twins)] == [Verdict.ACCEPTED, Verdict.DUPLICATE]
    assert (await verdict(town, event())).verdict is Verdict.DUPLICATE


async def test_proofs_are_not_asked_of_who_has_a_secret_key(town: Town) -> None:
    """R19."""
    await make_user(town, "u1")
    await set_to(town, identity_verification="enforced")

    assert (await verdict(town, event())).verdict is Verdict.ACCEPTED
    answer = await town.send(good_event(0, 1, user("u1"), "opened", 1000))
    assert answer.verdicts[0].verdict is Verdict.RETRY


async def test_nobody_is_made_by_a_back_end_s_event_unless_the_workspace_says_so(town: Town) -> None:
    """R18."""
    refused = await verdict(town, event())
    assert refused.refusal is not None
    assert (refused.verdict, refused.refusal.reason) == (Verdict.REJECTED, Reason.CONTACT_UNKNOWN)
    assert town.rows("SELECT count(*) FROM contacts") == [(0,)]

    await set_to(town, create_unknown_users="yes")
    assert (await verdict(town, event())).verdict is Verdict.ACCEPTED
    assert (await only_event(town, user_ref("u1"))).name == "bought"


async def test_a_contact_is_named_by_e_mail_and_by_our_own_id_too(town: Town) -> None:
    await make_user(town, "u1", email="Ada@Example.org")
    user_contact = await town.people.contact(town.workspace_id, user_ref("u1"))
    lead = await town.contacts.make_lead(
        town.workspace_id, visitor_ref("v9"), occurred_at_micros=None, author=operator(NOW - DAY)
    )

    for claim in (ContactClaim(email="ada@example.org"), ContactClaim(contact_id=user_contact.contact_id)):
        await verdict(town, event(claim))
    named = await verdict(town, event(ContactClaim(contact_id=lead.contact_id), created_at=NOW_SECONDS))

    assert [summary.count for summary in await town.summary(user_ref("u1"))] == [1]  # The second is a copy.
    assert named.verdict is Verdict.ACCEPTED
    assert await town.names(visitor_ref("v9")) == ["bought"]


@pytest.mark.parametrize(
    "claim",
    [
        ContactClaim(email="nobody@example.org"),
        ContactClaim(email=""),
        ContactClaim(contact_id="0123"),
        ContactClaim(contact_id="\ud800"),
        ContactClaim(contact_id="a\0"),
        ContactClaim(email="a\0@example.org"),
    ],
)
async def test_an_address_or_id_that_nobody_has_is_refused_and_not_kept(
    town: Town, failed: FailedEvents, claim: ContactClaim
) -> None:
    """R32: whoever had it may have been deleted."""
    await set_to(town, create_unknown_users="yes")

    refused = await verdict(town, event(claim))

    assert refused.refusal is not None
    assert refused.refusal.reason is Reason.CONTACT_UNKNOWN
    page = await failures(town, failed)
    assert (list(page.events), page.unkept_count) == ([], 1)


async def test_what_is_refused_is_kept_whole_and_replayed_once_the_cause_is_mended(
    town: Town, failed: FailedEvents
) -> None:
    """R13."""
    sent = sent_as_json(event_name="bought", user_id="u1", created_at=1000, metadata={"price": 3})
    await verdict(town, sent)
    (kept,) = (await failures(town, failed)).events
    assert (kept.record.install_id, kept.record.raw, kept.name) == (None, sent.raw, "bought")
    assert kept.record.reason is Reason.CONTACT_UNKNOWN

    page = await failed.replay(town.workspace_id, FailedFilter(), page_size=0, page_token="", author=AUTHOR)
    assert [each.refusal and each.refusal.reason for _, each in page.verdicts] == [Reason.CONTACT_UNKNOWN]

    await make_user(town, "u1")
    done = await failed.replay_one(town.workspace_id, kept.failed_event_id, author=AUTHOR)

    assert [each.verdict for _, each in done.verdicts] == [Verdict.ACCEPTED]
    assert (await failures(town, failed)).events == []
    stored = await only_event(town, user_ref("u1"))
    assert (stored.install_id, stored.sequence, stored.received_at_micros) == (None, 0, NOW)
    assert town.rows("SELECT kept_bytes, kept_count FROM failed_event_usage") == [(0, 0)]


async def test_a_replay_finds_the_contact_of_an_address(town: Town, failed: FailedEvents) -> None:
    await make_user(town, "u1", email="ada@example.org")
    await set_to(town, metadata_keys_max="1")
    await verdict(town, sent_as_json(event_name="bought", email="ada@example.org", metadata={"a": []}))
    await set_to(town, metadata_keys_max="0")

    page = await failed.replay(town.workspace_id, FailedFilter(), page_size=0, page_token="", author=AUTHOR)

    assert [each.verdict for _, each in page.verdicts] == [Verdict.ACCEPTED]
    assert await town.names(user_ref("u1")) == ["bought"]


async def test_a_back_end_may_fill_the_room_for_failed_events_and_no_install_s_share_bounds_it(
    town: Town, failed: FailedEvents
) -> None:
    await set_to(town, failed_events_bytes_max="10000")
    await make_user(town, "u1")
    bad = [replace(back_end_event(index, user("u1"), ""), raw=bytes(1872)) for index in range(6)]

    await send(town, *bad)

    page = await failures(town, failed)
    assert (len(page.events), page.unkept_count) == (5, 1)


async def test_a_deletion_takes_its_failed_events_and_leaves_those_of_others(
    town: Town, failed: FailedEvents
) -> None:
    """R32: what a back end sent and names nobody may be of anybody, and is not of this one's devices."""
    await make_user(town, "u1")
    nobody = replace(back_end_event(1, ContactClaim(), "bought"), raw=b"nobody's")
    mine = replace(back_end_event(0, user("u1"), ""), raw=b"mine")
    await send(town, mine, nobody)
    assert len((await failures(town, failed)).events) == 2

    receipt = await town.contacts.delete(town.workspace_id, user_ref("u1"), suppress=False, author=operator())

    assert receipt.failed_event_count == 1
    assert [kept.record.raw for kept in (await failures(town, failed)).events] == [b"nobody's"]


async def test_what_nobody_can_read_goes_with_the_first_deletion_and_is_only_counted_from_then_on(
    town: Town, failed: FailedEvents
) -> None:
    """R32: it may be of who is deleted. Until then it is kept (R13); no device's Forget takes it (R31)."""
    await make_user(town, "u1")
    unread = event_from_json(0, b"{"), event_from_json(1, b" " * (limits.EVENT_BYTES_MAX + 1))
    await town.send(good_event(0, 1, visitor("v1"), "opened", 1000), install=phone(1))

    await send(town, *unread)
    await town.forget(phone(1))
    assert len((await failures(town, failed)).events) == 2
    await send(town, unread[0], sent_as_json(1, event_name="bought", user_id="u2", metadata=[]))
    page = await failures(town, failed)
    assert (len(page.events), page.unkept_count) == (3, 1)  # Somebody was forgotten meanwhile.

    receipt = await town.contacts.delete(town.workspace_id, user_ref("u1"), suppress=False, author=operator())
    await send(town, *unread, sent_as_json(2, event_name="bought", user_id="u3", metadata=[]))

    assert receipt.failed_event_count == 2
    page = await failures(town, failed)
    assert [json.loads(kept.record.raw)["user_id"] for kept in page.events] == ["u3", "u2"]
    assert page.unkept_count == 3


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ('"user_id": "u1", "metadata": []', ContactClaim(user_id="u1")),
        ('"user_id": 7, "metadata": []', ContactClaim(user_id="7")),
        ('"id": "c1", "event_name": []', ContactClaim(contact_id="c1")),
        ('"email": " Ada@Example.org", "event_name": []', ContactClaim(email="ada@example.org")),
        ('"user_id": "u1", "event_name": "a", "event_name": "b"', ContactClaim(user_id="u1")),
        ('"user_id": "u1", "user_id": "u2"', ContactClaim()),
        ('"user_id": ["u1"], "email": "ada@example.org"', ContactClaim()),
        ('"metadata": []', ContactClaim()),
    ],
)
def test_of_a_misshapen_event_is_read_whom_it_names_unless_that_is_misshapen(
    members: str, named: ContactClaim
) -> None:
    read = event_from_json(0, f'{{"created_at": 7, {members}}}'.encode())

    assert read.refusal is not None
    assert (read.contact, read.created_at) == (named, JsonTime(7))
    twice = event_from_json(0, f'{{"created_at": 7, "created_at": 8, {members}}}'.encode())
    assert twice.created_at is None


async def test_what_occurred_before_a_deletion_is_erased_and_not_unknown(
    town: Town, failed: FailedEvents
) -> None:
    await make_user(town, "u1")
    await town.contacts.delete(town.workspace_id, user_ref("u1"), suppress=False, author=operator())

    before = await verdict(town, event())
    after = await verdict(town, event(created_at=NOW_SECONDS + 1), at=NOW + SECOND)

    assert [each.refusal and each.refusal.reason for each in (before, after)] == [
        Reason.CONTACT_ERASED,
        Reason.CONTACT_UNKNOWN,
    ]
    assert [kept.record.reason for kept in (await failures(town, failed)).events] == [Reason.CONTACT_UNKNOWN]


async def test_a_visitor_that_a_back_end_used_may_still_be_claimed_by_its_phone(town: Town) -> None:
    """R31: another install would share it, and a back end is none."""
    await town.send(good_event(0, 1, visitor("v1"), "opened", 1000), install=phone(1))
    contact = await town.people.contact(town.workspace_id, visitor_ref("v1"))
    await verdict(town, event(ContactClaim(contact_id=contact.contact_id)))

    assert await town.log_in("v1", "u1", install=phone(1)) is None
    assert sorted(await town.names(user_ref("u1"))) == ["bought", "opened"]


async def test_a_group_of_both_kinds_of_uploads_is_one_transaction(town: Town) -> None:
    """A device's ledger is kept beside what has none."""
    await make_user(town, "u1")

    await asyncio.gather(
        *(
            town.send(back_end_event(0, user("u1"), "bought", number), install=None)
            if number % 2
            else town.send(good_event(0, number + 1, user("u1"), "bought", number), install=phone(number))
            for number in range(20)
        )
    )

    assert [summary.count for summary in await town.summary(user_ref("u1"))] == [20]
