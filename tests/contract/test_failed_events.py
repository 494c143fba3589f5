"""Rejected events over the wire: found, counted, judged again, the balance right after each (R13, R14)."""

import itertools
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from workevo.insight.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    delivery_pb2_grpc,
    people_pb2,
    people_pb2_grpc,
)
from workevo.insight.v1 import delivery_pb2 as wire
from workevo.tracking.v1 import event_pb2
from workevo.tracking.v1 import verdict_pb2 as verdicts
from workevo_testing.server_process import Keys, ServerProcess
from workevo_testing.wire_calls import CALL_SECONDS_MAX, BackEnd, Phone, bearer, event, install, refusal

Outcomes = list[tuple[int, int]]


class Desk:
    """A workspace of its own, and who mends what was refused there."""

    def __init__(self, server: ServerProcess, channel: grpc.Channel, keys: Keys | None = None) -> None:
        self.server = server
        self.keys = keys or server.create_workspace(f"Desk {uuid.uuid4().hex}")
        self.phone = Phone(channel, self.keys.sdk_key)
        self.back_end = BackEnd(channel, self.keys.server_key)
        self.stub = delivery_pb2_grpc.DeliveryServiceStub(channel)
        self.credentials: dict[str, Any] = {
            "metadata": bearer(self.keys.server_key),
            "timeout": CALL_SECONDS_MAX,
        }

    def set(self, **settings: object) -> None:
        self.server.set(self.keys.workspace_id, **settings)

    def page(
        self, *, page_size: int = 0, page_token: str = "", **narrowed: Any
    ) -> wire.ListFailedEventsResponse:
        request = wire.ListFailedEventsRequest(
            filter=wire.FailedEventFilter(**narrowed), page_size=page_size, page_token=page_token
        )
        return self.stub.ListFailedEvents(request, **self.credentials)

    def sequences(self, **narrowed: Any) -> list[int]:
        return [failed.sequence for failed in self.page(**narrowed).failed_events]

    def replay(
        self, *, page_size: int = 0, page_token: str = "", **narrowed: Any
    ) -> wire.ReplayFailedEventsResponse:
        request = wire.ReplayFailedEventsRequest(
            filter=wire.FailedEventFilter(**narrowed), page_size=page_size, page_token=page_token
        )
        return self.stub.ReplayFailedEvents(request, **self.credentials)

    def replay_one(self, failed_event_id: str) -> wire.ReplayResult:
        request = wire.ReplayFailedEventsRequest(failed_event_id=failed_event_id)
        (result,) = self.stub.ReplayFailedEvents(request, **self.credentials).results
        return result

    def balance(self, of: Phone | None = None) -> wire.Balance:
        """That it holds is asserted every time."""
        told = self.back_end.ledger((of or self.phone).install.install_id).balance
        settled = told.stored + told.duplicate + told.archived + told.rejected + told.dropped
        assert told.generated == settled + told.open
        assert told.rejected == sum(each.count for each in told.rejected_by_reason)
        return told

    def check(self) -> None:
        """What the store itself says of its counts."""
        assert self.server.place.problems() == ()


@pytest.fixture
def desk(server: ServerProcess, channel: grpc.Channel) -> Iterator[Desk]:
    desk = Desk(server, channel)
    yield desk
    desk.check()


def strict(desk: Desk, *sequences: int, of: Phone | None = None, **fields: Any) -> None:
    """Rejected while names are strict, good once they are not."""
    desk.set(key_charset="strict")
    (of or desk.phone).upload([event(sequence, **{"name": "a.b"} | fields) for sequence in sequences])
    desk.set(key_charset="any")


def test_failed_events_are_found_by_reason_name_install_and_time(desk: Desk) -> None:
    tablet = Phone(desk.phone.channel, desk.phone.key, install())
    desk.phone.upload([event(1, name=""), event(2, user_id=""), event(3)])
    tablet.upload([event(4, name="Opened", user_id=""), event(5, name="closed", user_id="")])

    page = desk.page()

    assert desk.sequences() == [5, 4, 2, 1]
    assert {(each.reason, each.count) for each in page.counts_by_reason} == {
        (verdicts.REASON_NAME_INVALID, 1),
        (verdicts.REASON_CONTACT_INVALID, 3),
    }
    assert desk.sequences(reason=verdicts.REASON_CONTACT_INVALID) == [5, 4, 2]
    assert desk.sequences(name="OPENED") == [4, 2]
    assert desk.sequences(install_id=tablet.install.install_id) == [5, 4]
    assert desk.sequences(install_id=tablet.install.install_id, name="opened") == [4]
    assert desk.sequences(install_id="nobody's") == []
    moment = page.failed_events[1].received_at
    assert desk.sequences(received_from=moment) == [5, 4]
    assert desk.sequences(received_before=moment) == [2, 1]
    assert [each.count for each in desk.page(name="closed").counts_by_reason] == [1]
    found = page.failed_events[1]
    assert event_pb2.Event.FromString(found.event).name == found.name == "Opened"
    assert (found.install_id, found.epoch) == (tablet.install.install_id, tablet.install.epoch)
    assert (found.field, bool(found.message)) == ("user_id", True)


