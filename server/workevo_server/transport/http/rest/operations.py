"""What an operation of REST is: one declaration, of which its route and its page in OpenAPI are made."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from workevo_server.ports.key_ring import KeyKind
from workevo_server.transport.http.guard import Endpoint, HttpCall, HttpGuard, Toll

BACK_ENDS = frozenset({KeyKind.SERVER, KeyKind.ADMIN})
VERSION_HEADER = "Intercom-Version"
_VERSION_CHARACTERS_MAX = 32


class NoParameters(msgspec.Struct):
    """An operation that takes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    operation_id: str
    """Its name in OpenAPI, in the log and in the metrics."""
    method: str
    path: str
    summary: str
    tag: str
    answer: Callable[[HttpCall], Coroutine[Any, Any, Response]]
    query: type[msgspec.Struct] = NoParameters
    body: type[msgspec.Struct] | None = None
    body_types: Sequence[str] = ("application/json",)
    status: int = 200
    result: Any = None
    """The type of the answer's body, or several in a tuple; None when it is empty."""
    refusals: Sequence[int] = field(default=())
    """Statuses beside those that any operation may answer."""
    answer_headers: Sequence[str] = ()


def json_answer(result: msgspec.Struct, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(result), status_code=status, media_type="application/json")


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def make_routes(operations: Sequence[Operation], guard: HttpGuard, toll: Toll) -> list[BaseRoute]:
    """One for each path, so that it knows all methods it takes. Those without a parameter first, as
    `/contacts/search` is no contact's id."""
    paths: dict[str, dict[str, Handler]] = {}
    for operation in operations:
        endpoint = Endpoint(permitted=BACK_ENDS, answer=operation.answer, toll=toll)
        handler = _echoing_version(guard.handler(operation.operation_id, endpoint))
        paths.setdefault(operation.path, {})[operation.method] = handler
    return [
        Route(path, _by_method(handlers), methods=list(handlers))
        for path, handlers in sorted(paths.items(), key=lambda each: "{" in each[0])
    ]


def _by_method(handlers: Mapping[str, Handler]) -> Handler:
    """HEAD is a GET whose body stays here."""

    async def handle(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await handlers[method](request)

    return handle


def _echoing_version(handler: Callable[[Request], Any]) -> Handler:
    """Any version is taken, for there is one behaviour; a client that checks finds its own told."""

    async def handle(request: Request) -> Response:
        response: Response = await handler(request)
        version = request.headers.get(VERSION_HEADER, "")[:_VERSION_CHARACTERS_MAX]
        if version and version.isascii() and version.isprintable():
            response.headers[VERSION_HEADER] = version
        return response

    return handle
