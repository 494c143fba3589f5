"""Live: events as they are answered, for who integrates an SDK and wants to see each verdict at once."""

from dataclasses import dataclass

from starlette.responses import Response

from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.identifiers import ContactId, WorkspaceId
from workevo_server.domain.naming import is_well_formed
from workevo_server.domain.verdicts import Verdict
from workevo_server.ports.people import ContactFinder, ContactRef
from workevo_server.ports.sessions import Role
from workevo_server.services.live import LiveFeeds, LiveFilter
from workevo_server.transport.http.console import as_sent
from workevo_server.transport.http.console.pages import ConsoleCall, Page
from workevo_server.transport.http.console.rendering import Templates

_NUMBER_DIGITS_MAX = 17
OVERLAP_MICROS = 2_000_000  # What another process answered is told here a little later.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The filter as it stands in the address."""

    contact: str
    install: str
    verdict: str


class LivePages:
    def __init__(self, *, live: LiveFeeds, finder: ContactFinder, templates: Templates) -> None:
        self._live = live
        self._finder = finder
        self._templates = templates

    def pages(self) -> list[Page]:
        return [
            Page(name="live", path="/live", needs=Role.VIEWER, answer=self._page),
            Page(name="live_rows", path="/live/rows", needs=Role.VIEWER, answer=self._rows),
        ]

    async def _page(self, call: ConsoleCall) -> Response:
        """All that is kept; from now on the workspace is watched."""
        return await self._answer(call, "live.html", after=0, began=0)

    async def _rows(self, call: ConsoleCall) -> Response:
        """What came since the number that the page was given last."""
        after, began = (_number(name, call.query.get(name, "0")) for name in ("after", "began"))
        return await self._answer(call, "live_rows.html", after=after, began=began)

    async def _answer(self, call: ConsoleCall, template: str, *, after: int, began: int) -> Response:
        asked = _Asked(
            contact=call.query.get("contact", "").strip(),
            install=call.query.get("install", "").strip(),
            verdict=call.query.get("verdict", "").strip(),
        )
        narrowed = LiveFilter(
            contact_ids=await self._ids_of(call.workspace_id, asked.contact) if asked.contact else None,
            install_id=asked.install,
            verdict=_verdict(asked.verdict),
        )
        stretch = self._live.since(call.workspace_id, after, narrowed, began=began)
        context = {
            "stretch": stretch,
            "asked": asked,
            "verdicts": list(Verdict),
            "as_sent": as_sent,
            "overlap": OVERLAP_MICROS if self._live.has_others else 0,
        }
        return self._templates.page(call, template, context)

    async def _ids_of(self, workspace_id: WorkspaceId, text: str) -> frozenset[str]:
        """All by which events may name the person, and the text itself: nobody may have that id yet."""
        ids = {text}
        if is_well_formed(text):
            for ref in (
                ContactRef(user_id=text),
                ContactRef(visitor_id=text),
                ContactRef(email=text.lower()),
                ContactRef(contact_id=ContactId(text)),
            ):
                contact = await self._finder.contact(workspace_id, ref)
                if contact is not None:
                    ids |= {contact.user_id, *contact.visitor_ids}
        return frozenset(ids - {""})


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS_MAX):
        raise RequestInvalid(FieldViolation(name, f"Give {name} as the page was given it last."))
    return int(text)


def _verdict(text: str) -> Verdict | None:
    if text and text not in Verdict.__members__:
        names = ", ".join(verdict.value for verdict in Verdict)
        raise RequestInvalid(FieldViolation("verdict", f"A verdict is one of {names}."))
    return Verdict[text] if text else None
