"""What stands around every method, with methods that misbehave (docs/RELIABILITY.md, facts 6 and 8)."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest

from workevo_server.domain.errors import StoreUnavailable
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.key_ring import KeyKind, Principal
from workevo_server.transport import reception as reception_module
from workevo_server.transport.address import Address
from workevo_server.transport.gate import Gate
from workevo_server.transport.grpc.guard import Guard
from workevo_server.transport.grpc.server import GrpcServer
from workevo_server.transport.in_flight import InFlight
from workevo_server.transport.reception import Call, Method, Reception
from workevo_server.transport.reports import Reports
from workevo_testing.wire_calls import Refusal, bearer, refusal

SECRET = "canary-in-an-exception"
MIB = 1024 * 1024


class OneKey:
    """A key ring with one key."""

    def principal(self, key: str) -> Principal | None:
        if key != "key":
            return None
        return Principal(workspace_id=WorkspaceId("w"), kind=KeyKind.SDK, key_prefix="k")

    def settings(self, _workspace_id: WorkspaceId) -> WorkspaceSettings:
        return WorkspaceSettings()

    def identity_secrets(self, _workspace_id: WorkspaceId) -> Sequence[bytes]:
        return ()


class Serving:
    def __init__(self, channel: grpc.aio.Channel, in_flight: InFlight) -> None:
        self.channel = channel
        self.in_flight = in_flight

    async def call(self, *, timeout: float = 10) -> bytes:
        method: Any = self.channel.unary_unary("/test.Service/Do")
        answer: bytes = await method(b"body", metadata=bearer("key"), timeout=timeout)
        return answer

    async def refused(self) -> Refusal:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call()
        return refusal(caught.value)


@asynccontextmanager
async def serving(
    answer: Callable[[Call], Coroutine[Any, Any, bytes]], **bounds: int
) -> AsyncIterator[Serving]:
    gate = Gate(
        **{"arriving_max": 10, "working_max": 10, "memory_bytes_max": MIB} | bounds, chance=random.Random(1)
    )
    in_flight = InFlight()
    reception = Reception(
        key_ring=OneKey(), gate=gate, in_flight=in_flight, reports=Reports(new_incident_id=lambda: "4711")
    )
    method = Method(permitted=frozenset({KeyKind.SDK}), answer=answer)
    server = GrpcServer(
        guard=Guard(reception=reception),
        services={"test.Service": {"Do": method}},
        reflection=False,
        calls_max=100,
    )
    address = server.bind(Address("127.0.0.1", 0), tls=None)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(str(address)) as channel:
            yield Serving(channel, in_flight)
    finally:
        await server.stop(grace=timedelta(seconds=1))


async def test_a_fault_of_ours_is_answered_with_an_id_and_nothing_of_its_text() -> None:
    async def fail(_call: Call) -> bytes:
        raise RuntimeError(SECRET)

    async with serving(fail) as server:
        refused = await server.refused()

    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "4711" in refused.sentence
    assert SECRET not in refused.sentence


async def test_a_cancellation_of_our_own_is_answered_as_unavailable() -> None:
    async def cancel(_call: Call) -> bytes:
        raise asyncio.CancelledError

    async with serving(cancel) as server:
        refused = await server.refused()

    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert refused.retry_after is not None


async def test_an_unavailable_store_says_when_to_come_back() -> None:
    async def refuse(_call: Call) -> bytes:
        raise StoreUnavailable(timedelta(milliseconds=2500))

    async with serving(refuse) as server:
        refused = await server.refused()

    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert refused.retry_after == timedelta(seconds=2.5)
    assert refused.pushback_millis == "2500"


async def test_a_call_lasts_no_longer_than_a_call_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception_module, "CALL_DEADLINE_MAX", timedelta(seconds=0.2))
    go_on = asyncio.Event()

    async def wait(_call: Call) -> bytes:
        await go_on.wait()
        return b"late"

    async with serving(wait) as server:
        refused = await server.refused()
        go_on.set()

    assert (refused.code, refused.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_PASSED")
    assert refused.retry_after is not None


async def test_a_body_that_does_not_come_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception_module, "CALL_DEADLINE_MAX", timedelta(seconds=0.2))
    never = asyncio.Event()

    async def answer(_call: Call) -> bytes:
        return b"done"

    async def no_body() -> AsyncIterator[bytes]:
        await never.wait()
        yield b""

    async with serving(answer) as server:
        method: Any = server.channel.stream_unary("/test.Service/Do")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(no_body(), metadata=bearer("key"), timeout=10)
        never.set()
        assert await server.call() == b"done"

    assert refusal(caught.value).reason == "DEADLINE_PASSED"


async def test_a_client_that_goes_away_cancels_nothing_that_was_begun() -> None:
    begun, go_on, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(_call: Call) -> bytes:
        begun.set()
        await go_on.wait()
        finished.set()
        return b"done"

    async with serving(work) as server:
        call = asyncio.ensure_future(server.call())
        await begun.wait()
        call.cancel()
        await asyncio.wait({call})
        await asyncio.sleep(0.1)
        assert await server.in_flight.finished(within=timedelta(0)) == 1

        go_on.set()
        assert await server.in_flight.finished(within=timedelta(seconds=5)) == 0

    assert finished.is_set()


async def test_work_that_nobody_waits_for_still_counts_against_the_bound() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(_call: Call) -> bytes:
        begun.set()
        await go_on.wait()
        return b"done"

    async with serving(work, working_max=1) as server:
        call = asyncio.ensure_future(server.call())
        await begun.wait()
        call.cancel()
        await asyncio.wait({call})
        await asyncio.sleep(0.1)

        assert (await server.refused()).reason == "OVERLOADED"

        go_on.set()
        await server.in_flight.finished(within=timedelta(seconds=5))
        assert await server.call() == b"done"


async def test_beside_a_heavy_call_another_is_refused_and_alone_it_is_taken() -> None:
    go_on = asyncio.Event()

    async def work(_call: Call) -> bytes:
        await go_on.wait()
        return b"done"

    async with serving(work, memory_bytes_max=1) as server:
        first = asyncio.ensure_future(server.call())
        await asyncio.sleep(0.2)

        assert (await server.refused()).reason == "OVERLOADED"

        go_on.set()
        assert await first == b"done"


def test_refusals_that_come_together_are_sent_back_apart() -> None:
    gate = Gate(arriving_max=0, working_max=1, memory_bytes_max=1, chance=random.Random(7))

    delays = {gate._overloaded().retry_after for _ in range(50)}

    assert len(delays) == 50
    assert all(timedelta(seconds=1) <= delay <= timedelta(seconds=6) for delay in delays)
