"""The HTTP door, whatever stands behind it: who may come in, how much at once, how long, and what is told."""

import asyncio
import gzip
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from contract.test_guard import SECRET, OneKey
from workevo_server.domain.errors import Overloaded, StoreUnavailable
from workevo_server.ports.key_ring import KeyKind
from workevo_server.transport.address import Address
from workevo_server.transport.gate import Gate
from workevo_server.transport.http import bodies, guard, protocol
from workevo_server.transport.http.app import Readiness, make_app
from workevo_server.transport.http.guard import Endpoint, HttpCall, HttpGuard
from workevo_server.transport.http.limits import BODY_BYTES_MAX, HEAD_BYTES_MAX
from workevo_server.transport.http.server import HttpServer
from workevo_server.transport.in_flight import InFlight
from workevo_server.transport.reception import Reception
from workevo_server.transport.reports import Reports
from workevo_testing.http_calls import HttpAnswer, RawConnection, request
from workevo_testing.server_process import ServerProcess

MIB = 1024 * 1024
KEY = {"Authorization": "Bearer key"}
HEAD = b"POST /do HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\n"


@dataclass(frozen=True, slots=True)
class Serving:
    address: str
    server: HttpServer
    in_flight: InFlight

    async def request(self, method: str = "POST", path: str = "/do", **sent: Any) -> HttpAnswer:
        return await asyncio.to_thread(request, self.address, method, path, **sent)

    async def raw(self, talk: Callable[[RawConnection], HttpAnswer]) -> HttpAnswer:
        def run() -> HttpAnswer:
            with RawConnection(self.address) as connection:
                return talk(connection)

        return await asyncio.to_thread(run)


async def echo(call: HttpCall) -> Response:
    return Response(call.body)


@asynccontextmanager
async def serving(
    answer: Callable[[HttpCall], Coroutine[Any, Any, Response]] = echo,
    *,
    trusted_proxies: Sequence[str] = (),
    **bounds: int,
) -> AsyncIterator[Serving]:
    gate = Gate(
        **{"arriving_max": 10, "working_max": 10, "memory_bytes_max": 1000 * MIB} | bounds,
        chance=random.Random(1),
    )
    reports, in_flight, readiness = Reports(new_incident_id=lambda: "4711"), InFlight(), Readiness()
    reception = Reception(key_ring=OneKey(), gate=gate, in_flight=in_flight, reports=reports)
    door = HttpGuard(reception=reception, new_request_id=lambda: "r1")
    endpoint = Endpoint(permitted=frozenset({KeyKind.SDK}), answer=answer)
    routes = [Route("/do", door.handler("do", endpoint), methods=["POST"])]
    app = make_app(routes, readiness=readiness, reports=reports, new_request_id=lambda: "r2")
    server = HttpServer(app, readiness=readiness, trusted_proxies=trusted_proxies)
    address = server.bind(Address("127.0.0.1", 0), tls=None)
    await server.start()
    try:
        yield Serving(str(address), server, in_flight)
    finally:
        await server.stop(grace=timedelta(seconds=1))


# Who


@pytest.mark.parametrize(
    "authorization", ["Bearer key", "bearer key", "Basic a2V5Og==", "Basic a2V5OnBhc3N3b3Jk"]
)
async def test_a_key_is_taken_as_bearer_and_as_the_user_name_of_basic(authorization: str) -> None:
    async with serving() as door:
        answer = await door.request(headers={"Authorization": authorization}, body=b"hello")

    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.headers["x-request-id"] == "r1"


@pytest.mark.parametrize(
    ("trusted", "told"),
    [
        (["127.0.0.1"], "192.0.2.1 https"),
        (["192.0.2.0/24", "127.0.0.0/8"], "192.0.2.1 https"),
        (["*"], "192.0.2.1 https"),
        (["192.0.2.7"], "127.0.0.1 http"),
        ([], "127.0.0.1 http"),
    ],
)
async def test_whom_a_proxy_speaks_for_is_believed_of_those_that_are_named(
    trusted: list[str], told: str
) -> None:
    async def who(call: HttpCall) -> Response:
        assert call.request.client is not None
        return Response(f"{call.request.client.host} {call.request.url.scheme}")

    async with serving(who, trusted_proxies=trusted) as door:
        headers = {
            "Authorization": "Bearer key",
            "X-Forwarded-For": "192.0.2.1",
            "X-Forwarded-Proto": "https",
        }
        answer = await door.request(headers=headers, body=b"")

    assert answer.body.decode() == told


@pytest.mark.parametrize(
    "authorization",
    ["", "key", "Bearer", "Bearer ", "Bearer  key", "Bearer nope", "Basic", "Basic %%%", "Basic /w=="],
)
async def test_what_is_no_key_is_unauthorized_before_the_body_has_come(authorization: str) -> None:
    async with serving() as door:
        head = f"POST /do HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: 9\r\n\r\n"

        def talk(connection: RawConnection) -> HttpAnswer:
            connection.send(head.encode())
            return connection.answer()

        answer = await door.raw(talk)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.error["code"] == "unauthorized"
    assert answer.json["request_id"] == "r1"


