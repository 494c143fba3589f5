"""Answers and refusals as the policy understands them."""

import importlib.metadata
import time
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from workevo.tracking.v1 import tracking_pb2, verdict_pb2
from workevo_mobile import CallFailed, SystemClocks, clocks, codec, limits
from workevo_mobile.clocks import read_moment
from workevo_mobile.drop_reason import DropReason
from workevo_mobile.failures import Failure, FailureKind
from workevo_mobile.settlement import Result, SequenceRange, Verdict


def test_every_verdict_of_the_contract_is_known() -> None:
    for verdict in verdict_pb2.Verdict.values():
        response = tracking_pb2.IdentifyResponse(verdict=verdict)
        known = codec.identify_result_from_wire(response).verdict
        assert known.value == verdict_pb2.Verdict.Name(verdict).removeprefix("VERDICT_") or (
            known is Verdict.MISSING and verdict == verdict_pb2.VERDICT_UNSPECIFIED
        )


def test_a_verdict_and_a_reason_of_a_later_release_are_told_apart_from_none() -> None:
    result = verdict_pb2.EventResult(index=2, sequence=7, retriable=True)
    later = verdict_pb2.EventResult.FromString(result.SerializeToString() + b"\x18\x63\x20\x64")

    answer = codec.answer_from_wire(tracking_pb2.UploadEventsResponse(results=[later]))

    assert answer.results == (
        Result(index=2, sequence=7, verdict=Verdict.UNKNOWN, reason="100", retriable=True),
    )


def test_an_answer_is_read_whole() -> None:
    response = tracking_pb2.UploadEventsResponse(
        accepted_count=4,
        gaps=[tracking_pb2.SequenceRange(first_sequence=3, last_sequence=5)],
        next_upload_delay=Duration(seconds=20),
        results=[
            verdict_pb2.EventResult(
                index=1,
                sequence=9,
                verdict=verdict_pb2.VERDICT_RETRY,
                reason=verdict_pb2.REASON_EPOCH_FORKED,
                field="sequence",
                message="Taken.",
                retriable=True,
                retry_delay=Duration(seconds=5),
            )
        ],
    )

    answer = codec.answer_from_wire(response)

    assert answer.accepted_count == 4
    assert answer.gaps == (SequenceRange(3, 5),)
    assert answer.next_upload_delay == timedelta(seconds=20)
    assert answer.results == (
        Result(
            index=1,
            sequence=9,
            verdict=Verdict.RETRY,
            reason="EPOCH_FORKED",
            field="sequence",
            message="Taken.",
            retriable=True,
            retry_delay=timedelta(seconds=5),
        ),
    )


def test_more_gaps_than_an_answer_may_have_are_not_looked_at() -> None:
    gaps = [tracking_pb2.SequenceRange(first_sequence=n, last_sequence=n) for n in range(1, 300)]

    answer = codec.answer_from_wire(tracking_pb2.UploadEventsResponse(gaps=gaps))

    assert len(answer.gaps) == limits.ANSWER_GAPS_MAX


@pytest.mark.parametrize(
    ("duration", "delay"),
    [
        (Duration(seconds=5, nanos=1), timedelta(seconds=5, milliseconds=1)),
        (Duration(seconds=-5), timedelta(0)),
        (Duration(seconds=2**62), timedelta(hours=1)),
    ],
)
def test_a_delay_is_whole_milliseconds_and_at_most_an_hour(duration: Duration, delay: timedelta) -> None:
    assert codec.delay_from_wire(duration) == delay


KINDS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: FailureKind.EXHAUSTED,
    grpc.StatusCode.INVALID_ARGUMENT: FailureKind.INVALID,
    grpc.StatusCode.UNAUTHENTICATED: FailureKind.KEY_REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: FailureKind.KEY_REFUSED,
}


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_status_has_its_kind(code: grpc.StatusCode) -> None:
    kind = KINDS.get(code, FailureKind.UNAVAILABLE)

    assert codec.failure_from_call(CallFailed(code, reason="OTHER")) == Failure(kind=kind)


def test_too_large_is_known_by_its_reason() -> None:
    error = CallFailed(
        grpc.StatusCode.RESOURCE_EXHAUSTED, reason="UPLOAD_TOO_LARGE", retry_delay=timedelta(seconds=1)
    )

    expected = Failure(kind=FailureKind.TOO_LARGE, retry_delay=timedelta(seconds=1))
    assert codec.failure_from_call(error) == expected


def test_every_drop_of_the_device_has_a_reason_in_the_contract() -> None:
    names = set(tracking_pb2.DropReason.keys())

    assert {f"DROP_REASON_{reason.value}" for reason in DropReason} <= names


def test_the_version_of_the_sdk_is_told_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    codec.sdk_version.cache_clear()
    assert codec.sdk_version() == importlib.metadata.version("workevo")

    def nowhere(_name: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    codec.sdk_version.cache_clear()
    monkeypatch.setattr(codec, "version", nowhere)
    assert codec.sdk_version() == ""
    codec.sdk_version.cache_clear()


def test_the_clocks_of_this_machine_go_forward_and_know_their_boot() -> None:
    system = SystemClocks()
    first, second = read_moment(system), read_moment(system)

    assert second.uptime_millis is not None
    assert first.uptime_millis is not None
    assert second.uptime_millis >= first.uptime_millis > 0
    assert first.boot_id == second.boot_id == SystemClocks().boot_id()
    assert 1 <= len(first.boot_id) <= limits.ID_CODE_POINTS_MAX
    assert first.wall_micros > 1_700_000_000_000_000


def test_without_a_boot_id_from_the_kernel_each_process_is_its_own_boot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clocks, "_KERNEL_BOOT_ID", tmp_path / "missing")
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    system = SystemClocks()

    assert system.boot_id() != SystemClocks().boot_id()
    uptime = system.uptime_millis()
    assert uptime is not None
    assert uptime > 0
