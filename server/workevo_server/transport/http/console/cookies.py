"""The cookie of a session, and the token by which a form shows that it came from one of our own pages."""

import hashlib
import hmac

from starlette.requests import Request
from starlette.responses import Response

from workevo_server.services.sessions import SignedIn
from workevo_server.transport.http.console.pages import CONSOLE_PATH

COOKIE = "workevo_session"
CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"
_CSRF_PURPOSE = b"workevo console form"


def session_token(request: Request) -> str:
    """Empty when there is none."""
    return request.cookies.get(COOKIE, "")


def keep(response: Response, signed_in: SignedIn, *, is_secure: bool) -> None:
    """Let the browser keep it: out of reach of scripts, and sent with requests of our own pages alone."""
    response.set_cookie(
        COOKIE,
        signed_in.token,
        max_age=int(signed_in.lasts.total_seconds()),
        path=CONSOLE_PATH,
        secure=is_secure,
        httponly=True,
        samesite="lax",
    )


def forget(response: Response) -> None:
    response.delete_cookie(COOKIE, path=CONSOLE_PATH, httponly=True, samesite="lax")


def csrf_of(token: str) -> str:
    """For the forms of this session; who knows it cannot tell the session's token from it."""
    return hmac.new(token.encode(errors="surrogatepass"), _CSRF_PURPOSE, hashlib.sha256).hexdigest()


def is_own_form(request: Request, form_token: str, token: str) -> bool:
    """Whether a form was sent from a page of this session, and of this origin where the browser says it."""
    given = form_token or request.headers.get(CSRF_HEADER, "")
    return is_own_origin(request) and hmac.compare_digest(given.encode(), csrf_of(token).encode())


def is_own_origin(request: Request) -> bool:
    """Browsers name the origin of the page that posts a form; what is no browser need not."""
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")
