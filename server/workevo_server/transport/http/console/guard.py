"""What stands around every page: who is signed in and as what, whether a form is ours, how much at once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from workevo_server.domain.errors import RequestMalformed, WorkevoError
from workevo_server.services.sessions import Sessions
from workevo_server.transport.failures import DeadlinePassed, Incident
from workevo_server.transport.http.bodies import read_body
from workevo_server.transport.http.console.cookies import CSRF_FIELD, csrf_of, is_own_form, session_token
from workevo_server.transport.http.console.pages import CONSOLE_PATH, ConsoleCall, Page
from workevo_server.transport.http.console.policy import guard_page
from workevo_server.transport.http.console.rendering import Templates
from workevo_server.transport.http.guard import REQUEST_ID_HEADER
from workevo_server.transport.http.limits import STRANGER_FORM_BYTES_MAX, STRANGER_FORM_TIMEOUT
from workevo_server.transport.http.problems import ANSWERS, Refused, code_of
from workevo_server.transport.http.refusals import HttpRefusal
from workevo_server.transport.limits import CALL_DEADLINE_MAX
from workevo_server.transport.reception import Reception

FORM_FIELDS_MAX = 200
SIGN_IN_PATH = f"{CONSOLE_PATH}/sign-in"

NOT_SIGNED_IN = HttpRefusal(401, "unauthorized", "Your session has ended. Sign in again.")
ROLE_TOO_LOW = HttpRefusal(403, "forbidden", "Your role may not do this. Ask an admin of the workspace.")
FOREIGN_FORM = HttpRefusal(
    403,
    "forbidden",
    "This form came from no page of this session. Reload the page.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleGuard:
    reception: Reception
    sessions: Sessions
    templates: Templates
    new_request_id: Callable[[], str]

    def routes(self, pages: list[Page]) -> list[BaseRoute]:
        """Paths without parameters first; each with the methods it takes."""
        paths: dict[str, dict[str, Page]] = {}
        for page in pages:
            paths.setdefault(page.path, {})[page.method] = page
        return [
            Route(f"{CONSOLE_PATH}{path}", self._by_method(methods), methods=list(methods))
            for path, methods in sorted(paths.items(), key=lambda each: "{" in each[0])
        ]

    def _by_method(self, pages: dict[str, Page]) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            page = pages["GET" if request.method == "HEAD" else request.method]
            return await self.guarded(f"console_{page.name}", request, lambda: self._answer(page, request))

        return handle

    async def guarded(
        self, name: str, request: Request, answer: Callable[[], Awaitable[Response]]
    ) -> Response:
        """The answer, or a page that says why there is none; with the headers of every page."""
        request_id = self.new_request_id()
        refusal: Refused
        try:
            response = await answer()
        except ClientDisconnect:
            response = Response(status_code=400)  # Nobody is left to read it.
        except (WorkevoError, HttpRefusal) as error:
            refusal = error
            response = self._refused(name, request, refusal)
        except Exception as error:  # noqa: BLE001 - its text would go to the caller.
            refusal = Incident(self.reception.reports.failed(name, error))
            response = self._refused(name, request, refusal)
        response.headers[REQUEST_ID_HEADER] = request_id
        guard_page(response)
        return response

    async def _answer(self, page: Page, request: Request) -> Response:
        token = session_token(request)
        session = await self.sessions.session(token) if token else None
        if session is None:
            return self._to_sign_in(request)
        if not session.role.may(page.needs):
            raise ROLE_TOO_LOW
        form = await self.read_form(request) if request.method == "POST" else {}
        if request.method == "POST" and not is_own_form(request, form.get(CSRF_FIELD, ""), token):
            raise FOREIGN_FORM
        call = ConsoleCall(session=session, request=request, form=form, csrf=csrf_of(token))
        return await self.carry_out(f"console_{page.name}", page.answer(call))

    async def carry_out(self, name: str, work: Any) -> Response:
        """The work of an answer: of a place at the gate, finished though the browser goes away."""
        deadline = asyncio.timeout(CALL_DEADLINE_MAX.total_seconds())
        try:
            async with deadline:
                response: Response = await self.reception.carry_out(
                    name, b"", work, refusals=(WorkevoError, HttpRefusal)
                )
        except TimeoutError:
            if deadline.expired():
                raise DeadlinePassed from None
            raise
        return response

    async def read_form(self, request: Request) -> dict[str, str]:
        """What was posted by who is signed in. Raises RequestMalformed for what is no form, and as
        `read_body` does."""
        with self.reception.gate.arrive():
            return _fields(await read_body(request))

    async def read_form_of_a_stranger(self, request: Request) -> dict[str, str]:
        """As `read_form`, of anybody: small, soon, and in a room that keeps no upload out."""
        with self.reception.gate.arrive_without_key():
            return _fields(
                await read_body(request, bytes_max=STRANGER_FORM_BYTES_MAX, within=STRANGER_FORM_TIMEOUT)
            )

    def _to_sign_in(self, request: Request) -> Response:
        """A page that was asked for is shown after signing in; a part of one, or a form, only says so."""
        if request.method == "POST" or request.headers.get("hx-request") == "true":
            raise NOT_SIGNED_IN
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{SIGN_IN_PATH}?next={quote(wanted, safe='')}", status_code=303)

    def _refused(self, name: str, request: Request, refusal: Refused) -> Response:
        self.reception.reports.refused(name, code_of(refusal))
        status, sentence = _told(refusal)
        is_part = request.headers.get("hx-request") == "true"
        again = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        context = {
            "status": status,
            "sentence": sentence,
            "again": again if request.method in {"GET", "HEAD"} else None,
            "must_sign_in": status == 401,
        }
        template = "refused_part.html" if is_part else "refused.html"
        return HTMLResponse(self.templates.render(template, context), status_code=status)


def _fields(body: bytes) -> dict[str, str]:
    try:
        text = body.decode("ascii")
        fields = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX)
    except ValueError:
        raise RequestMalformed from None
    return dict(fields)


def _told(refusal: Refused) -> tuple[int, str]:
    if isinstance(refusal, HttpRefusal):
        return refusal.status, refusal.sentence
    return ANSWERS[type(refusal)].status, refusal.sentence