def test_one_failed_event_is_replayed_once_its_cause_is_mended(desk: Desk) -> None:
    strict(desk, 1, 2, user_id="u1")
    assert desk.balance().rejected == 2
    chosen = desk.page().failed_events[1]
    assert chosen.sequence == 1

    result = desk.replay_one(chosen.failed_event_id)

    assert (result.verdict, result.failed_event_id) == (verdicts.VERDICT_ACCEPTED, chosen.failed_event_id)
    balance = desk.balance()
    assert (balance.generated, balance.stored, balance.rejected) == (2, 1, 1)
    (activity,) = desk.back_end.activities("u1")
    assert (activity.event.name, activity.event.sequence) == ("a.b", 1)
    assert activity.event.received_at == chosen.received_at
    assert activity.event.epoch == desk.phone.install.epoch
    assert desk.sequences() == [2]
    with pytest.raises(grpc.RpcError) as caught:
        desk.replay_one(chosen.failed_event_id)
    assert refusal(caught.value).sentence == "There is no such failed event in this workspace."


def test_all_that_a_filter_means_is_replayed_page_by_page_and_what_is_still_bad_stays(desk: Desk) -> None:
    strict(desk, 1, 2, 3, 4, 5)
    desk.phone.upload([event(6, user_id=""), event(7, name="")])

    results: list[wire.ReplayResult] = []
    token = ""
    while True:
        page = desk.replay(page_size=3, page_token=token)
        results += page.results
        balance = desk.balance()
        assert balance.stored == sum(each.verdict == verdicts.VERDICT_ACCEPTED for each in results)
        token = page.next_page_token
        if not token:
            break

    assert [each.verdict for each in results] == [verdicts.VERDICT_ACCEPTED] * 5 + [
        verdicts.VERDICT_REJECTED
    ] * 2
    assert [each.reason for each in results[5:]] == [
        verdicts.REASON_CONTACT_INVALID,
        verdicts.REASON_NAME_INVALID,
    ]
    assert (balance.generated, balance.stored, balance.rejected) == (7, 5, 2)
    assert desk.sequences() == [7, 6]
    assert list(desk.replay(reason=verdicts.REASON_EVENT_NAME_LIMIT).results) == []


def test_a_replay_moves_counts_alone_where_the_sequence_was_folded(desk: Desk) -> None:
    strict(desk, 1, 2)
    desk.phone.upload([event(3)], applied_through=2)
    (epoch,) = desk.back_end.ledger(desk.phone.install.install_id).epochs
    assert epoch.ranges[0].outcome == wire.OUTCOME_FOLDED

    desk.replay()

    balance = desk.balance()
    assert (balance.generated, balance.stored, balance.rejected) == (3, 3, 0)
    (epoch,) = desk.back_end.ledger(desk.phone.install.install_id).epochs
    assert epoch.ranges[0].outcome == wire.OUTCOME_FOLDED
    assert desk.phone.upload([event(1, name="a.b")]).accepted_count == 0


def test_a_replay_finds_copies_that_came_before_it_and_after_it(desk: Desk) -> None:
    bad = event(1, name="a.b", user_id="u1")
    desk.set(key_charset="strict")
    desk.phone.upload([bad])
    desk.set(key_charset="any")
    copy = event(2, name="A.B", user_id="u1", created_at=bad.created_at)
    assert desk.phone.upload([copy]).accepted_count == 1

    (result,) = desk.replay().results

    assert result.verdict == verdicts.VERDICT_DUPLICATE
    balance = desk.balance()
    assert (balance.stored, balance.duplicate, balance.rejected) == (1, 1, 0)
    assert len(desk.back_end.activities("u1")) == 1


def test_two_failed_events_that_are_one_are_stored_once_by_one_replay(desk: Desk) -> None:
    first = event(1, name="a.b", user_id="u1")
    second = event(2, name="a.b", user_id="u1", created_at=first.created_at)
    desk.set(key_charset="strict")
    desk.phone.upload([first, second])
    desk.set(key_charset="any")

    results = desk.replay().results

    assert [each.verdict for each in results] == [verdicts.VERDICT_ACCEPTED, verdicts.VERDICT_DUPLICATE]
    assert (desk.balance().stored, desk.balance().duplicate) == (1, 1)


