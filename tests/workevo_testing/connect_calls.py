"""Calling a server over the Connect protocol, with nothing but an HTTP client."""

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from workevo.tracking.v1.tracking_pb2 import UploadEventsRequest, UploadEventsResponse
from workevo_testing.http_calls import request

SERVICE = "/workevo.tracking.v1.TrackingService"
JSON, PROTO = "application/json", "application/proto"

_MessageT = TypeVar("_MessageT", bound=Message)


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        code: str = self.json["code"]
        return code

    @property
    def reason(self) -> str:
        """Of the one ErrorInfo; also asserts what holds for every refusal."""
        assert self.headers["content-type"] == JSON
        infos = [detail for detail in self.json["details"] if detail["type"] == "google.rpc.ErrorInfo"]
        (info,) = (ErrorInfo.FromString(_decoded(detail["value"])) for detail in infos)
        assert info.domain == "workevo.dev"
        reason: str = info.reason
        return reason

    @property
    def retry_millis(self) -> int | None:
        for detail in self.json["details"]:
            if detail["type"] == "google.rpc.RetryInfo":
                millis: int = RetryInfo.FromString(_decoded(detail["value"])).retry_delay.ToMilliseconds()
                return millis
        return None


def _decoded(value: str) -> bytes:
    assert "=" not in value
    return b64decode(value + "=" * (-len(value) % 4), validate=True)


@dataclass(frozen=True, slots=True)
class ConnectClient:
    address: str
    key: str

    def call(
        self,
        method: str,
        body: bytes,
        *,
        kind: str = JSON,
        verb: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """One request with exactly the headers given beside key and content type."""
        told = {"authorization": f"Bearer {self.key}", "content-type": kind} | dict(headers or {})
        answer = request(self.address, verb, f"{SERVICE}/{method}", headers=told, body=body)
        return Answered(answer.status, answer.headers, answer.body)

    def upload(
        self, request: UploadEventsRequest, *, kind: str, headers: Mapping[str, str] | None = None
    ) -> UploadEventsResponse:
        answered = self.call("UploadEvents", encoded(request, kind), kind=kind, headers=headers)
        assert (answered.status, answered.headers["content-type"]) == (200, kind), answered.body
        return decoded(UploadEventsResponse(), answered.body, kind)


def encoded(message: Message, kind: str) -> bytes:
    return message.SerializeToString() if kind == PROTO else json_format.MessageToJson(message).encode()


def decoded(message: _MessageT, body: bytes, kind: str) -> _MessageT:
    if kind == PROTO:
        message.ParseFromString(body)
        return message
    return json_format.Parse(body, message)
