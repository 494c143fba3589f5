"""The JSON encoding of the contract: requests become the bytes that gRPC brings, answers come back as JSON.

The mapping is protobuf's own (https://protobuf.dev/programming-guides/json/), with
fields that this release does not know ignored. So there is one codec behind it,
and an event is kept in one form whichever way it came.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from workevo.tracking.v1.event_pb2 import Event
from workevo.tracking.v1.tracking_pb2 import UploadEventsRequest
from workevo_server.domain.errors import RequestMalformed
from workevo_server.transport.grpc.limits import NESTING_MAX
from workevo_server.transport.grpc.wire_parse import refuse_too_large
from workevo_server.transport.http.connect.json_walk import (
    Piece,
    refuse_too_deep,
    salvage_sequence,
    walk_upload,
)

_TURN_BYTES = 8 * 1024  # Takes some 5 ms; the mapping is slower than reading protobuf.
_EVENTS_TAG = b"\x22"
_SEQUENCE_TAG = b"\x08"
_NO_TAG = b"\x07"
"""A wire type that is none: what follows is never read as an event, but kept and found as it was sent."""

_MessageT = TypeVar("_MessageT", bound=Message)


def upload_from_json(body: bytes) -> bytes:
    """An upload whose events are read one by one (R11).

    One that is no event stays as bytes that are none, behind the sequence it told.
    Raises as `walk_upload`, and RequestMalformed when what is not an event does not parse.
    """
    walked = walk_upload(body)
    upload = _read(UploadEventsRequest, walked.rest)
    return upload.SerializeToString() + b"".join(_as_field(_event_bytes(event)) for event in walked.events)


def request_from_json(message_type: type[Message], body: bytes) -> bytes:
    """Any other request. Raises RequestInvalid when it is too large, RequestMalformed when it is none."""
    refuse_too_large(body)
    refuse_too_deep(body)
    return _read(message_type, body).SerializeToString()


def answer_to_json(message_type: type[Message], answer: bytes) -> bytes:
    message = message_type.FromString(answer)
    return json_format.MessageToJson(message, indent=None, ensure_ascii=False).encode()


async def in_turn(translate: Callable[[bytes], bytes], body: bytes) -> bytes:
    """Beside the loop where it takes longer than others should wait."""
    if len(body) <= _TURN_BYTES:
        return translate(body)
    return await asyncio.to_thread(translate, body)


def _event_bytes(event: Piece) -> bytes:
    if not event.is_too_deep:
        with suppress(RequestMalformed):
            return _read(Event, event.text).SerializeToString()
    return _SEQUENCE_TAG + _varint(salvage_sequence(event.text)) + _NO_TAG + event.text


def _read(message_type: type[_MessageT], text: bytes) -> _MessageT:
    """Raises RequestMalformed. The library would take a list of names for a message without fields."""
    if not text.lstrip().startswith(b"{"):
        raise RequestMalformed
    try:
        return json_format.Parse(
            text.decode(), message_type(), ignore_unknown_fields=True, max_recursion_depth=NESTING_MAX
        )
    except (json_format.ParseError, UnicodeDecodeError):
        raise RequestMalformed from None


def _as_field(event: bytes) -> bytes:
    return _EVENTS_TAG + _varint(len(event)) + event


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
