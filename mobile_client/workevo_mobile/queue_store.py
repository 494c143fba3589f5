"""The queue file while it is open: one connection, one lock, one transaction at a time.

A file that turns out to be damaged is set aside and a new one begun under the
same lock, so that every verb finds a file that works, or raises.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workevo_mobile import letter_sql, queue_recovery, queue_repair
from workevo_mobile import queue_sql as sql
from workevo_mobile.errors import QueueUnavailable
from workevo_mobile.queue_file import QueueDamaged, is_damage, open_queue_file
from workevo_mobile.queue_recovery import LONG_AGO

Ids = tuple[str, bytes, str]
"""Install, epoch and visitor of a file that is made anew."""


class QueueStore:
    """Raises QueueUnavailable when the file cannot take or give what was asked; then nothing was changed."""

    def __init__(self, path: Path, *, make_ids: Callable[[], Ids]) -> None:
        self._path = path
        self._make_ids = make_ids
        self.lock = threading.RLock()
        self.renewed_count = 0
        """How often the file was found damaged since it was opened."""
        self._connection: sqlite3.Connection | None = self._opened()

    def _opened(self) -> sqlite3.Connection:
        install_id, epoch, visitor_id = self._make_ids()
        queue_recovery.finish_interrupted(self._path)
        try:
            return self._checked(install_id, epoch, visitor_id)
        except QueueDamaged:
            self._set_aside(install_id, epoch, visitor_id)
            return self._checked(install_id, epoch, visitor_id)

    def _checked(self, install_id: str, epoch: bytes, visitor_id: str) -> sqlite3.Connection:
        connection = open_queue_file(self._path, install_id=install_id, epoch=epoch, visitor_id=visitor_id)
        connection.text_factory = sql.text_from_file
        try:
            device = sql.read_device(connection)
            if device is None:
                raise QueueDamaged("The queue file is damaged: it names no install.")
            connection.execute("BEGIN IMMEDIATE")
            queue_repair.repair(connection, device.epoch, new_epoch=epoch)
            letter_sql.bury_unsound(connection, LONG_AGO)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            connection.close()
            sentence = f"The queue file could not be read: {error}."
            missing = getattr(error, "sqlite_errorname", "") == "SQLITE_ERROR"  # A table that is gone.
            damaged = missing or is_damage(error)
            raise (QueueDamaged(sentence) if damaged else QueueUnavailable(sentence)) from error
        except QueueDamaged:
            connection.close()
            raise
        return connection

    def _set_aside(self, install_id: str, epoch: bytes, visitor_id: str) -> None:
        self.renewed_count += 1
        try:
            queue_recovery.renew(self._path, install_id=install_id, epoch=epoch, visitor_id=visitor_id)
        except (OSError, sqlite3.Error) as error:
            sentence = f"The queue file {self._path.name} is damaged and could not be set aside: {error}."
            raise QueueUnavailable(sentence) from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            try:
                yield self.connection
            except sqlite3.Error as error:
                self._renew_if_damaged(error)
                raise QueueUnavailable(f"The queue file could not be read: {error}.") from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            connection = self.connection
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                _roll_back(connection)
                self._renew_if_damaged(error)
                raise QueueUnavailable(f"The queue file could not be written: {error}.") from error
            except BaseException:
                _roll_back(connection)
                raise

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise QueueUnavailable("The queue is closed.")
        return self._connection

    @property
    def is_closed(self) -> bool:
        return self._connection is None

    def close(self) -> None:
        with self.lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(
                    sqlite3.Error
                ):  # A damaged file cannot be checkpointed; it is closed all the same.
                    connection.close()

    def _renew_if_damaged(self, error: sqlite3.Error) -> None:
        if is_damage(error):
            self.close()
            install_id, epoch, visitor_id = self._make_ids()
            self._set_aside(install_id, epoch, visitor_id)
            self._connection = self._checked(install_id, epoch, visitor_id)


def _roll_back(connection: sqlite3.Connection) -> None:
    """Undo what is open; SQLite has often done it itself when the disk is full."""
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
