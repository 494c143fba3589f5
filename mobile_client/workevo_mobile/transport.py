"""How the device reaches the server."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from typing import Protocol, cast
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from workevo.tracking.v1 import tracking_pb2_grpc
from workevo.tracking.v1.tracking_pb2 import (
    IdentifyRequest,
    IdentifyResponse,
    UploadEventsRequest,
    UploadEventsResponse,
)
from workevo_mobile.codec import delay_from_wire
from workevo_mobile.errors import CallFailed

CallMetadata = Sequence[tuple[str, str]]

_CHANNEL_OPTIONS = (
    ("grpc.enable_retries", 0),  # A copy re-sent below us would carry stale clocks (R8).
    ("grpc.use_local_subchannel_pool", 1),  # A new channel then starts without the old one's backoff.
    ("grpc.initial_reconnect_backoff_ms", 200),  # Our own backoff decides when to call;
    ("grpc.max_reconnect_backoff_ms", 1000),  # the channel's must not add to it.
)


class Transport(Protocol):
    """One attempt a call: no retries, no waiting for a connection beyond `timeout`.

    Both calls raise CallFailed. The Tracker closes its transport with itself;
    a call after that fails at once with CANCELLED, lest something dials for an app that has ended.
    """

    def upload_events(self, request: UploadEventsRequest, *, timeout: timedelta) -> UploadEventsResponse: ...

    def identify(self, request: IdentifyRequest, *, timeout: timedelta) -> IdentifyResponse: ...

    def close(self) -> None: ...


def no_metadata() -> CallMetadata:
    return ()


def authorization(key: str) -> tuple[str, str]:
    """The header that carries the key. Raises ValueError for what no header can carry."""
    if not (key.isascii() and key.isprintable() and key.strip() == key != ""):
        raise ValueError("The key is no key: it must be printable ASCII without spaces around it.")
    return "authorization", f"Bearer {key}"


class GrpcTransport:
    """The server over gRPC: gzip, and TLS everywhere but on this machine.

    TLS by the roots given, else by the system's; plaintext to a loopback target
    without roots, and to any with `insecure`. `metadata` is asked before every
    call. Safe from any thread.
    """

    def __init__(
        self,
        target: str,
        key: str,
        *,
        root_certificates: bytes | None = None,
        insecure: bool = False,
        metadata: Callable[[], CallMetadata] = no_metadata,
    ) -> None:
        self._target = target
        self._authorization = authorization(key)
        self._roots = root_certificates
        self._plaintext = insecure or (root_certificates is None and is_loopback(target))
        self._metadata = metadata
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._calls = 0
        self._broken = False
        self._closed = False

    def upload_events(self, request: UploadEventsRequest, *, timeout: timedelta) -> UploadEventsResponse:
        metadata = self._call_metadata()
        with self._call() as stub:
            return stub.UploadEvents(request, timeout=timeout.total_seconds(), metadata=metadata)

    def identify(self, request: IdentifyRequest, *, timeout: timedelta) -> IdentifyResponse:
        metadata = self._call_metadata()
        with self._call() as stub:
            return stub.Identify(request, timeout=timeout.total_seconds(), metadata=metadata)

    def close(self) -> None:
        """Let go of the connection for good; calls in flight fail, and so does every later one."""
        with self._lock:
            self._closed = True
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _call_metadata(self) -> tuple[tuple[str, str], ...]:
        return (self._authorization, *self._metadata())

    @contextmanager
    def _call(self) -> Iterator[tracking_pb2_grpc.TrackingServiceStub]:
        channel = self._enter()
        try:
            yield tracking_pb2_grpc.TrackingServiceStub(channel)
        except grpc.RpcError as error:
            failed = call_failed(error)
            self._broken |= failed.code is grpc.StatusCode.UNAVAILABLE
            raise failed from error
        except ValueError as error:  # What grpc raises on a channel that close() took away.
            raise CallFailed(grpc.StatusCode.CANCELLED) from error
        finally:
            self._leave()

    def _enter(self) -> grpc.Channel:
        with self._lock:
            if self._closed:
                raise CallFailed(grpc.StatusCode.CANCELLED)
            self._calls += 1
            if self._channel is None:
                self._channel = self._open()
                self._broken = False
            return self._channel

    def _leave(self) -> None:
        """Drop a broken connection once nobody uses it: a channel left alone keeps the radio dialling."""
        with self._lock:
            self._calls -= 1
            if self._calls or not self._broken:
                return
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _open(self) -> grpc.Channel:
        compression = grpc.Compression.Gzip
        if self._plaintext:
            return grpc.insecure_channel(self._target, options=_CHANNEL_OPTIONS, compression=compression)
        credentials = grpc.ssl_channel_credentials(root_certificates=self._roots)
        return grpc.secure_channel(
            self._target, credentials, options=_CHANNEL_OPTIONS, compression=compression
        )


def is_loopback(target: str) -> bool:
    """Whether a gRPC target (`host:port`) names this machine and nothing else can listen in."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    host = urlsplit(f"//{target}").hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # Another name.
        return False


def call_failed(error: grpc.RpcError) -> CallFailed:
    """Read the google.rpc details that the server attached, where they can be read."""
    call = cast("grpc.Call", error)  # What the stubs raise is both.
    reason, retry_delay = "", None
    try:
        status = rpc_status.from_call(call)
        for detail in status.details if status is not None else ():
            error_info, retry_info = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(error_info):
                reason = error_info.reason
            elif detail.Unpack(retry_info):
                retry_delay = delay_from_wire(retry_info.retry_delay)
    except (ValueError, DecodeError):  # A status made by something between us and the server.
        pass
    return CallFailed(call.code(), reason=reason, retry_delay=retry_delay)
