"""The HTTP door as one ASGI application, from lists of routes.

Each part (REST, Connect, the browser's files, the console) makes a list of Starlette
routes; what is common to all is here: unknown paths and methods, trailing slashes,
faults that no guard caught, and whether the server is alive and ready.
"""

from collections.abc import Callable, Iterable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from workevo_server.transport.http.guard import REQUEST_ID_HEADER
from workevo_server.transport.http.problems import Problem, error_list
from workevo_server.transport.reports import Reports


class Readiness:
    """Whether load balancers may send requests here; once it drains, never again."""

    def __init__(self) -> None:
        self.is_draining = False
        self.store_answers = True

    def drain(self) -> None:
        self.is_draining = True


def make_app(
    routes: Iterable[BaseRoute], *, readiness: Readiness, reports: Reports, new_request_id: Callable[[], str]
) -> ASGIApp:
    """Earlier routes win. `/healthz` says that the process lives, `/readyz` that it can serve."""

    async def alive(_request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def ready(_request: Request) -> Response:
        if readiness.is_draining:
            return PlainTextResponse("draining\n", status_code=503, headers={"Retry-After": "1"})
        if not readiness.store_answers:
            return PlainTextResponse(
                "the store does not answer\n", status_code=503, headers={"Retry-After": "1"}
            )
        return PlainTextResponse("ready\n")

    async def no_such_thing(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _problem(error, new_request_id())

    async def fault(_request: Request, error: Exception) -> Response:
        incident_id = reports.failed("http", error)
        sentence = f"The server failed on this call and logged it as incident {incident_id}."
        return _answered(500, Problem("server_error", sentence), new_request_id())

    app = Starlette(
        routes=[*routes, Route("/healthz", alive), Route("/readyz", ready)],
        exception_handlers={HTTPException: no_such_thing, Exception: fault},
    )
    app.router.redirect_slashes = False
    return _with_plain_paths(app)


def _with_plain_paths(app: ASGIApp) -> ASGIApp:
    """`/events/` is `/events`: some clients write it so, and would lose a POST's body by a redirect.

    Only slashes that end the path as it was sent: a `%2F` there is the last character of an id.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            sent: bytes = scope["raw_path"]
            slashes = len(sent) - len(sent.rstrip(b"/"))
            scope["path"] = scope["path"][: len(scope["path"]) - slashes] or "/"
        await app(scope, receive, send)

    return answer


_SENTENCES = {
    404: ("not_found", "There is nothing at this path."),
    405: ("method_not_allowed", "This path does not take this method."),
}


def _problem(error: HTTPException, request_id: str) -> Response:
    code, sentence = _SENTENCES.get(error.status_code, ("client_error", "The request was refused."))
    response = _answered(error.status_code, Problem(code, sentence, "path"), request_id)
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


def _answered(status: int, problem: Problem, request_id: str) -> Response:
    return error_list(status, [problem], request_id, {REQUEST_ID_HEADER: request_id})
