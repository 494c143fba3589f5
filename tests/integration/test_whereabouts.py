"""Where is my event? Every answer that there is, with its evidence, on both stores."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from workevo_server.domain import limits
from workevo_server.domain.errors import RequestInvalid
from workevo_server.domain.events import DroppedRange, DropReason, Install, ReceivedEvent
from workevo_server.domain.ledger import OutcomeKind
from workevo_server.domain.verdicts import MatchedIdentity, Reason, Refusal
from workevo_server.domain.whereabouts import FindingKind
from workevo_server.ports.audit import OPERATOR, Author
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.ports.people import ContactRef
from workevo_server.services.whereabouts import Finding
from workevo_server.transport.metrics import Metrics
from workevo_server.wiring import Services, wire_services
from workevo_testing.people import (
    DAY,
    NOW,
    SECOND,
    Town,
    open_town,
    operator,
    phone,
    settle,
    user_ref,
    visitor_ref,
)
from workevo_testing.places import Place
from workevo_testing.uploads import PHONE, back_end_event, good_event, upload, user, visitor

SENT_AT = NOW // SECOND - 86_400
AUTHOR = Author(made_by=OPERATOR, made_at_micros=NOW)


@pytest.fixture
async def town(place: Place) -> AsyncIterator[Town]:
    async with open_town(place) as opened:
        yield opened


def services(town: Town) -> Services:
    return wire_services(town.store, simulated_clock=False, metrics=Metrics(version="test"))


def opened(
    sequence: int, who: str = "u1", *, at: int | None = None, name: str = "opened", index: int = 0
) -> ReceivedEvent:
    """A minute after the one of the sequence before."""
    return good_event(index, sequence, user(who), name, SENT_AT + 60 * sequence if at is None else at)


async def send(town: Town, *events: ReceivedEvent, install: Install = PHONE, **told: object) -> None:
    sent = upload(
        town.workspace_id,
        [replace(event, index=index) for index, event in enumerate(events)],
        install=install,
        **told,  # type: ignore[arg-type]
    )
    await town.ingest.upload(replace(sent, received_at_micros=NOW))


async def by_sequence(
    town: Town, sequence: int, *, install: Install = PHONE, epoch: str = ""
) -> Sequence[Finding]:
    whereabouts = services(town).whereabouts
    return await whereabouts.by_sequence(town.workspace_id, install.install_id, sequence, epoch=epoch)


async def the_one(town: Town, sequence: int) -> Finding:
    (finding,) = await by_sequence(town, sequence)
    return finding


async def by_person(
    town: Town, ref: ContactRef, name: str, at: int, *, window: timedelta = timedelta(hours=1)
) -> Sequence[Finding]:
    whereabouts = services(town).whereabouts
    return await whereabouts.by_person(town.workspace_id, ref, name, at * SECOND, window=window)


def kinds(findings: Sequence[Finding]) -> list[FindingKind]:
    return [finding.kind for finding in findings]


# By install and sequence -----------------------------------------------------


async def test_a_stored_event_is_shown_with_whose_timeline_has_it(town: Town) -> None:
    await send(town, opened(1), opened(2))

    finding = await the_one(town, 2)

    assert (finding.kind, finding.is_certain) == (FindingKind.STORED, True)
    assert finding.event is not None
    assert (finding.event.event.name, finding.event.event.sequence) == ("opened", 2)
    assert (finding.event.person.user_id, finding.event.is_shown) == ("u1", True)
    assert finding.event.tracked_as == finding.event.person.contact_id
    assert finding.install is not None
    assert finding.install.install.install_id == PHONE.install_id


async def test_an_event_of_a_merged_visitor_says_who_that_is_now(town: Town) -> None:
    await send(town, good_event(0, 1, visitor("v1"), "opened", SENT_AT))
    before = await the_one(town, 1)
    await town.log_in("v1", "u1")

    after = await the_one(town, 1)

    assert before.event is not None
    assert after.event is not None
    assert after.event.person.user_id == "u1"
    assert after.event.tracked_as == before.event.person.contact_id != after.event.person.contact_id


async def test_a_copy_was_recognised_by_what_it_is(town: Town) -> None:
    await send(town, opened(1, at=SENT_AT), opened(2, at=SENT_AT))

    finding = await the_one(town, 2)

    assert (finding.kind, finding.identity) == (FindingKind.DUPLICATE, MatchedIdentity.PRODUCT)


async def test_an_archived_name_is_told_and_what_is_stored_of_it_is_not_shown(town: Town) -> None:
    await send(town, opened(1))
    await services(town).catalogue.archive(town.workspace_id, "opened", author=AUTHOR)
    await send(town, opened(2))

    assert (await the_one(town, 2)).kind is FindingKind.ARCHIVED
    stored = await the_one(town, 1)
    assert stored.event is not None
    assert (stored.kind, stored.event.is_shown) == (FindingKind.STORED, False)


async def test_a_rejected_event_says_why_and_opens_what_is_kept(town: Town) -> None:
    await send(town, opened(1, name=""))

    finding = await the_one(town, 1)

    assert (finding.kind, finding.reason) == (FindingKind.REJECTED, Reason.NAME_INVALID)
    assert finding.failed is not None
    assert (finding.failed.record.field, finding.failed.record.raw) == ("name", b"as sent")
    page = await services(town).failed_events.page(
        town.workspace_id, FailedFilter(), page_size=0, page_token=""
    )
    assert [each.failed_event_id for each in page.events] == [finding.failed.failed_event_id]

    await town.store.failed_events.give_up_failed(
        town.workspace_id, received_before_micros=NOW + 1, count_max=10
    )
    gone = await the_one(town, 1)
    assert (gone.kind, gone.reason, gone.failed) == (FindingKind.REJECTED, Reason.NAME_INVALID, None)


async def test_what_came_under_a_sequence_that_was_taken_is_told_beside_it(town: Town) -> None:
    await send(town, opened(1))
    malformed = replace(
        opened(1),
        refusal=Refusal(reason=Reason.EVENT_MALFORMED, message="It does not parse."),
        raw=b"other bytes",
    )
    await send(town, malformed)

    findings = await by_sequence(town, 1)

    assert kinds(findings) == [FindingKind.STORED, FindingKind.REJECTED]
    assert findings[1].failed is not None
    assert (findings[1].reason, findings[1].failed.record.settled) == (Reason.EVENT_MALFORMED, False)


async def test_a_dropped_one_says_why_the_device_gave_it_up(town: Town) -> None:
    lost = DroppedRange(first_sequence=2, last_sequence=4, reason=DropReason.QUEUE_FULL)
    await send(town, opened(1), opened(5), dropped=[lost])

    finding = await the_one(town, 3)

    assert (finding.kind, finding.drop_reason) == (FindingKind.DROPPED, DropReason.QUEUE_FULL)


async def test_an_open_one_is_in_a_gap_since_a_later_one_came_or_still_on_the_device(town: Town) -> None:
    await send(town, opened(1), opened(5), last_sequence=9, applied_through=5)

    gap, tail = await the_one(town, 3), await the_one(town, 7)

    assert (gap.kind, gap.since_micros) == (FindingKind.OPEN, NOW)
    assert (tail.kind, tail.since_micros) == (FindingKind.OPEN, None)
    assert gap.before is not None
    assert gap.after is not None
    assert tail.before is not None
    assert (gap.before.event.sequence, gap.after.event.sequence) == (1, 5)
    assert (tail.before.event.sequence, tail.before.person.user_id, tail.after) == (5, "u1", None)


async def test_a_folded_one_is_found_if_it_is_stored_and_else_told_what_it_can_have_been(
    town: Town,
) -> None:
    await send(town, opened(1), opened(2, at=SENT_AT), opened(3, at=SENT_AT), opened(4, name=""))
    await send(town, opened(5), applied_through=4)

    assert (await the_one(town, 1)).kind is FindingKind.STORED
    assert (await the_one(town, 4)).kind is FindingKind.REJECTED, "its failed event is kept"
    folded = await the_one(town, 3)
    assert folded.kind is FindingKind.FOLDED
    assert {outcome.kind for outcome in folded.may_be} == {OutcomeKind.DUPLICATE, OutcomeKind.REJECTED}


async def test_a_folded_one_that_can_have_been_one_thing_is_that(town: Town) -> None:
    await send(town, opened(1, at=SENT_AT), opened(2, at=SENT_AT))
    await send(town, opened(3), applied_through=2)

    finding = await the_one(town, 2)

    assert (finding.kind, finding.identity) == (FindingKind.DUPLICATE, MatchedIdentity.PRODUCT)


async def test_what_went_with_a_deleted_contact_or_by_age_says_so(town: Town) -> None:
    await send(town, opened(1), opened(2, "u2"))
    await town.contacts.delete(town.workspace_id, user_ref("u2"), suppress=False, author=operator())
    assert (await the_one(town, 2)).kind is FindingKind.ERASED

    await send(town, opened(1), install=phone(9))
    aged = await town.store.retention.aged_events(
        town.workspace_id, received_before_micros=NOW + 1, behind=None
    )
    await town.store.retention.expire_events(town.workspace_id, aged.expired, received_before_micros=NOW + 1)
    assert (await the_one(town, 2)).kind is FindingKind.GONE


async def test_an_expired_one_says_so(town: Town) -> None:
    await send(town, opened(1))
    aged = await town.store.retention.aged_events(
        town.workspace_id, received_before_micros=NOW + 1, behind=None
    )
    await town.store.retention.expire_events(town.workspace_id, aged.expired, received_before_micros=NOW + 1)

    assert (await the_one(town, 1)).kind is FindingKind.EXPIRED


async def test_one_never_seen_tells_when_its_device_was_last_here_and_how_far_it_came(town: Town) -> None:
    await send(town, opened(1), last_sequence=4)

    finding = await the_one(town, 5)

    assert finding.kind is FindingKind.NEVER_SEEN
    assert finding.install is not None
    assert finding.install.last_seen_micros == NOW
    assert finding.install.ledgers[0][1].generated == 4
    (unknown,) = await by_sequence(town, 5, install=phone(77))
    assert (unknown.kind, unknown.install) == (FindingKind.NEVER_SEEN, None)
    (elsewhere,) = await by_sequence(town, 1, epoch="00" * limits.EPOCH_BYTES)
    assert elsewhere.kind is FindingKind.NEVER_SEEN
    assert elsewhere.install is not None


async def test_each_epoch_that_has_the_sequence_has_a_finding_of_its_own(town: Town) -> None:
    newer = replace(PHONE, epoch=b"n" * limits.EPOCH_BYTES)
    await send(town, opened(1))
    await send(town, opened(2), install=newer)

    assert kinds(await by_sequence(town, 2)) == [FindingKind.STORED]
    both = await by_sequence(town, 1)
    assert [(each.kind, each.epoch) for each in both] == [
        (FindingKind.STORED, PHONE.epoch),
        (FindingKind.OPEN, newer.epoch),
    ]
    assert kinds(await by_sequence(town, 1, epoch=newer.epoch.hex())) == [FindingKind.OPEN]


@pytest.mark.parametrize(("sequence", "epoch"), [(0, ""), (-1, ""), (2**53, ""), (1, "xyz"), (1, "abc")])
async def test_what_is_no_sequence_or_no_epoch_is_refused(town: Town, sequence: int, epoch: str) -> None:
    with pytest.raises(RequestInvalid):
        await by_sequence(town, sequence, epoch=epoch)


async def test_nothing_of_another_workspace_is_found(town: Town) -> None:
    other = await settle(town.store, town.place, "other")
    await send(other, opened(1))

    (finding,) = await by_sequence(town, 1)
    assert (finding.kind, finding.install) == (FindingKind.NEVER_SEEN, None)
    assert kinds(await by_person(town, user_ref("u1"), "opened", SENT_AT)) == [FindingKind.NEVER_SEEN]
    assert kinds(await by_sequence(other, 1)) == [FindingKind.STORED]


# By person, name and time ----------------------------------------------------


async def test_a_persons_event_is_found_by_its_time_or_by_its_devices_own(town: Town) -> None:
    await send(town, opened(1), opened(2, at=SENT_AT + 7200), opened(3, name="closed"))

    (found,) = await by_person(town, user_ref("u1"), "Opened", SENT_AT)
    assert found.event is not None
    assert (found.kind, found.event.event.sequence) == (FindingKind.STORED, 1)
    everything = await by_person(town, user_ref("u1"), "opened", SENT_AT, window=timedelta(hours=3))
    assert [each.event.event.sequence for each in everything if each.event] == [2, 1]


async def test_whoever_was_merged_is_said_to_be_another_now(town: Town) -> None:
    await send(town, good_event(0, 1, visitor("v1"), "opened", SENT_AT))
    await town.log_in("v1", "u1")

    merged, stored = await by_person(town, visitor_ref("v1"), "opened", SENT_AT)

    assert (merged.kind, stored.kind) == (FindingKind.MERGED, FindingKind.STORED)
    assert merged.person is not None
    assert (merged.person.user_id, merged.since_micros) == ("u1", NOW)
    assert kinds(await by_person(town, user_ref("u1"), "opened", SENT_AT)) == [FindingKind.STORED]


async def test_somebody_is_found_by_an_address_in_any_case(town: Town) -> None:
    await send(town, opened(1))
    await town.store.contacts.describe(
        town.workspace_id, user_ref("u1"), email="anna@example.org", attributes=()
    )

    found = await by_person(town, ContactRef(email=" Anna@Example.ORG"), "opened", SENT_AT)

    assert kinds(found) == [FindingKind.STORED]


async def test_what_is_not_there_may_be_what_a_device_lost_around_that_time(town: Town) -> None:
    """The person's events before and after bound the sequences; others of the device are not told of."""
    lost = DroppedRange(first_sequence=12, last_sequence=13, reason=DropReason.EXPIRED)
    early = DroppedRange(first_sequence=2, last_sequence=2, reason=DropReason.QUEUE_FULL)
    events = [opened(sequence, name="other") for sequence in (1, 3, 10, 15, 300)]
    await send(town, *events, last_sequence=305, dropped=[lost, early])
    at = SENT_AT + 60 * 12

    findings = await by_person(town, user_ref("u1"), "other", at, window=timedelta(seconds=90))

    assert [(each.kind, each.first_sequence, each.last_sequence) for each in findings] == [
        (FindingKind.OPEN, 11, 11),
        (FindingKind.DROPPED, 12, 13),
        (FindingKind.OPEN, 14, 14),
    ]
    assert {each.is_certain for each in findings} == {False}
    assert findings[1].drop_reason is DropReason.EXPIRED
    assert findings[0].since_micros == NOW