async def test_two_keys_are_none() -> None:
    async with serving() as door:

        def talk(connection: RawConnection) -> HttpAnswer:
            twice = b"Authorization: Bearer key\r\n" * 2
            connection.send(b"POST /do HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + twice + b"\r\n")
            return connection.answer()

        assert (await door.raw(talk)).status == 401


# How much


@pytest.mark.parametrize("size", [BODY_BYTES_MAX, BODY_BYTES_MAX + 1, 4 * BODY_BYTES_MAX])
async def test_a_body_of_a_mebibyte_is_taken_and_one_byte_more_is_not(size: int) -> None:
    async with serving() as door:
        answer = await door.request(headers=KEY, body=bytes(size))

    if size <= BODY_BYTES_MAX:
        assert (answer.status, len(answer.body)) == (200, size)
    else:
        assert answer.status == 413
        assert (answer.error["code"], answer.error["field"]) == ("content_too_large", "body")


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent() -> None:
    async with serving() as door:

        def talk(connection: RawConnection) -> HttpAnswer:
            connection.send(HEAD + b"Content-Length: 99999999999\r\n\r\n")
            return connection.answer()

        assert (await door.raw(talk)).status == 413


async def test_a_body_that_says_no_size_is_refused_once_it_is_too_large_and_not_read_whole() -> None:
    async with serving() as door:

        def talk(connection: RawConnection) -> HttpAnswer:
            connection.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(BODY_BYTES_MAX // 0x10000 + 1):  # And no last chunk.
                connection.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            return connection.answer()

        assert (await door.raw(talk)).status == 413


async def test_a_refused_body_costs_the_next_request_on_its_connection_nothing() -> None:
    async with serving() as door:

        def talk(connection: RawConnection) -> HttpAnswer:
            size = BODY_BYTES_MAX + 1
            head = HEAD + b"Content-Length: %d\r\n\r\n"
            connection.send(head % size + bytes(size))
            assert connection.answer().status == 413
            connection.send(head % 2 + b"ok")
            return connection.answer()

        answer = await door.raw(talk)

    assert (answer.status, answer.body) == (200, b"ok")


async def test_a_bomb_is_refused_and_what_fits_is_inflated() -> None:
    async with serving() as door:
        headers = {**KEY, "Content-Encoding": "gzip"}
        small = await door.request(headers=headers, body=gzip.compress(b"hello"))
        bomb = await door.request(headers=headers, body=gzip.compress(bytes(200 * MIB)))

    assert small.body == b"hello"
    assert (bomb.status, bomb.error["field"]) == (413, "body")


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b"hello", mtime=0)[:-3], gzip.compress(b"a", mtime=0) + b"rest"],
    ids=["cut", "rest"],
)
async def test_a_damaged_gzip_is_a_bad_request(body: bytes) -> None:
    async with serving() as door:
        answer = await door.request(headers={**KEY, "Content-Encoding": "gzip"}, body=body)

    assert (answer.status, answer.error["code"]) == (400, "bad_request")


async def test_another_encoding_is_refused_with_what_is_taken() -> None:
    async with serving() as door:
        answer = await door.request(headers={**KEY, "Content-Encoding": "br"}, body=b"x")

    assert (answer.status, answer.error["field"]) == (415, "Content-Encoding")
    assert answer.headers["accept-encoding"] == "gzip"


async def test_over_what_is_worked_on_at_once_a_request_is_told_when_to_come_back() -> None:
    go_on, begun = asyncio.Event(), asyncio.Event()

    async def wait(_call: HttpCall) -> Response:
        begun.set()
        await go_on.wait()
        return PlainTextResponse("done")

    async with serving(wait, working_max=1) as door:
        first = asyncio.create_task(door.request(headers=KEY, body=b"x"))
        await begun.wait()
        second = await door.request(headers=KEY, body=b"x")
        go_on.set()
        assert (await first).status == 200

    assert (second.status, second.error["code"]) == (503, "service_unavailable")
    assert 1 <= int(second.headers["retry-after"]) <= 6


