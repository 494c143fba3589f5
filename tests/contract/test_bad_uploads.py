"""Uploads that are wrong as a whole: refused before they are parsed, with a typed reason (R9)."""

from typing import Any

import grpc
import pytest

from workevo.tracking.v1 import tracking_pb2
from workevo_server.domain import limits
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import (
    CALL_SECONDS_MAX,
    IDENTIFY_METHOD,
    UPLOAD_METHOD,
    BackEnd,
    Phone,
    Refusal,
    bearer,
    call_bytes,
    event,
    events,
    refusal,
)

GROWTH_BYTES_MAX = 300 * 1024 * 1024


def _refused(phone: Phone, *bodies: bytes) -> Refusal:
    with pytest.raises(grpc.RpcError) as caught:
        phone.upload_bytes(*bodies)
    return refusal(caught.value)


def _upload_method(phone: Phone) -> Any:
    return phone.channel.unary_unary(UPLOAD_METHOD)


def _peak_memory_bytes(server: ServerProcess) -> int:
    with open(f"/proc/{server.pid}/status") as status:  # noqa: PTH123 - not a file one would join a path to.
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def test_an_empty_upload_is_answered_with_no_results(phone: Phone) -> None:
    answer = phone.upload(last_sequence=3)

    assert (answer.accepted_count, list(answer.results)) == (0, [])
    assert [(gap.first_sequence, gap.last_sequence) for gap in answer.gaps] == [(1, 3)]


def test_500_events_are_taken_and_501_are_too_many(phone: Phone, back_end: BackEnd) -> None:
    assert phone.upload(events(limits.UPLOAD_EVENTS_MAX)).accepted_count == limits.UPLOAD_EVENTS_MAX

    refused = _refused(phone, phone.request(events(501, first=501)).SerializeToString())

    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPLOAD_TOO_LARGE")
    assert (refused.retry_after, refused.pushback_millis) == (None, None)
    assert back_end.ledger(phone.install.install_id).balance.generated == limits.UPLOAD_EVENTS_MAX


def test_more_than_a_mebibyte_is_too_large_and_nothing_of_it_is_stored(
    phone: Phone, back_end: BackEnd
) -> None:
    padding = b"\x7a" + b"\x80\x80\x40" + b"p" * limits.UPLOAD_BYTES_MAX  # An unknown field of exactly 1 MiB.

    refused = _refused(phone, phone.request([event(1)]).SerializeToString(), padding)

    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPLOAD_TOO_LARGE")
    with pytest.raises(grpc.RpcError) as caught:
        back_end.ledger(phone.install.install_id)
    assert refusal(caught.value).reason == "NOT_FOUND"


def test_more_than_the_core_takes_is_refused_by_the_core(phone: Phone) -> None:
    refused = _refused(phone, b"\0" * (limits.GRPC_MESSAGE_BYTES_MAX + 1))

    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "")


