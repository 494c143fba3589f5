"""From queued rows to calls, and from answers to what the policy understands; the wire wears its prefix."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version

import grpc
from google.protobuf.duration_pb2 import Duration

from workevo.tracking.v1 import event_pb2 as wire_event
from workevo.tracking.v1 import tracking_pb2 as wire
from workevo.tracking.v1 import verdict_pb2 as wire_verdict
from workevo_mobile import limits
from workevo_mobile.client_config import ClientConfig
from workevo_mobile.errors import CallFailed
from workevo_mobile.event_codec import clock_to_wire
from workevo_mobile.failures import Failure, FailureKind
from workevo_mobile.moments import Moment
from workevo_mobile.policy import Row
from workevo_mobile.queue_sql import Parcel
from workevo_mobile.settlement import Answer, Result, SequenceRange, Verdict

_UPLOAD_TOO_LARGE = "UPLOAD_TOO_LARGE"

_FAILURE_KINDS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: FailureKind.EXHAUSTED,
    grpc.StatusCode.INVALID_ARGUMENT: FailureKind.INVALID,
    grpc.StatusCode.UNAUTHENTICATED: FailureKind.KEY_REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: FailureKind.KEY_REFUSED,
}
_VERDICTS = {
    wire_verdict.VERDICT_UNSPECIFIED: Verdict.MISSING,
    wire_verdict.VERDICT_ACCEPTED: Verdict.ACCEPTED,
    wire_verdict.VERDICT_DUPLICATE: Verdict.DUPLICATE,
    wire_verdict.VERDICT_ARCHIVED: Verdict.ARCHIVED,
    wire_verdict.VERDICT_REJECTED: Verdict.REJECTED,
    wire_verdict.VERDICT_RETRY: Verdict.RETRY,
}


@dataclass(frozen=True, slots=True)
class AppInfo:
    """What the install says about itself; all optional, for people who read about it."""

    platform: str = ""
    """For example `android`."""
    app_version: str = ""
    os_version: str = ""
    locale: str = ""
    """BCP 47, for example `de-CH`."""
    time_zone: str = ""
    """IANA name, for example `Europe/Zurich`."""


@functools.cache  # Reading it parses a file, and it does not change while we run.
def sdk_version() -> str:
    try:
        return version("workevo")
    except PackageNotFoundError:  # Copied into an app instead of installed.
        return ""


def install_to_wire(app: AppInfo, *, install_id: str, epoch: bytes) -> wire.Install:
    return wire.Install(
        install_id=install_id,
        epoch=epoch,
        platform=app.platform,
        app_version=app.app_version,
        os_version=app.os_version,
        sdk_name="workevo-python",
        sdk_version=sdk_version(),
        locale=app.locale,
        time_zone=app.time_zone,
    )


def upload_request(
    parcel: Parcel,
    events: Sequence[wire_event.Event],
    install: wire.Install,
    *,
    upload_id: str,
    sent: Moment,
) -> wire.UploadEventsRequest:
    return wire.UploadEventsRequest(
        upload_id=upload_id,
        install=install,
        send_clock=clock_to_wire(sent),
        events=events,
        last_sequence=parcel.last_sequence,
        applied_through=parcel.applied_through,
        dropped=[
            wire.DroppedRange(
                first_sequence=drop.sequences.first,
                last_sequence=drop.sequences.last,
                reason=wire.DropReason.Value(f"DROP_REASON_{drop.reason.value}"),
                name=drop.name,
            )
            for drop in parcel.drops
        ],
        identity_proofs=[wire.IdentityProof(user_id=user, user_hash=proof) for user, proof in parcel.proofs],
        config_version=parcel.config_version,
    )


def event_from_row(row: Row, body: bytes) -> wire_event.Event:
    """Raises google's DecodeError when the row does not parse."""
    event = wire_event.Event.FromString(body)
    event.sequence = row.sequence
    return event


def identify_request(body: bytes, install: wire.Install, *, sent: Moment) -> wire.IdentifyRequest:
    """Raises google's DecodeError when the row does not parse."""
    request = wire.IdentifyRequest.FromString(body)
    request.install.CopyFrom(install)
    request.send_clock.CopyFrom(clock_to_wire(sent))
    return request


def answer_from_wire(response: wire.UploadEventsResponse) -> Answer:
    return Answer(
        results=tuple(_result_from_wire(result) for result in response.results),
        accepted_count=response.accepted_count,
        gaps=tuple(
            SequenceRange(gap.first_sequence, gap.last_sequence)
            for gap in response.gaps[: limits.ANSWER_GAPS_MAX]
        ),
        next_upload_delay=(
            delay_from_wire(response.next_upload_delay) if response.HasField("next_upload_delay") else None
        ),
        config=_config_from_wire(response.client_config) if response.HasField("client_config") else None,
    )


def _config_from_wire(config: wire.ClientConfig) -> ClientConfig:
    interval = config.flush_policy.interval
    return ClientConfig(
        version=config.version,
        archived_names=tuple(config.archived_names),
        disabled_names=tuple(config.disabled_names),
        flush_event_count=config.flush_policy.event_count,
        flush_interval_millis=interval.seconds * 1000 + interval.nanos // 1_000_000,
        upload_events_max=config.limits.upload_events_max,
        upload_bytes_max=config.limits.upload_bytes_max,
        event_bytes_max=config.limits.event_bytes_max,
    )


def _result_from_wire(result: wire_verdict.EventResult) -> Result:
    return Result(
        index=result.index,
        sequence=result.sequence,
        verdict=_VERDICTS.get(result.verdict, Verdict.UNKNOWN),
        reason=_reason_from_wire(result.reason),
        field=result.field,
        message=result.message,
        retriable=result.retriable,
        retry_delay=delay_from_wire(result.retry_delay) if result.HasField("retry_delay") else None,
    )


def identify_result_from_wire(response: wire.IdentifyResponse) -> Result:
    return Result(
        verdict=_VERDICTS.get(response.verdict, Verdict.UNKNOWN),
        reason=_reason_from_wire(response.reason),
        field=response.field,
        message=response.message,
        retriable=response.retriable,
        retry_delay=delay_from_wire(response.retry_delay) if response.HasField("retry_delay") else None,
    )


def _reason_from_wire(reason: int) -> str:
    """Its name; the bare number of one that a later release added; empty when none was given."""
    if reason == wire_verdict.REASON_UNSPECIFIED:
        return ""
    name = wire_verdict.Reason.DESCRIPTOR.values_by_number.get(reason)
    return name.name.removeprefix("REASON_") if name is not None else str(reason)


def delay_from_wire(duration: Duration) -> timedelta:
    """At most the longest delay that is obeyed; seconds beyond what Python can hold are on the wire too."""
    seconds = min(max(duration.seconds, 0), int(limits.SERVER_DELAY_MAX.total_seconds()))
    return timedelta(seconds=seconds, milliseconds=-(-duration.nanos // 1_000_000))


def failure_from_call(error: CallFailed) -> Failure:
    kind = _FAILURE_KINDS.get(error.code, FailureKind.UNAVAILABLE)
    if kind is FailureKind.EXHAUSTED and error.reason == _UPLOAD_TOO_LARGE:
        kind = FailureKind.TOO_LARGE
    return Failure(kind=kind, retry_delay=error.retry_delay)
