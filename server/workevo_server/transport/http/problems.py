"""Refusals as Intercom's clients read them: `error.list`, from one table over the tree of WorkevoError."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from starlette.responses import Response

from workevo_server.domain.errors import (
    CatalogueFull,
    ContactSuppressed,
    KeyNotPermitted,
    MergeRefused,
    NotFound,
    Overloaded,
    PageTokenInvalid,
    RequestInvalid,
    RequestMalformed,
    StoreUnavailable,
    UnknownKey,
    UploadTooLarge,
    WorkevoError,
)
from workevo_server.transport.failures import DeadlinePassed, EncodingUnknown, Incident, OriginNotAllowed
from workevo_server.transport.http.refusals import HttpRefusal

ERRORS_TOLD_MAX = 20
Refused = WorkevoError | HttpRefusal


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    code: str
    """By which a client tells refusals apart; Intercom's where it has one."""
    sentence: str = ""
    """Where the domain's own speaks of another door."""
    field: str | None = None


ANSWERS: dict[type[WorkevoError], Answer] = {
    UnknownKey: Answer(
        401,
        "unauthorized",
        "Access Token Invalid: send one key of this workspace, as 'Authorization: Bearer <key>' or as the "
        "user name of Basic authentication.",
        "Authorization",
    ),
    KeyNotPermitted: Answer(403, "forbidden", "This kind of key may not do this.", "Authorization"),
    RequestInvalid: Answer(400, "parameter_invalid"),
    RequestMalformed: Answer(400, "bad_request", "The body cannot be read as what it should be.", "body"),
    PageTokenInvalid: Answer(
        400, "parameter_invalid", "This page was not given out for this list. Start again without it.", "page"
    ),
    NotFound: Answer(404, "not_found"),
    MergeRefused: Answer(409, "conflict"),
    ContactSuppressed: Answer(409, "conflict"),
    CatalogueFull: Answer(422, "unprocessable_entity"),
    UploadTooLarge: Answer(413, "content_too_large", field="body"),
    Overloaded: Answer(503, "service_unavailable"),
    StoreUnavailable: Answer(503, "service_unavailable"),
    DeadlinePassed: Answer(408, "request_timeout"),
    OriginNotAllowed: Answer(403, "forbidden", field="Origin"),
    EncodingUnknown: Answer(415, "media_type_not_acceptable", field="Content-Encoding"),
    Incident: Answer(500, "server_error"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    code: str
    message: str
    field: str | None = None


def problem_response(refused: Refused, request_id: str) -> Response:
    """Raises KeyError for a refusal that is not in the table; a test keeps it complete."""
    if isinstance(refused, HttpRefusal):
        problem = Problem(refused.code, refused.sentence, refused.field)
        return error_list(refused.status, [problem], request_id, refused.headers)
    answer = ANSWERS[type(refused)]
    retry_after: timedelta | None = getattr(refused, "retry_after", None)
    headers = {"Retry-After": str(ceil(retry_after.total_seconds()))} if retry_after is not None else {}
    if answer.status == 401:  # RFC 9110 demands it; Basic would have a browser ask for a password.
        headers["WWW-Authenticate"] = "Bearer"
    return error_list(answer.status, _problems(refused, answer), request_id, headers)


def code_of(refused: Refused) -> str:
    """By which refusals are counted in the log."""
    return refused.code if isinstance(refused, HttpRefusal) else ANSWERS[type(refused)].code


def error_list(
    status: int, problems: Iterable[Problem], request_id: str, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        error_list_body(problems, request_id),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


def error_list_body(problems: Iterable[Problem], request_id: str) -> bytes:
    document = {
        "type": "error.list",
        "request_id": request_id,
        "errors": [
            {"code": problem.code, "message": problem.message, "field": problem.field} for problem in problems
        ],
    }
    return json.dumps(document).encode()


def _problems(refused: WorkevoError, answer: Answer) -> list[Problem]:
    if isinstance(refused, RequestInvalid):
        return [
            Problem(answer.code, violation.sentence, violation.field)
            for violation in refused.violations[:ERRORS_TOLD_MAX]
        ]
    return [Problem(answer.code, answer.sentence or refused.sentence, answer.field)]
