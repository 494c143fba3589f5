"""Bad events among good ones: each gets its own verdict and costs its neighbours nothing (R11)."""

import math
import uuid
from typing import Any

import pytest

from workevo.tracking.v1 import event_pb2, tracking_pb2, verdict_pb2
from workevo_server.domain import limits
from workevo_testing.wire_calls import BackEnd, Phone, event, varint

REJECTED = verdict_pb2.VERDICT_REJECTED
MALFORMED = verdict_pb2.REASON_EVENT_MALFORMED


def _only_result(answer: tracking_pb2.UploadEventsResponse) -> verdict_pb2.EventResult:
    (result,) = answer.results
    return result


def _good(sequence: int) -> bytes:
    return event(sequence).SerializeToString()


BROKEN_TAILS = {
    "truncated metadata": b"\x32\x7f\x0a",
    "truncated varint": b"\x38\xff",
    "truncated inner message": b"\x32\x03\x0a\x05a",
    "bad UTF-8 in the name": b"\x12\x02\xc3\x28",
    "bad UTF-8 in a metadata text": b"\x32\x07\x0a\x01k\x12\x02\xff\xfe",
    "a field with number 0": b"\x02\x00",
    "a wire type that is none": b"\x0f",
    "a group that does not end": b"\x7b\x7b",
    "groups nested beyond the library's depth": b"\x7b" * 200 + b"\x7c" * 200,
    "a varint of eleven bytes": b"\x38" + b"\xff" * 11,
}


@pytest.mark.parametrize("tail", BROKEN_TAILS.values(), ids=BROKEN_TAILS)
def test_a_broken_event_is_cut_out_with_its_sequence_and_its_neighbours_are_kept(
    phone: Phone, back_end: BackEnd, tail: bytes
) -> None:
    broken = b"\x08" + varint(2) + tail

    answer = phone.upload_raw_events(_good(1), broken, _good(3))

    result = _only_result(answer)
    assert (result.index, result.sequence, result.verdict, result.reason) == (1, 2, REJECTED, MALFORMED)
    assert not result.retriable
    assert answer.accepted_count == 2
    assert answer.settled_through == 3
    assert back_end.ledger(phone.install.install_id).balance.rejected == 1


def test_a_broken_event_whose_sequence_cannot_be_read_is_answered_with_sequence_0(phone: Phone) -> None:
    answer = phone.upload_raw_events(_good(1), b"\x12\xff", _good(2))

    result = _only_result(answer)
    assert (result.index, result.sequence, result.reason) == (1, 0, MALFORMED)
    assert answer.accepted_count == 2


def test_a_broken_event_sent_again_gets_its_own_verdict_again(phone: Phone) -> None:
    broken = b"\x08\x01\x12\xff"

    first = phone.upload_raw_events(broken)
    second = phone.upload_raw_events(broken)

    assert _only_result(first).reason == _only_result(second).reason == MALFORMED


def test_an_event_over_its_size_is_rejected_alone(phone: Phone) -> None:
    large = event(1, metadata=[event_pb2.MetadataEntry(key="k", text="x" * limits.EVENT_BYTES_MAX)])

    answer = phone.upload([large, event(2)])

    result = _only_result(answer)
    assert (result.sequence, result.verdict) == (1, REJECTED)
    assert result.reason == verdict_pb2.REASON_EVENT_TOO_LARGE
    assert answer.accepted_count == 1


def test_an_event_of_exactly_its_size_is_judged_by_its_fields(phone: Phone) -> None:
    padding = limits.EVENT_BYTES_MAX - len(_good(1)) - 4
    padded = _good(1) + b"\x7a" + varint(padding) + b"p" * padding  # An unknown field fills it up.
    assert len(padded) == limits.EVENT_BYTES_MAX

    assert phone.upload_raw_events(padded).accepted_count == 1


