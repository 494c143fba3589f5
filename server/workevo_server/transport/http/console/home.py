"""Where the console begins: with people, or, while nothing has arrived, with how to send something."""

from starlette.responses import RedirectResponse, Response

from workevo_server.ports.catalogue import DefinitionFilter
from workevo_server.ports.sessions import Role
from workevo_server.services.catalogue import Catalogue
from workevo_server.transport.http.console.pages import CONSOLE_PATH, ConsoleCall, Page


class HomePages:
    def __init__(self, *, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def pages(self) -> list[Page]:
        return [Page(name="home", path="", needs=Role.VIEWER, answer=self._home)]

    async def _home(self, call: ConsoleCall) -> Response:
        found = await self._catalogue.definitions(
            call.workspace_id, which=DefinitionFilter.ALL, seen_kind=None, page_size=1, page_token=""
        )
        first = "people" if found.definitions else "start"
        return RedirectResponse(f"{CONSOLE_PATH}/{first}", status_code=303)
