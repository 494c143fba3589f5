"""Refusals as the Connect protocol tells them, from the one table that gRPC uses too.

https://connectrpc.com/docs/protocol/#error-end-stream
"""

import base64
import json
import math
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as WireAny
from starlette.responses import Response

from workevo_server.domain.errors import WorkevoError
from workevo_server.transport.grpc.status import ANSWERS, wire_status

HTTP_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
"""As the protocol has them; a test holds every code of our table to be here."""


def refusal_response(error: WorkevoError) -> Response:
    """Code, sentence and details as JSON, however the request was encoded; Retry-After in whole seconds."""
    code = ANSWERS[type(error)].code
    retry_after: timedelta | None = getattr(error, "retry_after", None)
    return Response(
        json.dumps(_error(code, error)),
        status_code=HTTP_STATUSES[code],
        media_type="application/json",
        headers={} if retry_after is None else {"retry-after": str(math.ceil(retry_after.total_seconds()))},
    )


def _error(code: grpc.StatusCode, error: WorkevoError) -> dict[str, Any]:
    status = wire_status(error)
    return {
        "code": code.name.lower(),
        "message": status.message,
        "details": [_detail(detail) for detail in status.details],
    }


def _detail(detail: WireAny) -> dict[str, str]:
    """The type without its host, the bytes without padding."""
    value = base64.b64encode(detail.value).rstrip(b"=").decode()
    return {"type": detail.type_url.rpartition("/")[2], "value": value}
