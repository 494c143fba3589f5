"""Uploads and log-ins from the wire into the domain; what is still the wire's wears its prefix."""

import asyncio
from collections.abc import Sequence

from workevo.tracking.v1 import tracking_pb2 as wire
from workevo_server.domain.events import (
    DroppedRange,
    DropReason,
    IdentityProof,
    Install,
    ReceivedEvent,
    Upload,
)
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.limits import INSTALL_TEXT_CODE_POINTS_MAX
from workevo_server.domain.requests import ForgetCall, IdentifyCall
from workevo_server.transport.grpc.event_codec import event_from_wire
from workevo_server.transport.grpc.limits import TURN_BYTES
from workevo_server.transport.grpc.metadata_codec import metadata_from_wire
from workevo_server.transport.grpc.time_codec import clock_from_wire
from workevo_server.transport.grpc.wire_parse import parse, parse_request
from workevo_server.transport.grpc.wire_walk import walk_upload

_DROP_REASON_PREFIX = "DROP_REASON_"


async def upload_from_wire(body: bytes, *, workspace_id: WorkspaceId, received_at_micros: int) -> Upload:
    """Translate an upload, giving way to other calls meanwhile. Raises as `walk_upload` and `parse` do."""
    walked = walk_upload(body)
    wire_upload = parse(wire.UploadEventsRequest, walked.rest)
    return Upload(
        workspace_id=workspace_id,
        upload_id=wire_upload.upload_id[:INSTALL_TEXT_CODE_POINTS_MAX],
        install=_install_from_wire(wire_upload.install),
        received_at_micros=received_at_micros,
        send_clock=clock_from_wire(wire_upload.send_clock),
        events=await _events_from_wire(walked.events),
        last_sequence=wire_upload.last_sequence,
        applied_through=wire_upload.applied_through,
        dropped=tuple(_dropped_from_wire(wire_dropped) for wire_dropped in wire_upload.dropped),
        identity_proofs=tuple(
            IdentityProof(wire_proof.user_id, wire_proof.user_hash)
            for wire_proof in wire_upload.identity_proofs
        ),
        config_version=wire_upload.config_version,
    )


def identify_call_from_wire(
    body: bytes, *, workspace_id: WorkspaceId, received_at_micros: int
) -> IdentifyCall:
    wire_call = parse_request(wire.IdentifyRequest, body)
    return IdentifyCall(
        workspace_id=workspace_id,
        install=_install_from_wire(wire_call.install),
        visitor_id=wire_call.visitor_id,
        user_id=wire_call.user_id,
        user_hash=wire_call.user_hash,
        attributes=metadata_from_wire(wire_call.attributes),
        identify_clock=clock_from_wire(wire_call.identify_clock),
        send_clock=clock_from_wire(wire_call.send_clock),
        received_at_micros=received_at_micros,
    )


def forget_call_from_wire(body: bytes, *, workspace_id: WorkspaceId, received_at_micros: int) -> ForgetCall:
    wire_call = parse_request(wire.ForgetRequest, body)
    return ForgetCall(
        workspace_id=workspace_id,
        install=_install_from_wire(wire_call.install),
        received_at_micros=received_at_micros,
    )


async def _events_from_wire(raws: Sequence[bytes]) -> tuple[ReceivedEvent, ...]:
    """A full upload of tiny elements takes a second to read; the others need not wait for all of it."""
    events: list[ReceivedEvent] = []
    bytes_read = 0
    for index, raw in enumerate(raws):
        events.append(event_from_wire(index, raw))
        bytes_read += len(raw)
        if bytes_read >= TURN_BYTES:
            bytes_read = 0
            await asyncio.sleep(0)
    return tuple(events)


def _install_from_wire(wire_install: wire.Install) -> Install:
    return Install(
        install_id=InstallId(wire_install.install_id),
        epoch=wire_install.epoch,
        platform=wire_install.platform[:INSTALL_TEXT_CODE_POINTS_MAX],
        app_version=wire_install.app_version[:INSTALL_TEXT_CODE_POINTS_MAX],
        os_version=wire_install.os_version[:INSTALL_TEXT_CODE_POINTS_MAX],
        sdk_name=wire_install.sdk_name[:INSTALL_TEXT_CODE_POINTS_MAX],
        sdk_version=wire_install.sdk_version[:INSTALL_TEXT_CODE_POINTS_MAX],
        locale=wire_install.locale[:INSTALL_TEXT_CODE_POINTS_MAX],
        time_zone=wire_install.time_zone[:INSTALL_TEXT_CODE_POINTS_MAX],
    )


def _dropped_from_wire(wire_dropped: wire.DroppedRange) -> DroppedRange:
    return DroppedRange(
        first_sequence=wire_dropped.first_sequence,
        last_sequence=wire_dropped.last_sequence,
        reason=_drop_reason_from_wire(wire_dropped.reason),
        name=wire_dropped.name,
    )


def _drop_reason_from_wire(wire_reason: "wire.DropReason.ValueType") -> DropReason:
    """A reason of a later release is counted as UNSPECIFIED."""
    if wire_reason not in wire.DropReason.values():
        return DropReason.UNSPECIFIED
    return DropReason[wire.DropReason.Name(wire_reason).removeprefix(_DROP_REASON_PREFIX)]
