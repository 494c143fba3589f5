"""What web pages load: the script, its types, and the snippet that loads it (R30).

The script is served without comments and indentation, under a path with its version
that browsers may keep for a year, and under one without it that they ask about anew.
"""

import gzip
import hashlib
import re
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

_SCRIPT_PATH = "/browser/{version}/workevo.js"
_VERSION_CHARACTERS = 12
_FOR_A_YEAR = "public, max-age=31536000, immutable"
_FOR_A_WHILE = "public, max-age=300"
_PUBLIC = {
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
    "x-content-type-options": "nosniff",
}
_COMMENT_LINE = re.compile(r"^\s*//.*\n", re.MULTILINE)
_COMMENT_BEHIND = re.compile(r" // .*$", re.MULTILINE)
_INDENTATION = re.compile(r"^\s+", re.MULTILINE)


def plain(source: str) -> str:
    """The script without what only its readers need.

    Not a minifier: it knows nothing but lines, so the script has no string with ` // ` in it.
    """
    return _INDENTATION.sub("", _COMMENT_BEHIND.sub("", _COMMENT_LINE.sub("", source)))


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


class BrowserFiles:
    """Read and compressed once."""

    def __init__(self) -> None:
        self.script = plain(_read("workevo.js")).encode()
        self.compressed = gzip.compress(self.script, mtime=0)
        self.version = hashlib.sha256(self.script).hexdigest()[:_VERSION_CHARACTERS]
        self._types = _read("workevo.d.ts")
        self._snippet = _read("snippet.html")

    def routes(self) -> list[Route]:
        return [
            Route("/browser/workevo.js", self._answer_script),
            Route(_SCRIPT_PATH, self._answer_script),
            Route("/browser/workevo.d.ts", self._answer_types),
            Route("/browser/snippet", self._answer_snippet),
        ]

    async def _answer_script(self, request: Request) -> Response:
        """Under the path of another version comes this one, not to be kept: an old page works on."""
        is_current = request.path_params.get("version") == self.version
        headers = _PUBLIC | {
            "cache-control": _FOR_A_YEAR if is_current else _FOR_A_WHILE,
            "etag": f'"{self.version}"',
            "vary": "accept-encoding",
        }
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(self.script, media_type="text/javascript", headers=headers)
        return Response(
            self.compressed, media_type="text/javascript", headers=headers | {"content-encoding": "gzip"}
        )

    async def _answer_types(self, _request: Request) -> Response:
        return Response(self._types, media_type="text/plain; charset=utf-8", headers=_PUBLIC)

    def snippet(self, base_url: str) -> str:
        """To be pasted into a page; the script comes from the server at this URL (no slash at its end)."""
        return self._snippet.replace("SCRIPT_URL", base_url + _SCRIPT_PATH.format(version=self.version))

    async def _answer_snippet(self, request: Request) -> Response:
        return PlainTextResponse(self.snippet(str(request.base_url).rstrip("/")), headers=_PUBLIC)
