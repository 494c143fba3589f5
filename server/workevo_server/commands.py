"""Carries out an operator's command wherever the store is: in the server that has it open, or here."""

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from workevo_server.adapters.data_directory import DataDirectory, DataDirectoryLocked
from workevo_server.transport.control_call import ControlUnreachable, call

PATIENCE = timedelta(seconds=30)
HEARD_WITHIN = timedelta(seconds=0.5)
"""Servers on a PostgreSQL hear of a change as it is committed and read it anew in some milliseconds. A
command returns after that, so that a revoked key opens nothing then and a new one does (R31)."""
_POLL_SECONDS = 0.1


def carry_out(place: Path | URL, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What `Administration.run` answers, by the one process that may write the store.

    A PostgreSQL is written from here: servers on it hear of what changed.

    A directory that is owned but takes no commands belongs to a server that is just
    starting or ending, or to another command: it is waited for a while.

    Raises DataDirectoryRefused, StoreRefused, ControlRefused, WorkevoError.
    """
    if isinstance(place, URL):
        done = _here(place, command, arguments)
        time.sleep(HEARD_WITHIN.total_seconds())
        return done
    patience_ends = time.monotonic() + PATIENCE.total_seconds()
    while True:
        try:
            return _alone(DataDirectory.lock(place), command, arguments)
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
    try:
        return _here(directory.database, command, arguments)
    finally:
        directory.release()


def _here(where: Path | URL, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    from workevo_server.app import administer  # Heavy, and not needed while a server runs.

    return asyncio.run(administer(where, command, arguments))
