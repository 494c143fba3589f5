"""Counts that back ends tell over REST (R29): Intercom's event summaries, one or several of a contact."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.events import JsonTime
from workevo_server.domain.limits import UPLOAD_EVENTS_MAX
from workevo_server.domain.told_counts import CountsAnswer, CountsCall, ToldCount
from workevo_server.ports.fault_point import FaultPoint
from workevo_server.services.ingest import Ingest
from workevo_server.transport.http.guard import HttpCall
from workevo_server.transport.http.rest import shapes
from workevo_server.transport.http.rest.event_codec import Misshapen, contact_of, members_of, text_of
from workevo_server.transport.http.rest.json_reader import JsonInvalid, read_json
from workevo_server.transport.http.rest.operations import Operation
from workevo_server.transport.http.rest.requests import body_malformed, refuse_what_is_no_small_json
from workevo_server.transport.http.rest.verdict_answers import VERDICT_HEADER, field_of, http_refusal
from workevo_server.transport.receipt import Receipt

_MEMBER = "event_summaries"
_ONCE = frozenset({_MEMBER, "user_id", "id", "email"})
_ONCE_OF_COUNT = frozenset({"event_name", "count", "first", "last"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SummariesApi:
    ingest: Ingest
    receipt: Receipt
    faults: FaultPoint

    def operations(self) -> list[Operation]:
        return [
            Operation(
                operation_id="createEventSummaries",
                method="POST",
                path="/events/summaries",
                summary="Tell how often a contact did something; it is set, not added.",
                tag="Events",
                answer=self._tell,
                body=shapes.ToldCounts,
                status=202,
                refusals=(404, 422),
                answer_headers=(VERDICT_HEADER,),
            )
        ]

    async def _tell(self, call: HttpCall) -> Response:
        refuse_what_is_no_small_json(call)
        told, in_list = _call(call, self.receipt(call.headers))
        answer = await self.ingest.tell_counts(told)
        self.faults("before_answer")
        if answer.refusal is not None:
            raise http_refusal(answer.refusal, _field(answer, in_list=in_list))
        return Response(status_code=202, headers={VERDICT_HEADER: answer.verdict.value})


def _call(call: HttpCall, received_at_micros: int) -> tuple[CountsCall, bool]:
    """The call, and whether its counts stand in a list. Raises what a bad body is answered with."""
    try:
        members = members_of(read_json(call.body), _ONCE, "The body is a JSON object.")
        contact = contact_of(members)
    except JsonInvalid as error:
        raise body_malformed(error) from None
    except Misshapen as error:
        raise _invalid("", error) from None
    told = members.get(_MEMBER)
    in_list = isinstance(told, list)
    counts = _counts(told if isinstance(told, list) else [told], in_list=in_list)
    return (
        CountsCall(
            workspace_id=call.principal.workspace_id,
            contact=contact,
            counts=counts,
            received_at_micros=received_at_micros,
        ),
        in_list,
    )


def _counts(told: Sequence[object], *, in_list: bool) -> tuple[ToldCount, ...]:
    if not 1 <= len(told) <= UPLOAD_EVENTS_MAX:
        raise RequestInvalid(FieldViolation(_MEMBER, f"{_MEMBER} has 1 to {UPLOAD_EVENTS_MAX}."))
    counts = []
    for index, each in enumerate(told):
        try:
            counts.append(_count(each))
        except Misshapen as error:
            raise _invalid(_place(index, in_list=in_list), error) from None
    return tuple(counts)


def _count(told: object) -> ToldCount:
    sentence = f"{_MEMBER} has event_name, count, first and last, in an object or in a list of objects."
    members = members_of(told, _ONCE_OF_COUNT, sentence)
    return ToldCount(
        name=text_of(members, "event_name") or "",
        count=members.get("count"),
        first=JsonTime(members.get("first")),
        last=JsonTime(members.get("last")),
    )


def _invalid(place: str, error: Misshapen) -> RequestInvalid:
    path = ".".join(filter(None, (place, error.refusal.field)))
    return RequestInvalid(FieldViolation(path or "body", error.refusal.message))


def _place(index: int, *, in_list: bool) -> str:
    return f"{_MEMBER}[{index}]" if in_list else _MEMBER


def _field(answer: CountsAnswer, *, in_list: bool) -> str:
    assert answer.refusal is not None
    field = field_of(answer.refusal)
    return field if answer.index is None else f"{_place(answer.index, in_list=in_list)}.{field}"
