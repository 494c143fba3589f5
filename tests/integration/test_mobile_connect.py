"""The SDK's calls over the Connect protocol: what is sent, and how answers and refusals are read."""

import gzip
import json
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from workevo.tracking.v1.tracking_pb2 import (
    IdentifyRequest,
    IdentifyResponse,
    UploadEventsRequest,
    UploadEventsResponse,
)
from workevo_mobile import CallFailed, ConnectTransport, FallbackTransport

SECOND = timedelta(seconds=1)
REQUEST = UploadEventsRequest(last_sequence=7)
ANSWER = UploadEventsResponse(accepted_count=3).SerializeToString()
PROTO, JSON = "application/proto", "application/json"

Answer = tuple[int, str, bytes, dict[str, str]]


class Door(ThreadingHTTPServer):
    """Answers as `answer` says; keeps what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.answer: Callable[[], Answer] = lambda: (200, PROTO, ANSWER, {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answers(self, status: int, kind: str = "text/html", body: bytes = b"", **headers: str) -> None:
        self.answer = lambda: (status, kind, body, headers)


class _Handler(BaseHTTPRequestHandler):
    server: Door

    def do_POST(self) -> None:
        self.server.paths.append(self.path)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        status, kind, body, headers = self.server.answer()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def door() -> Iterator[Door]:
    with Door() as door:
        thread = threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield door
        door.shutdown()
        thread.join()


@pytest.fixture
def transport(door: Door) -> Iterator[ConnectTransport]:
    transport = ConnectTransport(door.url, "sdk_secret", metadata=lambda: [("x-extra", "1")])
    yield transport
    transport.close()


def failed(transport: ConnectTransport | FallbackTransport, *, timeout: timedelta = SECOND) -> CallFailed:
    with pytest.raises(CallFailed) as raised:
        transport.upload_events(REQUEST, timeout=timeout)
    return raised.value


def detail(message: ErrorInfo | RetryInfo) -> dict[str, str]:
    value = b64encode(message.SerializeToString()).rstrip(b"=").decode()
    return {"type": message.DESCRIPTOR.full_name, "value": value}


def refusal(code: str, *details: dict[str, str]) -> bytes:
    return json.dumps({"code": code, "message": "No.", "details": details}).encode()


def test_both_calls_carry_the_key_the_hosts_metadata_and_a_deadline(
    door: Door, transport: ConnectTransport
) -> None:
    uploaded = transport.upload_events(REQUEST, timeout=10 * SECOND)
    door.answers(200, PROTO, IdentifyResponse(message="welcome").SerializeToString())
    identified = transport.identify(IdentifyRequest(user_id="u"), timeout=10 * SECOND)

    assert uploaded.accepted_count == 3
    assert identified.message == "welcome"
    service = "/workevo.tracking.v1.TrackingService"
    assert door.paths == [f"{service}/UploadEvents", f"{service}/Identify"]
    assert UploadEventsRequest.FromString(gzip.decompress(door.bodies[0])) == REQUEST
    for headers in door.headers:
        assert headers["authorization"] == "Bearer sdk_secret"
        assert headers["x-extra"] == "1"
        assert headers["content-type"] == PROTO
        assert headers["connect-timeout-ms"] == "10000"


def test_a_refusal_is_read_with_its_reason_and_its_delay(door: Door, transport: ConnectTransport) -> None:
    retry = RetryInfo()
    retry.retry_delay.FromMilliseconds(2500)
    details = detail(ErrorInfo(reason="OVERLOADED", domain="workevo.dev")), detail(retry)
    door.answers(429, JSON, refusal("resource_exhausted", *details))

    error = failed(transport)

    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert error.retry_delay == 2.5 * SECOND


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, grpc.StatusCode.UNKNOWN),
        (401, grpc.StatusCode.UNAUTHENTICATED),
        (403, grpc.StatusCode.PERMISSION_DENIED),
        (404, grpc.StatusCode.UNIMPLEMENTED),
        (413, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (502, grpc.StatusCode.UNAVAILABLE),
        (302, grpc.StatusCode.UNKNOWN),
    ],
)
def test_a_page_of_something_between_us_and_the_server_never_blames_an_event(
    door: Door, transport: ConnectTransport, status: int, code: grpc.StatusCode
) -> None:
    door.answers(status, "text/html", b"<h1>A proxy</h1>", Retry_After="7")

    error = failed(transport)

    assert (error.code, error.reason, error.retry_delay) == (code, "", 7 * SECOND)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"[" * 100_000, b'{"code": "ok"}', b'{"code": 7, "details": 8}', b'{"code": "later"}'],
    ids=lambda body: repr(body[:20]),
)
def test_a_refusal_that_says_nothing_is_judged_by_its_status(
    door: Door, transport: ConnectTransport, body: bytes
) -> None:
    door.answers(503, JSON, body)

    assert failed(transport).code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "details", [7, [7], [{}], [{"type": "t", "value": "!"}], [{"type": 1, "value": "eA"}]]
)
def test_details_that_cannot_be_read_say_nothing(
    door: Door, transport: ConnectTransport, details: Any
) -> None:
    door.answers(400, JSON, json.dumps({"code": "invalid_argument", "details": details}).encode())

    error = failed(transport)

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "")


def test_the_page_of_a_hotels_network_is_no_answer(door: Door, transport: ConnectTransport) -> None:
    door.answers(200, "text/html", b"<h1>Welcome to our hotel</h1>")
    assert failed(transport).code is grpc.StatusCode.UNKNOWN

    door.answers(200, PROTO, b"\x07 no message")
    assert failed(transport).code is grpc.StatusCode.INTERNAL


def test_an_answer_cut_short_or_without_end_is_no_answer(door: Door, transport: ConnectTransport) -> None:
    door.answers(200, PROTO, ANSWER, Content_Length="100")
    assert failed(transport).code is grpc.StatusCode.UNAVAILABLE

    door.answers(200, PROTO, b"x" * (4 * 1024 * 1024 + 1))
    assert failed(transport).code is grpc.StatusCode.UNAVAILABLE


def test_where_nobody_listens_the_call_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    assert failed(ConnectTransport(url, "k")).code is grpc.StatusCode.UNAVAILABLE


@contextmanager
def silent_server(*drops: bytes) -> Iterator[str]:
    """Takes connections, and says what it is given byte by byte, or nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        stop = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for drop in drops:
                    connection.sendall(drop)
                    if stop.wait(0.1):
                        return
                stop.wait()

        pool.submit(serve)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stop.set()


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_the_deadline() -> None:
    with silent_server() as url:
        assert (
            failed(ConnectTransport(url, "k"), timeout=SECOND / 5).code is grpc.StatusCode.DEADLINE_EXCEEDED
        )


