"""Rejected events that are kept whole: listed by reason, opened, and judged again (R13)."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import RedirectResponse, Response

from workevo_server.domain import limits
from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.identifiers import InstallId
from workevo_server.domain.naming import name_key
from workevo_server.domain.verdicts import Reason, Verdict
from workevo_server.ports.audit import Author
from workevo_server.ports.clock import Clock
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.ports.sessions import Role
from workevo_server.services.failed_events import FailedEvents, KeptEvent, ReplayPage
from workevo_server.transport.http.console import as_sent, meanings
from workevo_server.transport.http.console.delivery import well_formed
from workevo_server.transport.http.console.pages import CONSOLE_PATH, ConsoleCall, Page
from workevo_server.transport.http.console.rendering import Templates
from workevo_server.transport.http.console.wording import query

_PATH = f"{CONSOLE_PATH}/delivery/rejected"
PAGE = 50
REPLAY_AT_ONCE = 500  # What one click judges again; a call has to end, and uploads wait for each hundred.
_DIGITS_MAX = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The filter as it stands in the address, of the form that replays too: a field of HTML keeps neither NUL
    nor a line break as it is, and names have both (R1)."""

    reason: str
    install: str
    name: str

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "_Asked":
        return cls(
            reason=given.get("reason", "").strip(),
            install=given.get("install", "").strip(),
            name=given.get("name", "").strip(),
        )

    def filter(self) -> FailedFilter:
        """Raises RequestInvalid."""
        return FailedFilter(
            reason=_reason(self.reason) if self.reason else None,
            install_id=InstallId(_text("install", self.install, limits.ID_CODE_POINTS_MAX)) or None,
            name_key=name_key(_text("name", self.name, limits.NAME_CODE_POINTS_MAX)) or None,
        )

    def fields(self) -> dict[str, str]:
        return {"reason": self.reason, "install": self.install, "name": self.name}


class RejectedPages:
    def __init__(self, *, failed_events: FailedEvents, clock: Clock, templates: Templates) -> None:
        self._failed_events = failed_events
        self._clock = clock
        self._templates = templates

    def pages(self) -> list[Page]:
        return [
            Page(name="rejected", path="/delivery/rejected", needs=Role.VIEWER, answer=self._list),
            Page(
                name="rejected_event",
                path="/delivery/rejected/event",
                needs=Role.VIEWER,
                answer=self._opened,
            ),
            Page(
                name="replay",
                path="/delivery/rejected/replay",
                method="POST",
                needs=Role.SUPPORT,
                answer=self._replay,
            ),
        ]

    async def _list(self, call: ConsoleCall) -> Response:
        """The whole page, or for a script the next rows."""
        asked, token = _Asked.of(call.query), call.query.get("page", "")
        found = await self._failed_events.page(
            call.workspace_id, asked.filter(), page_size=PAGE, page_token=token
        )
        context = {"found": found, "asked": asked, "meanings": meanings}
        if call.wants_part:
            return self._templates.page(call, "rejected_rows.html", context)
        everything = await self._failed_events.page(
            call.workspace_id, FailedFilter(), page_size=1, page_token=""
        )
        context |= {"counts": everything.counts, "replayed": _replayed(call.query), "is_first": not token}
        return self._templates.page(call, "rejected.html", context)

    async def _opened(self, call: ConsoleCall) -> Response:
        kept, event = await self._failed_events.one(call.workspace_id, call.query.get("id", ""))
        context = {
            "kept": kept,
            "event": event,
            "raw": _raw_text(kept),
            "sent_at": as_sent.created_at_micros(
                event.created_at, received_at_micros=kept.record.place.received_at_micros
            ),
            "is_read": event.refusal is None,
            "as_sent": as_sent,
            "meanings": meanings,
        }
        return self._templates.page(call, "rejected_event.html", context)

    async def _replay(self, call: ConsoleCall) -> Response:
        """One by its id, or those of a filter, so many at once; the page it leads to says how it went."""
        author = Author(made_by=call.session.made_by, made_at_micros=self._clock.now_micros())
        failed_event_id, asked = call.form.get("id", ""), _Asked.of(call.query)
        if failed_event_id:
            done = await self._failed_events.replay_one(call.workspace_id, failed_event_id, author=author)
        elif not asked.reason:
            raise RequestInvalid(FieldViolation("reason", "Choose one event, or a reason to replay all of."))
        else:
            done = await self._failed_events.replay(
                call.workspace_id,
                asked.filter(),
                page_size=REPLAY_AT_ONCE,
                page_token=call.form.get("page", ""),
                author=author,
            )
        told = {**asked.fields(), **_counts(done), "next": done.next_page_token}
        return RedirectResponse(f"{_PATH}?{query(told)}", status_code=303)


def _counts(done: ReplayPage) -> dict[str, int]:
    verdicts = [verdict.verdict for _, verdict in done.verdicts]
    counts = {verdict.value.lower(): verdicts.count(verdict) for verdict in Verdict}
    return {"replayed": len(verdicts), **{word: count for word, count in counts.items() if count}}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Replayed:
    total: int
    by_verdict: Mapping[str, int]
    next_page_token: str


def _replayed(given: Mapping[str, str]) -> _Replayed | None:
    """What a replay has told in the address; None where it is not all numbers."""
    counts = {
        word: given.get(word, "0") for word in ("replayed", *(verdict.value.lower() for verdict in Verdict))
    }
    if "replayed" not in given or not all(
        text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX for text in counts.values()
    ):
        return None
    numbers = {word: int(text) for word, text in counts.items()}
    return _Replayed(
        total=numbers.pop("replayed"),
        by_verdict={word: number for word, number in numbers.items() if number},
        next_page_token=given.get("next", ""),
    )


def _text(field: str, text: str, code_points_max: int) -> str:
    """Raises RequestInvalid. Asked first: to normalise a name takes the square of its length."""
    if len(text) > code_points_max:
        raise RequestInvalid(FieldViolation(field, f"{field} has at most {code_points_max} code points."))
    return well_formed(field, text)


def _reason(text: str) -> Reason:
    if text not in Reason.__members__:
        raise RequestInvalid(FieldViolation("reason", "There is no such reason."))
    return Reason[text]


def _raw_text(kept: KeptEvent) -> str:
    """As it was sent: a back end's JSON as text, a device's protobuf in base64."""
    if kept.record.install_id is None:
        return kept.record.raw.decode(errors="replace")
    return base64.b64encode(kept.record.raw).decode()
