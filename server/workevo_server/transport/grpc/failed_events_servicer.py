"""The methods of DeliveryService on rejected events: listing and replaying (R13)."""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp as WireTimestamp

from workevo.insight.v1 import delivery_pb2 as wire
from workevo.tracking.v1 import verdict_pb2 as wire_verdicts
from workevo_server.domain import limits, naming
from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.identifiers import InstallId
from workevo_server.domain.verdicts import EventVerdict, Reason
from workevo_server.ports.audit import Author
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.ports.key_ring import KeyKind
from workevo_server.services.failed_events import FailedEvents, KeptEvent
from workevo_server.transport.grpc.answer_codec import reason_to_wire
from workevo_server.transport.grpc.time_codec import micros_to_wire, moment_from_wire
from workevo_server.transport.grpc.wire_parse import parse_request
from workevo_server.transport.receipt import Receipt
from workevo_server.transport.reception import Call, Method

_BACK_ENDS = frozenset({KeyKind.SERVER, KeyKind.ADMIN})
_REASON_PREFIX = "REASON_"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedEventsServicer:
    failed_events: FailedEvents
    receipt: Receipt

    def methods(self) -> dict[str, Method]:
        return {
            "ListFailedEvents": Method(permitted=_BACK_ENDS, answer=self._list),
            "ReplayFailedEvents": Method(permitted=_BACK_ENDS, answer=self._replay),
        }

    async def _list(self, call: Call) -> bytes:
        wire_request = parse_request(wire.ListFailedEventsRequest, call.body)
        found = await self.failed_events.page(
            call.principal.workspace_id,
            _filter_from_wire(wire_request.filter),
            page_size=wire_request.page_size,
            page_token=wire_request.page_token,
        )
        return wire.ListFailedEventsResponse(
            failed_events=[_kept_to_wire(kept) for kept in found.events],
            next_page_token=found.next_page_token,
            counts_by_reason=[
                wire.RejectedCount(reason=reason_to_wire(reason), count=count)
                for reason, count in found.counts.items()
            ],
            unkept_count=found.unkept_count,
        ).SerializeToString()

    async def _replay(self, call: Call) -> bytes:
        wire_request = parse_request(wire.ReplayFailedEventsRequest, call.body)
        workspace_id = call.principal.workspace_id
        author = Author(made_by=call.principal.key_prefix, made_at_micros=self.receipt(call.metadata))
        match wire_request.WhichOneof("events"):
            case "failed_event_id":
                done = await self.failed_events.replay_one(
                    workspace_id, wire_request.failed_event_id, author=author
                )
            case "filter":
                done = await self.failed_events.replay(
                    workspace_id,
                    _filter_from_wire(wire_request.filter),
                    page_size=wire_request.page_size,
                    page_token=wire_request.page_token,
                    author=author,
                )
            case _:
                raise RequestInvalid(FieldViolation("events", "Say which events: failed_event_id or filter."))
        return wire.ReplayFailedEventsResponse(
            results=_results_to_wire(done.verdicts), next_page_token=done.next_page_token
        ).SerializeToString()


def _filter_from_wire(wire_filter: wire.FailedEventFilter) -> FailedFilter:
    """What is empty narrows nothing. Raises RequestInvalid for what can be nothing's."""
    name = wire_filter.name
    if len(name) > limits.NAME_CODE_POINTS_MAX:
        most = limits.NAME_CODE_POINTS_MAX
        raise RequestInvalid(FieldViolation("filter.name", f"A name has at most {most} code points."))
    return FailedFilter(
        reason=_reason_from_wire(wire_filter.reason),
        name_key=naming.name_key(name) if name else None,
        install_id=InstallId(wire_filter.install_id) if wire_filter.install_id else None,
        received_from_micros=_time(wire_filter, "received_from"),
        received_before_micros=_time(wire_filter, "received_before"),
    )


def _time(wire_filter: wire.FailedEventFilter, field: str) -> int | None:
    if not wire_filter.HasField(field):  # type: ignore[arg-type]  # One of the two, by name.
        return None
    told: WireTimestamp = getattr(wire_filter, field)
    return moment_from_wire(told, field=f"filter.{field}")


def _reason_from_wire(wire_reason: "wire_verdicts.Reason.ValueType") -> Reason | None:
    if wire_reason == wire_verdicts.REASON_UNSPECIFIED:
        return None
    if wire_reason not in wire_verdicts.Reason.values():
        raise RequestInvalid(FieldViolation("filter.reason", "This server knows no such reason."))
    return Reason(wire_verdicts.Reason.Name(wire_reason).removeprefix(_REASON_PREFIX))


def _kept_to_wire(kept: KeptEvent) -> wire.FailedEvent:
    record = kept.record
    return wire.FailedEvent(
        failed_event_id=kept.failed_event_id,
        install_id=record.install_id or "",
        epoch=record.epoch,
        sequence=record.place.sequence,
        reason=reason_to_wire(record.reason),
        field=record.field,
        message=record.message,
        received_at=micros_to_wire(record.place.received_at_micros),
        event=record.raw,
        name=kept.name,
    )


def _results_to_wire(verdicts: Sequence[tuple[str, EventVerdict]]) -> list[wire.ReplayResult]:
    return [
        wire.ReplayResult(
            failed_event_id=failed_event_id,
            verdict=wire_verdicts.Verdict.Value(f"VERDICT_{verdict.verdict.name}"),
            reason=reason_to_wire(verdict.refusal.reason)
            if verdict.refusal
            else wire_verdicts.REASON_UNSPECIFIED,
            field=verdict.refusal.field if verdict.refusal else "",
            message=verdict.refusal.message if verdict.refusal else "",
        )
        for failed_event_id, verdict in verdicts
    ]
