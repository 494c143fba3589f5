"""Walks the wire format of an upload before anything of it is parsed.

So one event that does not parse costs its neighbours nothing (R11), and a body of
millions of tiny elements is refused before it becomes objects.
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from dataclasses import dataclass

from workevo_server.domain.errors import FieldViolation, RequestInvalid, RequestMalformed, UploadTooLarge
from workevo_server.domain.limits import (
    UPLOAD_BYTES_MAX,
    UPLOAD_DROPPED_RANGES_MAX,
    UPLOAD_EVENTS_MAX,
    UPLOAD_IDENTITY_PROOFS_MAX,
)
from workevo_server.transport.grpc.limits import EVENT_FIELDS_SALVAGED_MAX, NESTING_MAX, UPLOAD_FIELDS_MAX

VARINT, FIXED64, BYTES, GROUP_START, GROUP_END, FIXED32 = range(6)
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}
_TAG_BYTES_MAX = 5
_VARINT_BYTES_MAX = 10

_EVENT_SEQUENCE = 1
_UPLOAD_EVENTS = 4
_UPLOAD_COUNTS = {
    7: ("dropped", UPLOAD_DROPPED_RANGES_MAX),
    8: ("identity_proofs", UPLOAD_IDENTITY_PROOFS_MAX),
}


class Unwalkable(Exception):
    """These bytes are no protobuf message, or have more fields than were allowed for."""


@dataclass(frozen=True, slots=True)
class Field:
    number: int
    wire_type: int
    value: int
    """Of a VARINT; else 0."""
    start: int
    """Where its tag begins."""
    content: int
    """Where its content begins: behind tag and length."""
    end: int


@dataclass(frozen=True, slots=True)
class WalkedUpload:
    events: tuple[bytes, ...]
    """The bytes of every event, none parsed."""
    rest: bytes
    """The upload without its events, in the order sent."""


def walk_upload(body: bytes) -> WalkedUpload:
    """Cut the events out of an upload.

    Raises UploadTooLarge (R9), RequestInvalid for too many of anything else, and
    RequestMalformed when no event can be told apart.
    """
    if len(body) > UPLOAD_BYTES_MAX:
        raise UploadTooLarge(f"An upload has at most {UPLOAD_BYTES_MAX} bytes. Send half.")
    try:
        return _cut(body)
    except Unwalkable:
        raise RequestMalformed from None


def salvage_sequence(event: bytes) -> int:
    """The sequence of an event that does not parse, as far as it can be walked; 0 when unreadable."""
    sequence = 0
    try:
        for field in walk(event, fields_max=EVENT_FIELDS_SALVAGED_MAX):
            if field.number == _EVENT_SEQUENCE and field.wire_type == VARINT:
                sequence = _int64(field.value)
    except Unwalkable:
        pass  # What was read before the break stands.
    return sequence


def walk(data: bytes, *, fields_max: int) -> Iterator[Field]:
    """Every field of a message, in order. Raises Unwalkable where the bytes break or go on too long."""
    fields_left = fields_max
    position = 0
    while position < len(data):
        field = _field(data, position)
        fields_left -= 1
        if field.wire_type == GROUP_START:
            field, fields_left = _group(data, field, fields_left)
        if field.wire_type == GROUP_END or fields_left < 0:
            raise Unwalkable
        yield field
        position = field.end


def _cut(body: bytes) -> WalkedUpload:
    events: list[bytes] = []
    rest: list[bytes] = []
    counts = dict.fromkeys(_UPLOAD_COUNTS, 0)
    for field in walk(body, fields_max=UPLOAD_FIELDS_MAX):
        if field.number == _UPLOAD_EVENTS and field.wire_type == BYTES:
            if len(events) == UPLOAD_EVENTS_MAX:
                raise UploadTooLarge(f"An upload has at most {UPLOAD_EVENTS_MAX} events. Send half.")
            events.append(body[field.content : field.end])
            continue
        if field.number in counts:
            counts[field.number] += 1
            _refuse_too_many(field.number, counts[field.number])
        rest.append(body[field.start : field.end])
    return WalkedUpload(tuple(events), b"".join(rest))


def _refuse_too_many(number: int, count: int) -> None:
    name, count_max = _UPLOAD_COUNTS[number]
    if count > count_max:
        raise RequestInvalid(FieldViolation(name, f"At most {count_max} {name} an upload."))


def _field(data: bytes, start: int) -> Field:
    tag, content = _varint(data, start, bytes_max=_TAG_BYTES_MAX)
    number, wire_type = tag >> 3, tag & 7
    if not 1 <= number < 1 << 29:
        raise Unwalkable
    value = 0
    if wire_type == VARINT:
        value, end = _varint(data, content, bytes_max=_VARINT_BYTES_MAX)
    elif wire_type == BYTES:
        length, content = _varint(data, content, bytes_max=_TAG_BYTES_MAX)
        end = content + length
    elif wire_type in (GROUP_START, GROUP_END):
        end = content
    elif wire_type in _FIXED_BYTES:
        end = content + _FIXED_BYTES[wire_type]
    else:
        raise Unwalkable
    if end > len(data):
        raise Unwalkable
    return Field(number, wire_type, value, start, content, end)


def _group(data: bytes, first: Field, fields_left: int) -> tuple[Field, int]:
    """The whole of a group, an old form that nobody sends but the format still has."""
    open_groups = [first.number]
    position = first.end
    while open_groups:
        fields_left -= 1
        if len(open_groups) > NESTING_MAX or fields_left < 0:
            raise Unwalkable
        field = _field(data, position)
        if field.wire_type == GROUP_START:
            open_groups.append(field.number)
        elif field.wire_type == GROUP_END and open_groups.pop() != field.number:
            raise Unwalkable
        position = field.end
    return Field(first.number, GROUP_START, 0, first.start, first.content, position), fields_left


def _varint(data: bytes, start: int, *, bytes_max: int) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(data[start : start + bytes_max]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, start + count + 1
    raise Unwalkable


def _int64(varint: int) -> int:
    low = varint & (1 << 64) - 1
    return low - (1 << 64) if low >= 1 << 63 else low
