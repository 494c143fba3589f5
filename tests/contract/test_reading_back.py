"""What back ends read: pages that fit into a message, and the contract itself where it is shown."""

import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from workevo.insight.v1 import people_pb2, people_pb2_grpc
from workevo.tracking.v1 import event_pb2, verdict_pb2
from workevo_server.domain import limits
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import CALL_SECONDS_MAX, BackEnd, Phone, bearer, event, refusal

LARGE_EVENTS = 450
BATCH = 90


def _large(sequence: int, user_id: str) -> event_pb2.Event:
    """About 10 KiB: 450 of them do not fit into one message."""
    link = "https://example.test/".ljust(limits.LINK_CODE_POINTS_MAX, "x")
    return event(
        sequence,
        user_id=user_id,
        metadata=[event_pb2.MetadataEntry(key=f"k{number}", link=link) for number in range(5)],
    )


def test_a_page_that_would_not_fit_into_a_message_is_shorter_and_nothing_is_left_out(
    phone: Phone, channel: grpc.Channel, server: ServerProcess
) -> None:
    user_id = uuid.uuid4().hex
    for first in range(1, LARGE_EVENTS + 1, BATCH):
        batch = [_large(sequence, user_id) for sequence in range(first, first + BATCH)]
        assert phone.upload(batch).accepted_count == BATCH

    stub = people_pb2_grpc.PeopleServiceStub(channel)
    sequences: list[int] = []
    request = people_pb2.ListActivitiesRequest(user_id=user_id, page_size=500)
    while True:
        page = stub.ListActivities(request, metadata=bearer(server.keys.server_key), timeout=CALL_SECONDS_MAX)
        sequences += [activity.event.sequence for activity in page.activities]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break

    assert sequences == list(range(LARGE_EVENTS, 0, -1))


def test_activities_have_ids_of_their_own_that_never_change(phone: Phone, back_end: BackEnd) -> None:
    user_id = uuid.uuid4().hex
    phone.upload([event(sequence, user_id=user_id) for sequence in range(1, 30)])

    first, second = back_end.activities(user_id), back_end.activities(user_id)

    ids = [activity.activity_id for activity in first]
    assert len(set(ids)) == 29
    assert ids == [activity.activity_id for activity in second]


def test_the_ledger_tells_what_became_of_every_sequence(phone: Phone, back_end: BackEnd) -> None:
    answer = phone.upload(
        [event(1), event(2, name=""), event(5)],
        last_sequence=9,
        dropped=[{"first_sequence": 6, "last_sequence": 7, "reason": "DROP_REASON_QUEUE_FULL"}],
    )
    assert answer.settled_through == 2

    ledger = back_end.ledger(phone.install.install_id)

    balance = ledger.balance
    assert balance.generated == 9
    assert (balance.stored, balance.rejected, balance.dropped, balance.open) == (2, 1, 2, 4)
    assert [(each.reason, each.count) for each in balance.rejected_by_reason] == [
        (verdict_pb2.REASON_NAME_INVALID, 1)
    ]
    (epoch,) = ledger.epochs
    assert epoch.epoch == phone.install.epoch
    spans = [(found.first_sequence, found.last_sequence, found.outcome) for found in epoch.ranges]
    assert spans == [(1, 1, 1), (2, 2, 4), (3, 4, 6), (5, 5, 1), (6, 7, 5), (8, 9, 6)]


def test_the_client_config_comes_until_the_device_has_it(phone: Phone) -> None:
    config = phone.upload().client_config
    assert config.limits.upload_events_max == limits.UPLOAD_EVENTS_MAX
    assert config.flush_policy.event_count == 20

    assert not phone.upload(config_version=config.version).HasField("client_config")
    assert phone.upload(config_version="another").client_config == config


def test_reflection_shows_the_contract_where_it_is_switched_on(channel: grpc.Channel) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)

    answers = list(
        stub.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=20
        )
    )

    names = {service.name for answer in answers for service in answer.list_services_response.service}
    assert {"workevo.tracking.v1.TrackingService", "workevo.insight.v1.PeopleService"} <= names


def test_reflection_is_not_there_unless_it_is_switched_on(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as plain, grpc.insecure_channel(plain.grpc_address) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest()]), timeout=20))

    assert refusal(caught.value).code is grpc.StatusCode.UNIMPLEMENTED
