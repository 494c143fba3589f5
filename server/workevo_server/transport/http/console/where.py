"""Where is my event? One answer with its evidence, by who did it and when, or by install and sequence."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.responses import Response

from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.identifiers import ContactId, InstallId, WorkspaceId
from workevo_server.domain.limits import CREATED_AT_SECONDS_MAX
from workevo_server.domain.whereabouts import FindingKind
from workevo_server.ports.people import ContactFinder, ContactRef
from workevo_server.ports.sessions import Role
from workevo_server.services.whereabouts import Finding, Whereabouts
from workevo_server.transport.http.console import meanings
from workevo_server.transport.http.console.delivery import number_of, well_formed
from workevo_server.transport.http.console.pages import ConsoleCall, Page
from workevo_server.transport.http.console.rendering import Templates

WINDOWS = {"5": "5 minutes", "60": "an hour", "1440": "a day", "10080": "a week"}
"""How far around the time is looked, in minutes."""
_WINDOW = "60"
_ZONE_MINUTES_MAX = 26 * 60
_ZONE_DIGITS_MAX = 4
_MICROS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMATS = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The two forms as they stand in the address."""

    person: str
    name: str
    at: str
    zone: str
    window: str
    install: str
    sequence: str
    epoch: str


class WherePages:
    def __init__(self, *, whereabouts: Whereabouts, finder: ContactFinder, templates: Templates) -> None:
        self._whereabouts = whereabouts
        self._finder = finder
        self._templates = templates

    def pages(self) -> list[Page]:
        return [Page(name="where", path="/where", needs=Role.VIEWER, answer=self._page)]

    async def _page(self, call: ConsoleCall) -> Response:
        """The forms, and under them the answer to what was asked with one."""
        given = {name: call.query.get(name, "").strip() for name in _Asked.__slots__}
        asked = _Asked(**{**given, "window": given["window"] or _WINDOW})
        findings, wrong, status = None, "", 200
        try:
            findings = await self._found(call.workspace_id, asked)
        except RequestInvalid as error:
            wrong, status = error.sentence, 422
        context = {
            "asked": asked,
            "findings": findings,
            "first": findings[0] if findings else None,
            "wrong": wrong,
            "asked_at": micros_of(asked.at, asked.zone) if findings and not asked.install else None,
            "windows": WINDOWS,
            "meanings": meanings,
            "Kind": FindingKind,
        }
        return self._templates.page(call, "where.html", context, status=status)

    async def _found(self, workspace_id: WorkspaceId, asked: _Asked) -> list[Finding] | None:
        """None when nothing was asked. Raises RequestInvalid."""
        if asked.install or asked.sequence:
            if not (asked.install and asked.sequence):
                raise _invalid("install", "Give both the install id and the sequence.")
            install_id = InstallId(well_formed("install", asked.install))
            sequence = number_of("sequence", asked.sequence.replace(",", ""))
            found = await self._whereabouts.by_sequence(workspace_id, install_id, sequence, epoch=asked.epoch)
            return list(found)
        if asked.person or asked.name or asked.at:
            if not (asked.person and asked.name and asked.at):
                raise _invalid("person", "Give who did it, the event's name, and about when.")
            return await self._by_person(workspace_id, asked)
        return None

    async def _by_person(self, workspace_id: WorkspaceId, asked: _Asked) -> list[Finding]:
        at_micros = micros_of(asked.at, asked.zone)
        if asked.window not in WINDOWS:
            raise _invalid("window", f"Around the time is looked {', '.join(WINDOWS.values())}.")
        window = timedelta(minutes=int(asked.window))
        text = well_formed("person", asked.person)
        found: list[Finding] = []
        for ref in await self._refs(workspace_id, text):
            found = list(
                await self._whereabouts.by_person(
                    workspace_id, ref, well_formed("name", asked.name), at_micros, window=window
                )
            )
            if any(each.kind is not FindingKind.NEVER_SEEN for each in found):
                break
        return found

    async def _refs(self, workspace_id: WorkspaceId, text: str) -> list[ContactRef]:
        """By which id the text names somebody; of one who was deleted two of them are remembered."""
        refs = [
            ContactRef(user_id=text),
            ContactRef(visitor_id=text),
            ContactRef(email=text.lower()),
            ContactRef(contact_id=ContactId(text)),
        ]
        known = [ref for ref in refs if await self._finder.contact(workspace_id, ref) is not None]
        return known or refs[:2]


def micros_of(at: str, zone: str) -> int:
    """A time as a form gives it. `zone` is what is to be added for UTC, in minutes, as browsers tell it;
    empty for a time in UTC. Raises RequestInvalid."""
    shift = _minutes_of(zone) if zone else 0
    for form in _FORMATS:
        try:
            read = datetime.strptime(at, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        micros = (read - _EPOCH) // timedelta(microseconds=1) + shift * 60 * _MICROS
        if 0 <= micros <= CREATED_AT_SECONDS_MAX * _MICROS:
            return micros
    raise _invalid("at", "A time is written as 2026-11-26 14:30, between the years 1970 and 9999.")


def _minutes_of(zone: str) -> int:
    """Few digits, as Python reads no number of thousands. Raises RequestInvalid."""
    digits = zone.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _ZONE_DIGITS_MAX):
        raise _invalid("zone", "Give zone as a number of minutes.")
    minutes = int(zone)
    if abs(minutes) > _ZONE_MINUTES_MAX:
        raise _invalid("zone", "No time zone is so far from UTC.")
    return minutes


def _invalid(field: str, sentence: str) -> RequestInvalid:
    return RequestInvalid(FieldViolation(field, sentence))
