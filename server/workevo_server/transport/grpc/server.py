"""The gRPC server: its options (docs/RELIABILITY.md), its address, and how it is stopped."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import grpc

from workevo_server.domain.limits import GRPC_MESSAGE_BYTES_MAX
from workevo_server.transport.address import Address
from workevo_server.transport.grpc import limits
from workevo_server.transport.grpc.guard import Guard
from workevo_server.transport.grpc.health import Health
from workevo_server.transport.grpc.reflection import Reflection
from workevo_server.transport.reception import Method
from workevo_server.transport.tls import NO_PEM, ServerRefused, TlsFiles


def _millis(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


_IDENTITY_AND_GZIP = 0b101
_BEGUN_AFTER_SECONDS = 0.01  # By then the core has said on every connection that it closes.

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", GRPC_MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", GRPC_MESSAGE_BYTES_MAX),
    ("grpc.max_concurrent_streams", limits.STREAMS_MAX),
    ("grpc.max_connection_idle_ms", _millis(limits.CONNECTION_IDLE)),
    ("grpc.max_connection_age_ms", _millis(limits.CONNECTION_AGE)),
    ("grpc.max_connection_age_grace_ms", _millis(limits.CONNECTION_AGE_GRACE)),
    ("grpc.server_handshake_timeout_ms", _millis(limits.HANDSHAKE_TIMEOUT)),
    ("grpc.keepalive_time_ms", _millis(limits.KEEPALIVE_EVERY)),
    ("grpc.keepalive_timeout_ms", _millis(limits.KEEPALIVE_TIMEOUT)),
    ("grpc.keepalive_permit_without_calls", 0),  # A phone's radio sleeps between uploads.
    ("grpc.http2.min_ping_interval_without_data_ms", _millis(limits.PING_INTERVAL_MIN)),
    ("grpc.max_metadata_size", limits.METADATA_BYTES_SOFT_MAX),
    ("grpc.absolute_max_metadata_size", limits.METADATA_BYTES_MAX),
    ("grpc.enable_channelz", 0),
    ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_AND_GZIP),
    ("grpc.per_message_decompression", 0),  # See transport/grpc/compression.py.
)


class GrpcServer:
    def __init__(
        self,
        *,
        guard: Guard,
        services: Mapping[str, Mapping[str, Method]],
        reflection: bool,
        calls_max: int,
        shares_port: bool = False,
    ) -> None:
        """`shares_port` with siblings of one pool; otherwise two servers would do so silently."""
        self.address = Address("", 0)
        """Where it is, once it is bound."""
        self._services = tuple(services)
        self._health = Health()
        self._turnstile = guard.turnstile
        options = (*OPTIONS, ("grpc.so_reuseport", int(shares_port)))
        # The core's refusal has no RetryInfo, so this stands well above what the gate lets in.
        self._server = grpc.aio.server(options=options, maximum_concurrent_rpcs=calls_max)
        self._server.add_generic_rpc_handlers(
            [guard.handlers(service, methods) for service, methods in services.items()]
        )
        self._server.add_generic_rpc_handlers([self._health.handlers()])
        if reflection:
            self._server.add_generic_rpc_handlers([Reflection(self._services).handlers()])

    def bind(self, address: Address, *, tls: TlsFiles | None) -> Address:
        """Take the address; port 0 becomes a free one. Raises ServerRefused."""
        credentials = _credentials(tls) if tls else None
        try:
            if credentials is None:
                port = self._server.add_insecure_port(str(address))
            else:
                port = self._server.add_secure_port(str(address), credentials)
        except RuntimeError:
            raise ServerRefused(
                f"Cannot listen on {address}: it is taken or not an address of this machine. "
                "Stop what uses it or choose another with --grpc."
            ) from None
        self.address = Address(address.host, port)
        return self.address

    async def start(self) -> None:
        await self._server.start()
        await self._health.serve(self._services)

    async def show_serving(self, serving: bool) -> None:  # noqa: FBT001 - one fact, said as it is.
        await self._health.serve(self._services, serving=serving)

    async def drain(self) -> None:
        """Tell load balancers to send no more; calls are still answered."""
        await self._health.drain()

    async def stop(self, *, grace: timedelta) -> None:
        """Accept nothing new, let calls finish within the grace, end the others."""
        self._health.end_watches()
        async with self._turnstile.held():
            stopping = asyncio.create_task(self._server.stop(grace.total_seconds()), name="stop gRPC")
            await asyncio.sleep(_BEGUN_AFTER_SECONDS)
        await stopping


def _credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    key, certificate = _read(tls.key), _read(tls.certificate)
    try:
        return grpc.ssl_server_credentials([(key, certificate)])
    except (RuntimeError, ValueError):
        raise ServerRefused(NO_PEM) from None


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ServerRefused(
            f"Cannot read {path}: {error.strerror}. Check --tls-cert and --tls-key."
        ) from None
    if b"-----BEGIN " not in content:
        raise ServerRefused(NO_PEM)
    return content
