"""Answers to devices, from the domain onto the wire."""

import hashlib
from datetime import timedelta
from functools import lru_cache

from google.protobuf.duration_pb2 import Duration as WireDuration

from workevo.tracking.v1 import tracking_pb2 as wire
from workevo.tracking.v1 import verdict_pb2 as wire_verdicts
from workevo_server.domain import limits
from workevo_server.domain.events import Upload
from workevo_server.domain.identification import IdentifyAnswer
from workevo_server.domain.verdicts import EventVerdict, EventWarning, Reason, Verdict, is_retriable
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.catalogue import NamesNotToSend
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.transport.grpc.time_codec import micros_to_wire

_CONFIG_VERSION_CHARACTERS = 16
_CONFIGS_KEPT = 256  # One a workspace; made anew on every upload it would cost more than the answer.
_RETRY_DELAY_DEFAULT = timedelta(seconds=60)


def upload_answer_to_wire(
    answer: UploadAnswer, *, upload: Upload, settings: WorkspaceSettings, names: NamesNotToSend
) -> wire.UploadEventsResponse:
    """The whole answer: results for events that were not plainly accepted, the others counted."""
    wire_config = client_config_to_wire(settings, names)
    return wire.UploadEventsResponse(
        results=[_verdict_to_wire(verdict) for verdict in answer.verdicts if not _is_plain(verdict)],
        accepted_count=sum(verdict.verdict is Verdict.ACCEPTED for verdict in answer.verdicts),
        settled_through=answer.settled_through,
        gaps=[wire.SequenceRange(first_sequence=first, last_sequence=last) for first, last in answer.gaps],
        server_time=micros_to_wire(upload.received_at_micros),
        client_config=wire_config if wire_config.version != upload.config_version else None,
    )


def identify_answer_to_wire(answer: IdentifyAnswer) -> wire.IdentifyResponse:
    refusal = answer.refusal
    if refusal is None:
        return wire.IdentifyResponse(verdict=wire_verdicts.VERDICT_ACCEPTED)
    retriable = is_retriable(refusal.reason)
    return wire.IdentifyResponse(
        verdict=wire_verdicts.VERDICT_RETRY if retriable else wire_verdicts.VERDICT_REJECTED,
        reason=reason_to_wire(refusal.reason),
        field=refusal.field,
        message=refusal.message,
        retriable=retriable,
        retry_delay=_delay_to_wire(None) if retriable else None,
    )


@lru_cache(maxsize=_CONFIGS_KEPT)
def client_config_to_wire(settings: WorkspaceSettings, names: NamesNotToSend) -> wire.ClientConfig:
    """What the workspace asks of its devices; its version changes exactly when it does (R23).

    Made once for what it says and shared, so not to be changed.
    """
    wire_config = wire.ClientConfig(
        archived_names=names.archived,
        disabled_names=names.disabled,
        flush_policy=wire.FlushPolicy(
            event_count=settings.flush_event_count, interval=_duration_to_wire(settings.flush_interval)
        ),
        limits=wire.Limits(
            metadata_keys_max=settings.metadata_keys_max,
            upload_events_max=limits.UPLOAD_EVENTS_MAX,
            upload_bytes_max=limits.UPLOAD_BYTES_MAX,
            event_bytes_max=limits.EVENT_BYTES_MAX,
        ),
    )
    digest = hashlib.sha256(wire_config.SerializeToString(deterministic=True)).hexdigest()
    wire_config.version = digest[:_CONFIG_VERSION_CHARACTERS]
    return wire_config


def reason_to_wire(reason: Reason) -> "wire_verdicts.Reason.ValueType":
    return wire_verdicts.Reason.Value(f"REASON_{reason.name}")


def _is_plain(verdict: EventVerdict) -> bool:
    return verdict.verdict is Verdict.ACCEPTED and not verdict.warnings


def _verdict_to_wire(verdict: EventVerdict) -> wire_verdicts.EventResult:
    retriable = verdict.verdict is Verdict.RETRY
    refusal = verdict.refusal
    identity = verdict.identity
    return wire_verdicts.EventResult(
        index=verdict.index,
        sequence=verdict.sequence,
        verdict=wire_verdicts.Verdict.Value(f"VERDICT_{verdict.verdict.name}"),
        reason=reason_to_wire(refusal.reason) if refusal else wire_verdicts.REASON_UNSPECIFIED,
        field=refusal.field if refusal else "",
        message=refusal.message if refusal else "",
        retriable=retriable,
        retry_delay=_delay_to_wire(verdict.retry_delay) if retriable else None,
        identity=(
            wire_verdicts.MatchedIdentity.Value(f"MATCHED_IDENTITY_{identity.name}")
            if identity
            else wire_verdicts.MATCHED_IDENTITY_UNSPECIFIED
        ),
        warnings=[_warning_to_wire(warning) for warning in verdict.warnings],
    )


def _warning_to_wire(warning: EventWarning) -> wire_verdicts.Warning:
    return wire_verdicts.Warning(
        code=wire_verdicts.Warning.Code.Value(f"CODE_{warning.code.name}"), fields=warning.fields
    )


def _delay_to_wire(delay: timedelta | None) -> WireDuration:
    return _duration_to_wire(_RETRY_DELAY_DEFAULT if delay is None else delay)


def _duration_to_wire(duration: timedelta) -> WireDuration:
    wire_duration = WireDuration()
    wire_duration.FromTimedelta(duration)
    return wire_duration
