"""Signing in and out: by a key, or by a link that works once."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from workevo_server.domain.errors import KeyNotPermitted, UnknownKey
from workevo_server.services.sessions import Sessions, SignedIn
from workevo_server.transport.http.console.cookies import (
    CSRF_FIELD,
    forget,
    is_own_form,
    is_own_origin,
    keep,
    session_token,
)
from workevo_server.transport.http.console.guard import (
    FOREIGN_FORM,
    NOT_SIGNED_IN,
    SIGN_IN_PATH,
    ConsoleGuard,
)
from workevo_server.transport.http.console.pages import CONSOLE_PATH
from workevo_server.transport.http.console.rendering import Templates

_UNKNOWN = "This key is unknown here, or was revoked. A key is shown once, when it is made."
_OF_A_PROGRAM = (
    "This key is for programs. People sign in with a viewer, support or admin key: "
    "workevo key create WORKSPACE viewer"
)
_LINK_USED = "This link was used already, or is too old. Make another with: workevo console link WORKSPACE"


class SignIn:
    def __init__(self, guard: ConsoleGuard, sessions: Sessions, templates: Templates) -> None:
        self._guard = guard
        self._sessions = sessions
        self._templates = templates

    def routes(self) -> list[BaseRoute]:
        return [
            Route(SIGN_IN_PATH, self._sign_in, methods=["GET", "POST"]),
            Route(f"{SIGN_IN_PATH}/{{link}}", self._follow, methods=["GET"]),
            Route(f"{CONSOLE_PATH}/sign-out", self._sign_out, methods=["POST"]),
        ]

    async def _sign_in(self, request: Request) -> Response:
        async def answer() -> Response:
            if request.method != "POST":
                return self._form(request.query_params.get("next", ""))
            if not is_own_origin(request):
                raise FOREIGN_FORM
            form = await self._guard.read_form_of_a_stranger(request)
            return await self._guard.carry_out("console_sign_in", self._by_key(request, form))

        return await self._guard.guarded("console_sign_in", request, answer)

    async def _by_key(self, request: Request, form: dict[str, str]) -> Response:
        wanted = form.get("next", "")
        try:
            signed_in = await self._sessions.sign_in(form.get("key", "").strip())
        except UnknownKey:
            return self._form(wanted, wrong=_UNKNOWN)
        except KeyNotPermitted:
            return self._form(wanted, wrong=_OF_A_PROGRAM)
        return _welcome(request, signed_in, wanted)

    async def _follow(self, request: Request) -> Response:
        async def work() -> Response:
            signed_in = await self._sessions.follow_link(request.path_params["link"])
            if signed_in is None:
                return self._form("", wrong=_LINK_USED)
            return _welcome(request, signed_in, "")

        async def answer() -> Response:
            return await self._guard.carry_out("console_link", work())

        return await self._guard.guarded("console_link", request, answer)

    async def _sign_out(self, request: Request) -> Response:
        async def answer() -> Response:
            token = session_token(request)
            if not token or await self._sessions.session(token) is None:
                raise NOT_SIGNED_IN
            form = await self._guard.read_form(request)
            if not is_own_form(request, form.get(CSRF_FIELD, ""), token):
                raise FOREIGN_FORM
            return await self._guard.carry_out("console_sign_out", self._end(token))

        return await self._guard.guarded("console_sign_out", request, answer)

    async def _end(self, token: str) -> Response:
        await self._sessions.sign_out(token)
        response = RedirectResponse(SIGN_IN_PATH, status_code=303)
        forget(response)
        return response

    def _form(self, wanted: str, *, wrong: str = "") -> Response:
        context = {"wanted": own_path(wanted), "wrong": wrong}
        return HTMLResponse(
            self._templates.render("sign_in.html", context), status_code=422 if wrong else 200
        )


def _welcome(request: Request, signed_in: SignedIn, wanted: str) -> Response:
    response = RedirectResponse(own_path(wanted) or CONSOLE_PATH, status_code=303)
    keep(response, signed_in, is_secure=request.url.scheme == "https")
    return response


def own_path(wanted: str) -> str:
    """Where somebody wanted to go, if that is a page of the console; else nothing."""
    is_own = wanted.startswith(f"{CONSOLE_PATH}/") and wanted.isascii() and wanted.isprintable()
    return wanted if is_own and "\\" not in wanted else ""
