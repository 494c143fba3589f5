"""The HTTP server: uvicorn in the event loop of gRPC's, its address, and how it is stopped."""

import asyncio
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from math import ceil

import uvicorn
from starlette.types import ASGIApp

from workevo_server.transport.address import Address
from workevo_server.transport.http.app import Readiness
from workevo_server.transport.http.limits import BACKLOG, HANDSHAKE_TIMEOUT, KEEP_ALIVE
from workevo_server.transport.http.protocol import BoundedProtocol
from workevo_server.transport.tls import NO_PEM, ServerRefused, TlsFiles


class _Server(uvicorn.Server):
    """uvicorn's without what belongs to the process: signals are ours, and sockets are bound already."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        handshake = HANDSHAKE_TIMEOUT.total_seconds() if self.config.ssl else None
        self.servers = [
            await loop.create_server(
                self._protocol,
                sock=listener,
                ssl=self.config.ssl,
                ssl_handshake_timeout=handshake,
                backlog=BACKLOG,
            )
            for listener in sockets or ()
        ]
        self.started = True
        self.is_listening.set()

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(config=self.config, server_state=self.server_state, app_state={})


class HttpServer:
    def __init__(self, app: ASGIApp, *, readiness: Readiness, trusted_proxies: Sequence[str] = ()) -> None:
        """Whose headers about whom they speak for are believed: `trusted_proxies`, as `proxy_addresses`."""
        self._app = app
        self._trusted_proxies = trusted_proxies
        self._readiness = readiness
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    def bind(self, address: Address, *, tls: TlsFiles | None, shares_port: bool = False) -> Address:
        """Take the address; port 0 becomes a free one. `shares_port` with siblings. Raises ServerRefused."""
        self._server = _Server(_config(self._app, tls, self._trusted_proxies))
        try:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            self._socket = socket.create_server(
                (address.host, address.port), family=family, backlog=BACKLOG, reuse_port=shares_port
            )
        except OSError:
            raise ServerRefused(
                f"Cannot listen on {address}: it is taken or not an address of this machine. "
                "Stop what uses it or choose another with --http."
            ) from None
        return Address(address.host, self._socket.getsockname()[1])

    async def start(self) -> None:
        assert self._server is not None, "bound before it is started"
        assert self._socket is not None
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http")
        listening = asyncio.create_task(self._server.is_listening.wait())
        await asyncio.wait({self._task, listening}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            listening.cancel()
            self._task.result()

    def show_ready(self, ready: bool) -> None:  # noqa: FBT001 - one fact, said as it is.
        self._readiness.store_answers = ready

    def drain(self) -> None:
        """Tell load balancers to send no more; requests are still answered."""
        self._readiness.drain()

    def connection_count(self) -> int:
        return len(self._server.server_state.connections) if self._server is not None else 0

    async def stop(self, *, grace: timedelta) -> None:
        """Accept nothing new, let requests finish within the grace, end the others."""
        if self._server is None or self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, ceil(grace.total_seconds()))
        self._server.should_exit = True
        await self._task


def _config(app: ASGIApp, tls: TlsFiles | None, trusted_proxies: Sequence[str]) -> uvicorn.Config:
    """Its log stays silent: lines about requests quote what was sent. Refusals are in our own."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(trusted_proxies),
        timeout_keep_alive=ceil(KEEP_ALIVE.total_seconds()),
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    try:
        config.load()
    except (ssl.SSLError, OSError, ValueError):
        raise ServerRefused(NO_PEM) from None
    return config
