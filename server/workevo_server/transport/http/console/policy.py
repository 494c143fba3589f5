"""What a browser is told to allow the console's pages: our own files, and nothing of anybody else."""

from starlette.responses import Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # Under no-referrer our own forms say their origin is null.
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def guard_page(response: Response) -> None:
    """Add what every page of the console carries; what an answer has set already stands."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