@pytest.mark.parametrize("pieces", [1, 64], ids=["at once", "piece by piece"])
async def test_a_head_that_is_too_long_is_refused(pieces: int) -> None:
    async with serving() as door:

        def talk(connection: RawConnection) -> HttpAnswer:
            connection.send(b"POST /do HTTP/1.1\r\nHost: x\r\nX-Long: ")
            for _ in range(pieces):
                connection.send(b"a" * (HEAD_BYTES_MAX // pieces + 1))
            connection.send(b"\r\n\r\n")
            return connection.answer()

        answer = await door.raw(talk)

    assert (answer.status, answer.error["field"]) == (431, "headers")


# How long


async def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT", timedelta(seconds=0.3))

    async with serving() as door:

        def talk(connection: RawConnection) -> HttpAnswer:
            connection.send(b"POST /do HTTP/1.1\r\nHost")
            answer = connection.answer()
            assert connection.is_closed()
            return answer

        answer = await door.raw(talk)

    assert (answer.status, answer.error["code"]) == (408, "request_timeout")


async def test_who_connects_and_says_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT", timedelta(seconds=0.3))

    async with serving() as door:

        def waits() -> bool:
            with RawConnection(door.address) as connection:
                return connection.is_closed()

        assert await asyncio.to_thread(waits)


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT", timedelta(seconds=0.3))

    async with serving() as door:

        def talk(connection: RawConnection) -> HttpAnswer:
            connection.send(HEAD + b"Content-Length: 9\r\n\r\nhalf")
            return connection.answer()

        answer = await door.raw(talk)

    assert (answer.status, answer.error["code"]) == (408, "request_timeout")


async def test_work_lasts_no_longer_than_a_call_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CALL_DEADLINE_MAX", timedelta(seconds=0.2))
    go_on = asyncio.Event()

    async def wait(_call: HttpCall) -> Response:
        await go_on.wait()
        return PlainTextResponse("late")

    async with serving(wait) as door:
        answer = await door.request(headers=KEY, body=b"")
        go_on.set()

    assert answer.status == 408
    assert "retry-after" in answer.headers


async def test_a_caller_that_goes_away_cancels_nothing() -> None:
    go_on, begun, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(_call: HttpCall) -> Response:
        begun.set()
        await go_on.wait()
        done.set()
        return PlainTextResponse("done")

    async with serving(work) as door:

        def leave() -> None:
            with RawConnection(door.address) as connection:
                connection.send(HEAD + b"Content-Length: 0\r\n\r\n")

        await asyncio.to_thread(leave)
        await begun.wait()
        go_on.set()
        assert await door.in_flight.finished(within=timedelta(seconds=5)) == 0

    assert done.is_set()


async def test_stopping_waits_for_what_was_begun() -> None:
    go_on, begun = asyncio.Event(), asyncio.Event()

    async def work(_call: HttpCall) -> Response:
        begun.set()
        await go_on.wait()
        return PlainTextResponse("done")

    async with serving(work) as door:
        asked = asyncio.create_task(door.request(headers=KEY, body=b""))
        await begun.wait()
        stopping = asyncio.create_task(door.server.stop(grace=timedelta(seconds=5)))
        await asyncio.sleep(0.3)
        assert not stopping.done()
        go_on.set()
        await stopping

        assert (await asked).body == b"done"


# What is told


async def test_a_fault_of_ours_is_answered_with_an_id_and_nothing_of_its_text() -> None:
    async def fail(_call: HttpCall) -> Response:
        raise RuntimeError(SECRET)

    async with serving(fail) as door:
        answer = await door.request(headers=KEY, body=b"")

    assert (answer.status, answer.error["code"]) == (500, "server_error")
    assert "4711" in answer.error["message"]
    assert SECRET.encode() not in answer.body


@pytest.mark.parametrize("refusal", [StoreUnavailable(), Overloaded(timedelta(milliseconds=1200))])
async def test_who_should_come_back_is_told_when(refusal: Exception) -> None:
    async def refuse(_call: HttpCall) -> Response:
        raise refusal

    async with serving(refuse) as door:
        answer = await door.request(headers=KEY, body=b"")

    assert (answer.status, answer.headers["retry-after"]) == (503, "2")


async def test_unknown_paths_and_methods_are_told_as_errors_too() -> None:
    async with serving() as door:
        nowhere = await door.request("GET", "/nowhere")
        wrong = await door.request("DELETE", "/do")

    assert (nowhere.status, nowhere.error["code"]) == (404, "not_found")
    assert (wrong.status, wrong.error["code"], wrong.headers["allow"]) == (405, "method_not_allowed", "POST")


async def test_a_slash_too_many_changes_nothing() -> None:
    async with serving() as door:
        answer = await door.request(path="/do/", headers=KEY, body=b"x")

    assert (answer.status, answer.body) == (200, b"x")


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /do HTTP/1.1\r\nHost: x\r\nContent-Length: minus\r\n\r\n",
        b"POST /do HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
)
async def test_what_is_no_http_is_told_so_and_hung_up_on(sent: bytes) -> None:
    async with serving() as door:

        def talk(connection: RawConnection) -> HttpAnswer:
            connection.send(sent)
            answer = connection.answer()
            assert connection.is_closed()
            return answer

        answer = await door.raw(talk)

    assert (answer.status, answer.error["code"]) == (400, "bad_request")


# Alive and ready


async def test_a_server_that_drains_is_alive_but_not_ready() -> None:
    async with serving() as door:
        before = [(await door.request("GET", path)).status for path in ("/healthz", "/readyz")]
        door.server.drain()
        after = [(await door.request("GET", path)).status for path in ("/healthz", "/readyz")]

    assert (before, after) == ([200, 200], [200, 503])


def test_workevo_serve_opens_it_and_says_where(server: ServerProcess) -> None:
    assert request(server.http_address, "GET", "/readyz").body == b"ready\n"
