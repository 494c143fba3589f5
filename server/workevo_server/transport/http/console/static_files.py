"""Styles and scripts, under a path with their version that browsers may keep for a year."""

import gzip
import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from workevo_server.transport.http.console.pages import CONSOLE_PATH

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_SERVED = (
    "charts.js",
    "console.css",
    "console.js",
    "htmx.min.js",
    "icon.svg",
    "live.js",
    "pictures.js",
    "uPlot.iife.min.js",
    "uPlot.min.css",
    "where.js",
)
_VERSION_CHARACTERS = 12
_FOR_A_YEAR = "public, max-age=31536000, immutable"


class StaticFiles:
    """Read and compressed once."""

    def __init__(self) -> None:
        directory = files(__package__).joinpath("static")
        self._files = {name: directory.joinpath(name).read_bytes() for name in _SERVED}
        self._compressed = {name: gzip.compress(held, mtime=0) for name, held in self._files.items()}
        digest = hashlib.sha256(b"".join(self._files.values()))
        self.version = digest.hexdigest()[:_VERSION_CHARACTERS]

    def url(self, name: str) -> str:
        """Where a page finds the file. Raises KeyError when there is none of the name."""
        assert name in self._files, name
        return f"{CONSOLE_PATH}/static/{self.version}/{name}"

    def routes(self) -> list[Route]:
        return [Route(f"{CONSOLE_PATH}/static/{{version}}/{{name}}", self._answer)]

    async def _answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files or request.path_params["version"] != self.version:
            return PlainTextResponse("There is no such file in this version.\n", status_code=404)
        headers = {
            "cache-control": _FOR_A_YEAR,
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
            "cross-origin-resource-policy": "same-origin",
        }
        media_type = _TYPES[name[name.rindex(".") :]]
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(self._files[name], media_type=media_type, headers=headers)
        return Response(
            self._compressed[name], media_type=media_type, headers=headers | {"content-encoding": "gzip"}
        )
