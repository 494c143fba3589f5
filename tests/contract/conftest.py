"""One real server for all contract tests of a worker; every test is an install of its own."""

from collections.abc import Iterator

import grpc
import pytest

from workevo_testing.places import STORES, store_of
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import BackEnd, Phone


@pytest.fixture(scope="session", params=STORES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    flags = ["--reflection", "--log-level", "debug"]
    with ServerProcess(tmp_path_factory.mktemp("server"), flags=flags, store=store_of(request)) as running:
        yield running
        assert running.returncode is None, f"The server ended during the tests. Its log:\n{running.log}"


@pytest.fixture
def channel(server: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc_address, _OWN_CONNECTION) as opened:
        yield opened


@pytest.fixture
def phone(channel: grpc.Channel, server: ServerProcess) -> Phone:
    return Phone(channel, server.keys.sdk_key)


@pytest.fixture
def back_end(channel: grpc.Channel, server: ServerProcess) -> BackEnd:
    return BackEnd(channel, server.keys.server_key)


_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
