"""What a verdict looks like over REST: one event's as a status, a batch's as results."""

from starlette.responses import Response

from workevo_server.domain.verdicts import EventVerdict, Reason, Refusal, Verdict
from workevo_server.transport.http.refusals import HttpRefusal
from workevo_server.transport.http.rest import shapes

VERDICT_HEADER = "Workevo-Verdict"
IDENTITY_HEADER = "Workevo-Identity"
WARNINGS_HEADER = "Workevo-Warnings"

_FIELDS = {"name": "event_name", "contact": "user_id"}
"""The domain's words where REST has others."""
_REFUSALS = {
    Reason.EVENT_MALFORMED: (400, "parameter_invalid"),
    Reason.CONTACT_UNKNOWN: (404, "not_found"),
}
"""Every other reason is 422 (R29)."""


def event_answer(verdict: EventVerdict) -> Response:
    """202 and nothing more for what needs no more (R29). Raises HttpRefusal for a REJECTED one."""
    if verdict.verdict is Verdict.REJECTED and verdict.refusal is not None:
        raise http_refusal(verdict.refusal, field_of(verdict.refusal))
    headers = {VERDICT_HEADER: verdict.verdict.value}
    if verdict.identity is not None:
        headers[IDENTITY_HEADER] = verdict.identity.value
    if verdict.warnings:
        headers[WARNINGS_HEADER] = ", ".join(warning.code.value for warning in verdict.warnings)
    return Response(status_code=202, headers=headers)


def http_refusal(refusal: Refusal, field: str) -> HttpRefusal:
    status, code = _REFUSALS.get(refusal.reason, (422, "unprocessable_entity"))
    headers = {VERDICT_HEADER: Verdict.REJECTED.value, "Workevo-Reason": refusal.reason.value}
    return HttpRefusal(status, code, refusal.message, field=field, headers=headers)


def field_of(refusal: Refusal) -> str:
    """The member or metadata key at fault; what holds it where it has no name."""
    if refusal.reason in {Reason.METADATA_KEY_INVALID, Reason.METADATA_VALUE_INVALID}:
        return refusal.field or "metadata"
    return _FIELDS.get(refusal.field, refusal.field) or "body"


def event_result(verdict: EventVerdict) -> shapes.EventResult:
    refusal = verdict.refusal
    return shapes.EventResult(
        index=verdict.index,
        verdict=verdict.verdict.value,
        reason=refusal.reason.value if refusal is not None else None,
        field=field_of(refusal) if refusal is not None else None,
        message=refusal.message if refusal is not None else None,
        retriable=verdict.verdict is Verdict.RETRY,
        identity=verdict.identity.value if verdict.identity is not None else None,
        warnings=[
            shapes.EventWarning(code=warning.code.value, fields=list(warning.fields))
            for warning in verdict.warnings
        ],
    )
