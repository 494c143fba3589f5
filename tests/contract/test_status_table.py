"""The table of statuses and the tree of refusals say the same."""

from collections.abc import Iterator
from datetime import timedelta

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from workevo_server.domain.errors import (
    FieldViolation,
    MergeRefused,
    NotFound,
    Overloaded,
    RequestInvalid,
    StoreUnavailable,
    UploadTooLarge,
    WorkevoError,
)
from workevo_server.transport.failures import Incident
from workevo_server.transport.grpc.status import ANSWERS, rich_status
from workevo_server.transport.http import problems


def _tree(root: type[WorkevoError]) -> Iterator[type[WorkevoError]]:
    for branch in root.__subclasses__():
        yield branch
        yield from _tree(branch)


def _example(kind: type[WorkevoError]) -> WorkevoError:
    match kind.__name__:
        case "RequestInvalid":
            return RequestInvalid(FieldViolation("a", "A."), FieldViolation("b", "B."))
        case "NotFound":
            return NotFound("contact")
        case "MergeRefused":
            return MergeRefused("Both are users.")
        case "UploadTooLarge":
            return UploadTooLarge("Send half.")
        case "Overloaded":
            return Overloaded(timedelta(seconds=3))
        case "Incident":
            return Incident("4711")
        case _:
            return kind()


def _details(error: WorkevoError) -> Status:
    return Status.FromString(dict(rich_status(error).trailing_metadata)["grpc-status-details-bin"])


def test_every_refusal_of_the_tree_has_its_answer_and_no_answer_is_without_one() -> None:
    assert set(ANSWERS) == set(_tree(WorkevoError))


def test_every_refusal_of_the_tree_has_its_answer_over_http_too() -> None:
    assert set(problems.ANSWERS) == set(_tree(WorkevoError))
    assert all(400 <= answer.status < 600 for answer in problems.ANSWERS.values())


def test_reasons_tell_refusals_apart() -> None:
    reasons = [answer.reason for answer in ANSWERS.values()]

    assert len(set(reasons)) == len(reasons)
    assert all(reason == reason.upper() for reason in reasons)


@pytest.mark.parametrize("kind", ANSWERS, ids=lambda kind: kind.__name__)
def test_every_status_carries_one_error_info_and_says_the_same_in_both_places(
    kind: type[WorkevoError],
) -> None:
    error = _example(kind)

    status = rich_status(error)
    details = _details(error)

    assert sum(detail.Is(ErrorInfo.DESCRIPTOR) for detail in details.details) == 1
    assert (details.code, details.message) == (status.code.value[0], status.sentence)
    assert status.code not in {grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN}


@pytest.mark.parametrize("kind", ANSWERS, ids=lambda kind: kind.__name__)
def test_who_should_come_back_is_told_when_in_both_ways(kind: type[WorkevoError]) -> None:
    error = _example(kind)
    retry_after = getattr(error, "retry_after", None)

    has_retry_info = any(detail.Is(RetryInfo.DESCRIPTOR) for detail in _details(error).details)
    pushback = dict(rich_status(error).trailing_metadata).get("grpc-retry-pushback-ms")

    assert has_retry_info == (retry_after is not None)
    assert (pushback is not None) == (retry_after is not None)


def test_busy_and_too_large_share_a_code_and_differ_in_retry_info() -> None:
    busy, large = Overloaded(timedelta(seconds=1)), UploadTooLarge("Send half.")

    assert rich_status(busy).code is rich_status(large).code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(_details(busy).details) == 2
    assert len(_details(large).details) == 1
    assert rich_status(StoreUnavailable()).code is grpc.StatusCode.UNAVAILABLE


def test_a_refusal_never_outgrows_what_a_client_reads() -> None:
    violations = [FieldViolation(f"dropped[{n}]", "It is wrong. " * 20) for n in range(1000)]

    status = rich_status(RequestInvalid(*violations))

    assert len(status.sentence) + sum(len(value) for _, value in status.trailing_metadata) < 8 * 1024
