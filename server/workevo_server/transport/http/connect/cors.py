"""Which pages may read an answer: those of the origins that some browser key serves (R30).

A browser asks before it sends, without the key, so what it is told depends on the
origin alone. Whether this key serves this page is judged with the key, before the
body is read (`transport.reception`). https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from starlette.requests import Request
from starlette.responses import Response

from workevo_server.ports.key_ring import OriginRing

_PREFLIGHT_SECONDS = "7200"  # As long as any browser remembers it, so that a page that closes need not ask.
_REQUEST_HEADERS = (
    "authorization, content-type, content-encoding, connect-protocol-version, connect-timeout-ms"
)


def preflight(request: Request, origins: OriginRing) -> Response:
    """The answer to OPTIONS."""
    response = readable(Response(status_code=204), request, origins)
    if "access-control-allow-origin" in response.headers:
        response.headers["access-control-allow-methods"] = "POST"
        response.headers["access-control-allow-headers"] = _REQUEST_HEADERS
        response.headers["access-control-max-age"] = _PREFLIGHT_SECONDS
    return response


def readable(response: Response, request: Request, origins: OriginRing) -> Response:
    """The response, which the page that asked may read if its origin is known."""
    origin = request.headers.get("origin")
    response.headers["vary"] = "Origin"
    if origin is not None and origins.knows_origin(origin):
        response.headers["access-control-allow-origin"] = origin
        response.headers["access-control-expose-headers"] = "retry-after"
    return response
