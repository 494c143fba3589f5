"""How the device reaches the server where HTTP/2 does not get through: the Connect protocol.

One POST a call over HTTP/1.1, with the standard library alone, so that the base
install stays as it is. https://connectrpc.com/docs/protocol/
"""

import gzip
import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from http import HTTPStatus
from socket import SHUT_RDWR
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import grpc
from google.protobuf.message import DecodeError, Message

from workevo.tracking.v1.tracking_pb2 import (
    DESCRIPTOR,
    IdentifyRequest,
    IdentifyResponse,
    UploadEventsRequest,
    UploadEventsResponse,
)
from workevo_mobile.connect_refusal import call_failed
from workevo_mobile.errors import CallFailed
from workevo_mobile.limits import ANSWER_BYTES_MAX
from workevo_mobile.transport import CallMetadata, authorization, is_loopback, no_metadata

_SERVICE = DESCRIPTOR.services_by_name["TrackingService"].full_name
_CONTENT_TYPE = "application/proto"
_READ_BYTES = 64 * 1024

_AnswerT = TypeVar("_AnswerT", bound=Message)


class ConnectTransport:
    """The server by its URL, `https://events.example.org`: gzip, and a connection for each call.

    TLS by the roots given, else by the system's; `http://` to a loopback host, and
    to any with `insecure`. `metadata` is asked before every call. Safe from any thread.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        root_certificates: bytes | None = None,
        insecure: bool = False,
        metadata: Callable[[], CallMetadata] = no_metadata,
    ) -> None:
        self._url = _base(url, insecure=insecure)
        self._authorization = authorization(key)
        self._tls = _tls(root_certificates) if self._url.scheme == "https" else None
        self._metadata = metadata
        self._lock = threading.Lock()
        self._connections: set[http.client.HTTPConnection] = set()
        self._closed = False

    def upload_events(self, request: UploadEventsRequest, *, timeout: timedelta) -> UploadEventsResponse:
        return self._call("UploadEvents", request, UploadEventsResponse, timeout)

    def identify(self, request: IdentifyRequest, *, timeout: timedelta) -> IdentifyResponse:
        return self._call("Identify", request, IdentifyResponse, timeout)

    def close(self) -> None:
        """Let go for good; calls in flight fail, and so does every later one."""
        with self._lock:
            self._closed = True
            for connection in self._connections:
                if connection.sock is not None:
                    with suppress(OSError):
                        connection.sock.shutdown(SHUT_RDWR)

    def _call(
        self, method: str, request: Message, answer_type: type[_AnswerT], timeout: timedelta
    ) -> _AnswerT:
        headers = {name.lower(): value for name, value in (self._authorization, *self._metadata())}
        headers |= {
            "content-type": _CONTENT_TYPE,
            "content-encoding": "gzip",
            "connect-protocol-version": "1",
            "connect-timeout-ms": str(max(1, timeout // timedelta(milliseconds=1))),
        }
        deadline = time.monotonic() + timeout.total_seconds()
        with self._connected(deadline) as connection:
            body = gzip.compress(request.SerializeToString())
            connection.request("POST", f"{self._url.path}/{_SERVICE}/{method}", body, headers)
            _wait_until(connection, deadline)
            with connection.getresponse() as response:
                content = _read(connection, response, deadline)
        if response.status != HTTPStatus.OK:
            raise call_failed(response.status, response.headers, content)
        return _parsed(answer_type, response.headers.get_content_type(), content)

    @contextmanager
    def _connected(self, deadline: float) -> Iterator[http.client.HTTPConnection]:
        """A new connection, and its failures as those of a call."""
        connection = self._enter(deadline)
        try:
            yield connection
        except TimeoutError as error:
            raise CallFailed(grpc.StatusCode.DEADLINE_EXCEEDED) from error
        except (OSError, http.client.HTTPException) as error:
            code = grpc.StatusCode.CANCELLED if self._closed else grpc.StatusCode.UNAVAILABLE
            raise CallFailed(code) from error
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    def _enter(self, deadline: float) -> http.client.HTTPConnection:
        host, port, timeout = self._url.hostname or "", self._url.port, deadline - time.monotonic()
        connection = (
            http.client.HTTPConnection(host, port, timeout=timeout)
            if self._tls is None
            else http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)
        )
        with self._lock:
            if self._closed:
                raise CallFailed(grpc.StatusCode.CANCELLED)
            self._connections.add(connection)
        return connection


def _base(url: str, *, insecure: bool) -> SplitResult:
    parts = urlsplit(url.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("The URL is no address of a server: it must look like https://events.example.org.")
    if parts.scheme == "http" and not (insecure or is_loopback(parts.netloc)):
        raise ValueError("Without TLS the key would travel in plain text: use https, or insecure=True.")
    return parts


def _tls(roots: bytes | None) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=None if roots is None else roots.decode("ascii"))


def _wait_until(connection: http.client.HTTPConnection, deadline: float) -> None:
    """The socket's own timeout is for one step; the call's is for all of them. Raises TimeoutError."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    if connection.sock is not None:
        connection.sock.settimeout(left)


def _read(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse, deadline: float
) -> bytes:
    """Raises OSError for more than any answer of ours has."""
    content = b""
    while chunk := response.read1(_READ_BYTES):
        content += chunk
        if len(content) > ANSWER_BYTES_MAX:
            raise OSError("an answer without end")
        _wait_until(connection, deadline)
    if response.length:  # It ended before what its Content-Length said.
        raise OSError("an answer cut short")
    return content


def _parsed(answer_type: type[_AnswerT], content_type: str, content: bytes) -> _AnswerT:
    """Raises CallFailed for what is no answer of ours: the page of a hotel's network comes with 200 too."""
    if content_type != _CONTENT_TYPE:
        raise CallFailed(grpc.StatusCode.UNKNOWN)
    try:
        return answer_type.FromString(content)
    except DecodeError as error:
        raise CallFailed(grpc.StatusCode.INTERNAL) from error
