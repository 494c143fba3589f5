"""TrackingService: what devices call."""

from dataclasses import dataclass

from workevo.tracking.v1 import tracking_pb2 as wire
from workevo_server.ports.catalogue import NamesRing
from workevo_server.ports.fault_point import FaultPoint
from workevo_server.ports.key_ring import KeyKind, KeyRing
from workevo_server.services.ingest import Ingest
from workevo_server.transport.grpc.answer_codec import identify_answer_to_wire, upload_answer_to_wire
from workevo_server.transport.grpc.upload_codec import (
    forget_call_from_wire,
    identify_call_from_wire,
    upload_from_wire,
)
from workevo_server.transport.receipt import Receipt
from workevo_server.transport.reception import Call, Method

DESCRIPTOR = wire.DESCRIPTOR.services_by_name["TrackingService"]
SERVICE = DESCRIPTOR.full_name
_DEVICES = frozenset({KeyKind.SDK})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingServicer:
    ingest: Ingest
    key_ring: KeyRing
    names: NamesRing
    receipt: Receipt
    faults: FaultPoint

    def methods(self) -> dict[str, Method]:
        return {
            "UploadEvents": Method(permitted=_DEVICES, answer=self._upload_events),
            "Identify": Method(permitted=_DEVICES, answer=self._identify),
            "Forget": Method(permitted=_DEVICES, answer=self._forget),
        }

    async def _upload_events(self, call: Call) -> bytes:
        workspace_id = call.principal.workspace_id
        upload = await upload_from_wire(
            call.body, workspace_id=workspace_id, received_at_micros=self.receipt(call.metadata)
        )
        answer = await self.ingest.upload(upload)
        wire_answer = upload_answer_to_wire(
            answer,
            upload=upload,
            settings=self.key_ring.settings(workspace_id),
            names=self.names.names_not_to_send(workspace_id),
        )
        self.faults("before_answer")
        return wire_answer.SerializeToString()

    async def _identify(self, call: Call) -> bytes:
        identify_call = identify_call_from_wire(
            call.body,
            workspace_id=call.principal.workspace_id,
            received_at_micros=self.receipt(call.metadata),
        )
        wire_answer = identify_answer_to_wire(await self.ingest.identify(identify_call))
        self.faults("before_answer")
        return wire_answer.SerializeToString()

    async def _forget(self, call: Call) -> bytes:
        forget_call = forget_call_from_wire(
            call.body,
            workspace_id=call.principal.workspace_id,
            received_at_micros=self.receipt(call.metadata),
        )
        receipt = await self.ingest.forget(forget_call)
        self.faults("before_answer")
        return wire.ForgetResponse(event_count=receipt.event_count).SerializeToString()
