"""JSON uploads become the bytes that gRPC brings, one event at a time (R11)."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workevo.tracking.v1.event_pb2 import Event
from workevo.tracking.v1.tracking_pb2 import (
    DROP_REASON_EXPIRED,
    IdentifyRequest,
    UploadEventsRequest,
    UploadEventsResponse,
)
from workevo.tracking.v1.verdict_pb2 import EventResult
from workevo_server.domain.errors import RequestInvalid, RequestMalformed, UploadTooLarge, WorkevoError
from workevo_server.domain.verdicts import Reason
from workevo_server.transport.grpc import wire_walk
from workevo_server.transport.grpc.event_codec import event_from_wire
from workevo_server.transport.http.connect.json_codec import (
    answer_to_json,
    request_from_json,
    upload_from_json,
)

GOOD = {
    "sequence": "2",
    "name": 'opened, {quoted} \\" [twice]',
    "createdAt": "2026-01-02T03:04:05.500Z",
    "userId": "u",
}
BAD = [
    '{"sequence": 7, "name": NaN}',
    '{"sequence": 7, "metadata": [{"key": "k", "number": 1e999}]}',
    '{"sequence": "7", "name": "\\ud800"}',
    '{"sequence": 7, "name": "a", "name": "b"}',
    '{"sequence": 7, "userId": "u", "visitorId": "v"}',
    '{"sequence": 7, "name": {"an": "object"}}',
    '{"sequence": 7, "createdAt": "yesterday"}',
    '{"sequence": 7, "createdAt": 1700000000}',
    '{"sequence": 7, "metadata": [{"key": "k", "integer": "9223372036854775808"}]}',
    '{"sequence": 7, "metadata": [{"key": "k", "integer": ' + "9" * 5000 + "}]}",
    '{"sequence": 7, "unknown": ' + "[" * 5000 + "]" * 5000 + "}",
    '{"sequence": 7, "name": tru}',
    '{"sequence": 7, "metadata": [}}',
]
NO_EVENT = ["null", "17", '"text"', "[]", '["name"]', "tru"]


def body(*events: str, **fields: Any) -> bytes:
    rest = json.dumps(fields)[1:]
    return f'{{"events": [{", ".join(events)}]{"," if fields else ""}{rest}'.encode()


def read(text: bytes) -> list[Any]:
    walked = wire_walk.walk_upload(upload_from_json(text))
    return [event_from_wire(index, raw) for index, raw in enumerate(walked.events)]


def test_an_upload_in_json_says_what_the_same_upload_in_protobuf_says() -> None:
    upload = UploadEventsRequest(last_sequence=9)
    upload.install.install_id, upload.install.epoch = "i", bytes(range(16))
    upload.send_clock.wall_time.FromNanoseconds(5_007_000_000)
    upload.send_clock.uptime_millis = 3
    upload.events.add(sequence=2**53 - 1, name="b\0c", visitor_id="v").created_at.seconds = 1
    metadata = upload.events.add().metadata
    metadata.add(key="p").monetary.amount = -5
    metadata.add(key="n")
    upload.dropped.add(first_sequence=1, last_sequence=2, reason=DROP_REASON_EXPIRED)
    in_json = answer_to_json(UploadEventsRequest, upload.SerializeToString())

    assert UploadEventsRequest.FromString(upload_from_json(in_json)) == upload


@pytest.mark.parametrize("bad", BAD)
def test_an_event_that_does_not_parse_is_cut_out_with_its_sequence_and_its_neighbours_are_kept(
    bad: str,
) -> None:
    good = json.dumps(GOOD)

    before, broken, after = read(body(good, bad, good, lastSequence=9))

    assert before.name == after.name == GOOD["name"]
    assert (before.sequence, after.sequence) == (2, 2)
    assert broken.refusal.reason is Reason.EVENT_MALFORMED
    assert broken.sequence == 7
    assert bad.encode() in broken.raw


@pytest.mark.parametrize("no_event", NO_EVENT)
def test_what_is_no_object_is_a_malformed_event_without_a_sequence(no_event: str) -> None:
    broken, good = read(body(no_event, json.dumps(GOOD)))

    assert (broken.refusal.reason, broken.sequence) == (Reason.EVENT_MALFORMED, 0)
    assert good.refusal is None


def test_bytes_that_are_no_utf8_cost_their_event_alone() -> None:
    good = json.dumps(GOOD)
    broken, kept = read(body('{"sequence": 7, "name": "X"}', good).replace(b"X", b"\xff\xfe"))

    assert broken.refusal.reason is Reason.EVENT_MALFORMED
    assert kept.refusal is None


def test_a_field_of_a_later_release_is_ignored() -> None:
    (event,) = read(body(json.dumps(GOOD | {"later": {"deep": [1]}}), later=[{}]))

    assert event.name == GOOD["name"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"17",
        b"{",
        b'{"events": [',
        b'{"events": [{"name": "no end]}',
        b'{"events": [{}}',
        b'{"events": [{},]}',
        b'{"events": [,{}]}',
        b'{"events": [{}] junk}',
        b'{"events": []} {}',
        b'{"events": [{}], "events": [{}]}',
        b'{"events": [{}], "\\u0065vents": [{}]}',
        b'{"events": {}}',
        b'{"lastSequence": NaN}',
        b'{"unknown": ' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"install": {"installId": "\xff"}}',
        b"[" * 1_000_000,
        b'{"a": "' + b'\\"' * 500_000,
    ],
    ids=lambda text: repr(text[:30]),
)
def test_where_no_event_can_be_told_apart_the_whole_is_malformed(text: bytes) -> None:
    with pytest.raises(RequestMalformed):
        upload_from_json(text)


def test_no_events_are_an_upload_too() -> None:
    for text in (
        b'{"lastSequence": "3"}',
        b'{"events": [ ], "lastSequence": 3}',
        b'{"events": null, "lastSequence": 3.0}',
    ):
        assert UploadEventsRequest.FromString(upload_from_json(text)) == UploadEventsRequest(last_sequence=3)


def test_more_events_or_bytes_than_an_upload_may_have_are_told_so() -> None:
    with pytest.raises(UploadTooLarge):
        upload_from_json(body(*["{}"] * 501))
    with pytest.raises(UploadTooLarge):
        upload_from_json(b'{"x": "' + b"x" * 1024 * 1024 + b'"}')
    assert len(read(body(*["{}"] * 500))) == 500


def test_other_requests_are_bounded_in_size_and_depth() -> None:
    with pytest.raises(RequestInvalid):
        request_from_json(IdentifyRequest, b'{"userId": "' + b"u" * 70_000 + b'"}')
    with pytest.raises(RequestMalformed):
        request_from_json(IdentifyRequest, b'{"attributes": ' + b"[" * 10_000 + b"]" * 10_000 + b"}")
    assert (
        request_from_json(IdentifyRequest, b'{"userId": "u"}')
        == IdentifyRequest(user_id="u").SerializeToString()
    )


def test_an_answer_in_json_leaves_out_what_is_zero_and_writes_long_integers_as_text() -> None:
    answer = UploadEventsResponse(
        accepted_count=1, settled_through=2**53 - 1, results=[EventResult(message="é\0")]
    )

    told = json.loads(answer_to_json(UploadEventsResponse, answer.SerializeToString()))

    assert told == {"acceptedCount": 1, "settledThrough": "9007199254740991", "results": [{"message": "é\0"}]}


pieces = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "events",
                    "sequence",
                    "name",
                    "createdAt",
                    "metadata",
                    "key",
                    "text",
                    "richLink",
                    "url",
                    "install",
                    "é",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.lists(pieces, max_size=5))
def test_whatever_the_events_are_each_is_read_alone(values: list[Any]) -> None:
    texts = [json.dumps(value) for value in values]

    alone = [read(body(text))[0].raw for text in texts]

    assert [event.raw for event in read(body(*texts))] == alone


@given(pieces, st.integers(0, 200), st.binary(max_size=3))
def test_no_bytes_raise_anything_but_a_refusal(value: Any, place: int, junk: bytes) -> None:
    text = json.dumps({"events": [value], "sendClock": value}).encode()
    with suppress(WorkevoError):
        upload_from_json(text[:place] + junk + text[place:])


def test_no_event_that_was_cut_out_can_be_read_as_another() -> None:
    (broken,) = read(body('{"sequence": 7, "name": "good", "userId": "u", "name": "again"}'))

    with pytest.raises(Exception, match="parsing"):
        Event.FromString(broken.raw)
