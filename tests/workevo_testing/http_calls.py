"""Requests as a stranger makes them: from the standard library, or byte by byte."""

import contextlib
import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CALL_SECONDS_MAX = 40

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    status: int
    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def errors(self) -> list[Json]:
        """The errors of an `error.list`, whose form is asserted."""
        document: Json = self.json
        assert self.headers["content-type"] == "application/json"
        assert set(document) == {"type", "request_id", "errors"}
        assert document["type"] == "error.list"
        assert document["errors"]
        for error in document["errors"]:
            assert set(error) == {"code", "message", "field"}
            assert error["code"]
            assert error["message"].endswith(".")
        errors: list[Json] = document["errors"]
        return errors

    @property
    def error(self) -> Json:
        """The one error of an `error.list`."""
        (error,) = self.errors
        return error


def request(
    address: str,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> HttpAnswer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(address, timeout=CALL_SECONDS_MAX)
    with contextlib.closing(connection):
        connection.request(method, path, body=body, headers=dict(headers or {}))
        return _answer(connection.getresponse())


def _answer(response: http.client.HTTPResponse) -> HttpAnswer:
    body = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return HttpAnswer(status=response.status, headers=headers, body=body)


class RawConnection:
    """A socket to the door, for what no library would send."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=CALL_SECONDS_MAX)

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, method: str = "POST") -> HttpAnswer:
        response = http.client.HTTPResponse(self.socket, method=method)
        response.begin()
        return _answer(response)

    def is_closed(self) -> bool:
        """Waits for the other side to hang up; True when it did so and said nothing more."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
