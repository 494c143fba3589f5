"""One image of somebody else's, on a page of its own, so that no other page may call anyone.

Whoever clicks on an image in a timeline gets this page in a frame. Its policy allows the one
origin of the image and nothing else; sandboxed, it runs nothing and has no cookie of ours.
"""

import base64
import hashlib

from starlette.responses import Response

from workevo_server.ports.sessions import Role
from workevo_server.transport.http.console.metadata import image_origin
from workevo_server.transport.http.console.pages import ConsoleCall, Page
from workevo_server.transport.http.console.rendering import Templates
from workevo_server.transport.http.refusals import HttpRefusal

_STYLE = "html,body,main{margin:0;height:100%}img{display:block;max-width:100%;max-height:100%;margin:auto}"
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
NO_IMAGE = HttpRefusal(400, "parameter_invalid", "This address is none that an image can be shown from.")


class ImagePages:
    def __init__(self, *, templates: Templates) -> None:
        self._templates = templates

    def pages(self) -> list[Page]:
        return [Page(name="image", path="/image", needs=Role.VIEWER, answer=self._image)]

    async def _image(self, call: ConsoleCall) -> Response:
        url = call.query.get("url", "")
        origin = image_origin(url)
        if not origin:
            raise NO_IMAGE
        response = self._templates.page(call, "image.html", {"url": url, "style": _STYLE})
        response.headers["Content-Security-Policy"] = _policy(origin)
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def _policy(origin: str) -> str:
    return (
        f"default-src 'none'; img-src {origin}; style-src 'sha256-{_STYLE_HASH}'; "
        "form-action 'none'; frame-ancestors 'self'; base-uri 'none'; sandbox"
    )
