"""What stands around every call, whichever protocol brought it: who calls, how much at once, for how long.

The key is judged before the body has come, and the body stays bytes until the
method reads it. One reception serves gRPC and HTTP, so their bounds are common.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from workevo_server.domain.errors import KeyNotPermitted, RequestMalformed, StoreUnavailable, WorkevoError
from workevo_server.ports.key_ring import KeyKind, KeyRing, Principal
from workevo_server.transport.failures import DeadlinePassed, Incident, OriginNotAllowed
from workevo_server.transport.gate import Gate
from workevo_server.transport.grpc.auth import principal_of
from workevo_server.transport.grpc.status import ANSWERS
from workevo_server.transport.headers import Headers, values
from workevo_server.transport.in_flight import InFlight
from workevo_server.transport.limits import CALL_DEADLINE_MAX
from workevo_server.transport.reports import Reports

T = TypeVar("T")
Refusals = tuple[type[Exception], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    principal: Principal
    metadata: Headers
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    permitted: frozenset[KeyKind]
    """The kinds of key that may call it."""
    answer: Callable[[Call], Coroutine[Any, Any, bytes]]
    """The serialized answer. Raises WorkevoError; runs to its end though the caller goes away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A call of which only the headers have come."""

    metadata: Headers
    """Names in lower case."""
    seconds_left: float | None
    """Until the caller's own deadline; None when it has none."""
    read_body: Callable[[], Awaitable[bytes]]
    """Waits for the body and gives it uncompressed. Raises WorkevoError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    key_ring: KeyRing
    gate: Gate
    in_flight: InFlight
    reports: Reports

    async def answer(self, name: str, method: Method, arrival: Arrival) -> bytes:
        """The answer of the method, named for the log. Raises WorkevoError and nothing else of ours."""
        try:
            return await self._answer(name, method, arrival)
        except WorkevoError as error:
            refusal = error
        except Exception as error:  # noqa: BLE001 - its text would go to the caller.
            refusal = Incident(self.reports.failed(name, error))
        self.reports.refused(name, ANSWERS[type(refusal)].reason)
        raise refusal from None

    async def _answer(self, name: str, method: Method, arrival: Arrival) -> bytes:
        """Take the call in and wait for its work, no longer than a call may last."""
        deadline = asyncio.timeout(_bounded(arrival.seconds_left))
        try:
            async with deadline:
                call = await self._take_in(method, arrival)
                return await self.carry_out(name, call.body, method.answer(call))
        except TimeoutError:
            if deadline.expired():
                raise DeadlinePassed from None
            raise

    async def _take_in(self, method: Method, arrival: Arrival) -> Call:
        """Judge the key, then wait for the body."""
        principal = principal_of(arrival.metadata, self.key_ring)
        if principal.kind not in method.permitted:
            raise KeyNotPermitted
        _refuse_foreign_page(principal, arrival.metadata)
        with self.gate.arrive():
            body = await arrival.read_body()
        return Call(principal=principal, metadata=arrival.metadata, body=body)

    async def carry_out(
        self, name: str, body: bytes, answer: Coroutine[Any, Any, T], *, refusals: Refusals = (WorkevoError,)
    ) -> T:
        """What comes of `answer`, which runs to its end though its caller goes away. Raises `refusals`."""
        work = self.in_flight.start(self._work(name, body, answer, refusals))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if work.cancelled():
                # Ours, not the caller's: an unanswered cancellation would leave the caller waiting.
                raise StoreUnavailable from None
            raise

    async def _work(self, name: str, body: bytes, answer: Coroutine[Any, Any, T], refusals: Refusals) -> T:
        """The call's own task. Reports what fails here, where somebody always sees it."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            with self.gate.work(len(body)):
                answered = await answer
            self.reports.answered(name, seconds=loop.time() - begun)
            return answered
        except RequestMalformed:
            self.reports.malformed(name, body)
            raise
        except refusals:
            raise
        except Exception as error:  # noqa: BLE001 - its text would go to the caller.
            raise Incident(self.reports.failed(name, error)) from None
        finally:
            answer.close()


def _refuse_foreign_page(principal: Principal, headers: Headers) -> None:
    """A browser key serves the pages of its own origins (R30); what is no page names no origin."""
    if principal.kind is KeyKind.BROWSER and not principal.origins.issuperset(values(headers, "origin")):
        raise OriginNotAllowed


def _bounded(seconds_left: float | None) -> float:
    longest = CALL_DEADLINE_MAX.total_seconds()
    return longest if seconds_left is None else min(max(seconds_left, 0.0), longest)
