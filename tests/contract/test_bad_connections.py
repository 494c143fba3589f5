"""Connections that misbehave: silent, slow, half open, resetting. Others notice nothing."""

import contextlib
import gzip
import itertools
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from workevo_server.transport.grpc.limits import HEALTH_ARRIVING_MAX
from workevo_testing.http2_frames import RawConnection, message
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import UPLOAD_METHOD, Phone, event, refusal

QUICK_SECONDS_MAX = 5
OK = grpc.StatusCode.OK.value[0]
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT.value[0]
RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED.value[0]


@contextlib.contextmanager
def _many(server: ServerProcess, count: int, *, preface: bool = True) -> Iterator[list[RawConnection]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(RawConnection(server.grpc_address, preface=preface)) for _ in range(count)]


def _answers_quickly(phone: Phone) -> bool:
    sequences = itertools.count(1)
    begun = time.monotonic()
    answers = [phone.upload([event(next(sequences))]) for _ in range(5)]
    return time.monotonic() - begun < QUICK_SECONDS_MAX and all(each.accepted_count == 1 for each in answers)


def test_silent_connections_keep_nobody_out(server: ServerProcess, phone: Phone) -> None:
    with _many(server, 200, preface=False):
        assert _answers_quickly(phone)


def test_a_connection_that_stays_silent_is_closed(server: ServerProcess) -> None:
    with RawConnection(server.grpc_address, preface=False) as silent:
        silent.socket.settimeout(20)
        begun = time.monotonic()
        while silent.socket.recv(4096):
            pass
        assert time.monotonic() - begun < 15


def test_calls_without_a_body_keep_nobody_out(server: ServerProcess, phone: Phone) -> None:
    with _many(server, 8) as connections:
        for connection in connections:
            for _ in range(90):
                connection.begin(UPLOAD_METHOD, phone.key)

        assert _answers_quickly(phone)


def test_health_calls_without_a_body_keep_nobody_out(server: ServerProcess, phone: Phone) -> None:
    """They need no key, so only so many may wait for their bodies, and not for long."""
    with RawConnection(server.grpc_address) as connection:
        for _ in range(HEALTH_ARRIVING_MAX + 1):
            connection.begin("/grpc.health.v1.Health/Check", "")
        assert b"grpc-status\x018" in connection.read_until(b"grpc-status\x018")

        assert _answers_quickly(Phone(phone.channel, phone.key))


def test_bodies_that_come_byte_by_byte_keep_nobody_out(server: ServerProcess, phone: Phone) -> None:
    body = message(phone.request([event(1)]).SerializeToString())
    with _many(server, 4) as connections:
        streams = [(each, each.begin(UPLOAD_METHOD, phone.key)) for each in connections for _ in range(50)]
        for byte in body[:5]:
            for connection, stream in streams:
                connection.send(stream, bytes([byte]))

        assert _answers_quickly(Phone(phone.channel, phone.key))


def test_a_half_open_call_with_an_unknown_key_is_refused_before_its_body(server: ServerProcess) -> None:
    with RawConnection(server.grpc_address) as connection:
        connection.begin(UPLOAD_METHOD, "wk_sdk_unknown")

        assert b"grpc-status\x0216" in connection.read_until(b"grpc-status\x0216")


def test_a_flood_of_resets_keeps_nobody_out(server: ServerProcess, phone: Phone) -> None:
    body = message(phone.request([event(1)]).SerializeToString())
    with RawConnection(server.grpc_address) as connection, contextlib.suppress(OSError):
        for _ in range(2_000):
            stream = connection.begin(UPLOAD_METHOD, phone.key)
            connection.send(stream, body)
            connection.reset(stream)

    assert _answers_quickly(Phone(phone.channel, phone.key))


def _status(server: ServerProcess, key: str, headers: dict[str, str], body: bytes) -> int:
    with RawConnection(server.grpc_address) as connection:
        connection.send(connection.begin(UPLOAD_METHOD, key, headers), body, last=True)
        answer = connection.read_until(b"grpc-message")
    found = re.search(rb"grpc-status.(\d+)", answer, re.DOTALL)
    assert found is not None
    return int(found[1])


