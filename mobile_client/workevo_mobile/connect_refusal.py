"""Refusals of a whole call as the Connect protocol tells them, read as those of gRPC are."""

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from email.message import Message as Headers
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from workevo_mobile.codec import delay_from_wire
from workevo_mobile.errors import CallFailed

_CODES = {code.name.lower(): code for code in grpc.StatusCode if code is not grpc.StatusCode.OK} | {
    "canceled": grpc.StatusCode.CANCELLED
}
_BARE = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.UNIMPLEMENTED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,  # A proxy's own limit: half may pass.
    429: grpc.StatusCode.UNAVAILABLE,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.UNAVAILABLE,
}
"""For answers that something between us and the server made; for none of them is an event at fault."""
_RETRY_SECONDS_DIGITS_MAX = 6


def call_failed(status: int, headers: Headers, content: bytes) -> CallFailed:
    """What an answer other than 200 says."""
    refusal = _refusal(headers, content)
    code = _CODES.get(str(refusal.get("code")))
    if code is None:
        return CallFailed(
            _BARE.get(status, grpc.StatusCode.UNKNOWN), retry_delay=_told_delay(headers.get("retry-after"))
        )
    reason, delay = "", None
    for kind, value in _details(refusal):
        with suppress(DecodeError):
            if kind == ErrorInfo.DESCRIPTOR.full_name:
                reason = ErrorInfo.FromString(value).reason
            elif kind == RetryInfo.DESCRIPTOR.full_name:
                delay = delay_from_wire(RetryInfo.FromString(value).retry_delay)
    return CallFailed(code, reason=reason, retry_delay=delay)


def _refusal(headers: Headers, content: bytes) -> dict[str, Any]:
    if headers.get_content_type() != "application/json":
        return {}
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _details(refusal: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Those that can be read; what cannot says nothing."""
    details = refusal.get("details")
    for detail in details if isinstance(details, list) else ():
        with suppress(TypeError, KeyError, ValueError):
            yield detail["type"], b64decode(detail["value"] + "==")


def _told_delay(retry_after: str | None) -> timedelta | None:
    if retry_after and retry_after.isascii() and retry_after.isdigit():
        return timedelta(seconds=int(retry_after[:_RETRY_SECONDS_DIGITS_MAX]))
    return None
