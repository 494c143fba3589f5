"""People: found by a text, by kind and by what they did, and listed with the newest first."""

from collections.abc import Sequence
from urllib.parse import unquote, urlencode

from starlette.responses import Response

from workevo_server.domain import limits
from workevo_server.domain.events import ContactKind
from workevo_server.domain.naming import name_key
from workevo_server.ports.catalogue import DefinitionFilter
from workevo_server.ports.sessions import Role
from workevo_server.services.catalogue import Catalogue
from workevo_server.services.people_search import PeopleSearch
from workevo_server.transport.http.console.pages import CONSOLE_PATH, ConsoleCall, Page
from workevo_server.transport.http.console.rendering import Templates
from workevo_server.transport.http.refusals import HttpRefusal

PAGE_PEOPLE = 50
_KINDS = {kind.value.lower(): kind for kind in (ContactKind.USER, ContactKind.LEAD, ContactKind.VISITOR)}
NO_KIND = HttpRefusal(400, "parameter_invalid", "A kind is user, lead or visitor.")


class PeoplePages:
    def __init__(self, *, people_search: PeopleSearch, catalogue: Catalogue, templates: Templates) -> None:
        self._people_search = people_search
        self._catalogue = catalogue
        self._templates = templates

    def pages(self) -> list[Page]:
        return [Page(name="people", path="/people", needs=Role.VIEWER, answer=self._list)]

    async def _list(self, call: ConsoleCall) -> Response:
        """The whole page, or for a script the next rows."""
        asked = {
            "text": call.query.get("text", "").strip(),
            "kind": call.query.get("kind", ""),
            "event": _event(call),
        }
        kind = _kind(asked["kind"])
        found = await self._people_search.find(
            call.workspace_id,
            text=asked["text"],
            kind=kind,
            event_name=asked["event"],
            page_size=PAGE_PEOPLE,
            page_token=call.query.get("page", ""),
        )
        more = _address(asked | {"page": found.next_page_token}) if found.next_page_token else ""
        context = {"found": found, "more": more}
        if call.wants_part:
            return self._templates.page(call, "people_rows.html", context)
        names = await self._names(call, kind, asked["event"])
        context |= {"asked": asked, "kinds": _KINDS, "names": names, "is_narrowed": any(asked.values())}
        return self._templates.page(call, "people.html", context)

    async def _names(self, call: ConsoleCall, kind: ContactKind | None, asked: str) -> Sequence[str]:
        """What can be chosen: what contacts of the kind were seen doing (R24), and what was asked for."""
        page = await self._catalogue.definitions(
            call.workspace_id,
            which=DefinitionFilter.ACTIVE,
            seen_kind=kind,
            page_size=limits.PAGE_SIZE_MAX,
            page_token="",
        )
        names = {name_key(each.name): each.name for each in page.definitions}
        if asked:
            names[name_key(asked[: limits.NAME_CODE_POINTS_MAX])] = asked
        return [names[key] for key in sorted(names)]


def _event(call: ConsoleCall) -> str:
    """By a link in `event`; by the form in `did`, percent-encoded: forms carry neither NUL nor a bare
    line feed, and names may hold both."""
    return unquote(call.query.get("did", "")) or call.query.get("event", "")


def _kind(asked: str) -> ContactKind | None:
    if not asked:
        return None
    kind = _KINDS.get(asked)
    if kind is None:
        raise NO_KIND
    return kind


def _address(query: dict[str, str]) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"{CONSOLE_PATH}/people?{urlencode(given, errors='replace')}"