async def test_what_a_device_has_still_may_be_it_and_of_folded_ones_those_not_stored(town: Town) -> None:
    await send(town, *(opened(n, name="other") for n in (1, 2, 4)), opened(3, at=SENT_AT + 60, name="other"))
    await send(town, opened(5, name="other"), applied_through=4, last_sequence=8)

    last = await by_person(town, user_ref("u1"), "never", SENT_AT + 60 * 60)
    assert [(each.kind, each.first_sequence, each.last_sequence) for each in last] == [
        (FindingKind.DUPLICATE, 3, 3),
        (FindingKind.OPEN, 6, 8),
    ]
    assert last[1].since_micros is None


async def test_a_copy_is_told_beside_the_event_that_had_been_stored(town: Town) -> None:
    await send(town, opened(1, at=SENT_AT), opened(2, at=SENT_AT))

    stored, copy = await by_person(town, user_ref("u1"), "opened", SENT_AT)

    assert (stored.kind, copy.kind, copy.first_sequence) == (FindingKind.STORED, FindingKind.DUPLICATE, 2)
    assert copy.event == stored.event
    assert copy.identity is MatchedIdentity.PRODUCT


async def test_a_rejected_one_is_found_by_what_it_says_of_itself(town: Town) -> None:
    """By its own time where it can be read, else by its receipt."""
    await send(town, opened(1, name="other"))
    late = back_end_event(
        0, user("u1"), "bill", raw=b'{"event_name": "bill", "user_id": "u1", "created_at": %d}' % SENT_AT
    )
    await town.workspaces.update_settings(town.workspace_id, {"event_names_max": "1"})
    await town.send(late, install=None)

    found = await by_person(town, user_ref("u1"), "bill", SENT_AT)
    (rejected,) = [each for each in found if each.kind is FindingKind.REJECTED]
    assert rejected.reason is Reason.EVENT_NAME_LIMIT
    assert rejected.failed is not None
    elsewhere = await by_person(town, user_ref("u1"), "bill", SENT_AT - 86_400)
    assert FindingKind.REJECTED not in kinds(elsewhere)


