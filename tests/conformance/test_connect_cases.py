"""R7, R8 and R14 by their cases over the Connect protocol, in both encodings, and read back over gRPC."""

import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from conformance.case_files import Case, parameters
from workevo.insight.v1 import catalogue_pb2, catalogue_pb2_grpc, people_pb2
from workevo.tracking.v1 import tracking_pb2, verdict_pb2
from workevo.tracking.v1.event_pb2 import Event
from workevo_testing.connect_calls import JSON, PROTO, ConnectClient
from workevo_testing.places import STORES, store_of
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import BackEnd, bearer, install

ARCHIVED_NAME = "archived name"
RECEIVED_AT = 1_000_000
NANOS = 1_000_000_000


@pytest.fixture(scope="module", params=STORES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    directory, store = tmp_path_factory.mktemp("server"), store_of(request)
    with ServerProcess(directory, simulated_clock=True, store=store) as running:
        client = ConnectClient(running.http_address, running.keys.sdk_key)
        event = ledger_event(1, "archived", "archivist", "")
        upload(client, PROTO, RECEIVED_AT, install=install(), events=[event])
        archive(running)
        yield running


def archive(server: ServerProcess) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel:
        catalogue_pb2_grpc.EventCatalogueServiceStub(channel).ArchiveEventDefinition(
            catalogue_pb2.ArchiveEventDefinitionRequest(name=ARCHIVED_NAME),
            metadata=bearer(server.keys.server_key),
            timeout=20,
        )


@pytest.fixture
def back_end(server: ServerProcess) -> Iterator[BackEnd]:
    with grpc.insecure_channel(server.grpc_address) as channel:
        yield BackEnd(channel, server.keys.server_key)


def upload(
    client: ConnectClient, kind: str, received_at: float, **fields: Any
) -> tracking_pb2.UploadEventsResponse:
    received = str(int(Decimal(repr(received_at)) * 1_000_000))
    headers = {"workevo-simulated-time-micros": received}
    return client.upload(tracking_pb2.UploadEventsRequest(**fields), kind=kind, headers=headers)


def timestamp(seconds: float) -> Timestamp:
    read = Timestamp()
    read.FromNanoseconds(int(Decimal(repr(seconds)) * NANOS))
    return read


def clock(told: Case) -> dict[str, Any]:
    fields = {"uptime_millis": told["uptime"], "boot_id": told["boot"]}
    return {name: value for name, value in fields.items() if value is not None}


@pytest.mark.parametrize("kind", [JSON, PROTO])
@pytest.mark.parametrize("case", parameters("clocks.json"))
def test_an_event_is_placed_as_the_case_says(
    case: Case, kind: str, server: ServerProcess, back_end: BackEnd
) -> None:
    user_id, told, sent = uuid.uuid4().hex, case["event"], case["send"]
    send_clock = tracking_pb2.Clock(**clock(sent))
    if sent["wall"] is not None:
        send_clock.wall_time.CopyFrom(timestamp(sent["wall"]))
    event = Event(
        sequence=1, name="placed", user_id=user_id, created_at=timestamp(told["wall"]), **clock(told)
    )

    answer = upload(
        ConnectClient(server.http_address, server.keys.sdk_key),
        kind,
        case["received_at"],
        install=install(),
        send_clock=send_clock,
        events=[event],
    )

    assert answer.accepted_count == 1
    warnings = [warning.code for result in answer.results for warning in result.warnings]
    expected = [case["warning"]] if "warning" in case else []
    assert [verdict_pb2.Warning.Code.Name(code) for code in warnings] == [f"CODE_{name}" for name in expected]
    (activity,) = back_end.activities(user_id)
    assert activity.occurred_at == timestamp(case["occurred_at"])
    assert activity.event.created_at == timestamp(told["wall"])
    assert people_pb2.ClockMethod.Name(activity.event.clock_method) == f"CLOCK_METHOD_{case['method']}"


def ledger_event(sequence: int, kind: str, user_id: str, label: str) -> Event:
    names = {"bad": "", "archived": ARCHIVED_NAME}
    name = names.get(kind, f"event {label}")
    return Event(sequence=sequence, name=name, user_id=user_id, created_at=Timestamp(seconds=900_000))


def dropped(first: int, last: int, reason: str) -> tracking_pb2.DroppedRange:
    return tracking_pb2.DroppedRange(
        first_sequence=first,
        last_sequence=last,
        reason=tracking_pb2.DropReason.Value(f"DROP_REASON_{reason}"),
    )


def verdicts(answer: tracking_pb2.UploadEventsResponse, count: int) -> list[str]:
    told = ["ACCEPTED"] * count
    for result in answer.results:
        told[result.index] = verdict_pb2.Verdict.Name(result.verdict).removeprefix("VERDICT_")
    return told


@pytest.mark.parametrize("kind", [JSON, PROTO])
@pytest.mark.parametrize("case", parameters("ledger.json"))
def test_every_sequence_has_one_outcome_and_the_balance_holds(
    case: Case, kind: str, server: ServerProcess, back_end: BackEnd
) -> None:
    client, phone, user_id = (
        ConnectClient(server.http_address, server.keys.sdk_key),
        install(),
        uuid.uuid4().hex,
    )
    for step in case["steps"]:
        # What the server cannot take now is never sent here: a device sees it as not answered.
        sent = [told for told in step["send"] if told[1] != "retry"]
        answer = upload(
            client,
            kind,
            RECEIVED_AT,
            install=phone,
            events=[
                ledger_event(sequence, what, user_id, label[0] if label else str(sequence))
                for sequence, what, *label in sent
            ],
            last_sequence=step.get("last_sequence", 0),
            applied_through=step.get("applied_through", 0),
            dropped=[dropped(*told) for told in step.get("dropped", ())],
        )
        expected = [
            verdict
            for told, verdict in zip(step["send"], step["verdicts"], strict=True)
            if told[1] != "retry"
        ]
        assert verdicts(answer, len(sent)) == expected
        assert answer.settled_through == step["settled_through"]
        assert [[gap.first_sequence, gap.last_sequence] for gap in answer.gaps] == step["gaps"]
    balance = back_end.ledger(phone.install_id).balance
    expected_balance = dict(case["balance"])
    by_reason = expected_balance.pop("dropped_by_reason", {})
    assert {name: getattr(balance, name) for name in expected_balance} == expected_balance
    assert balance.generated == sum(
        (balance.stored, balance.duplicate, balance.archived, balance.rejected, balance.dropped, balance.open)
    )
    if by_reason:
        told = {count.reason: count.count for count in balance.dropped_by_reason}
        assert told == {
            tracking_pb2.DropReason.Value(f"DROP_REASON_{reason}"): count
            for reason, count in by_reason.items()
        }
