"""Answers that never reached the device: what was sent again is there once, and nothing is lost (R7, R12)."""

import threading
import time

import grpc
import pytest

from workevo.tracking.v1 import event_pb2, tracking_pb2_grpc, verdict_pb2
from workevo_testing.wire_calls import CALL_SECONDS_MAX, BackEnd, Phone, bearer, events

EVENT_COUNT = 200
TURNS_MAX = 50


def _is_settled_once(phone: Phone, back_end: BackEnd, sent: list[list[object]]) -> None:
    balance = back_end.ledger(phone.install.install_id).balance
    assert (balance.stored, balance.open, balance.duplicate) == (EVENT_COUNT * len(sent), 0, 0)


@pytest.mark.parametrize("seconds", [0.001, 0.003, 0.01, 0.03])
def test_what_a_deadline_cut_off_is_sent_again_and_stored_once(
    phone: Phone, back_end: BackEnd, seconds: float
) -> None:
    sent = [list(events(EVENT_COUNT, first=1 + EVENT_COUNT * number)) for number in range(3)]
    codes = []
    for batch in sent:
        try:
            phone.upload(batch, timeout=seconds)
        except grpc.RpcError as error:
            codes.append(error.code())

    assert set(codes) <= {grpc.StatusCode.DEADLINE_EXCEEDED}
    for batch in sent:
        answer = phone.upload(batch)
        assert answer.accepted_count in {0, EVENT_COUNT}
        for result in answer.results:
            assert result.verdict == verdict_pb2.VERDICT_DUPLICATE
            assert result.identity == verdict_pb2.MATCHED_IDENTITY_TRANSPORT

    _is_settled_once(phone, back_end, [[*batch] for batch in sent])


def _is_answered_within(seconds: float, phone: Phone, batch: list[event_pb2.Event]) -> bool:
    try:
        phone.upload(batch, timeout=seconds)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
            raise
        return False
    return True


def test_what_was_stored_and_not_answered_is_answered_as_a_copy(phone: Phone, back_end: BackEnd) -> None:
    """Deadlines grow until one falls between the commit and its answer: the upload that R7 is there for."""
    sent: list[list[object]] = []
    for turn in range(TURNS_MAX):
        batch = list(events(EVENT_COUNT, first=1 + EVENT_COUNT * turn))
        sent.append([*batch])
        was_answered = _is_answered_within(0.002 * 1.1**turn, phone, batch)
        again = phone.upload(batch)
        copies = sum(result.verdict == verdict_pb2.VERDICT_DUPLICATE for result in again.results)
        assert again.accepted_count + copies == EVENT_COUNT
        if not was_answered and copies == EVENT_COUNT:
            break
    else:
        pytest.fail("no deadline fell between a commit and its answer")
    _is_settled_once(phone, back_end, sent)


@pytest.mark.parametrize("seconds", [0.0, 0.002, 0.01])
def test_what_was_cancelled_while_it_was_written_is_sent_again_and_stored_once(
    phone: Phone, back_end: BackEnd, seconds: float
) -> None:
    batch = list(events(EVENT_COUNT))
    stub = tracking_pb2_grpc.TrackingServiceStub(phone.channel)
    call = stub.UploadEvents.future(
        phone.request(batch), metadata=bearer(phone.key), timeout=CALL_SECONDS_MAX
    )
    time.sleep(seconds)
    call.cancel()

    answer = phone.upload(batch)

    assert answer.accepted_count + len(answer.results) == EVENT_COUNT
    _is_settled_once(phone, back_end, [[*batch]])


def test_the_same_upload_many_times_at_once_is_stored_once(phone: Phone, back_end: BackEnd) -> None:
    batch = list(events(EVENT_COUNT))
    accepted_counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: accepted_counts.append(phone.upload(batch).accepted_count))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(accepted_counts) == [0] * 7 + [EVENT_COUNT]
    _is_settled_once(phone, back_end, [[*batch]])