async def test_an_archived_name_is_told_with_since_when(town: Town) -> None:
    await send(town, opened(1))
    await services(town).catalogue.archive(town.workspace_id, "opened", author=AUTHOR)

    stored, archived = await by_person(town, user_ref("u1"), "opened", SENT_AT)

    assert stored.event is not None
    assert (stored.kind, stored.event.is_shown) == (FindingKind.STORED, False)
    assert (archived.kind, archived.since_micros) == (FindingKind.ARCHIVED, NOW)


async def test_a_deleted_persons_event_was_erased_and_a_later_one_is_its_own(town: Town) -> None:
    await send(town, opened(1))
    await town.contacts.delete(town.workspace_id, user_ref("u1"), suppress=False, author=operator())

    (erased,) = await by_person(town, user_ref("u1"), "opened", SENT_AT)
    assert (erased.kind, erased.since_micros) == (FindingKind.ERASED, NOW)
    after = NOW // SECOND + 60
    await town.send(opened(2, at=after), at=NOW + DAY)
    (stored,) = await by_person(town, user_ref("u1"), "opened", after)
    assert stored.kind is FindingKind.STORED
    assert kinds(await by_person(town, user_ref("u1"), "opened", SENT_AT))[0] is FindingKind.ERASED


async def test_an_old_one_may_have_gone_by_age(town: Town) -> None:
    await send(town, opened(1))
    await town.store.retention.expire_events(town.workspace_id, [], received_before_micros=NOW)

    found = await by_person(town, user_ref("u1"), "opened", SENT_AT - 86_400)

    assert (found[0].kind, found[0].is_certain, found[0].since_micros) == (FindingKind.EXPIRED, False, NOW)


async def test_one_of_which_nobody_knows_anything_was_never_seen(town: Town) -> None:
    await send(town, opened(1))

    (unknown,) = await by_person(town, user_ref("nobody"), "opened", SENT_AT)
    assert (unknown.kind, unknown.person) == (FindingKind.NEVER_SEEN, None)
    (known,) = await by_person(town, user_ref("u1"), "never", SENT_AT)
    assert known.kind is FindingKind.NEVER_SEEN
    assert known.install is not None
    assert known.install.last_seen_micros == NOW
    assert kinds(await by_person(town, user_ref("u1"), "x" * 300, SENT_AT)) == [FindingKind.NEVER_SEEN]


async def test_the_control_without_its_row_a_stored_event_is_not_said_to_be_stored(town: Town) -> None:
    await send(town, opened(1))
    town.place.execute("DELETE FROM events")

    assert (await the_one(town, 1)).kind is FindingKind.GONE
