"""HTTP/2 by hand, for what no client library would send: half calls, silence, floods of resets.

Only what a client says is made here; answers are read as bytes. RFC 9113 and, for
header fields as literals without indexing, RFC 7541 section 6.2.2.
"""

import socket
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Self

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
END_STREAM, END_HEADERS = 1, 4
CANCEL = 8
_READ_BYTES = 65_536


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header_block(fields: Mapping[str, str]) -> bytes:
    return b"".join(b"\0" + _literal(name) + _literal(value) for name, value in fields.items())


def _literal(text: str) -> bytes:
    """A string of any length, its length as a 7-bit-prefix integer."""
    raw = text.encode()
    length = len(raw)
    if length < 127:
        return bytes([length]) + raw
    encoded, rest = bytearray([127]), length - 127
    while rest >= 128:
        encoded.append(rest % 128 + 128)
        rest //= 128
    return bytes([*encoded, rest]) + raw


class RawConnection:
    """One TCP connection to a gRPC server; nothing is sent but what is asked for."""

    def __init__(self, address: str, *, preface: bool = True) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self._next_stream = 1
        if preface:
            self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def begin(self, method: str, key: str, extra: Mapping[str, str] | None = None) -> int:
        """The headers of a call and nothing else; the stream they opened."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": method,
            ":authority": "test",
            "content-type": "application/grpc",
            "te": "trailers",
            "authorization": f"Bearer {key}",
        } | dict(extra or {})
        self.socket.sendall(frame(HEADERS, END_HEADERS, stream, header_block(fields)))
        return stream

    def send(self, stream: int, data: bytes, *, last: bool = False) -> None:
        self.socket.sendall(frame(DATA, END_STREAM if last else 0, stream, data))

    def reset(self, stream: int) -> None:
        self.socket.sendall(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))

    def read_until(self, wanted: bytes) -> bytes:
        """Everything received until it holds `wanted` or the server closes the connection."""
        received = b""
        while wanted not in received:
            more = self.socket.recv(_READ_BYTES)
            if not more:
                break
            received += more
        return received


def message(body: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message with its five bytes in front."""
    return struct.pack(">BI", compressed, len(body)) + body
