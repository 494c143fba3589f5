"""Carries out an operator's command wherever the store is: in the server that has it open, or here."""

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from workevo_server.adapters.data_directory import DataDirectory, DataDirectoryLocked
from workevo_server.transport.control_call import ControlUnreachable, call

PATIENCE = timedelta(seconds=30)
_POLL_SECONDS = 0.1


def carry_out(data_dir: Path, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What `Administration.run` answers, by the one process that may write the store.

    A directory that is owned but takes no commands belongs to a server that is just
    starting or ending, or to another command: it is waited for a while.

    Raises DataDirectoryRefused, StoreRefused, ControlRefused, WorkevoError.
    """
    patience_ends = time.monotonic() + PATIENCE.total_seconds()
    while True:
        try:
            return _alone(DataDirectory.lock(data_dir), command, arguments)
        except DataDirectoryLocked as locked:
            answer = _by_its_owner(locked, command, arguments)
            if answer is not None:
                return answer
            if time.monotonic() > patience_ends:
                raise
        time.sleep(_POLL_SECONDS)


def _by_its_owner(
    locked: DataDirectoryLocked, command: str, arguments: Mapping[str, Any]
) -> dict[str, Any] | None:
    if locked.control is None:
        return None
    try:
        return call(locked.control, command, arguments)
    except ControlUnreachable:
        return None


def _alone(directory: DataDirectory, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    from workevo_server.app import administer  # Heavy, and not needed while a server runs.

    try:
        return asyncio.run(administer(directory, command, arguments))
    finally:
        directory.release()
