"""Calling a server as a device and a back end do, with all that a test does not care about filled in."""

import itertools
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from workevo.insight.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    delivery_pb2,
    delivery_pb2_grpc,
    people_pb2,
    people_pb2_grpc,
)
from workevo.tracking.v1 import event_pb2, tracking_pb2, tracking_pb2_grpc
from workevo_testing.server_process import Keys

CALL_SECONDS_MAX = 20
CREATED_AT = 1_700_000_000
UPLOAD_METHOD = "/workevo.tracking.v1.TrackingService/UploadEvents"
IDENTIFY_METHOD = "/workevo.tracking.v1.TrackingService/Identify"

Metadata = tuple[tuple[str, str | bytes], ...]


def bearer(key: str) -> Metadata:
    return (("authorization", f"Bearer {key}"),)


def event(sequence: int, **fields: Any) -> event_pb2.Event:
    """A good event of a person of its own, so that no two are copies of each other (R6)."""
    given = {
        "name": "opened",
        "created_at": {"seconds": CREATED_AT + sequence % 1_000_000},
        "user_id": uuid.uuid4().hex,
    } | fields
    return event_pb2.Event(sequence=sequence, **given)


def install() -> tracking_pb2.Install:
    """One that no test has used before."""
    return tracking_pb2.Install(install_id=uuid.uuid4().hex, epoch=uuid.uuid4().bytes)


@dataclass(frozen=True, slots=True)
class Phone:
    """One install and its calls, by raw bytes where a test wants them bad."""

    channel: grpc.Channel
    key: str
    install: tracking_pb2.Install = field(default_factory=install)

    def request(
        self, events: Iterable[event_pb2.Event] = (), **fields: Any
    ) -> tracking_pb2.UploadEventsRequest:
        return tracking_pb2.UploadEventsRequest(install=self.install, events=events, **fields)

    def upload(
        self, events: Iterable[event_pb2.Event] = (), *, timeout: float = CALL_SECONDS_MAX, **fields: Any
    ) -> tracking_pb2.UploadEventsResponse:
        stub = tracking_pb2_grpc.TrackingServiceStub(self.channel)
        return stub.UploadEvents(self.request(events, **fields), metadata=bearer(self.key), timeout=timeout)

    def upload_bytes(
        self, *bodies: bytes, metadata: Metadata | None = None
    ) -> tracking_pb2.UploadEventsResponse:
        """Each part of the body as it is; what parses may be a part too."""
        return tracking_pb2.UploadEventsResponse.FromString(
            call_bytes(
                self.channel,
                UPLOAD_METHOD,
                b"".join(bodies),
                bearer(self.key) if metadata is None else metadata,
            )
        )

    def upload_raw_events(self, *events: bytes) -> tracking_pb2.UploadEventsResponse:
        return self.upload_bytes(self.request().SerializeToString(), *map(as_event_field, events))


@dataclass(frozen=True, slots=True)
class BackEnd:
    channel: grpc.Channel
    key: str

    def activities(self, user_id: str) -> list[people_pb2.Activity]:
        answer = people_pb2_grpc.PeopleServiceStub(self.channel).ListActivities(
            people_pb2.ListActivitiesRequest(user_id=user_id, page_size=500),
            metadata=bearer(self.key),
            timeout=CALL_SECONDS_MAX,
        )
        return list(answer.activities)

    def ledger(self, install_id: str) -> delivery_pb2.GetLedgerResponse:
        return delivery_pb2_grpc.DeliveryServiceStub(self.channel).GetLedger(
            delivery_pb2.GetLedgerRequest(install_id=install_id),
            metadata=bearer(self.key),
            timeout=CALL_SECONDS_MAX,
        )


def phone(channel: grpc.Channel, keys: Keys) -> Phone:
    return Phone(channel, keys.sdk_key)


def describe_event(channel: grpc.Channel, admin_key: str, name: str, description: str) -> None:
    """Give a name of the catalogue its description (R22)."""
    catalogue_pb2_grpc.EventCatalogueServiceStub(channel).UpdateEventDefinition(
        catalogue_pb2.UpdateEventDefinitionRequest(name=name, description=description),
        metadata=bearer(admin_key),
        timeout=CALL_SECONDS_MAX,
    )


def as_event_field(event_bytes: bytes) -> bytes:
    """The bytes of an event, whatever they are, as they stand in an upload: field 4, length, bytes."""
    return b"\x22" + varint(len(event_bytes)) + event_bytes


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def call_bytes(channel: grpc.Channel, method: str, body: bytes, metadata: Metadata) -> bytes:
    call: Any = channel.unary_unary(method)
    answer: bytes = call(body, metadata=metadata, timeout=CALL_SECONDS_MAX)
    return answer


def events(count: int, *, first: int = 1, **fields: Any) -> Sequence[event_pb2.Event]:
    return [event(sequence, **fields) for sequence in itertools.islice(itertools.count(first), count)]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call's failure as a client reads it."""

    code: grpc.StatusCode
    sentence: str
    reason: str
    """Of its one ErrorInfo; empty when the core refused, which adds no details."""
    retry_after: timedelta | None
    fields: tuple[str, ...]
    pushback_millis: str | None


def refusal(error: grpc.RpcError) -> Refusal:
    """Also asserts what holds for every refusal: one ErrorInfo of our domain, a known code."""
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    trailing = dict(error.trailing_metadata() or ())
    status = Status.FromString(trailing.get("grpc-status-details-bin", b""))
    infos = [info for info in map(_as(ErrorInfo), status.details) if info]
    assert [info.domain for info in infos] == ["workevo.dev"] * bool(status.details)
    delays = [delay.retry_delay.ToTimedelta() for delay in map(_as(RetryInfo), status.details) if delay]
    bad = [each for each in map(_as(BadRequest), status.details) if each]
    return Refusal(
        code=error.code(),
        sentence=error.details() or "",
        reason=infos[0].reason if infos else "",
        retry_after=delays[0] if delays else None,
        fields=tuple(violation.field for each in bad for violation in each.field_violations),
        pushback_millis=trailing.get("grpc-retry-pushback-ms"),
    )


def _as(message_type: type[Any]) -> Any:
    def unpack(detail: Any) -> Any:
        if not detail.Is(message_type.DESCRIPTOR):
            return None
        message = message_type()
        detail.Unpack(message)
        return message

    return unpack
