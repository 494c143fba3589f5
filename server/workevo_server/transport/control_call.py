"""A command's end of the control socket (`control`). Light, as every command imports it."""

import json
import socket
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

TURN_MAX = timedelta(seconds=30)


class ControlRefused(Exception):
    """The server said no; the text is its sentence."""

    def __init__(self, sentence: str, *, is_misuse: bool) -> None:
        super().__init__(sentence)
        self.is_misuse = is_misuse
        """The command was wrong, rather than carried out in vain."""


class ControlUnreachable(Exception):
    """Nobody answers at that path (any more); nothing was asked."""


def call(path: Path, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Have a running server carry out a command. Raises ControlRefused or ControlUnreachable.

    A command that was sent is never sent again: whoever makes a key twice has one too many.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TURN_MAX.total_seconds())
        try:
            connection.connect(str(path))
        except OSError:
            raise ControlUnreachable from None
        answer = _asked(connection, {"command": command, "arguments": arguments})
    if "error" in answer:
        raise ControlRefused(answer["error"], is_misuse=answer["is_misuse"])
    result: dict[str, Any] = answer["result"]
    return result


def _asked(connection: socket.socket, request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as lines:
            answer: dict[str, Any] = json.loads(lines.readline())
    except (OSError, ValueError):
        raise ControlRefused(
            "The server went away before it answered. Look whether the command was carried out.",
            is_misuse=False,
        ) from None
    return answer
