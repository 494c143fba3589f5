"""What a request says, read into the structure that its operation declares; OpenAPI is made of the same."""

import re
from typing import TypeVar

import msgspec

from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.naming import is_well_formed
from workevo_server.transport.http.guard import HttpCall
from workevo_server.transport.http.refusals import HttpRefusal
from workevo_server.transport.http.rest.json_reader import JsonInvalid, plain, read_json

REQUEST_BYTES_MAX = 64 * 1024  # Of every request but one with events: a filter or a few attributes.
JSON_TYPES = frozenset({"application/json", ""})

StructT = TypeVar("StructT", bound=msgspec.Struct)
_PLACE = re.compile(r" - at `\$\.?(.*)`$")


def query_of(call: HttpCall, shape: type[StructT]) -> StructT:
    """The parameters of the query; one that comes twice is none. Raises RequestInvalid."""
    told: dict[str, object] = {}
    for name, value in call.request.query_params.multi_items():
        if name in told and name in shape.__struct_fields__:
            raise RequestInvalid(FieldViolation(name, f"{name} stands there twice."))
        told[name] = value
    return _converted(told, shape, strict=False)


def body_of(call: HttpCall, shape: type[StructT]) -> StructT:
    """The JSON object of the body. Raises RequestInvalid, HttpRefusal."""
    refuse_what_is_no_small_json(call)
    try:
        told = plain(read_json(call.body))
    except JsonInvalid as error:
        raise body_malformed(error) from None
    if not isinstance(told, dict):
        raise RequestInvalid(FieldViolation("body", "The body is a JSON object."))
    return _converted(told, shape, strict=True)


def refuse_what_is_no_small_json(call: HttpCall) -> None:
    """Raises HttpRefusal by the body's type and size."""
    refuse_other_types(call, JSON_TYPES)
    if len(call.body) > REQUEST_BYTES_MAX:
        raise HttpRefusal(
            413, "content_too_large", f"This request has at most {REQUEST_BYTES_MAX} bytes.", field="body"
        )


def well_formed(field: str, text: str) -> str:
    """The text, which a store can look for. Raises RequestInvalid for half of a surrogate pair."""
    if is_well_formed(text):
        return text
    raise RequestInvalid(FieldViolation(field, f"{field} has half of a surrogate pair."))


def body_malformed(error: JsonInvalid) -> HttpRefusal:
    return HttpRefusal(400, "bad_request", f"The body cannot be read. {error}", field=error.field)


def media_type_of(call: HttpCall) -> str:
    return call.request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_other_types(call: HttpCall, taken: frozenset[str]) -> None:
    """Raises HttpRefusal unless the body is said to be of a type that is taken, or of none."""
    if media_type_of(call) not in taken:
        named = " or ".join(sorted(taken - {""}))
        raise HttpRefusal(
            415, "media_type_not_acceptable", f"Send the body as {named}.", field="Content-Type"
        )


def _converted(told: dict[str, object], shape: type[StructT], *, strict: bool) -> StructT:
    try:
        return msgspec.convert(told, shape, strict=strict)
    except msgspec.ValidationError as error:
        raise RequestInvalid(_violation(str(error))) from None


def _violation(text: str) -> FieldViolation:
    """msgspec's sentence and its place: `Expected `str`, got `int` - at `$.user_id``. It quotes no value."""
    place = _PLACE.search(text)
    missing = re.search(r"missing required field `([^`]*)`", text)
    within = place[1] if place else ""
    field = ".".join(part for part in (within, missing[1] if missing else "") if part)
    sentence = _PLACE.sub("", text).replace("`", "").rstrip(".")
    return FieldViolation(field or "body", f"{sentence}.")