def test_unknown_fields_are_accepted_in_the_upload_and_in_its_events(phone: Phone) -> None:
    unknown = b"\xfa\x07\x03abc" + b"\xf8\x07\x01" + b"\xf3\x07\xf8\x07\x01\xf4\x07" + b"\xf5\x07abcd"

    answer = phone.upload_bytes(
        phone.request([event(1)]).SerializeToString(),
        unknown,
        b"\x22" + varint(len(_good(2) + unknown)) + _good(2) + unknown,
    )

    assert answer.accepted_count == 2


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_rejects_the_event_and_names_the_key(phone: Phone, number: float) -> None:
    answer = phone.upload(
        [event(1, metadata=[event_pb2.MetadataEntry(key="price", number=number)]), event(2)]
    )

    result = _only_result(answer)
    assert (result.sequence, result.verdict, result.field) == (1, REJECTED, "price")
    assert result.reason == verdict_pb2.REASON_METADATA_VALUE_INVALID
    assert answer.accepted_count == 1


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (-1, 0),
        (-62_135_596_801, 0),
        (-(2**63), 0),
        (253_402_300_800, 0),
        (2**63 - 1, 0),
        (253_402_300_799, 999_999_999),
        (1, -1),
        (1, 1_000_000_000),
        (1, 2**31 - 1),
    ],
)
def test_a_time_out_of_range_rejects_its_event_alone(phone: Phone, seconds: int, nanos: int) -> None:
    wrong = event(1, created_at={"seconds": seconds, "nanos": nanos})

    answer = phone.upload([wrong, event(2)])

    assert _only_result(answer).reason in {
        verdict_pb2.REASON_CREATED_AT_INVALID,
        verdict_pb2.REASON_CREATED_AT_OUT_OF_RANGE,
    }
    assert answer.accepted_count == 1


def test_clocks_of_the_device_may_be_any_nonsense(phone: Phone) -> None:
    clock = {
        "wall_time": {"seconds": 2**63 - 1, "nanos": -7},
        "uptime_millis": -(2**63),
        "boot_id": "b" * 4000,
    }

    answer = phone.upload([event(1, uptime_millis=2**63 - 1, boot_id="b" * 4000)], send_clock=clock)

    assert answer.accepted_count == 1


def test_an_empty_event_is_rejected_for_what_it_misses(phone: Phone) -> None:
    answer = phone.upload_raw_events(b"", _good(1))

    assert _only_result(answer).reason == verdict_pb2.REASON_SEQUENCE_INVALID
    assert answer.accepted_count == 1


@pytest.mark.parametrize("sequence", [0, -1, limits.SEQUENCE_MAX + 1, 2**63 - 1, -(2**63)])
def test_a_sequence_out_of_range_rejects_its_event_alone(phone: Phone, sequence: int) -> None:
    answer = phone.upload([event(sequence, created_at={"seconds": 5}), event(1)])

    result = _only_result(answer)
    assert (result.sequence, result.reason) == (sequence, verdict_pb2.REASON_SEQUENCE_INVALID)
    assert answer.accepted_count == 1


def test_nul_is_kept_exactly_in_names_ids_keys_and_values(phone: Phone, back_end: BackEnd) -> None:
    user_id = f"u\0{uuid.uuid4().hex}\0"
    entry = event_pb2.MetadataEntry(key="k\0ey", text="\0value\0")

    assert phone.upload([event(1, name="na\0me", user_id=user_id, metadata=[entry])]).accepted_count == 1

    (activity,) = back_end.activities(user_id)
    assert activity.event.name == "na\0me"
    assert list(activity.event.metadata) == [entry]


def test_every_type_of_metadata_comes_back_as_it_was_sent(phone: Phone, back_end: BackEnd) -> None:
    user_id = uuid.uuid4().hex
    entry: Any = event_pb2.MetadataEntry  # Takes inner messages as dictionaries, which its stub does not say.
    sent = [
        [entry(key="a", text=""), entry(key="b", number=-0.1), entry(key="c", integer=-(2**63))],
        [entry(key="d", date={"seconds": 5}), entry(key="e", link="https://example.test/a")],
        [entry(key="f", rich_link={"url": "https://example.test/", "title": "T"})],
        [entry(key="g", image="https://example.test/a.png")],
        [entry(key="h", stripe={"kind": event_pb2.Stripe.KIND_CHARGE, "id": "ch_1"})],
        [entry(key="i", monetary={"amount": -2999, "currency": "USD"}), entry(key="j", integer=2**53 + 1)],
    ]

    answer = phone.upload(
        [event(number, user_id=user_id, metadata=metadata) for number, metadata in enumerate(sent, start=1)]
    )

    assert answer.accepted_count == len(sent)
    stored = {
        activity.event.sequence: list(activity.event.metadata) for activity in back_end.activities(user_id)
    }
    assert stored == dict(enumerate(sent, start=1))


def test_an_event_of_very_many_metadata_entries_gets_one_verdict(phone: Phone) -> None:
    tiny = b"\x32\x00" * ((limits.EVENT_BYTES_MAX - 64) // 2)

    answer = phone.upload_raw_events(_good(1) + tiny, _good(2))

    assert answer.accepted_count == 2
