"""Refusals of a whole call onto the wire: one table over the tree of WorkevoError.

Every status carries exactly one ErrorInfo; RetryInfo when the caller should come
back, and BadRequest when the request as a whole is wrong.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.any_pb2 import Any as WireAny
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as WireStatus

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
from workevo_server.transport.grpc.limits import SENTENCE_CHARACTERS_MAX, VIOLATIONS_TOLD_MAX

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

ERROR_DOMAIN = "workevo.dev"
_DETAILS_KEY = "grpc-status-details-bin"
_PUSHBACK_KEY = "grpc-retry-pushback-ms"


@dataclass(frozen=True, slots=True)
class Answer:
    code: grpc.StatusCode
    reason: str
    """ErrorInfo.reason, by which a client tells refusals apart."""


ANSWERS: dict[type[WorkevoError], Answer] = {
    UnknownKey: Answer(grpc.StatusCode.UNAUTHENTICATED, "KEY_UNKNOWN"),
    KeyNotPermitted: Answer(grpc.StatusCode.PERMISSION_DENIED, "KEY_NOT_PERMITTED"),
    RequestInvalid: Answer(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID"),
    RequestMalformed: Answer(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED"),
    PageTokenInvalid: Answer(grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"),
    NotFound: Answer(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    MergeRefused: Answer(grpc.StatusCode.FAILED_PRECONDITION, "MERGE_REFUSED"),
    ContactSuppressed: Answer(grpc.StatusCode.FAILED_PRECONDITION, "CONTACT_SUPPRESSED"),
    CatalogueFull: Answer(grpc.StatusCode.FAILED_PRECONDITION, "CATALOGUE_FULL"),
    UploadTooLarge: Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, "UPLOAD_TOO_LARGE"),
    Overloaded: Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    StoreUnavailable: Answer(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"),
    DeadlinePassed: Answer(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_PASSED"),
    OriginNotAllowed: Answer(grpc.StatusCode.PERMISSION_DENIED, "ORIGIN_NOT_ALLOWED"),
    EncodingUnknown: Answer(grpc.StatusCode.UNIMPLEMENTED, "ENCODING_UNKNOWN"),
    Incident: Answer(grpc.StatusCode.INTERNAL, "INTERNAL"),
}


@dataclass(frozen=True, slots=True)
class RichStatus:
    """What `context.abort` takes."""

    code: grpc.StatusCode
    sentence: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def rich_status(error: WorkevoError) -> RichStatus:
    """Raises KeyError for a refusal that is not in the table; a test keeps it complete."""
    status = wire_status(error)
    retry_after: timedelta | None = getattr(error, "retry_after", None)
    metadata: list[tuple[str, str | bytes]] = [(_DETAILS_KEY, status.SerializeToString())]
    if retry_after is not None:
        metadata.append((_PUSHBACK_KEY, str(retry_after // timedelta(milliseconds=1))))
    return RichStatus(ANSWERS[type(error)].code, status.message, tuple(metadata))


def wire_status(error: WorkevoError) -> WireStatus:
    """The refusal with its typed details, for any protocol to wrap. Raises as `rich_status`."""
    answer = ANSWERS[type(error)]
    return WireStatus(
        code=answer.code.value[0],
        message=error.sentence[:SENTENCE_CHARACTERS_MAX],
        details=[_packed(detail) for detail in _details(error, answer)],
    )


async def abort(context: Context, error: WorkevoError) -> NoReturn:
    """End the call with this refusal; raises grpc.aio.AbortError, which is to be let through."""
    status = rich_status(error)
    await context.abort(status.code, status.sentence, status.trailing_metadata)


def _details(error: WorkevoError, answer: Answer) -> list[Message]:
    details: list[Message] = [ErrorInfo(reason=answer.reason, domain=ERROR_DOMAIN)]
    retry_after: timedelta | None = getattr(error, "retry_after", None)
    if retry_after is not None:
        retry_info = RetryInfo()
        retry_info.retry_delay.FromTimedelta(retry_after)
        details.append(retry_info)
    if isinstance(error, RequestInvalid):
        details.append(_bad_request(error))
    return details


def _bad_request(error: RequestInvalid) -> BadRequest:
    return BadRequest(
        field_violations=[
            BadRequest.FieldViolation(field=violation.field, description=violation.sentence)
            for violation in error.violations[:VIOLATIONS_TOLD_MAX]
        ]
    )


def _packed(detail: Message) -> WireAny:
    packed = WireAny()
    packed.Pack(detail)
    return packed
