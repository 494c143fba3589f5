"""The log: JSON lines on standard error, one fact a line, and nothing that a device sent.

Only the fields named here are written, and of other libraries' lines only where
they come from: their texts may quote what was sent.
"""

import logging
import os
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

FIELDS = frozenset(
    {
        "bytes",
        "calls",
        "console",
        "control",
        "count",
        "error",
        "event",
        "events",
        "exit_code",
        "failed_events",
        "frames",
        "grpc",
        "http",
        "incident_id",
        "jobs",
        "level",
        "location",
        "logger",
        "method",
        "pid",
        "point",
        "put_off",
        "reason",
        "seconds",
        "sha256",
        "signal",
        "timestamp",
        "tries",
        "version",
        "workspace",
    }
)

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
LEVELS = tuple(_LEVELS)

log = structlog.get_logger()


def configure(level: str, stream: TextIO, *, is_shared: bool = False) -> None:
    """Send this process's log to `stream`, from `level` on; with its pid where others write too."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([_with_pid] if is_shared else []),
            _only_known_fields,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: _Lines(stream),
    )
    logging.basicConfig(handlers=[_LibraryLines()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


def task_failed(_loop: object, context: MutableMapping[str, Any]) -> None:
    """For asyncio: what nobody awaited failed."""
    error = context.get("exception")
    log.error(
        "task_failed",
        error=type(error).__name__,
        frames=traceback.format_tb(error.__traceback__) if error else [],
    )


def _with_pid(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {**event, "pid": os.getpid()}


def _only_known_fields(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {name: value for name, value in event.items() if name in FIELDS}


class _Lines:
    """Writes whole lines. A log that cannot be written must not fail the call it tells about."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass

    debug = info = warning = error = critical = msg


class _LibraryLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0] if record.exc_info else None
        log.warning(
            "library_reported",
            logger=record.name,
            location=f"{record.filename}:{record.lineno}",
            error=error.__name__ if error else None,
        )
