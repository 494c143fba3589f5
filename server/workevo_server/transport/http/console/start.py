"""The first page of an empty workspace: how something is sent, and whether it has arrived."""

from collections.abc import Callable, Mapping

from starlette.responses import Response

from workevo_server.domain.origins import origin_of
from workevo_server.ports.catalogue import DefinitionFilter
from workevo_server.ports.key_ring import KeyKind
from workevo_server.ports.sessions import Role
from workevo_server.services.catalogue import Catalogue
from workevo_server.services.workspaces import Workspaces
from workevo_server.transport.address import Address
from workevo_server.transport.http.browser.assets import BrowserFiles
from workevo_server.transport.http.console.first_snippets import first_snippets
from workevo_server.transport.http.console.pages import ConsoleCall, Page
from workevo_server.transport.http.console.rendering import Templates

_KINDS = (KeyKind.SDK, KeyKind.SERVER, KeyKind.BROWSER)
_PLACEHOLDERS = {kind: f"YOUR_{kind.value.upper()}_KEY" for kind in _KINDS}


class StartPages:
    """`grpc_address` is where devices connect, once the server is there."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        workspaces: Workspaces,
        grpc_address: Callable[[], Address],
        browser_files: BrowserFiles,
        templates: Templates,
    ) -> None:
        self._catalogue = catalogue
        self._workspaces = workspaces
        self._grpc_address = grpc_address
        self._browser_files = browser_files
        self._templates = templates

    def pages(self) -> list[Page]:
        return [
            Page(name="start", path="/start", needs=Role.VIEWER, answer=self._start),
            Page(name="start_keys", path="/start", method="POST", needs=Role.ADMIN, answer=self._make_keys),
            Page(name="arrival", path="/start/arrival", needs=Role.VIEWER, answer=self._arrival),
        ]

    async def _start(self, call: ConsoleCall) -> Response:
        return await self._page(call, _PLACEHOLDERS, origin="")

    async def _page(
        self, call: ConsoleCall, keys: Mapping[KeyKind, str], *, origin: str, wrong: str = ""
    ) -> Response:
        base = str(call.request.base_url).rstrip("/")
        grpc = Address(call.request.url.hostname or "", self._grpc_address().port)
        context = {
            **await self._arrived(call),
            "has_keys": keys is not _PLACEHOLDERS,
            "origin": origin,
            "wrong": wrong,
            "snippets": first_snippets(
                keys,
                http=base,
                grpc=str(grpc),
                insecure=call.request.url.scheme == "http" and not grpc.is_loopback,
                page=self._browser_files.snippet(base),
            ),
        }
        return self._templates.page(call, "start.html", context, status=422 if wrong else 200)

    async def _make_keys(self, call: ConsoleCall) -> Response:
        """One of each kind that a snippet needs; they stand in this answer and nowhere else."""
        origin = call.form.get("origin", "").strip()
        if origin and origin_of(origin) is None:
            wrong = "An origin looks like https://example.org or http://localhost:3000."
            return await self._page(call, _PLACEHOLDERS, origin=origin, wrong=wrong)
        made: dict[KeyKind, str] = {}
        for kind in _KINDS:
            origins = [origin] if kind is KeyKind.BROWSER and origin else []
            made[kind] = await self._workspaces.create_key(
                call.workspace_id, kind, origins=origins, made_by=call.session.made_by
            )
        return await self._page(call, made, origin=origin)

    async def _arrival(self, call: ConsoleCall) -> Response:
        """Asked for again and again until something has arrived."""
        return self._templates.page(call, "start_arrival.html", await self._arrived(call))

    async def _arrived(self, call: ConsoleCall) -> dict[str, object]:
        found = await self._catalogue.definitions(
            call.workspace_id, which=DefinitionFilter.ALL, seen_kind=None, page_size=1, page_token=""
        )
        return {"first": found.definitions[0] if found.definitions else None}
