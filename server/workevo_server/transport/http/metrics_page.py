"""`/metrics`, for this machine, and from elsewhere for who has its token: it tells how much a server does."""

import hmac
import ipaddress
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from workevo_server.transport.http.problems import Problem, error_list
from workevo_server.transport.metrics import CONTENT_TYPE, Metrics


def metrics_routes(metrics: Metrics, *, token: str, new_request_id: Callable[[], str]) -> list[BaseRoute]:
    async def tell(request: Request) -> Response:
        peer = request.client.host if request.client is not None else ""
        if not may_read(peer, request.headers.getlist("authorization"), token=token):
            sentence = "Metrics are for this machine, or for a bearer of the metrics token."
            return error_list(403, [Problem("forbidden", sentence, "Authorization")], new_request_id())
        return Response(metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    return [Route("/metrics", tell)]


def may_read(peer: str, authorizations: list[str], *, token: str) -> bool:
    """`peer` is who connected, or who a proxy on this machine says it did."""
    if token and authorizations:
        given = authorizations[0].removeprefix("Bearer ")
        return len(authorizations) == 1 and hmac.compare_digest(given.encode(), token.encode())
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False
