"""Templates to pages. Everything that came from outside is escaped, and what cannot be seen is shown."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from workevo_server.ports.sessions import Role
from workevo_server.transport.http.console import event_volumes, metadata, timeline, wording
from workevo_server.transport.http.console.pages import CONSOLE_PATH, ConsoleCall
from workevo_server.transport.http.console.static_files import StaticFiles

NAVIGATION = (
    ("people", "People", f"{CONSOLE_PATH}/people", Role.VIEWER),
    ("events", "Events", f"{CONSOLE_PATH}/events", Role.VIEWER),
    ("delivery", "Delivery", f"{CONSOLE_PATH}/delivery", Role.VIEWER),
    ("where", "Where is my event?", f"{CONSOLE_PATH}/where", Role.VIEWER),
    ("live", "Live", f"{CONSOLE_PATH}/live", Role.VIEWER),
    ("settings", "Settings", f"{CONSOLE_PATH}/settings", Role.ADMIN),
)
"""At the top of every page: by which a page says that it is the current one, word, address, for whom."""


class Templates:
    def __init__(self, static_files: StaticFiles, *, version: str) -> None:
        self._environment = Environment(
            loader=PackageLoader("workevo_server.transport.http.console"),
            autoescape=True,
            undefined=StrictUndefined,  # What was renamed fails a test, and is not shown as nothing.
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            **wording.FILTERS,
            **metadata.FILTERS,
            **timeline.FILTERS,
            **event_volumes.FILTERS,
        }
        self._environment.globals |= {
            "static": static_files.url,
            "NAVIGATION": NAVIGATION,
            "CONSOLE": CONSOLE_PATH,
            "VERSION": version,
            "Role": Role,
        }

    def page(
        self,
        call: ConsoleCall,
        template: str,
        context: Mapping[str, Any],
        *,
        status: int = 200,
    ) -> HTMLResponse:
        """A page, or a part of one, for who is signed in. Templates know `session`, `csrf`, `query` and
        `may(role)`, and what `context` has."""
        about = {
            "session": call.session,
            "csrf": call.csrf,
            "query": call.query,
            "may": call.session.role.may,
        }
        return HTMLResponse(self.render(template, about | dict(context)), status_code=status)

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        return self._environment.get_template(template).render(context)
