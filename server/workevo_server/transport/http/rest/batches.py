"""A batch's events as the bytes that they are, each on its own (R11)."""

from collections.abc import Sequence

from workevo_server.domain.errors import FieldViolation, RequestInvalid, RequestMalformed, UploadTooLarge
from workevo_server.domain.limits import UPLOAD_EVENTS_MAX
from workevo_server.transport.http.connect.json_walk import walk_upload
from workevo_server.transport.http.guard import HttpCall
from workevo_server.transport.http.rest.json_reader import JsonInvalid, JsonObject, read_json
from workevo_server.transport.http.rest.requests import (
    JSON_TYPES,
    body_malformed,
    media_type_of,
    refuse_other_types,
)

NDJSON_TYPES = frozenset({"application/x-ndjson", "application/jsonl", "application/ndjson"})


def batch_of(call: HttpCall) -> Sequence[bytes]:
    """Raises UploadTooLarge for more than 500, HttpRefusal or RequestInvalid when none can be told apart."""
    refuse_other_types(call, JSON_TYPES | NDJSON_TYPES)
    if media_type_of(call) in NDJSON_TYPES:
        return _lines(call.body)
    return _elements(call.body)


def _lines(body: bytes) -> Sequence[bytes]:
    lines = [line for line in body.split(b"\n") if line.strip()]
    if len(lines) > UPLOAD_EVENTS_MAX:
        raise UploadTooLarge(f"A batch has at most {UPLOAD_EVENTS_MAX} events. Send half.")
    return lines


def _elements(body: bytes) -> Sequence[bytes]:
    """Of the one member `events`; what is no JSON outside its elements is refused as a whole."""
    try:
        walked = walk_upload(body)
        rest = read_json(walked.rest)
    except RequestMalformed:
        raise body_malformed(JsonInvalid("It is no JSON object.")) from None
    except JsonInvalid as error:
        raise body_malformed(error) from None
    lists = (
        [value for name, value in rest.members if name == "events"] if isinstance(rest, JsonObject) else []
    )
    if len(lists) != 1 or not isinstance(lists[0], list):
        raise RequestInvalid(FieldViolation("events", "A batch is an object with one list named events."))
    return [piece.text for piece in walked.events]
