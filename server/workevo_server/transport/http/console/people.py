"""People: found, filtered, and listed with the newest first."""

from starlette.responses import Response

from workevo_server.ports.people import ContactFilter
from workevo_server.ports.sessions import Role
from workevo_server.services.people import People
from workevo_server.transport.http.console.pages import ConsoleCall, Page
from workevo_server.transport.http.console.rendering import Templates


class PeoplePages:
    def __init__(self, *, people: People, templates: Templates) -> None:
        self._people = people
        self._templates = templates

    def pages(self) -> list[Page]:
        return [Page(name="people", path="/people", needs=Role.VIEWER, answer=self._list)]

    async def _list(self, call: ConsoleCall) -> Response:
        """The whole page, or for a script the next rows."""
        page = await self._people.contacts(
            call.workspace_id, ContactFilter(), page_size=50, page_token=call.query.get("page", "")
        )
        template = "people_rows.html" if call.wants_part else "people.html"
        return self._templates.page(call, template, {"page": page})