GOOD_GZIP = gzip.compress(b"\x7a\x03abc", mtime=0)
BODIES = {
    "an encoding that is switched off": (
        {"grpc-encoding": "deflate"},
        message(b"x", compressed=True),
        UNIMPLEMENTED,
    ),
    "gzip that is none": ({"grpc-encoding": "gzip"}, message(b"garbage", compressed=True), INVALID_ARGUMENT),
    "damaged gzip": (
        {"grpc-encoding": "gzip"},
        message(b"\x1f\x8b" + b"x" * 9, compressed=True),
        INVALID_ARGUMENT,
    ),
    "truncated gzip": ({"grpc-encoding": "gzip"}, message(GOOD_GZIP[:-3], compressed=True), INVALID_ARGUMENT),
    "gzip with a tail": (
        {"grpc-encoding": "gzip"},
        message(GOOD_GZIP + b"x", compressed=True),
        INVALID_ARGUMENT,
    ),
    "a length beyond the end": ({}, b"\0\0\0\0\xffabc", INVALID_ARGUMENT),
    "a length beyond all memory": ({}, b"\0\xff\xff\xff\xffabc", RESOURCE_EXHAUSTED),
    "half a prefix": ({}, b"\0\0", INVALID_ARGUMENT),
    "nothing": ({}, b"", INVALID_ARGUMENT),
    "an unknown flag": ({}, b"\x06\0\0\0\x01a", INVALID_ARGUMENT),
    "another content type": ({"content-type": "text/plain"}, message(b"\xff"), INVALID_ARGUMENT),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_is_framed_wrongly_is_refused_as_malformed(
    server: ServerProcess, phone: Phone, what: str
) -> None:
    headers, body, status = BODIES[what]

    assert _status(server, phone.key, headers, body) == status


@pytest.mark.parametrize(
    "headers",
    [
        {"grpc-encoding": "snappy"},
        {"grpc-timeout": "soon"},
        {"x-bin": "!!!"},
        {"te": "x"},
        {":scheme": "ftp"},
        {"X-Upper": "x"},
    ],
    ids=str,
)
def test_headers_that_are_no_grpc_end_the_call_in_the_core_and_harm_nobody(
    server: ServerProcess, phone: Phone, headers: dict[str, str]
) -> None:
    assert _status(server, phone.key, headers, message(b"")) != OK

    assert _answers_quickly(phone)


@pytest.mark.parametrize("method", ["Check", "Watch"])
def test_a_malformed_health_request_is_refused_as_malformed(channel: grpc.Channel, method: str) -> None:
    call: Any = channel.unary_unary if method == "Check" else channel.unary_stream

    with pytest.raises(grpc.RpcError) as caught:
        list(call(f"/grpc.health.v1.Health/{method}")(b"\xff\xff", timeout=20))

    assert refusal(caught.value).reason == "REQUEST_MALFORMED"


def test_a_malformed_reflection_request_is_refused_as_malformed(channel: grpc.Channel) -> None:
    call: Any = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")

    with pytest.raises(grpc.RpcError) as caught:
        list(call(iter([b"\xff\xff"]), timeout=20))

    assert refusal(caught.value).reason == "REQUEST_MALFORMED"


@pytest.mark.parametrize(
    "bytes_sent",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\0" * 4096, b"PRI * HTTP/2.0\r\n"],
)
def test_what_is_no_http2_is_dropped(server: ServerProcess, phone: Phone, bytes_sent: bytes) -> None:
    with RawConnection(server.grpc_address, preface=False) as connection:
        connection.socket.sendall(bytes_sent)
        connection.socket.shutdown(socket.SHUT_WR)

        assert _answers_quickly(phone)


def test_a_full_waiting_room_says_when_to_come_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        ServerProcess(tmp_path_factory.mktemp("small"), flags=["--arriving-max", "1"]) as small,
        grpc.insecure_channel(small.grpc_address) as channel,
        RawConnection(small.grpc_address) as holder,
    ):
        mine = Phone(channel, small.keys.sdk_key)
        mine.upload([event(1)])
        holder.begin(UPLOAD_METHOD, mine.key)
        holder.read_until(b"\0\0\0\x04\x01")  # The server has taken note of the connection.
        time.sleep(0.3)

        with pytest.raises(grpc.RpcError) as caught:
            mine.upload([event(2)])

        refused = refusal(caught.value)
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert refused.retry_after is not None
        assert 1 <= refused.retry_after.total_seconds() <= 6
        assert refused.pushback_millis == str(int(refused.retry_after.total_seconds() * 1000))

        holder.socket.close()
        time.sleep(0.3)
        assert mine.upload([event(2)]).accepted_count == 1
