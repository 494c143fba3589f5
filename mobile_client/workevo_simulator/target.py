"""The server that a run is against, and the keys of the workspace."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from workevo_mobile import CallMetadata, ConnectTransport, GrpcTransport, Transport
from workevo_simulator.errors import ServerUnusable
from workevo_simulator.line import SIMULATED_TIME_METADATA
from workevo_simulator.readback import GrpcReadApi
from workevo_simulator.virtual_time import VirtualTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Which one, and the keys of the workspace that is replayed into."""

    target: str
    sdk_key: str
    server_key: str
    connect_url: str | None = None
    """Where phones upload over HTTP/1.1 instead, as behind a proxy that breaks HTTP/2."""

    def connect(self, time: VirtualTime) -> Transport:
        """A connection that tells the server `time` with every call.

        In plaintext, as a simulated clock is served on loopback only.
        """

        def told_time() -> CallMetadata:
            return ((SIMULATED_TIME_METADATA, str(time.now_micros)),)

        if self.connect_url is not None:
            return ConnectTransport(self.connect_url, self.sdk_key, insecure=True, metadata=told_time)
        return GrpcTransport(self.target, self.sdk_key, insecure=True, metadata=told_time)

    @contextmanager
    def read_api(self) -> Iterator[GrpcReadApi]:
        with grpc.insecure_channel(self.target) as channel:
            yield GrpcReadApi(channel, self.server_key)


def require_empty_workspace(server: Server) -> None:
    with server.read_api() as api:
        if next(iter(api.installs()), None) is not None:
            raise ServerUnusable(
                "The workspace already has installs. All that it holds is held against the log, so replay "
                "into a new one: `workevo workspace create NAME`."
            )
