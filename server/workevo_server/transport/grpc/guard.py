"""What stands around every method: who calls, how much at once, for how long, and what a failure may say.

Handlers take raw bytes and read them themselves: the key is judged before the body
has come, and bytes that do not parse are answered by us, not by the library as
UNKNOWN. On the wire a call that is read this way is the unary call of the contract.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from workevo_server.domain.errors import KeyNotPermitted, RequestMalformed, StoreUnavailable, WorkevoError
from workevo_server.ports.key_ring import KeyKind, KeyRing, Principal
from workevo_server.transport.grpc.auth import Metadata, principal_of
from workevo_server.transport.grpc.compression import inflated
from workevo_server.transport.grpc.failures import DeadlinePassed, Incident
from workevo_server.transport.grpc.gate import Gate
from workevo_server.transport.grpc.in_flight import InFlight
from workevo_server.transport.grpc.limits import CALL_DEADLINE_MAX
from workevo_server.transport.grpc.reports import Reports
from workevo_server.transport.grpc.status import ANSWERS, Context, abort


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    principal: Principal
    metadata: Metadata
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    permitted: frozenset[KeyKind]
    """The kinds of key that may call it."""
    answer: Callable[[Call], Awaitable[bytes]]
    """The serialized answer. Raises WorkevoError; runs to its end though the caller goes away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    key_ring: KeyRing
    gate: Gate
    in_flight: InFlight
    reports: Reports

    def handlers(self, service: str, methods: Mapping[str, Method]) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            service, {name: self._handler(f"{service}/{name}", method) for name, method in methods.items()}
        )

    def _handler(self, name: str, method: Method) -> "grpc.RpcMethodHandler[Any, bytes]":
        async def handle(_bodies: AsyncIterator[bytes], context: Context) -> bytes:
            try:
                return await self._answer(name, method, context)
            except grpc.aio.AbortError:
                raise
            except WorkevoError as error:
                refusal = error
            except Exception as error:  # noqa: BLE001 - its text would go to the caller.
                refusal = Incident(self.reports.failed(name, error))
            self.reports.refused(name, ANSWERS[type(refusal)].reason)
            return await abort(context, refusal)

        return grpc.stream_unary_rpc_method_handler(handle)

    async def _answer(self, name: str, method: Method, context: Context) -> bytes:
        """Take the call in and wait for its work, no longer than a call may last."""
        deadline = asyncio.timeout(_seconds_left(context))
        try:
            async with deadline:
                call = await self._take_in(method, context)
                return await self._outcome(self.in_flight.start(self._work(name, method, call)))
        except TimeoutError:
            if deadline.expired():
                raise DeadlinePassed from None
            raise

    async def _take_in(self, method: Method, context: Context) -> Call:
        """Judge the key, then wait for the body."""
        metadata: Metadata = tuple(context.invocation_metadata() or ())
        principal = principal_of(metadata, self.key_ring)
        if principal.kind not in method.permitted:
            raise KeyNotPermitted
        with self.gate.arrive():
            body = await context.read()
        if body is grpc.aio.EOF:
            raise RequestMalformed
        return Call(principal=principal, metadata=metadata, body=inflated(body))

    async def _work(self, name: str, method: Method, call: Call) -> bytes:
        """The call's own task. Reports what fails here, where somebody always sees it."""
        try:
            with self.gate.work(len(call.body)):
                return await method.answer(call)
        except RequestMalformed:
            self.reports.malformed(name, call.body)
            raise
        except WorkevoError:
            raise
        except Exception as error:  # noqa: BLE001 - its text would go to the caller.
            raise Incident(self.reports.failed(name, error)) from None

    async def _outcome(self, work: asyncio.Task[bytes]) -> bytes:
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if work.cancelled():
                # Ours, not the caller's: an unanswered cancellation would leave the caller waiting.
                raise StoreUnavailable from None
            raise


def _seconds_left(context: Context) -> float:
    longest = CALL_DEADLINE_MAX.total_seconds()
    remaining: float | None = context.time_remaining()
    return longest if remaining is None else min(max(remaining, 0.0), longest)
