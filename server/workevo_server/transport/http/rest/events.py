"""Events over REST: sent one by one or together, listed, and counted by name (R20, R21, R29)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from msgspec import UNSET
from starlette.responses import Response

from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.events import ClockReading, ReceivedEvent, Upload
from workevo_server.domain.identifiers import ContactId
from workevo_server.domain.limits import EVENT_BYTES_MAX
from workevo_server.domain.naming import is_well_formed
from workevo_server.domain.verdicts import EventVerdict, Verdict
from workevo_server.ports.fault_point import FaultPoint
from workevo_server.ports.people import Contact, ContactRef, StoredEvent
from workevo_server.services.ingest import Ingest
from workevo_server.services.people import People
from workevo_server.transport.activity_ids import activity_id
from workevo_server.transport.http.guard import HttpCall
from workevo_server.transport.http.rest import shapes
from workevo_server.transport.http.rest.batches import NDJSON_TYPES, batch_of
from workevo_server.transport.http.rest.event_codec import event_from_json
from workevo_server.transport.http.rest.json_reader import JsonInvalid, JsonObject, read_json
from workevo_server.transport.http.rest.metadata_json import metadata_to_json
from workevo_server.transport.http.rest.operations import Operation, json_answer
from workevo_server.transport.http.rest.requests import (
    JSON_TYPES,
    body_malformed,
    query_of,
    refuse_other_types,
)
from workevo_server.transport.http.rest.times import MICROS_A_MILLI, iso_of, seconds_of
from workevo_server.transport.http.rest.verdict_answers import (
    IDENTITY_HEADER,
    VERDICT_HEADER,
    WARNINGS_HEADER,
    event_answer,
    event_result,
)
from workevo_server.transport.receipt import Receipt

TURN_BYTES = 64 * 1024  # Read before other calls get their turn.
_TAG = "Events"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsApi:
    ingest: Ingest
    people: People
    receipt: Receipt
    faults: FaultPoint

    def operations(self) -> list[Operation]:
        return [
            Operation(
                operation_id="createEvent",
                method="POST",
                path="/events",
                summary="Tell an event. New, duplicate and archived are answered alike; a header says which.",
                tag=_TAG,
                answer=self._create,
                body=shapes.NewEvent,
                status=202,
                refusals=(404, 422),
                answer_headers=(VERDICT_HEADER, IDENTITY_HEADER, WARNINGS_HEADER),
            ),
            Operation(
                operation_id="createEvents",
                method="POST",
                path="/events/batch",
                summary="Tell up to 500 events; each has a verdict of its own.",
                tag=_TAG,
                answer=self._create_batch,
                body=shapes.EventBatch,
                body_types=("application/json", *sorted(NDJSON_TYPES)),
                result=shapes.BatchAnswer,
            ),
            Operation(
                operation_id="listEvents",
                method="GET",
                path="/events",
                summary="A contact's events, newest first, or with summary=true their counts by name.",
                tag=_TAG,
                answer=self._list,
                query=shapes.EventQuery,
                result=(shapes.EventList, shapes.EventSummary),
                refusals=(404,),
            ),
        ]

    async def _create(self, call: HttpCall) -> Response:
        refuse_other_types(call, JSON_TYPES)
        if len(call.body) <= EVENT_BYTES_MAX:
            _refuse_what_is_no_object(call.body)
        (verdict,) = await self._upload(call, [call.body])
        return event_answer(verdict)

    async def _create_batch(self, call: HttpCall) -> Response:
        verdicts = await self._upload(call, batch_of(call))
        return json_answer(
            shapes.BatchAnswer(
                accepted_count=sum(1 for verdict in verdicts if verdict.verdict is Verdict.ACCEPTED),
                results=[event_result(verdict) for verdict in verdicts],
            )
        )

    async def _upload(self, call: HttpCall, raws: Sequence[bytes]) -> Sequence[EventVerdict]:
        upload = Upload(
            workspace_id=call.principal.workspace_id,
            upload_id=call.request_id,
            install=None,
            received_at_micros=self.receipt(call.headers),
            send_clock=ClockReading(),
            events=await _events(raws),
        )
        verdicts = (await self.ingest.upload(upload)).verdicts
        self.faults("before_answer")
        return verdicts

    async def _list(self, call: HttpCall) -> Response:
        query = query_of(call, shapes.EventQuery)
        ref = _contact_ref(query)
        if query.summary is True:
            return await self._summary(call, ref)
        page = await self.people.events(
            call.principal.workspace_id,
            ref,
            page_size=0 if query.per_page is UNSET else query.per_page,
            page_token=query.cursor or "",
            before_micros=None if query.before is UNSET else query.before * MICROS_A_MILLI,
            since_micros=None if query.since is UNSET else query.since * MICROS_A_MILLI,
        )
        events = [_event(event, page.contact, call) for event in page.events]
        return json_answer(
            shapes.EventList(events=events, pages=_pages(call, query, page.events, page.next_page_token))
        )

    async def _summary(self, call: HttpCall, ref: ContactRef) -> Response:
        contact, summaries = await self.people.event_summary(call.principal.workspace_id, ref)
        return json_answer(
            shapes.EventSummary(
                events=[
                    shapes.SummarizedEvent(
                        name=summary.name,
                        first=iso_of(summary.first_occurred_at_micros),
                        last=iso_of(summary.last_occurred_at_micros),
                        count=summary.count,
                        description=summary.description or None,
                    )
                    for summary in summaries
                ],
                user_id=contact.user_id or None,
                email=contact.email or None,
                intercom_user_id=contact.contact_id,
            )
        )


async def _events(raws: Sequence[bytes]) -> tuple[ReceivedEvent, ...]:
    events: list[ReceivedEvent] = []
    bytes_read = 0
    for index, raw in enumerate(raws):
        events.append(event_from_json(index, raw))
        bytes_read += len(raw)
        if bytes_read >= TURN_BYTES:
            bytes_read = 0
            await asyncio.sleep(0)
    return tuple(events)


def _refuse_what_is_no_object(body: bytes) -> None:
    """Of it no event can be told, so that there is nothing to keep."""
    try:
        told = read_json(body)
    except JsonInvalid as error:
        raise body_malformed(error) from None
    if not isinstance(told, JsonObject):
        raise RequestInvalid(FieldViolation("body", "An event is a JSON object."))


def _contact_ref(query: shapes.EventQuery) -> ContactRef:
    ids = {"user_id": query.user_id, "intercom_user_id": query.intercom_user_id, "email": query.email}
    given = {name: value for name, value in ids.items() if value is not UNSET}
    if len(given) != 1 or not is_well_formed(str(*given.values())):
        raise RequestInvalid(
            FieldViolation("user_id", "Name one contact, by user_id, intercom_user_id or email.")
        )
    return ContactRef(
        user_id=query.user_id or None,
        contact_id=ContactId(query.intercom_user_id) if query.intercom_user_id else None,
        email=query.email.strip().lower() if query.email else None,
    )


def _event(event: StoredEvent, contact: Contact, call: HttpCall) -> shapes.Event:
    return shapes.Event(
        id=activity_id(event.receipt_no, call.principal.workspace_id),
        created_at=seconds_of(event.created_at_micros),
        event_name=event.name,
        user_id=contact.user_id or None,
        email=contact.email or None,
        intercom_user_id=contact.contact_id,
        metadata=metadata_to_json(event.metadata),
    )


def _pages(
    call: HttpCall, query: shapes.EventQuery, events: Sequence[StoredEvent], cursor: str
) -> shapes.EventPages:
    """Absolute, on the host that was asked. `before` alone would lose what shares its millisecond with the
    page's last, so the cursor says the place exactly."""
    asked = ("user_id", "intercom_user_id", "email", "per_page")
    given = {name: getattr(query, name) for name in asked}
    kept = {"type": "user"} | {name: str(value) for name, value in given.items() if value is not UNSET}
    since = {} if query.since is UNSET else {"since": str(query.since)}

    def link(**more: str) -> str:
        return str(call.request.url.replace(query=urlencode({**kept, **more})))

    newer_than = events[0].occurred_at_micros // MICROS_A_MILLI + 1 if events and not query.cursor else None
    before = str(events[-1].occurred_at_micros // MICROS_A_MILLI) if events else ""
    return shapes.EventPages(
        next=link(before=before, cursor=cursor, **since) if cursor else None,
        since=link(since=str(newer_than)) if newer_than is not None else None,
    )
