"""REST's own description: OpenAPI for programs, a page of it for people. Open to all, as it tells no data."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from workevo_server.transport.http.rest.openapi import describe
from workevo_server.transport.http.rest.operations import Operation

Json = dict[str, Any]

_HEADERS = {
    "Cache-Control": "public, max-age=300",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
section { border-top: 1px solid #8886; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; }
"""


def description_routes(operations: Sequence[Operation], *, version: str) -> list[BaseRoute]:
    document = describe(operations, version=version)
    as_json, as_page = json.dumps(document), page(document)

    async def for_programs(_request: Request) -> Response:
        return Response(as_json, media_type="application/json", headers=_HEADERS)

    async def for_people(_request: Request) -> Response:
        return HTMLResponse(as_page, headers=_HEADERS)

    return [Route("/openapi.json", for_programs), Route("/docs", for_people)]


def page(document: Json) -> str:
    """Everything of the document that a person would look for."""
    info = document["info"]
    operations = [
        _operation(method, path, operation, document)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} REST</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} REST <small>{escape(info['version'])}</small></h1>"
        f"<p>{escape(info['description'])} For programs: <a href='/openapi.json'>openapi.json</a>.</p>"
        "<p>Send one key of the kind <code>server</code> as <code>Authorization: Bearer KEY</code>, or as "
        "the user name of Basic authentication.</p>"
        f"{''.join(operations)}</body></html>"
    )


def _operation(method: str, path: str, operation: Json, document: Json) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    parameters = [
        (each["name"], f"{each['in']}, {_type_of(each['schema'])}", each.get("description", ""))
        for each in operation["parameters"]
    ]
    answers = [
        (status, _type_of(_schema_of(answer)), answer["description"])
        for status, answer in operation["responses"].items()
    ]
    return (
        f"<section><h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
        f"<p>{escape(operation['summary'])}</p>"
        f"{_table('Parameters', parameters)}{_table('Body', _members(body, document))}"
        f"{_table('Answers', answers)}</section>"
    )


def _schema_of(answer: Json) -> Json:
    schema: Json = answer.get("content", {}).get("application/json", {}).get("schema", {})
    return schema


def _members(schema: Json | None, document: Json) -> list[tuple[str, str, str]]:
    if schema is None:
        return []
    shape = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return [
        (
            name,
            _type_of(told) + (", required" if name in shape.get("required", ()) else ""),
            told.get("description", ""),
        )
        for name, told in shape["properties"].items()
    ]


def _type_of(schema: Json) -> str:
    """In a few words: `string or null`, `EventList or EventSummary`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_type_of, schema["anyOf"])))
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"])
    return str(schema.get("type", "" if not schema else "anything"))


def _table(caption: str, rows: Sequence[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>{escape(told)}</td></tr>"
        for name, kind, told in rows
    )
    return f"<h3>{caption}</h3><table>{lines}</table>"
