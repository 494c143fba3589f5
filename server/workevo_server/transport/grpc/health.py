"""grpc.health.v1, always there and open to all; it turns NOT_SERVING before the server stops."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from workevo_server.domain.errors import Overloaded, StoreUnavailable, WorkevoError
from workevo_server.transport.grpc.limits import (
    HEALTH_ARRIVING_MAX,
    HEALTH_BODY_DEADLINE,
    WATCHERS_MAX,
)
from workevo_server.transport.grpc.raw_stream import read_message
from workevo_server.transport.grpc.status import Context, abort
from workevo_server.transport.limits import DEADLINE_RETRY_AFTER

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """The library's servicer behind raw bytes, so that a malformed request is not answered UNKNOWN."""

    def __init__(self) -> None:
        self._servicer = health.aio.HealthServicer()
        self._watches: set[asyncio.Task[None]] = set()
        self._arriving = 0

    async def serve(self, services: Iterable[str], *, serving: bool = True) -> None:
        """Whoever asks or watches is told; the server as a whole goes by the empty name."""
        for service in ("", *services):
            await self._servicer.set(service, _SERVING if serving else _NOT_SERVING)

    async def drain(self) -> None:
        """From now on NOT_SERVING, for good; who watches is told."""
        await self._servicer.enter_graceful_shutdown()

    def end_watches(self) -> None:
        """A watch never ends by itself and would hold the shutdown up for its whole grace."""
        for watch in self._watches:
            watch.cancel()

    def handlers(self) -> grpc.GenericRpcHandler:
        to_bytes = health_pb2.HealthCheckResponse.SerializeToString
        return grpc.method_handlers_generic_handler(
            health.SERVICE_NAME,
            {
                "Check": grpc.stream_unary_rpc_method_handler(self._check, response_serializer=to_bytes),
                "Watch": grpc.stream_stream_rpc_method_handler(self._watch, response_serializer=to_bytes),
            },
        )

    async def _check(self, _bodies: AsyncIterator[bytes], context: Context) -> health_pb2.HealthCheckResponse:
        request = await self._request(context)
        return await self._servicer.Check(request, context)

    async def _watch(self, _bodies: AsyncIterator[bytes], context: Context) -> None:
        request = await self._request(context)
        if len(self._watches) >= WATCHERS_MAX:
            await abort(context, Overloaded(DEADLINE_RETRY_AFTER))
        work: Any = self._servicer.Watch(request, context)
        watch: asyncio.Task[None] = asyncio.create_task(work)
        self._watches.add(watch)
        try:
            await asyncio.wait({watch})
        finally:
            watch.cancel()
            self._watches.discard(watch)
        await abort(context, StoreUnavailable())

    async def _request(self, context: Context) -> health_pb2.HealthCheckRequest:
        """Open to all, so who opens calls and sends nothing may fill this room alone, and not for long."""
        if self._arriving >= HEALTH_ARRIVING_MAX:
            await abort(context, Overloaded(DEADLINE_RETRY_AFTER))
        self._arriving += 1
        try:
            return await read_message(health_pb2.HealthCheckRequest, context, within=HEALTH_BODY_DEADLINE)
        except WorkevoError as error:
            await abort(context, error)
        finally:
            self._arriving -= 1