def test_a_replay_under_a_name_that_is_archived_by_now_is_counted_and_not_stored(
    desk: Desk, channel: grpc.Channel
) -> None:
    desk.phone.upload([event(1, name="a.b", user_id="u1")])
    strict(desk, 2, user_id="u1")
    catalogue_pb2_grpc.EventCatalogueServiceStub(channel).ArchiveEventDefinition(
        catalogue_pb2.ArchiveEventDefinitionRequest(name="a.b"), **desk.credentials
    )

    (result,) = desk.replay().results

    assert result.verdict == verdicts.VERDICT_ARCHIVED
    balance = desk.balance()
    assert (balance.stored, balance.archived, balance.rejected) == (1, 1, 0)
    assert desk.sequences() == []


def test_what_the_name_limit_refused_is_taken_once_there_is_room(desk: Desk) -> None:
    desk.set(event_names_max=1)
    desk.phone.upload([event(1, name="a"), event(2, name="b"), event(3, name="c")])
    desk.set(event_names_max=2)

    results = desk.replay().results

    assert [each.verdict for each in results] == [verdicts.VERDICT_ACCEPTED, verdicts.VERDICT_REJECTED]
    assert results[1].reason == verdicts.REASON_EVENT_NAME_LIMIT
    assert (desk.balance().stored, desk.balance().rejected) == (2, 1)


def test_a_verdict_with_another_reason_moves_the_reason_too(desk: Desk) -> None:
    strict(desk, 1, name="a.b", user_id="u1")
    desk.set(event_names_max=1)
    desk.phone.upload([event(2, name="other")])

    (result,) = desk.replay().results

    assert result.reason == verdicts.REASON_EVENT_NAME_LIMIT
    told = desk.balance()
    assert [(each.reason, each.count) for each in told.rejected_by_reason] == [
        (verdicts.REASON_EVENT_NAME_LIMIT, 1)
    ]
    assert desk.sequences(reason=verdicts.REASON_EVENT_NAME_LIMIT) == [1]
    assert desk.sequences(reason=verdicts.REASON_NAME_INVALID) == []


def test_an_event_that_needs_a_proof_by_now_waits_among_the_failed_ones(desk: Desk) -> None:
    strict(desk, 1, user_id="u1")
    desk.set(identity_verification="enforced")

    (result,) = desk.replay().results

    assert (result.verdict, result.reason) == (verdicts.VERDICT_RETRY, verdicts.REASON_IDENTITY_UNVERIFIED)
    assert desk.balance().rejected == 1
    desk.set(identity_verification="off")
    assert desk.replay().results[0].verdict == verdicts.VERDICT_ACCEPTED


def test_pages_neither_skip_nor_repeat_while_more_fail(desk: Desk) -> None:
    desk.phone.upload([event(sequence, name="") for sequence in range(1, 8)])

    seen: list[int] = []
    token = ""
    for more in itertools.count(100):
        page = desk.page(page_size=2, page_token=token)
        seen += [failed.sequence for failed in page.failed_events]
        desk.phone.upload([event(more, name="")])
        token = page.next_page_token
        if not token:
            break

    assert seen == [7, 6, 5, 4, 3, 2, 1]


def test_a_token_or_an_id_of_another_workspace_or_filter_is_refused(
    desk: Desk, server: ServerProcess, channel: grpc.Channel
) -> None:
    other = Desk(server, channel)
    for each in (desk, other):
        each.phone.upload([event(1, name=""), event(2, name="")])
    listed, replayed = desk.page(page_size=1), desk.replay(page_size=1)
    calls: list[Callable[[], object]] = [
        lambda: other.page(page_token=listed.next_page_token),
        lambda: desk.page(page_token=listed.next_page_token, name="x"),
        lambda: desk.page(page_token=replayed.next_page_token),
        lambda: desk.replay(page_token=listed.next_page_token),
        lambda: other.replay(page_token=replayed.next_page_token),
        lambda: desk.page(page_token="forged"),
    ]
    for call in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert refusal(caught.value).reason == "PAGE_TOKEN_INVALID"

    sentences = set()
    for failed_event_id in (listed.failed_events[0].failed_event_id, "forged", ""):
        with pytest.raises(grpc.RpcError) as caught:
            other.replay_one(failed_event_id)
        sentences.add((refusal(caught.value).code, refusal(caught.value).sentence))
    assert sentences == {(grpc.StatusCode.NOT_FOUND, "There is no such failed event in this workspace.")}