def test_nor_is_one_that_goes_on_dripping() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\ncontent-length: 1000\r\n\r\n"
    with silent_server(head, *[b"x"] * 100) as url:
        assert (
            failed(ConnectTransport(url, "k"), timeout=SECOND / 2).code is grpc.StatusCode.DEADLINE_EXCEEDED
        )


def test_closing_ends_a_call_in_flight_and_every_later_one() -> None:
    with silent_server() as url, ThreadPoolExecutor(1) as pool:
        transport = ConnectTransport(url, "k")
        call = pool.submit(failed, transport)
        while not any(connection.sock for connection in list(transport._connections)):
            threading.Event().wait(0.01)
        transport.close()

        assert call.result(10).code is grpc.StatusCode.CANCELLED
        assert failed(transport).code is grpc.StatusCode.CANCELLED


@pytest.mark.parametrize(
    "url", ["events.example.org", "ftp://a", "https://", "http://events.example.org", "https://a?b"]
)
def test_an_address_that_is_none_or_would_show_the_key_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|TLS"):
        ConnectTransport(url, "k")


def test_a_key_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="key"):
        ConnectTransport("https://events.example.org", "k\r\nx: y")


class Way:
    """A transport that fails as it is told."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: CallFailed | None = None

    def upload_events(self, request: UploadEventsRequest, *, timeout: timedelta) -> UploadEventsResponse:
        assert (request, timeout) == (REQUEST, SECOND)
        self.calls += 1
        if self.error is not None:
            raise self.error
        return UploadEventsResponse()

    def identify(self, request: IdentifyRequest, *, timeout: timedelta) -> IdentifyResponse:
        raise NotImplementedError((request, timeout))

    def close(self) -> None:
        self.calls = -1


UNREACHED = CallFailed(grpc.StatusCode.UNAVAILABLE)


def test_the_second_way_is_taken_after_three_calls_that_did_not_get_through_and_is_kept() -> None:
    first, second = Way(), Way()
    first.error = UNREACHED
    transport = FallbackTransport(first, second)

    for _ in range(3):
        assert failed(transport) is UNREACHED
    for _ in range(5):
        transport.upload_events(REQUEST, timeout=SECOND)

    assert (first.calls, second.calls) == (3, 5)


def test_a_way_that_stops_working_gives_way_to_the_other_again() -> None:
    first, second = Way(), Way()
    first.error = second.error = UNREACHED
    transport = FallbackTransport(first, second, failures_max=2)

    for _ in range(8):
        failed(transport)

    assert (first.calls, second.calls) == (4, 4)


@pytest.mark.parametrize(
    "error",
    [
        CallFailed(grpc.StatusCode.UNAVAILABLE, reason="STORE_UNAVAILABLE"),
        CallFailed(grpc.StatusCode.UNAUTHENTICATED),
        CallFailed(grpc.StatusCode.CANCELLED),
    ],
)
def test_a_refusal_by_the_server_says_nothing_against_the_way(error: CallFailed) -> None:
    first, second = Way(), Way()
    transport = FallbackTransport(first, second)

    for failure in (UNREACHED, UNREACHED, error, UNREACHED, UNREACHED, error):
        first.error = failure
        failed(transport)

    assert (first.calls, second.calls) == (6, 0)


def test_closing_closes_both_ways() -> None:
    first, second = Way(), Way()

    FallbackTransport(first, second).close()

    assert first.calls == second.calls == -1
