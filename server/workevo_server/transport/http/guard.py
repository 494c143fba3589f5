"""What stands around every endpoint: who calls, how much at once, for how long, and what a failure may say.

The same reception as gRPC's, so that both doors together take no more than the server
can hold; beside it what HTTP alone has: Basic, tolls, and refusals with a status.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from workevo_server.domain.errors import KeyNotPermitted, WorkevoError
from workevo_server.ports.key_ring import KeyKind, Principal
from workevo_server.transport.failures import DeadlinePassed, Incident
from workevo_server.transport.headers import Headers
from workevo_server.transport.http.auth import principal_of
from workevo_server.transport.http.bodies import read_body
from workevo_server.transport.http.problems import Refused, code_of, problem_response
from workevo_server.transport.http.refusals import HttpRefusal
from workevo_server.transport.limits import CALL_DEADLINE_MAX
from workevo_server.transport.reception import Reception

REQUEST_ID_HEADER = "X-Request-Id"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """A request whose key was judged and whose body has come."""

    principal: Principal
    request: Request
    """Its query, path and headers; its body has been read."""
    body: bytes
    """As it was before compression."""
    request_id: str

    @property
    def headers(self) -> Headers:
        return tuple((name, value) for name, value in self.request.headers.items())


class Toll(Protocol):
    """Counts an authenticated request against what its workspace may make (R29)."""

    def take(self, principal: Principal) -> dict[str, str]:
        """Headers for the answer, whatever it will be. For one too many raises HttpRefusal with the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    permitted: frozenset[KeyKind]
    """The kinds of key that may call it."""
    answer: Callable[[HttpCall], Coroutine[Any, Any, Response]]
    """Raises WorkevoError or HttpRefusal; runs to its end though the caller goes away."""
    refuse: Callable[[Refused, str], Response] = problem_response
    """How a refusal looks, from it and the id of the request."""
    toll: Toll | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpGuard:
    reception: Reception
    new_request_id: Callable[[], str]

    def handler(self, name: str, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """What Starlette's routes take. `name` is what the log and the metrics call the endpoint."""

        async def handle(request: Request) -> Response:
            visit = _Visit(name=name, request_id=self.new_request_id())
            response = await self._response(visit, endpoint, request)
            response.headers[REQUEST_ID_HEADER] = visit.request_id
            for header, value in visit.headers.items():
                response.headers[header] = value
            return response

        return handle

    async def _response(self, visit: "_Visit", endpoint: Endpoint, request: Request) -> Response:
        refusal: Refused
        try:
            return await self._answer(visit, endpoint, request)
        except ClientDisconnect:
            return Response(status_code=400)  # Nobody is left to read it.
        except (WorkevoError, HttpRefusal) as error:
            refusal = error
        except Exception as error:  # noqa: BLE001 - its text would go to the caller.
            refusal = Incident(self.reception.reports.failed(visit.name, error))
        self.reception.reports.refused(visit.name, code_of(refusal))
        return endpoint.refuse(refusal, visit.request_id)

    async def _answer(self, visit: "_Visit", endpoint: Endpoint, request: Request) -> Response:
        """Judge the key, wait for the body, then for the work, no longer than a call may last."""
        principal = principal_of(request.headers.getlist("authorization"), self.reception.key_ring)
        if endpoint.toll is not None:
            visit.headers |= endpoint.toll.take(principal)
        if principal.kind not in endpoint.permitted:
            raise KeyNotPermitted
        with self.reception.gate.arrive():
            body = await read_body(request)
        call = HttpCall(principal=principal, request=request, body=body, request_id=visit.request_id)
        deadline = asyncio.timeout(CALL_DEADLINE_MAX.total_seconds())
        try:
            async with deadline:
                return await self.reception.carry_out(
                    visit.name, body, endpoint.answer(call), refusals=(WorkevoError, HttpRefusal)
                )
        except TimeoutError:
            if deadline.expired():
                raise DeadlinePassed from None
            raise


@dataclass(slots=True, kw_only=True)
class _Visit:
    """One request: what it is called, and what its answer carries whatever it is."""

    name: str
    request_id: str
    headers: dict[str, str] = field(default_factory=dict)
