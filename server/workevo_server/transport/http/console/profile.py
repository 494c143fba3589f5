"""A person's profile: who it is, what it did in sum (R20), and its timeline (R21), newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from workevo_server.domain.errors import NotFound
from workevo_server.domain.identifiers import ContactId
from workevo_server.domain.naming import comparable_key
from workevo_server.ports.people import ContactRef, EventSummary
from workevo_server.ports.sessions import Role
from workevo_server.services.people import People
from workevo_server.transport.http.console.pages import CONSOLE_PATH, ConsoleCall, Page
from workevo_server.transport.http.console.rendering import Templates
from workevo_server.transport.http.refusals import HttpRefusal

PAGE_ENTRIES = 50
MERGES_ON_PROFILE = 3
NAMES_CHOSEN_MAX = 20  # Each stands in the address of every choice.
NOBODY = HttpRefusal(
    404, "not_found", "Nobody here has this id. It was mistyped, or the person has been deleted."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An event name of the side bar, by which the timeline is narrowed and widened."""

    summary: EventSummary
    is_chosen: bool
    address: str
    """Of the timeline with this name chosen, or no longer."""


class ProfilePages:
    def __init__(self, *, people: People, templates: Templates) -> None:
        self._people = people
        self._templates = templates

    def pages(self) -> list[Page]:
        return [
            Page(name="profile", path="/people/{contact_id}", needs=Role.VIEWER, answer=self._profile),
            Page(name="merges", path="/people/{contact_id}/merges", needs=Role.VIEWER, answer=self._merges),
        ]

    async def _profile(self, call: ConsoleCall) -> Response:
        """The whole page, or for a script the next entries of the timeline.

        Who has been merged is shown at its own address, but for a list that was begun at another.
        """
        ref, token = _ref(call), call.query.get("page", "")
        names = _names_chosen(call)
        try:
            page = await self._people.activities(
                call.workspace_id, ref, page_size=PAGE_ENTRIES, page_token=token, event_names=names
            )
        except NotFound:
            raise NOBODY from None
        if page.contact.contact_id != ref.contact_id and not token:
            return RedirectResponse(_address(page.contact.contact_id, names), status_code=303)
        more = _address(ref.contact_id, names, page.next_page_token) if page.next_page_token else ""
        timeline = {"entries": page.entries, "more": more, "contact": page.contact}
        if call.wants_part:
            return self._templates.page(call, "timeline_rows.html", timeline)
        _, summaries = await self._people.event_summary(call.workspace_id, ref)
        merged = await self._people.merges(call.workspace_id, ref, page_size=MERGES_ON_PROFILE, page_token="")
        context = timeline | {
            "choices": _choices(page.contact.contact_id, summaries, names),
            "names": names,
            "is_later_page": bool(token),
            "event_count": sum(summary.count for summary in summaries),
            "merges": merged.merges,
            "has_more_merges": bool(merged.next_page_token),
            "more_merges": "",
        }
        return self._templates.page(call, "profile.html", context)

    async def _merges(self, call: ConsoleCall) -> Response:
        """All merges of the person, newest first (R16)."""
        ref = _ref(call)
        try:
            contact = await self._people.contact(call.workspace_id, ref)
            page = await self._people.merges(
                call.workspace_id, ref, page_size=PAGE_ENTRIES, page_token=call.query.get("page", "")
            )
        except NotFound:
            raise NOBODY from None
        following = urlencode({"page": page.next_page_token})
        more = f"{CONSOLE_PATH}/people/{ref.contact_id}/merges?{following}" if page.next_page_token else ""
        template = "merges_rows.html" if call.wants_part else "merges.html"
        context = {"contact": contact, "merges": page.merges, "more_merges": more}
        return self._templates.page(call, template, context)


def _ref(call: ConsoleCall) -> ContactRef:
    """Ours are of letters and digits; nobody has another."""
    contact_id = call.request.path_params["contact_id"]
    if not (contact_id.isascii() and contact_id.isalnum()):
        raise NOBODY
    return ContactRef(contact_id=ContactId(contact_id))


def _names_chosen(call: ConsoleCall) -> list[str]:
    """Each once (R1), in the order chosen. What can be no name stays: nobody did anything of it."""
    asked = call.request.query_params.getlist("event")
    kept = {comparable_key(name) or name: name for name in asked if name.strip()}
    return list(kept.values())[:NAMES_CHOSEN_MAX]


def _choices(contact_id: ContactId, summaries: Sequence[EventSummary], names: Sequence[str]) -> list[Choice]:
    chosen = {comparable_key(name) for name in names}
    choices = []
    for summary in summaries:
        key = comparable_key(summary.name)
        others = [name for name in names if comparable_key(name) != key]
        is_chosen = key in chosen
        address = _address(contact_id, others if is_chosen else [*names, summary.name])
        choices.append(Choice(summary=summary, is_chosen=is_chosen, address=address))
    return choices


def _address(contact_id: str | None, names: Sequence[str], page_token: str = "") -> str:
    query = urlencode(
        [*(("event", name) for name in names), *([("page", page_token)] if page_token else [])],
        errors="replace",
    )
    return f"{CONSOLE_PATH}/people/{contact_id}" + (f"?{query}" if query else "")
