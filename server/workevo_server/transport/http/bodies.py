"""A request's body, read no further than it may be."""

import asyncio

from starlette.requests import Request

from workevo_server.domain.errors import UploadTooLarge
from workevo_server.transport.compression import inflated
from workevo_server.transport.failures import DeadlinePassed
from workevo_server.transport.http.limits import BODY_BYTES_MAX, BODY_TIMEOUT
from workevo_server.transport.http.refusals import encoding_unknown

_ENCODINGS = frozenset({"", "identity", "gzip"})
_TOO_LARGE = f"A request has at most {BODY_BYTES_MAX} bytes. Send less at once."


async def read_body(request: Request) -> bytes:
    """The body as it was before compression.

    Raises UploadTooLarge before more than the limit has been read, DeadlinePassed when
    it does not come in time, RequestMalformed for a damaged gzip, HttpRefusal for
    another encoding.
    """
    if request.headers.get("content-encoding", "").strip().lower() not in _ENCODINGS:
        raise encoding_unknown()
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or len(declared) > len(str(BODY_BYTES_MAX)) or int(declared) > BODY_BYTES_MAX:
        raise UploadTooLarge(_TOO_LARGE)
    try:
        async with asyncio.timeout(BODY_TIMEOUT.total_seconds()):
            return inflated(await _received(request))
    except TimeoutError:
        raise DeadlinePassed from None


async def _received(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise UploadTooLarge(_TOO_LARGE)
    return bytes(body)
