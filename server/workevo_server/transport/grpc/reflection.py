"""grpc.reflection.v1alpha, with `--reflection` only: it shows the contract to whoever can connect."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from workevo_server.domain.errors import Overloaded, WorkevoError
from workevo_server.transport.grpc.limits import REFLECTIONS_MAX
from workevo_server.transport.grpc.raw_stream import read_next
from workevo_server.transport.grpc.status import Context, abort
from workevo_server.transport.limits import DEADLINE_RETRY_AFTER

SERVICE = reflection.SERVICE_NAME


class Reflection:
    """The library's servicer behind raw bytes, so that a malformed request is not answered UNKNOWN."""

    def __init__(self, services: Sequence[str]) -> None:
        self._servicer = reflection.aio.ReflectionServicer((*services, SERVICE))
        self._stream_count = 0

    def handlers(self) -> grpc.GenericRpcHandler:
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
            self._info, response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"ServerReflectionInfo": handler})

    async def _info(self, _bodies: AsyncIterator[bytes], context: Context) -> None:
        if self._stream_count >= REFLECTIONS_MAX:
            await abort(context, Overloaded(DEADLINE_RETRY_AFTER))
        self._stream_count += 1
        try:
            answers: Any = self._servicer.ServerReflectionInfo(_requests(context), context)
            async for answer in answers:  # An async generator, whatever its stub says.
                await context.write(answer)
        except WorkevoError as error:
            await abort(context, error)
        finally:
            self._stream_count -= 1


async def _requests(context: Context) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    while (request := await read_next(reflection_pb2.ServerReflectionRequest, context)) is not None:
        yield request
