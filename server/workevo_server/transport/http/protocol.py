"""uvicorn's protocol with the bounds that it has not: a request's head, and what follows a refused body."""

from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from workevo_server.transport.http.limits import CONNECTIONS_MAX, HEAD_BYTES_MAX, HEAD_TIMEOUT, LINGER
from workevo_server.transport.http.problems import Problem, error_list_body

_MALFORMED = 400, Problem("bad_request", "The request is no HTTP/1.1.", "request")
_TOO_SLOW = 408, Problem("request_timeout", "The request's head did not come in time.", "request")
_TOO_LONG = 431, Problem("bad_request", f"A request's head has at most {HEAD_BYTES_MAX} bytes.", "headers")


class BoundedProtocol(HttpToolsProtocol):
    """Where uvicorn would wait for ever, or read without end, this one answers and hangs up."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._head_bytes = 0
        self._told_bytes = 0
        self._timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            self._wait_for_head()
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._hang_up(*_TOO_LONG)

    # The parser's callbacks

    def on_message_begin(self) -> None:
        self._told_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not (self._in_head or self.transport.is_closing()):
            self._stop_waiting()
            self._timer = self.loop.call_later(LINGER.total_seconds(), self.transport.abort)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says more.
        self._hang_up(*(_TOO_LONG if self._told_bytes > HEAD_BYTES_MAX else _MALFORMED))

    # Ours

    def _count(self, size: int) -> None:
        """What a whole head says may come in one piece, so the pieces alone do not bound it."""
        self._told_bytes += size
        if self._told_bytes > HEAD_BYTES_MAX:
            raise ValueError  # The parser hands it on as its own error.

    def _wait_for_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_TIMEOUT.total_seconds(), self._too_slow)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._is_answering():
            self._wait_for_head()  # It is we who keep the next request waiting.
        elif self._head_bytes:
            self._hang_up(*_TOO_SLOW)
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _hang_up(self, status: int, problem: Problem) -> None:
        if self.transport.is_closing():
            return
        body = error_list_body([problem], "")
        head = [
            STATUS_LINE[status],
            b"content-type: application/json\r\n",
            b"content-length: %d\r\n" % len(body),
            b"connection: close\r\n\r\n",
        ]
        self.transport.write(b"".join([*head, body]))
        self.transport.close()
