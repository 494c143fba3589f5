"""Bytes into a message of the contract, or a typed refusal; never the library's own exception."""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from workevo_server.domain.errors import FieldViolation, RequestInvalid, RequestMalformed
from workevo_server.transport.grpc.limits import REQUEST_BYTES_MAX

_MessageT = TypeVar("_MessageT", bound=Message)


def parse_request(message_type: type[_MessageT], body: bytes) -> _MessageT:
    """As `parse`; raises RequestInvalid for a body too large for anything but an upload."""
    refuse_too_large(body)
    return parse(message_type, body)


def refuse_too_large(body: bytes) -> None:
    """Raises RequestInvalid for what nothing but an upload needs."""
    if len(body) > REQUEST_BYTES_MAX:
        raise RequestInvalid(
            FieldViolation("", f"A request of this method has at most {REQUEST_BYTES_MAX} bytes.")
        )


def parse(message_type: type[_MessageT], body: bytes) -> _MessageT:
    """Raises RequestMalformed: broken bytes, bad UTF-8, nesting beyond the library's hundred levels."""
    try:
        return message_type.FromString(body)
    except DecodeError:
        raise RequestMalformed from None
