"""Calls of the contract as gRPC brings them, handed to the reception; refusals as gRPC tells them.

Handlers take raw bytes and read them themselves: the key is judged before the body
has come, and bytes that do not parse are answered by us, not by the library as
UNKNOWN. On the wire a call that is read this way is the unary call of the contract.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc

from workevo_server.domain.errors import RequestMalformed, WorkevoError
from workevo_server.transport.compression import inflated
from workevo_server.transport.grpc.status import Context, abort
from workevo_server.transport.grpc.turnstile import Turnstile
from workevo_server.transport.reception import Arrival, Method, Reception


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    reception: Reception
    turnstile: Turnstile = field(default_factory=Turnstile)

    def handlers(self, service: str, methods: Mapping[str, Method]) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            service, {name: self._handler(f"{service}/{name}", method) for name, method in methods.items()}
        )

    def _handler(self, name: str, method: Method) -> "grpc.RpcMethodHandler[Any, bytes]":
        async def handle(_bodies: AsyncIterator[bytes], context: Context) -> bytes:
            self.turnstile.enter()
            try:
                answer = await self.reception.answer(name, method, _arrival(context))
            except WorkevoError as refusal:
                await self.turnstile.leave()
                return await abort(context, refusal)
            await self.turnstile.leave()
            return answer

        return grpc.stream_unary_rpc_method_handler(handle)


def _arrival(context: Context) -> Arrival:
    async def read_body() -> bytes:
        body = await context.read()
        if body is grpc.aio.EOF:
            raise RequestMalformed
        return inflated(body)

    return Arrival(
        metadata=tuple(context.invocation_metadata() or ()),
        seconds_left=context.time_remaining(),
        read_body=read_body,
    )
