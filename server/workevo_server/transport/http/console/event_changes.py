"""What somebody changes of an event's name: described, archived and brought back, switched off on devices.

Names stand in the addresses of forms and not in their fields: a field of HTML keeps neither NUL nor line
breaks as they are, and names have both (R1).
"""

from collections.abc import Mapping
from typing import Any

from starlette.responses import RedirectResponse, Response

from workevo_server.domain import limits
from workevo_server.domain.errors import CatalogueFull, RequestInvalid
from workevo_server.ports.audit import Author
from workevo_server.ports.catalogue import EventDefinition
from workevo_server.ports.clock import Clock
from workevo_server.ports.sessions import Role
from workevo_server.services.catalogue import Catalogue, NamesInUse
from workevo_server.transport.http.console.pages import CONSOLE_PATH, ConsoleCall, Page
from workevo_server.transport.http.console.rendering import Templates
from workevo_server.transport.http.console.wording import query
from workevo_server.transport.http.problems import ANSWERS

DONE = {
    "described": "The description is saved. It shows wherever the event shows.",
    "archived": "The name is archived.",
    "back": "The name is back in use, with all its stored events.",
    "disabled": "Devices are asked not to send it. Those that have asked within 24 hours obey.",
    "enabled": "Devices may send it again.",
}
"""What a page says after a change, by the word in its address."""
FULL_STATUS = ANSWERS[CatalogueFull].status
REFUSED_STATUS = 422


class EventChangePages:
    def __init__(self, *, catalogue: Catalogue, clock: Clock, templates: Templates) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._templates = templates

    def pages(self) -> list[Page]:
        forms = (("describe", self._describe_form), ("archive", self._archive_form))
        changes = (
            ("describe", self._describe),
            ("archive", self._archive),
            ("unarchive", self._unarchive),
            ("disable", self._disable),
            ("enable", self._enable),
        )
        return [
            *(
                Page(name=f"event_{word}_form", path=f"/event/{word}", needs=Role.SUPPORT, answer=answer)
                for word, answer in forms
            ),
            *(
                Page(
                    name=f"event_{word}",
                    path=f"/event/{word}",
                    needs=Role.SUPPORT,
                    answer=answer,
                    method="POST",
                )
                for word, answer in changes
            ),
        ]

    async def _describe_form(self, call: ConsoleCall) -> Response:
        found = await self._found(call)
        if call.query.get("keep"):
            return self._described(call, found)
        return self._form(call, "event_describe", found, {"description": found.description, "wrong": ""})

    async def _describe(self, call: ConsoleCall) -> Response:
        description = call.form.get("description", "").replace("\r\n", "\n").strip()
        try:
            found = await self._catalogue.update(
                call.workspace_id,
                _name(call),
                description=description,
                disabled=None,
                author=self._author(call),
            )
        except RequestInvalid as refusal:
            told = {"description": description, "wrong": refusal.sentence}
            return self._form(call, "event_describe", await self._found(call), told, status=REFUSED_STATUS)
        if call.wants_part:
            return self._described(call, found)
        return _back_to(found, done="described")

    async def _archive_form(self, call: ConsoleCall) -> Response:
        found = await self._found(call)
        if call.query.get("keep"):
            return self._actions(call, found)
        return self._form(call, "event_archive", found, {})

    async def _archive(self, call: ConsoleCall) -> Response:
        found = await self._catalogue.archive(call.workspace_id, _name(call), author=self._author(call))
        return await self._moved(call, found, done="archived")

    async def _unarchive(self, call: ConsoleCall) -> Response:
        """A full catalogue is said where the name stands (R10)."""
        try:
            found = await self._catalogue.unarchive(call.workspace_id, _name(call), author=self._author(call))
        except CatalogueFull as refusal:
            found = await self._found(call)
            if not call.wants_part:
                return _back_to(found, done="full")
            return self._actions(call, found, wrong=refusal.sentence, status=FULL_STATUS)
        return await self._moved(call, found, done="back")

    async def _disable(self, call: ConsoleCall) -> Response:
        return await self._switch(call, disabled=True)

    async def _enable(self, call: ConsoleCall) -> Response:
        return await self._switch(call, disabled=False)

    async def _switch(self, call: ConsoleCall, *, disabled: bool) -> Response:
        found = await self._catalogue.update(
            call.workspace_id, _name(call), description=None, disabled=disabled, author=self._author(call)
        )
        return _back_to(found, done="disabled" if disabled else "enabled")

    async def _moved(self, call: ConsoleCall, found: EventDefinition, *, done: str) -> Response:
        if not call.wants_part:
            return _back_to(found, done=done)
        in_use = await self._catalogue.names_in_use(call.workspace_id)
        return self._actions(call, found, done=DONE[done], in_use=in_use)

    def _actions(
        self,
        call: ConsoleCall,
        found: EventDefinition,
        *,
        done: str = "",
        wrong: str = "",
        in_use: NamesInUse | None = None,
        status: int = 200,
    ) -> Response:
        """For a script of the catalogue's page."""
        told = {"definition": found, "done": done, "wrong": wrong, "in_use": in_use}
        return self._templates.page(call, "event_actions.html", told, status=status)

    def _described(self, call: ConsoleCall, found: EventDefinition) -> Response:
        return self._templates.page(call, "event_described.html", {"definition": found})

    def _form(
        self,
        call: ConsoleCall,
        template: str,
        found: EventDefinition,
        told: Mapping[str, Any],
        *,
        status: int = 200,
    ) -> Response:
        name = f"{template}_form.html" if call.wants_part else f"{template}.html"
        return self._templates.page(
            call,
            name,
            {"definition": found, "DESCRIPTION_MAX": limits.DESCRIPTION_CODE_POINTS_MAX, **told},
            status=status,
        )

    async def _found(self, call: ConsoleCall) -> EventDefinition:
        return await self._catalogue.definition(call.workspace_id, _name(call))

    def _author(self, call: ConsoleCall) -> Author:
        return Author(made_by=call.session.made_by, made_at_micros=self._clock.now_micros())


def _name(call: ConsoleCall) -> str:
    return call.query.get("name", "")


def _back_to(found: EventDefinition, *, done: str) -> Response:
    address = query({"name": found.name, "done": done})
    return RedirectResponse(f"{CONSOLE_PATH}/event?{address}", status_code=303)
