"""Delivery: what became of every generated event (R14), for the workspace, for one install and its queues."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from starlette.responses import Response

from workevo_server.domain.errors import FieldViolation, NotFound, RequestInvalid
from workevo_server.domain.identifiers import InstallId
from workevo_server.domain.ledger import Balance, Ledger, Range
from workevo_server.domain.naming import is_well_formed
from workevo_server.ports.delivery import InstallRecord
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.ports.sessions import Role
from workevo_server.services.delivery import Delivery, InstallList
from workevo_server.services.failed_events import FailedEvents
from workevo_server.transport.http.console import meanings, strips
from workevo_server.transport.http.console.pages import ConsoleCall, Page
from workevo_server.transport.http.console.rendering import Templates

INSTALLS_PAGE = 50
RANGES_PAGE = 100
QUEUES_PAGE = 10  # Each a card with its strip; a phone has one or two, and anybody can make any number.
_DIGITS_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """One epoch of an install as its card shows it."""

    epoch: str
    """In hexadecimal."""
    is_newest: bool
    ledger: Ledger
    balance: Balance
    strip: strips.Strip
    ranges: list[Range]
    next_first: int
    """The sequence at which the ranges that are not shown begin; 0 when all are."""


class DeliveryPages:
    def __init__(self, *, delivery: Delivery, failed_events: FailedEvents, templates: Templates) -> None:
        self._delivery = delivery
        self._failed_events = failed_events
        self._templates = templates

    def pages(self) -> list[Page]:
        return [
            Page(name="delivery", path="/delivery", needs=Role.VIEWER, answer=self._overview),
            Page(name="install", path="/delivery/install", needs=Role.VIEWER, answer=self._install),
        ]

    async def _overview(self, call: ConsoleCall) -> Response:
        """The whole page, or for a script the next installs."""
        wanted, token = call.query.get("install", "").strip(), call.query.get("page", "")
        found = await self._installs(call, wanted, token)
        context = {"found": found, "wanted": wanted, "strips": strips, "is_first": not token}
        if call.wants_part:
            return self._templates.page(call, "delivery_rows.html", context)
        failed = await self._failed_events.page(call.workspace_id, FailedFilter(), page_size=1, page_token="")
        context |= {
            "balance": await self._delivery.balance(call.workspace_id),
            "failed": failed,
            "meanings": meanings,
        }
        return self._templates.page(call, "delivery.html", context)

    async def _installs(self, call: ConsoleCall, wanted: str, token: str) -> InstallList:
        if not wanted:
            return await self._delivery.troubled_installs(
                call.workspace_id, page_size=INSTALLS_PAGE, page_token=token
            )
        return await self._delivery.find_installs(
            call.workspace_id, well_formed("install", wanted), page_size=INSTALLS_PAGE, page_token=token
        )

    async def _install(self, call: ConsoleCall) -> Response:
        """Some queues of an install, the newest first, or one alone; for a script its next ranges."""
        install_id = InstallId(well_formed("id", call.query.get("id", "")))
        epoch, first = call.query.get("epoch", ""), number_of("from", call.query.get("from", "1"))
        context = {"meanings": meanings, "strips": strips, "alone": False, "older": ""}
        if epoch:
            record = await self._delivery.queue(call.workspace_id, install_id, _epoch(epoch))
            if record.ledgers:
                return self._one_queue(call, record, first, {**context, "alone": True})
            if call.wants_part:
                raise NotFound("queue", within="install")
        page = await self._delivery.ledger(
            call.workspace_id, install_id, queues_max=QUEUES_PAGE, page_token=call.query.get("page", "")
        )
        context |= {"record": page.install, "balance": page.install.balance(), "older": page.next_page_token}
        context |= {"queues": _queues(page.install), "is_first": not call.query.get("page")}
        return self._templates.page(call, "delivery_install.html", context)

    def _one_queue(
        self, call: ConsoleCall, record: InstallRecord, first: int, context: Mapping[str, Any]
    ) -> Response:
        queues = _queues(record, first)
        told = {**context, "record": record, "balance": record.balance(), "queues": queues, "is_first": False}
        if call.wants_part:
            return self._templates.page(call, "delivery_ranges.html", {**told, "queue": queues[0]})
        return self._templates.page(call, "delivery_install.html", told)


def _queues(record: InstallRecord, first: int = 1) -> list[Queue]:
    """Newest first."""
    return [_queue(record, epoch, ledger, first) for epoch, ledger in reversed(record.ledgers)]


def _queue(record: InstallRecord, epoch: bytes, ledger: Ledger, first: int) -> Queue:
    ranges = list(islice((each for each in ledger.ranges() if each[1] >= first), RANGES_PAGE + 1))
    return Queue(
        epoch=epoch.hex(),
        is_newest=epoch == record.install.epoch,
        ledger=ledger,
        balance=record.balance_of(epoch, ledger),
        strip=strips.strip(ledger),
        ranges=ranges[:RANGES_PAGE],
        next_first=ranges[RANGES_PAGE][0] if len(ranges) > RANGES_PAGE else 0,
    )


def _epoch(text: str) -> bytes:
    """What is no hexadecimal text is no queue's."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def well_formed(field: str, text: str) -> str:
    """Raises RequestInvalid for what no store holds: half of a surrogate pair."""
    if not is_well_formed(text):
        raise RequestInvalid(FieldViolation(field, f"{field} is no text that an id can be."))
    return text


def number_of(field: str, text: str) -> int:
    """A sequence's number from an address. Raises RequestInvalid."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise RequestInvalid(FieldViolation(field, f"Give {field} as a whole number."))
    return int(text)