MEBIBYTE_OF = {
    "events": (b"\x22\x00", grpc.StatusCode.RESOURCE_EXHAUSTED, "UPLOAD_TOO_LARGE"),
    "drops": (b"\x3a\x00", grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID"),
    "proofs": (b"\x42\x00", grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID"),
    "unknown fields": (b"\x78\x00", grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED"),
    "unknown groups": (b"\x7b\x7c", grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED"),
    "unknown fields in a group": (b"\x08\x00", grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED"),
}


@pytest.mark.parametrize("what", MEBIBYTE_OF)
def test_hundreds_of_thousands_of_tiny_elements_are_refused_before_they_are_objects(
    phone: Phone, server: ServerProcess, what: str
) -> None:
    element, code, reason = MEBIBYTE_OF[what]
    start = b"\x7b" if what == "unknown fields in a group" else b""
    before = _peak_memory_bytes(server)

    refused = _refused(phone, start, element * (limits.UPLOAD_BYTES_MAX // 2 - 1))

    assert (refused.code, refused.reason) == (code, reason)
    assert _peak_memory_bytes(server) - before < 32 * 1024 * 1024


def test_tiny_elements_inside_events_stay_within_bounds(phone: Phone, server: ServerProcess) -> None:
    tiny = b"\x32\x00" * ((limits.EVENT_BYTES_MAX - 128) // 2)
    before = _peak_memory_bytes(server)

    answer = phone.upload_raw_events(*(event(number).SerializeToString() + tiny for number in range(1, 32)))

    assert answer.accepted_count == 31
    assert _peak_memory_bytes(server) - before < GROWTH_BYTES_MAX


def test_a_gzip_bomb_is_too_large_and_costs_little(phone: Phone, server: ServerProcess) -> None:
    before = _peak_memory_bytes(server)

    with pytest.raises(grpc.RpcError) as caught:
        _upload_method(phone)(
            b"\0" * (200 * 1024 * 1024),
            metadata=bearer(phone.key),
            timeout=CALL_SECONDS_MAX,
            compression=grpc.Compression.Gzip,
        )

    assert refusal(caught.value).reason == "UPLOAD_TOO_LARGE"
    assert _peak_memory_bytes(server) - before < 32 * 1024 * 1024


def test_a_compressed_upload_is_taken(phone: Phone) -> None:
    body = phone.request(events(100)).SerializeToString()
    assert len(body) > 1024

    answer = _upload_method(phone)(
        body, metadata=bearer(phone.key), timeout=CALL_SECONDS_MAX, compression=grpc.Compression.Gzip
    )

    assert tracking_pb2.UploadEventsResponse.FromString(answer).accepted_count == 100


BROKEN_UPLOADS = {
    "random bytes": b"\xde\xad\xbe\xef" * 8,
    "a truncated install": b"\x12\x7f\x0a",
    "an event longer than the upload": b"\x22\xff\xff\x7f",
    "bad UTF-8 in the install id": b"\x12\x04\x0a\x02\xc3\x28",
    "bad UTF-8 in the upload id": b"\x0a\x02\xff\xfe",
    "groups nested too deeply": b"\x7b" * 200 + b"\x7c" * 200,
    "a group ended by another": b"\x7b\x84\x01",
    "an end without a group": b"\x7c",
    "a tag of six bytes": b"\xa2\x80\x80\x80\x80\x00\x00",
    "text": b'{"events": []}',
}


@pytest.mark.parametrize("body", BROKEN_UPLOADS.values(), ids=BROKEN_UPLOADS)
def test_bytes_in_which_no_event_can_be_told_apart_are_malformed(phone: Phone, body: bytes) -> None:
    refused = _refused(phone, body)

    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED")
    assert refused.retry_after is None


def test_no_body_at_all_is_a_request_with_nothing_in_it(phone: Phone) -> None:
    refused = _refused(phone, b"")

    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert {"install.install_id", "install.epoch"} <= set(refused.fields)


def test_a_call_without_any_message_is_malformed(phone: Phone) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        phone.channel.stream_unary(UPLOAD_METHOD)(
            iter(()), metadata=bearer(phone.key), timeout=CALL_SECONDS_MAX
        )

    assert refusal(caught.value).reason == "REQUEST_MALFORMED"


def test_very_many_wrong_fields_are_answered_with_a_few_of_them(phone: Phone) -> None:
    request = phone.request(dropped=[{"first_sequence": 2, "last_sequence": 1}] * 1000)

    refused = _refused(phone, request.SerializeToString())

    assert refused.reason == "REQUEST_INVALID"
    assert 1 <= len(refused.fields) <= 8


def test_repeated_outer_fields_merge_as_protobuf_has_it(phone: Phone) -> None:
    first = phone.request().SerializeToString()
    platform = b"\x12\x05\x1a\x03ios"  # install again, with its platform alone.

    answer = phone.upload_bytes(first, platform, phone.request([event(1)]).SerializeToString())

    assert answer.accepted_count == 1


@pytest.mark.parametrize("body", [b"\xff\xff", b"\x12\x02\xc3\x28", b"\x0a\x7f"])
def test_a_malformed_log_in_is_refused_with_its_reason(phone: Phone, body: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call_bytes(phone.channel, IDENTIFY_METHOD, body, bearer(phone.key))

    assert refusal(caught.value).reason == "REQUEST_MALFORMED"


def test_a_log_in_of_very_many_attributes_is_refused_before_it_is_parsed(phone: Phone) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call_bytes(phone.channel, IDENTIFY_METHOD, b"\x2a\x00" * 500_000, bearer(phone.key))

    assert refusal(caught.value).reason == "REQUEST_INVALID"
