"""The SDK's calls over real gRPC: what arrives, and how refusals are read."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from workevo.tracking.v1 import event_pb2, tracking_pb2, tracking_pb2_grpc
from workevo_mobile import CallFailed, GrpcTransport
from workevo_mobile.transport import is_loopback

SECOND = timedelta(seconds=1)
REQUEST = tracking_pb2.UploadEventsRequest(last_sequence=7)


class Service(tracking_pb2_grpc.TrackingServiceServicer):
    """Answers as `answer` says; keeps what came."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.answer: Callable[[grpc.ServicerContext], None] = lambda _context: None

    def UploadEvents(self, request: Any, context: Any) -> tracking_pb2.UploadEventsResponse:  # noqa: N802
        self._received(request, context)
        return tracking_pb2.UploadEventsResponse(accepted_count=3)

    def Identify(self, request: Any, context: Any) -> tracking_pb2.IdentifyResponse:  # noqa: N802
        self._received(request, context)
        return tracking_pb2.IdentifyResponse(message="welcome")

    def Forget(self, request: Any, context: Any) -> tracking_pb2.ForgetResponse:  # noqa: N802
        self._received(request, context)
        return tracking_pb2.ForgetResponse()

    def _received(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.answer(context)


@contextmanager
def serving(service: Service, address: str = "127.0.0.1:0") -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    tracking_pb2_grpc.add_TrackingServiceServicer_to_server(service, server)
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def target(service: Service) -> Iterator[str]:
    with serving(service) as target:
        yield target


@pytest.fixture
def transport(target: str) -> Iterator[GrpcTransport]:
    transport = GrpcTransport(target, "sdk_secret", metadata=lambda: [("x-extra", "1")])
    yield transport
    transport.close()


def refusing(code: int, *details: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> Any:
    def refuse(context: Any) -> None:
        packed = []
        for detail in details:
            packed.append(any_pb2.Any())
            packed[-1].Pack(detail)
        status = status_pb2.Status(code=code, message="No.", details=packed)
        context.abort_with_status(rpc_status.to_status(status))

    return refuse


def failed(transport: GrpcTransport) -> CallFailed:
    with pytest.raises(CallFailed) as raised:
        transport.upload_events(REQUEST, timeout=10 * SECOND)
    return raised.value


def test_both_calls_carry_the_key_and_the_hosts_metadata(service: Service, transport: GrpcTransport) -> None:
    answer = transport.upload_events(REQUEST, timeout=10 * SECOND)
    welcome = transport.identify(tracking_pb2.IdentifyRequest(user_id="u"), timeout=10 * SECOND)

    assert answer.accepted_count == 3
    assert welcome.message == "welcome"
    assert service.requests == [REQUEST, tracking_pb2.IdentifyRequest(user_id="u")]
    for metadata in service.metadata:
        assert metadata["authorization"] == "Bearer sdk_secret"
        assert metadata["x-extra"] == "1"


def first_message(listener: socket.socket) -> bytes:
    """Speak just enough HTTP/2 that a client sends its call; what stands in its DATA frames."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as stream:
        connection.sendall(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")  # An empty SETTINGS frame.
        stream.read(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
        message, ended = b"", False
        while not ended:
            header = stream.read(9)
            payload = stream.read(int.from_bytes(header[:3]))
            if header[3] == 0:
                message, ended = message + payload, bool(header[4] & 1)
        return message


def test_uploads_are_compressed() -> None:
    large = tracking_pb2.UploadEventsRequest(events=[event_pb2.Event(name="opened")] * 2000)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as reading:
        message = reading.submit(first_message, listener)
        transport = GrpcTransport(f"127.0.0.1:{listener.getsockname()[1]}", "key")
        with pytest.raises(CallFailed):
            transport.upload_events(large, timeout=10 * SECOND)
        transport.close()

    compressed, body = message.result()[0], message.result()[5:]
    assert compressed == 1
    assert gzip.decompress(body) == large.SerializeToString()


def test_the_typed_details_of_a_refusal_are_read(service: Service, transport: GrpcTransport) -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromTimedelta(timedelta(seconds=2.5))
    info = error_details_pb2.ErrorInfo(reason="UPLOAD_TOO_LARGE", domain="workevo.dev")
    service.answer = refusing(code_pb2.RESOURCE_EXHAUSTED, info, retry)

    failure = failed(transport)

    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.reason == "UPLOAD_TOO_LARGE"
    assert failure.retry_delay == timedelta(seconds=2.5)


def test_a_delay_beyond_all_reason_is_cut_to_an_hour(service: Service, transport: GrpcTransport) -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.seconds = 2**62
    service.answer = refusing(code_pb2.UNAVAILABLE, retry)

    assert failed(transport).retry_delay == timedelta(hours=1)


def test_a_bare_refusal_has_no_details(service: Service, transport: GrpcTransport) -> None:
    service.answer = lambda context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "Who?")

    failure = failed(transport)

    assert failure.code is grpc.StatusCode.UNAUTHENTICATED
    assert (failure.reason, failure.retry_delay) == ("", None)


@pytest.mark.parametrize("details", [b"\xff\xff", status_pb2.Status(code=3).SerializeToString()])
def test_details_that_make_no_sense_are_no_details(
    service: Service, transport: GrpcTransport, details: bytes
) -> None:
    def refuse(context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(grpc.StatusCode.INTERNAL, "Oh.")

    service.answer = refuse

    failure = failed(transport)

    assert failure.code is grpc.StatusCode.INTERNAL
    assert (failure.reason, failure.retry_delay) == ("", None)


def test_a_call_ends_at_its_deadline(service: Service, transport: GrpcTransport) -> None:
    done = threading.Event()

    def dawdle(_context: grpc.ServicerContext) -> None:
        done.wait(10)

    service.answer = dawdle
    with pytest.raises(CallFailed) as raised:
        transport.upload_events(REQUEST, timeout=timedelta(milliseconds=50))

    done.set()
    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_server_that_comes_back_is_reached_by_the_next_call(service: Service) -> None:
    with serving(service) as target:
        transport = GrpcTransport(target, "key")
        transport.upload_events(REQUEST, timeout=10 * SECOND)
    assert failed(transport).code is grpc.StatusCode.UNAVAILABLE
    assert transport._channel is None, "nothing dials while nobody calls"

    with serving(service, target):
        assert transport.upload_events(REQUEST, timeout=10 * SECOND).accepted_count == 3
    transport.close()


def test_a_closed_transport_refuses_every_call_and_dials_no_more(transport: GrpcTransport) -> None:
    assert transport.upload_events(REQUEST, timeout=10 * SECOND).accepted_count == 3
    transport.close()
    transport.close()

    assert failed(transport).code is grpc.StatusCode.CANCELLED
    assert transport._channel is None


def test_a_channel_taken_away_during_a_call_is_a_failed_call(transport: GrpcTransport) -> None:
    def call_while_closing() -> None:
        with transport._call() as stub:
            transport.close()
            stub.UploadEvents(REQUEST, timeout=1)

    with pytest.raises(CallFailed) as raised:
        call_while_closing()

    assert raised.value.code is grpc.StatusCode.CANCELLED


@pytest.mark.parametrize(
    ("target", "is_local"),
    [
        ("localhost:80", True),
        ("127.0.0.1:80", True),
        ("127.9.9.9:80", True),
        ("[::1]:80", True),
        ("unix:/run/workevo.sock", True),
        ("example.org:443", False),
        ("127.0.0.1.example.org:443", False),
        ("10.0.0.1:80", False),
    ],
)
def test_only_this_machine_is_called_in_plaintext(target: str, is_local: bool) -> None:
    assert is_loopback(target) is is_local
    assert GrpcTransport(target, "key")._plaintext is is_local
    assert GrpcTransport(target, "key", insecure=True)._plaintext
    assert not GrpcTransport(target, "key", root_certificates=b"pem")._plaintext


def test_a_tls_channel_does_not_speak_to_a_plaintext_server(target: str) -> None:
    transport = GrpcTransport(target, "key", root_certificates=None)
    transport._plaintext = False

    assert failed(transport).code is grpc.StatusCode.UNAVAILABLE
    transport.close()


@pytest.mark.parametrize("key", ["", " key", "key\n", "ключ"])
def test_what_cannot_be_a_key_is_refused_at_once(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        GrpcTransport("localhost:80", key)
