"""Walks the JSON of an upload before anything of it is parsed: what wire_walk does for protobuf.

So one event that is no event costs its neighbours nothing (R11), and nesting is
known before a parser follows it. Only strings and brackets are looked at; whether
a piece is JSON is for its own parser to say.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from workevo_server.domain.errors import RequestMalformed, UploadTooLarge
from workevo_server.domain.limits import UPLOAD_BYTES_MAX, UPLOAD_EVENTS_MAX
from workevo_server.transport.grpc.limits import NESTING_MAX

# A string without its end is one token up to the end of the text, so that no text is read twice.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\],]', re.DOTALL)
_KEY = re.compile(rb'\s*("(?:[^"\\]|\\.)*+")\s*:', re.DOTALL)
_OBJECT = re.compile(rb"\s*\{")
_SEQUENCE = re.compile(rb'"?([0-9]{1,16})"?')
_OPENING, _CLOSING, _COMMA = b"{[", b"}]", b","[0]

_EVENTS_KEY = b'"events"'
_SEQUENCE_KEY = b'"sequence"'


class Unwalkable(Exception):
    """A value that does not end within the text."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of one value, not parsed."""

    text: bytes
    depth: int
    """How deep it is nested: 0 for a number, 1 for an object of numbers."""
    start: int
    end: int

    @property
    def is_too_deep(self) -> bool:
        return self.depth > NESTING_MAX


@dataclass(frozen=True, slots=True)
class WalkedUpload:
    events: tuple[Piece, ...]
    rest: bytes
    """The upload without its events; no deeper than NESTING_MAX."""


def walk_upload(body: bytes) -> WalkedUpload:
    """Cut the events out of an upload.

    Raises UploadTooLarge (R9), and RequestMalformed when no event can be told apart.
    """
    if len(body) > UPLOAD_BYTES_MAX:
        raise UploadTooLarge(f"An upload has at most {UPLOAD_BYTES_MAX} bytes. Send half.")
    try:
        return _cut(body)
    except Unwalkable:
        raise RequestMalformed from None


def refuse_too_deep(body: bytes) -> None:
    """Raises RequestMalformed for a request that is nested deeper than any parser should follow."""
    try:
        too_deep = any(member.is_too_deep for _key, member in _members(body))
    except Unwalkable:
        raise RequestMalformed from None
    if too_deep:
        raise RequestMalformed


def salvage_sequence(event: bytes) -> int:
    """The sequence of an event that does not parse, as far as it can be walked; 0 when unreadable."""
    sequence = 0
    try:
        for key, member in _members(event):
            told = _SEQUENCE.fullmatch(member.text)
            if key == _SEQUENCE_KEY and told:
                sequence = int(told[1])
    except Unwalkable:
        pass  # What was read before the break stands.
    return sequence


def _cut(body: bytes) -> WalkedUpload:
    events: list[Piece] = []
    rest: list[bytes] = []
    position = 0
    for key, member in _members(body):
        if key == _EVENTS_KEY and member.text.startswith(b"["):
            events += _elements(member)
            # Told twice, both remain in the rest, and its parser refuses a key that comes twice.
            rest += (body[position : member.start], b"[]")
            position = member.end
        elif member.is_too_deep:
            raise RequestMalformed
    rest.append(body[position:])
    return WalkedUpload(tuple(events), b"".join(rest))


def _elements(array: Piece) -> Iterator[Piece]:
    text = array.text
    if not text[1:-1].strip():
        return
    position, count = 1, 0
    while True:
        element = _piece(text, position)
        if count == UPLOAD_EVENTS_MAX:
            raise UploadTooLarge(f"An upload has at most {UPLOAD_EVENTS_MAX} events. Send half.")
        if not element.text:
            raise Unwalkable
        yield element
        count += 1
        if text[element.end] != _COMMA:
            break
        position = element.end + 1
    if text[element.end :] != b"]":
        raise Unwalkable


def _members(text: bytes) -> Iterator[tuple[bytes, Piece]]:
    """Key, quotes included, and value of every member of an object, in order; none of what is no object."""
    opening = _OBJECT.match(text)
    position = opening.end() if opening else len(text)
    while key := _KEY.match(text, position):
        value = _piece(text, key.end())
        yield key[1], value
        if text[value.end] != _COMMA:
            break
        position = value.end + 1


def _piece(text: bytes, start: int) -> Piece:
    """The value that begins here and ends at the next comma or closing bracket of its own level."""
    depth = deepest = 0
    for token in _TOKEN.finditer(text, start):
        first = text[token.start()]
        if first in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif first in _CLOSING and depth:
            depth -= 1
        elif first in _CLOSING or (first == _COMMA and not depth):
            return Piece(text[start : token.start()].strip(), deepest, start, token.start())
    raise Unwalkable
