"""Reading one message of a call from raw bytes, for the services that the library implements."""

import asyncio
from datetime import timedelta
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from workevo_server.domain.errors import RequestMalformed
from workevo_server.transport.compression import inflated
from workevo_server.transport.failures import DeadlinePassed
from workevo_server.transport.grpc.status import Context
from workevo_server.transport.grpc.wire_parse import parse_request
from workevo_server.transport.limits import CALL_DEADLINE_MAX

_MessageT = TypeVar("_MessageT", bound=Message)


async def read_message(
    message_type: type[_MessageT], context: Context, *, within: timedelta = CALL_DEADLINE_MAX
) -> _MessageT:
    """The next message. Raises RequestMalformed when there is none, DeadlinePassed when it does not come."""
    message = await read_next(message_type, context, within=within)
    if message is None:
        raise RequestMalformed
    return message


async def read_next(
    message_type: type[_MessageT], context: Context, *, within: timedelta = CALL_DEADLINE_MAX
) -> _MessageT | None:
    """As `read_message`, but None when the caller has no more."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            body = await context.read()
    except TimeoutError:
        raise DeadlinePassed from None
    return None if body is grpc.aio.EOF else parse_request(message_type, inflated(body))
