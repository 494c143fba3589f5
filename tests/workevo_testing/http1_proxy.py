"""A proxy of the kind that breaks gRPC: it speaks HTTP/1.1 and nothing else, and may lose answers."""

import asyncio
import itertools
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

HEAD_BYTES_MAX = 64 * 1024
_REFUSED = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Http1Proxy:
    """Running within `with`, on a thread of its own. Loses every `lose_every`-th answer that was given."""

    def __init__(self, upstream: str, *, lose_every: int = 0) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = host, int(port)
        self._lose_every = lose_every
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._answers = itertools.count(1)
        self.address = ""
        self.refused = 0
        """Connections that began with anything but HTTP/1.1."""
        self.passed = 0
        self.lost = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_BYTES_MAX), self._loop
        ).result(10)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            writer.write(await self._answer(reader))
            await writer.drain()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        request, *headers = head.decode("latin-1").rstrip().split("\r\n")
        if not request.endswith(" HTTP/1.1"):
            self.refused += 1
            return _REFUSED
        lengths = [line.partition(":")[2] for line in headers if line.lower().startswith("content-length:")]
        body = await reader.readexactly(int(lengths[0]) if lengths else 0)
        answer = await self._forward("\r\n".join([request, "connection: close", *_lasting(headers)]), body)
        if self._lose_every and next(self._answers) % self._lose_every == 0:
            self.lost += 1
            return b""
        self.passed += 1
        return answer

    async def _forward(self, head: str, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self._upstream)
        writer.write(head.encode("latin-1") + b"\r\n\r\n" + body)
        answer = await reader.read()
        writer.close()
        return answer


def _lasting(headers: list[str]) -> list[str]:
    return [line for line in headers if not line.lower().startswith("connection:")]