@pytest.mark.parametrize(
    ("narrowed", "field"),
    [
        ({"reason": 999}, "filter.reason"),
        ({"name": "x" * 256}, "filter.name"),
        ({"received_from": {"seconds": 2**60}}, "filter.received_from"),
        ({"received_before": {"nanos": -1}}, "filter.received_before"),
    ],
)
def test_a_filter_that_can_mean_nothing_names_its_field(
    desk: Desk, narrowed: dict[str, Any], field: str
) -> None:
    for call in (desk.page, desk.replay):
        with pytest.raises(grpc.RpcError) as caught:
            call(**narrowed)
        assert refusal(caught.value).fields == (field,)


def test_a_replay_says_what_is_meant_and_public_keys_may_not_ask(desk: Desk) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        desk.stub.ReplayFailedEvents(wire.ReplayFailedEventsRequest(), **desk.credentials)
    assert refusal(caught.value).fields == ("events",)

    desk.credentials["metadata"] = bearer(desk.keys.sdk_key)
    for call in (desk.page, desk.replay):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert refusal(caught.value).code is grpc.StatusCode.PERMISSION_DENIED


def test_what_there_is_no_room_for_is_only_counted_and_that_is_said(desk: Desk) -> None:
    desk.set(failed_events_bytes_max=0)
    desk.phone.upload([event(1, name="")])

    page = desk.page()

    assert (len(page.failed_events), page.unkept_count) == (0, 1)
    assert desk.page(install_id=desk.phone.install.install_id).unkept_count == 1
    assert desk.page(install_id="nobody's").unkept_count == 0
    assert desk.balance().rejected == 1


def test_a_page_of_large_events_is_shorter_and_nothing_is_left_out(desk: Desk) -> None:
    """Nor is more of them judged at once than an upload may hold."""
    large = [
        event_pb2.MetadataEntry(key="k", link="https://example.test/".ljust(28_000, "x")),
    ]
    for first in range(1, 91, 30):
        desk.phone.upload([event(sequence, metadata=large) for sequence in range(first, first + 30)])

    seen: list[int] = []
    judged: list[int] = []
    tokens = ["", ""]
    while True:
        listed = desk.page(page_size=500, page_token=tokens[0])
        seen += [failed.sequence for failed in listed.failed_events]
        assert listed.ByteSize() < 1.1 * 1024 * 1024
        tokens[0] = listed.next_page_token
        if not tokens[0]:
            break
    while True:
        replayed = desk.replay(page_size=500, page_token=tokens[1])
        judged.append(len(replayed.results))
        tokens[1] = replayed.next_page_token
        if not tokens[1]:
            break

    assert seen == list(range(90, 0, -1))
    assert sum(judged) == 90
    assert len(judged) > 2


def test_what_a_deletion_took_no_replay_brings_back(desk: Desk, channel: grpc.Channel) -> None:
    """R32: the failed events of a deleted contact are gone, and so are those that may be its."""
    desk.phone.upload([event(1, user_id="u1")])
    strict(desk, 2, user_id="u1")
    desk.phone.upload([event_pb2.Event(sequence=3, name="nobody's", created_at=Timestamp(seconds=1))])
    kept = desk.page().failed_events
    people_pb2_grpc.PeopleServiceStub(channel).DeleteContact(
        people_pb2.DeleteContactRequest(user_id="u1"), **desk.credentials
    )

    assert desk.sequences() == []
    assert list(desk.replay().results) == []
    for failed in kept:
        with pytest.raises(grpc.RpcError) as caught:
            desk.replay_one(failed.failed_event_id)
        assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND
    balance = desk.balance()
    assert (balance.stored, balance.erased, balance.rejected) == (1, 1, 2)


def test_a_device_that_sends_a_replayed_event_again_is_told_what_it_has_become(desk: Desk) -> None:
    """R7: the sequence has its new outcome, and no other changes it."""
    bad = event(1, name="a.b", user_id="u1")
    desk.set(key_charset="strict")
    (first,) = desk.phone.upload([bad]).results
    (again,) = desk.phone.upload([bad]).results
    assert first.reason == again.reason == verdicts.REASON_NAME_INVALID
    desk.set(key_charset="any")
    desk.replay()

    (after,) = desk.phone.upload([bad]).results
    (other,) = desk.phone.upload([event(1, name="other", user_id="u1")]).results

    assert (after.verdict, after.identity) == (
        verdicts.VERDICT_DUPLICATE,
        verdicts.MATCHED_IDENTITY_TRANSPORT,
    )
    assert other.reason == verdicts.REASON_EPOCH_FORKED
    balance = desk.balance()
    assert (balance.generated, balance.stored, balance.resent) == (1, 1, 2)


def test_a_replay_is_noted_with_who_asked_for_it(desk: Desk) -> None:
    strict(desk, 1, 2)
    desk.replay()

    newest = desk.server.audit(desk.keys.workspace_id)[0]

    assert (newest["action"], newest["subject"]) == ("failed_events.replay", "2")
    assert desk.keys.server_key.startswith(newest["made_by"])
