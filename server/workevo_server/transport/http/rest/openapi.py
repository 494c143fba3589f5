"""REST described as OpenAPI 3.1, from the same declarations that its routes are made of."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from workevo_server.transport.http.rest.operations import Operation

Json = dict[str, Any]

_REF = "#/components/schemas/{name}"
_ERRORS: Mapping[int, str] = {
    400: "The request is wrong; says where.",
    401: "No key, or none that is known.",
    403: "A key that may not do this: only server and admin keys may.",
    404: "No such thing in this workspace.",
    408: "The body, or the answer, took too long.",
    409: "It contradicts what is there.",
    413: "The body is too large.",
    415: "The body is of a type or an encoding that is not taken.",
    422: "It was rejected; an event is kept among the failed ones.",
    429: "More requests than the workspace may make; Retry-After says when to come back.",
    500: "A fault of the server's.",
    503: "Busy, or the store cannot be written now; Retry-After says when to come back.",
}
_OF_ANY = (400, 401, 403, 408, 413, 415, 429, 500, 503)
_LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-Request-Id")
_PATH_PARAMETER = re.compile(r"{(\w+)(?::path)?}")


class ErrorItem(msgspec.Struct):
    code: str
    message: str | None = None
    field: str | None = None


class ErrorList(msgspec.Struct):
    """What every refusal looks like."""

    type: str
    request_id: str | None
    errors: list[ErrorItem]


def describe(operations: Sequence[Operation], *, version: str) -> Json:
    schemas, components = _schemas(operations)
    paths: dict[str, Json] = {}
    for operation in operations:
        path = _PATH_PARAMETER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Workevo",
            "version": version,
            "description": "Events and contacts in the public shape of Intercom's API, and more of our own.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "The key as user name."},
            },
        },
        "security": [{"bearer": []}, {"basic": []}],
    }


def results_of(operation: Operation) -> tuple[Any, ...]:
    result = operation.result
    return result if isinstance(result, tuple) else () if result is None else (result,)


def _schemas(operations: Sequence[Operation]) -> tuple[dict[Any, Json], Json]:
    types: dict[Any, None] = {ErrorList: None}
    for operation in operations:
        types |= dict.fromkeys(results_of(operation))
        if operation.body is not None:
            types[operation.body] = None
    made, components = msgspec.json.schema_components(list(types), ref_template=_REF)
    return dict(zip(types, made, strict=True)), components


def _operation(operation: Operation, schemas: Mapping[Any, Json]) -> Json:
    described: Json = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": {str(operation.status): _answer(operation, schemas)}
        | {str(status): _error(status, schemas) for status in sorted({*_OF_ANY, *operation.refusals})},
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {kind: _media(kind, schemas[operation.body]) for kind in operation.body_types},
        }
    return described


def _media(kind: str, schema: Json) -> Json:
    """Lines are text to OpenAPI, each of them an event."""
    return {"schema": schema if kind == "application/json" else {"type": "string"}}


def _path_parameters(operation: Operation) -> list[Json]:
    schema = {"type": "string", "minLength": 1}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name in _PATH_PARAMETER.findall(operation.path)
    ]


def _query_parameters(operation: Operation) -> list[Json]:
    (schema,), components = msgspec.json.schema_components([operation.query], ref_template=_REF)
    shape = components[operation.query.__name__] if "$ref" in schema else schema
    return [
        {
            "name": name,
            "in": "query",
            "required": name in shape.get("required", ()),
            "schema": {key: value for key, value in told.items() if key != "description"},
            **({"description": told["description"]} if "description" in told else {}),
        }
        for name, told in shape["properties"].items()
    ]


def _answer(operation: Operation, schemas: Mapping[Any, Json]) -> Json:
    results = [schemas[result] for result in results_of(operation)]
    described: Json = {
        "description": "Done." if results else "Done; the body is empty.",
        "headers": _headers(*_LIMIT_HEADERS, *operation.answer_headers),
    }
    if results:
        schema = results[0] if len(results) == 1 else {"anyOf": results}
        described["content"] = {"application/json": {"schema": schema}}
    return described


def _error(status: int, schemas: Mapping[Any, Json]) -> Json:
    return {
        "description": _ERRORS[status],
        "content": {"application/json": {"schema": schemas[ErrorList]}},
    }


def _headers(*names: str) -> Json:
    return {name: {"schema": {"type": "string"}} for name in names}
