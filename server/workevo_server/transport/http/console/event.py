"""One event's name: what it means, how much of it arrived and how, who did it last (R20, R22 to R24)."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from workevo_server.domain.errors import CatalogueFull, FieldViolation, RequestInvalid
from workevo_server.ports.catalogue import EventDefinition
from workevo_server.ports.clock import Clock
from workevo_server.ports.sessions import Role
from workevo_server.ports.volumes import Facet, Step
from workevo_server.services.catalogue import Catalogue
from workevo_server.services.volumes import Volumes
from workevo_server.transport.http.console.event_changes import DONE
from workevo_server.transport.http.console.event_volumes import (
    RANGES,
    Range,
    counts_in,
    lateness_of,
    newest_of,
    range_of,
    series_of,
)
from workevo_server.transport.http.console.pages import ConsoleCall, Page
from workevo_server.transport.http.console.rendering import Templates

PAGE_OCCURRENCES = 20
_BACK_END = {"": "back ends"}
_NO_VERSION = {"": "none told"}


class EventPages:
    def __init__(self, *, catalogue: Catalogue, volumes: Volumes, clock: Clock, templates: Templates) -> None:
        self._catalogue = catalogue
        self._volumes = volumes
        self._clock = clock
        self._templates = templates

    def pages(self) -> list[Page]:
        return [Page(name="event", path="/event", needs=Role.VIEWER, answer=self._show)]

    async def _show(self, call: ConsoleCall) -> Response:
        """The whole page, or for a script the next occurrences."""
        found = await self._catalogue.definition(call.workspace_id, call.query.get("name", ""))
        told = {"definition": found, **await self._occurrences(call, found)}
        if call.wants_part:
            return self._templates.page(call, "event_occurrences.html", told)
        done = call.query.get("done", "")
        told |= {
            "done": DONE.get(done, ""),
            "wrong": CatalogueFull.sentence if done == "full" else "",
            "RANGES": RANGES,
            "seen": await self._volumes.metadata_keys(call.workspace_id, found),
            **await self._charts(call, found),
        }
        return self._templates.page(call, "event.html", told)

    async def _occurrences(self, call: ConsoleCall, found: EventDefinition) -> Mapping[str, Any]:
        page = await self._volumes.occurrences(
            call.workspace_id, found, page_size=PAGE_OCCURRENCES, page_token=call.query.get("page", "")
        )
        more = {"name": found.name, "page": page.next_page_token} if page.next_page_token else None
        return {"occurrences": page.occurrences, "more": more}

    async def _charts(self, call: ConsoleCall, found: EventDefinition) -> Mapping[str, Any]:
        word = call.query.get("range", "")
        if word not in RANGES:
            raise RequestInvalid(FieldViolation("range", "The address asks for an unknown range."))
        first_day, last_day = await self._volumes.first_and_last_day(call.workspace_id, found) or (None, None)
        newest = newest_of(last_day, found.last_seen_micros)
        shown = range_of(
            word,
            first_day_seconds=first_day,
            last_seen_micros=newest,
            now_micros=self._clock.now_micros(),
        )
        bars = await self._volumes.bars(
            call.workspace_id,
            found,
            step=shown.step,
            from_seconds=shown.from_seconds,
            end_seconds=shown.end_seconds,
        )
        days = _whole_days(shown)
        lateness = await self._shares(call, found, Facet.LATENESS, days)
        return {
            "range": word,
            "shown": shown,
            "newest_micros": newest,
            "counts": counts_in(shown, bars),
            "days": days,
            "platforms": series_of(await self._shares(call, found, Facet.PLATFORM, days), days, _BACK_END),
            "versions": series_of(
                await self._shares(call, found, Facet.APP_VERSION, days), days, _NO_VERSION
            ),
            "lateness": lateness_of(lateness),
        }

    async def _shares(self, call: ConsoleCall, found: EventDefinition, facet: Facet, days: Range) -> Any:
        return await self._volumes.shares(
            call.workspace_id,
            found,
            facet=facet,
            from_seconds=days.from_seconds,
            end_seconds=days.end_seconds,
        )


def _whole_days(shown: Range) -> Range:
    """The days that the range lies in: only volumes are kept by hour."""
    if shown.step is Step.DAY:
        return shown
    day = 86_400
    return Range(
        step=Step.DAY,
        from_seconds=shown.from_seconds - shown.from_seconds % day,
        end_seconds=shown.end_seconds + -shown.end_seconds % day,
        is_past=shown.is_past,
    )
