"""A request's body, read no further than it may be."""

import asyncio
from datetime import timedelta

from starlette.requests import Request

from workevo_server.domain.errors import UploadTooLarge
from workevo_server.transport.compression import inflated
from workevo_server.transport.failures import DeadlinePassed
from workevo_server.transport.http.limits import BODY_BYTES_MAX, BODY_TIMEOUT
from workevo_server.transport.http.refusals import encoding_unknown

_ENCODINGS = frozenset({"", "identity", "gzip"})


async def read_body(
    request: Request, *, bytes_max: int = BODY_BYTES_MAX, within: timedelta = BODY_TIMEOUT
) -> bytes:
    """The body as it was before compression.

    Raises UploadTooLarge before more than the limit has been read, DeadlinePassed when
    it does not come in time, RequestMalformed for a damaged gzip, HttpRefusal for
    another encoding.
    """
    if request.headers.get("content-encoding", "").strip().lower() not in _ENCODINGS:
        raise encoding_unknown()
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or len(declared) > len(str(bytes_max)) or int(declared) > bytes_max:
        raise _too_large(bytes_max)
    try:
        async with asyncio.timeout(within.total_seconds()):
            body = inflated(await _received(request, bytes_max))
    except TimeoutError:
        raise DeadlinePassed from None
    if len(body) > bytes_max:
        raise _too_large(bytes_max)
    return body


async def _received(request: Request, bytes_max: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
    return bytes(body)


def _too_large(bytes_max: int) -> UploadTooLarge:
    return UploadTooLarge(f"A request has at most {bytes_max} bytes. Send less at once.")
