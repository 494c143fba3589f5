"""TrackingService over the Connect protocol: unary, protobuf or JSON, HTTP/1.1.

One POST a call, for proxies that break HTTP/2, for small apps and for browsers.
The same methods behind the same reception as gRPC; what is told apart here is
how the bytes of a request came. https://connectrpc.com/docs/protocol/
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from workevo_server.domain.errors import (
    FieldViolation,
    RequestInvalid,
    RequestMalformed,
    WorkevoError,
)
from workevo_server.ports.key_ring import KeyKind, OriginRing
from workevo_server.transport.failures import EncodingUnknown
from workevo_server.transport.http.bodies import read_body
from workevo_server.transport.http.connect.cors import preflight, readable
from workevo_server.transport.http.connect.json_codec import (
    answer_to_json,
    in_turn,
    request_from_json,
    upload_from_json,
)
from workevo_server.transport.http.connect.status import refusal_response
from workevo_server.transport.reception import Arrival, Call, Method, Reception

_DEVICES = frozenset({KeyKind.SDK, KeyKind.BROWSER})
_PROTO, _JSON = "application/proto", "application/json"
_ACCEPTED = {"accept-post": f"{_JSON}, {_PROTO}"}
_TIMEOUT_HEADER, _TIMEOUT_DIGITS_MAX = "connect-timeout-ms", 10
_VERSION_HEADER, _VERSION = "connect-protocol-version", "1"
_CONTENT_ENCODINGS = frozenset({"identity", "gzip"})
_UPLOAD = "UploadEvents"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectEndpoint:
    reception: Reception
    service: ServiceDescriptor
    methods: Mapping[str, Method]
    origins: OriginRing

    def routes(self) -> list[Route]:
        """`POST /package.Service/Method`, for the application to mount at its root."""
        return [
            Route(
                f"/{self.service.full_name}/{name}", self._handler(name, method), methods=["POST", "OPTIONS"]
            )
            for name, method in self.methods.items()
        ]

    def _handler(self, name: str, method: Method) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        plain = replace(method, permitted=_DEVICES)
        encodings = {_PROTO: plain, _JSON: _through_json(self.service.methods_by_name[name], plain)}

        async def handle(request: Request) -> Response:
            if request.method == "OPTIONS":
                return preflight(request, self.origins)
            return readable(await self._answer(name, encodings, request), request, self.origins)

        return handle

    async def _answer(self, name: str, encodings: Mapping[str, Method], request: Request) -> Response:
        encoding = _encoding(request)
        if encoding not in encodings:
            return Response(status_code=415, headers=_ACCEPTED)
        try:
            arrival = _arrival(request)
            full_name = f"{self.service.full_name}/{name}"
            answer = await self.reception.answer(full_name, encodings[encoding], arrival)
        except WorkevoError as refusal:
            return refusal_response(refusal)
        return Response(answer, media_type=encoding)


def _through_json(contract: MethodDescriptor, method: Method) -> Method:
    """The method for a body in JSON, answered in JSON."""
    request_type, answer_type = GetMessageClass(contract.input_type), GetMessageClass(contract.output_type)
    read = upload_from_json if contract.name == _UPLOAD else partial(request_from_json, request_type)

    async def answer(call: Call) -> bytes:
        body = await in_turn(read, call.body)
        return await in_turn(
            partial(answer_to_json, answer_type), await method.answer(replace(call, body=body))
        )

    return replace(method, answer=answer)


def _encoding(request: Request) -> str:
    """The content type without the one parameter that changes nothing."""
    content_type, _, parameter = request.headers.get("content-type", "").lower().partition(";")
    return content_type.strip() if parameter.strip() in ("", "charset=utf-8") else ""


def _arrival(request: Request) -> Arrival:
    """Raises RequestInvalid for a header that says nothing this protocol knows."""
    if request.headers.get(_VERSION_HEADER, _VERSION) != _VERSION:
        raise RequestInvalid(FieldViolation(_VERSION_HEADER, f"{_VERSION_HEADER} is {_VERSION}."))
    return Arrival(
        metadata=tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw
        ),
        seconds_left=_seconds_left(request.headers.get(_TIMEOUT_HEADER)),
        read_body=partial(_read_body, request),
    )


def _seconds_left(told: str | None) -> float | None:
    if told is None:
        return None
    if not (told.isascii() and told.isdigit() and len(told) <= _TIMEOUT_DIGITS_MAX):
        raise RequestInvalid(
            FieldViolation(_TIMEOUT_HEADER, f"{_TIMEOUT_HEADER} is at most {_TIMEOUT_DIGITS_MAX} digits.")
        )
    return int(told) / 1000


async def _read_body(request: Request) -> bytes:
    """Raises WorkevoError, as every refusal here is told in one way."""
    if request.headers.get("content-encoding", "identity").lower() not in _CONTENT_ENCODINGS:
        raise EncodingUnknown
    try:
        return await read_body(request)
    except ClientDisconnect:
        raise RequestMalformed from None
