"""The catalogue: which names are in use, how much of each arrives, who does it (R10, R22 to R24)."""

from starlette.responses import Response

from workevo_server.ports.clock import Clock
from workevo_server.ports.sessions import Role
from workevo_server.services.catalogue import Catalogue
from workevo_server.services.volumes import Volumes
from workevo_server.transport.http.console.event_listing import KINDS, ORDERS, list_names, wanted_of
from workevo_server.transport.http.console.event_volumes import counts_in, days_of
from workevo_server.transport.http.console.pages import ConsoleCall, Page
from workevo_server.transport.http.console.rendering import Templates


class EventsPages:
    def __init__(self, *, catalogue: Catalogue, volumes: Volumes, clock: Clock, templates: Templates) -> None:
        self._catalogue = catalogue
        self._volumes = volumes
        self._clock = clock
        self._templates = templates

    def pages(self) -> list[Page]:
        return [Page(name="events", path="/events", needs=Role.VIEWER, answer=self._list)]

    async def _list(self, call: ConsoleCall) -> Response:
        """The whole page, or for a script the next names."""
        wanted = wanted_of(call.query)
        listing = await list_names(self._catalogue, call.workspace_id, wanted)
        days = days_of(listing.definitions, self._clock.now_micros())
        bars = await self._volumes.days(
            call.workspace_id,
            listing.definitions,
            from_seconds=days.from_seconds,
            end_seconds=days.end_seconds,
        )
        told = {
            "listing": listing,
            "days": days,
            "volumes": {
                each.definition_no: counts_in(days, bars.get(each.definition_no, ()))
                for each in listing.definitions
            },
        }
        if call.wants_part:
            return self._templates.page(call, "events_rows.html", told)
        in_use = await self._catalogue.names_in_use(call.workspace_id)
        return self._templates.page(
            call, "events.html", {**told, "in_use": in_use, "KINDS": KINDS, "ORDERS": ORDERS}
        )
