"""Whatever bytes come in: an answer of the contract, at once, and a server that lives on (F21)."""

import uuid
from contextlib import suppress
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workevo.tracking.v1 import event_pb2, tracking_pb2
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import (
    IDENTIFY_METHOD,
    UPLOAD_METHOD,
    BackEnd,
    Phone,
    bearer,
    call_bytes,
    event,
    install,
    refusal,
)

NEIGHBOUR_SEQUENCE = 7_654_321  # One that no damage comes by.
ANSWERS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.NOT_FOUND}
FUZZ = settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
BACK_END_METHODS = [
    "/workevo.insight.v1.PeopleService/GetEventSummary",
    "/workevo.insight.v1.PeopleService/ListActivities",
    "/workevo.insight.v1.DeliveryService/ListInstalls",
    "/workevo.insight.v1.DeliveryService/GetLedger",
]


def _call(channel: grpc.Channel, method: str, body: bytes, key: str) -> bytes | None:
    """The answer, or None for a refusal that the contract knows."""
    try:
        return call_bytes(channel, method, body, bearer(key))
    except grpc.RpcError as error:
        refused = refusal(error)
    assert refused.code in ANSWERS, refused
    return None


def _mutated(body: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Each edit replaces some bytes by others."""
    changed = bytearray(body)
    for position, length, replacement in edits:
        start = position % (len(changed) + 1)
        changed[start : start + length] = replacement
    return bytes(changed)


def _valid_upload(phone: Phone) -> bytes:
    entry: Any = event_pb2.MetadataEntry  # Takes inner messages as dictionaries, which its stub does not say.
    metadata = [
        entry(key="a", text="b"),
        entry(key="c", rich_link={"url": "https://example.test", "title": "t"}),
        entry(key="d", monetary={"amount": 1, "currency": "usd"}),
        entry(key="e", date={"seconds": 1, "nanos": 5}),
    ]
    return phone.request(
        [event(number, metadata=metadata, uptime_millis=5, boot_id="b") for number in (1, 2, 3)],
        last_sequence=9,
        applied_through=1,
        dropped=[{"first_sequence": 5, "last_sequence": 6, "reason": 1}],
        send_clock={"wall_time": {"seconds": 5}, "uptime_millis": 9, "boot_id": "b"},
    ).SerializeToString()


@pytest.fixture
def phone(channel: grpc.Channel, server: ServerProcess) -> Phone:
    """Of a workspace of its own, so that no other test's names and people are in the way."""
    return Phone(channel, server.create_workspace(f"Fuzzed {uuid.uuid4().hex}").sdk_key)


EDITS = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 8), st.binary(max_size=12)), min_size=1, max_size=6
)


@FUZZ
@given(body=st.binary(max_size=400))
def test_random_bytes_get_an_answer_of_the_contract(phone: Phone, body: bytes) -> None:
    _call(phone.channel, UPLOAD_METHOD, body, phone.key)
    _call(phone.channel, IDENTIFY_METHOD, body, phone.key)

    assert phone.upload().accepted_count == 0


@FUZZ
@given(edits=EDITS)
def test_a_damaged_upload_is_refused_or_every_event_of_it_is_answered(phone: Phone, edits: Any) -> None:
    body = _mutated(_valid_upload(replace(phone, install=install())), edits)

    answer = _call(phone.channel, UPLOAD_METHOD, body, phone.key)

    if answer is not None:
        parsed = tracking_pb2.UploadEventsResponse.FromString(answer)
        assert [result.index for result in parsed.results] == sorted({each.index for each in parsed.results})
        assert all(result.retriable == (result.verdict == 5) for result in parsed.results)
        with suppress(DecodeError):  # An event of it may be damaged so that a parser gives the whole up.
            sent = len(tracking_pb2.UploadEventsRequest.FromString(body).events)
            assert _answered(parsed) == sent


def _answered(answer: tracking_pb2.UploadEventsResponse) -> int:
    return answer.accepted_count + sum(result.verdict != 1 for result in answer.results)


@FUZZ
@given(tail=st.binary(max_size=60))
def test_a_damaged_event_never_costs_its_neighbour_its_place(phone: Phone, tail: bytes) -> None:
    """The install is new each time: else all but the first neighbour would be a copy (R7)."""
    fresh = replace(phone, install=install())
    answer = fresh.upload_raw_events(tail, event(NEIGHBOUR_SEQUENCE).SerializeToString())

    assert 1 not in {result.index for result in answer.results}
    assert answer.accepted_count >= 1
    assert _answered(answer) == 2


@FUZZ
@given(method=st.sampled_from(BACK_END_METHODS), body=st.binary(max_size=100))
def test_random_questions_get_an_answer_of_the_contract(back_end: BackEnd, method: str, body: bytes) -> None:
    _call(back_end.channel, method, body, back_end.key)
