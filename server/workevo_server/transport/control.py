"""The server's end of the control socket: one JSON line in, one out; only the owner can open it.

{"command": "workspace.create", "arguments": {"name": "Shop"}}
{"result": {…}}   or   {"error": "a sentence", "is_misuse": false}
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import structlog

from workevo_server.domain.errors import FieldViolation, RequestInvalid, WorkevoError
from workevo_server.transport.control_call import TURN_MAX

LINE_BYTES_MAX = 64 * 1024  # A command names a workspace and a few settings.
CLOSE_MAX = timedelta(seconds=5)

Run = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]

log = structlog.get_logger()


class ControlServer:
    """Takes commands until `close`; one that has begun is answered first."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._conversations: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, bound: socket.socket) -> None:
        self._server = await asyncio.start_unix_server(self._serve, sock=bound, limit=LINE_BYTES_MAX)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._conversations:
            await asyncio.wait(self._conversations, timeout=CLOSE_MAX.total_seconds())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.current_task()
        assert conversation is not None
        self._conversations.add(conversation)
        try:
            await _converse(reader, writer, self._run)
        finally:
            self._conversations.discard(conversation)


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, run: Run) -> None:
    try:
        async with asyncio.timeout(TURN_MAX.total_seconds()):
            answer = await _answer(await reader.readline(), run)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
    except (OSError, ValueError, TimeoutError) as error:  # ValueError: a line longer than the limit.
        log.info("control_call_broken", error=type(error).__name__)
    finally:
        writer.close()


async def _answer(line: bytes, run: Run) -> dict[str, Any]:
    try:
        return {"result": await run(*_command(line))}
    except WorkevoError as error:
        return {"error": error.sentence, "is_misuse": isinstance(error, RequestInvalid)}
    except Exception as error:  # noqa: BLE001 - a command must not be left without an answer.
        log.error("control_call_failed", error=type(error).__name__)
        return {"error": "The server failed on this command; its log says more.", "is_misuse": False}


def _command(line: bytes) -> tuple[str, Mapping[str, Any]]:
    try:
        request = json.loads(line)
        command, arguments = request["command"], request["arguments"]
    except (ValueError, TypeError, KeyError, RecursionError):
        command, arguments = None, None
    if not (isinstance(command, str) and isinstance(arguments, dict)):
        raise RequestInvalid(FieldViolation("", "Send one JSON line with command and arguments."))
    return command, arguments
