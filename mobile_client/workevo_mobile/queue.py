"""The device's queue: a few verbs over one SQLite file.

Every verb is one transaction, committed and fsynced when it returns. One
connection, one lock; safe from any thread. Only the file decides what is
queued: nothing waits in memory.
"""

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from workevo_mobile import limits
from workevo_mobile import queue_sql as sql
from workevo_mobile.errors import QueueUnavailable
from workevo_mobile.moments import ZERO, Moment, Wait
from workevo_mobile.policy import Call, Row, Waiting
from workevo_mobile.queue_file import open_queue_file
from workevo_mobile.queue_sql import Contact, Device, Parcel
from workevo_mobile.settlement import Settlement

FaultPoint = Callable[[str], None]


class Queue:
    """Raises QueueUnavailable from every verb when the file cannot take or give what was asked."""

    def __init__(self, path: Path, *, chance: random.Random, fault: FaultPoint) -> None:
        self._chance = chance
        self._fault = fault
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = open_queue_file(
            path, install_id=self._random_id(), epoch=self._random_epoch(), visitor_id=self._random_id()
        )
        try:
            self._device = self._read_device()
        except QueueUnavailable:
            self.close()
            raise

    @property
    def install_id(self) -> str:
        return self._device.install_id

    @property
    def epoch(self) -> bytes:
        """Of the events tracked from now on."""
        return self._device.epoch

    @property
    def contact(self) -> Contact:
        return self._device.contact

    def append_event(self, encode: Callable[[Contact], bytes], moment: Moment) -> int:
        """Queue one event of whoever is identified now (R15); sequence and row in one commit (R7)."""
        with self._lock:
            contact = self._device.contact
            body = encode(contact)
            with self._transaction() as connection:
                epoch, sequence = self._next_sequence(connection)
                sql.insert_event(connection, epoch, sequence, contact.user_id, body, moment)
                self._fault("before_row")
            self._device = replace(self._device, epoch=epoch)
            self._fault("after_row")
            return sequence

    def append_identify(
        self, user_id: str, user_hash: str | None, encode: Callable[[Contact], bytes], moment: Moment
    ) -> None:
        """Queue a log-in; events queued after it are the user's.

        Another user than the one logged in comes with a new visitor: the old
        one belongs to the first user and is not merged again (R16).
        """
        with self._lock:
            known = self._device.contact
            other = known.user_id not in (None, user_id)
            contact = Contact(self._random_id() if other else known.visitor_id, user_id)
            body = encode(contact)
            with self._transaction() as connection:
                sql.insert_identify(connection, user_id, body, moment)
                sql.write_contact(connection, contact)
                if user_hash is not None:
                    sql.put_proof(connection, user_id, user_hash)
            self._device = replace(self._device, contact=contact)

    def log_out(self) -> None:
        with self._lock:
            contact = Contact(self._random_id(), None)
            with self._transaction() as connection:
                sql.write_contact(connection, contact)
            self._device = replace(self._device, contact=contact)

    def waiting(self, now: Moment, *, rows_max: int) -> Waiting:
        """What the policy has to know: the first rows that nothing holds back, and the waits."""
        with self._reading() as connection:
            waits = sql.waits(connection)
            quiet = waits.pop(sql.QUIET_WAIT_ID, None)
            remaining = {wait_id: wait.remaining(now) for wait_id, wait in waits.items()}
            over = [wait_id for wait_id, left in remaining.items() if left == ZERO]
            return Waiting(
                rows=sql.rows(connection, self._device.epoch, over, rows_max),
                drop=sql.oldest_drop(connection),
                next_release=min((left for left in remaining.values() if left > ZERO), default=None),
                quiet=quiet,
            )

    def parcel(self, call: Call) -> Parcel:
        with self._reading() as connection:
            return Parcel(
                bodies=sql.bodies(connection, call.rows),
                last_sequence=sql.last_sequence(connection, call.epoch),
                applied_through=sql.applied_through(connection, call.epoch),
                drops=sql.drops(connection, call.epoch),
                proofs=sql.proofs(connection, call.rows),
            )

    def settle(self, settlement: Settlement, now: Moment) -> None:
        """Apply all that one answer says, or nothing of it; then the same events are sent again."""
        with self._lock:
            with self._transaction() as connection:
                sql.delete_rows(connection, settlement.done)
                for burial in settlement.buried:
                    sql.bury(connection, burial, now)
                sql.hold(connection, settlement.held, now)
                epoch = self._fork(connection, settlement.forked)
                sql.confess(connection, settlement, now)  # While what was told still explains a gap.
                sql.delete_drops(connection, settlement.told_drops)
                sql.forget_unused(connection)
                if settlement.quiet is not None:
                    sql.put_wait(connection, sql.QUIET_WAIT_ID, Wait(now, settlement.quiet))
                self._fault("before_settle")
            self._device = replace(self._device, epoch=epoch)
            self._fault("after_settle")

    def keep_quiet(self, length: timedelta, now: Moment) -> None:
        """Store a wait that the server asked for, so that a restart does not forget it."""
        with self._transaction() as connection:
            sql.put_wait(connection, sql.QUIET_WAIT_ID, Wait(now, length))

    def last_marks(self) -> tuple[int, int]:
        """The highest position and drop id given so far; 0 when none."""
        with self._reading() as connection:
            return sql.last_marks(connection)

    def pending(self, *, through: int | None = None) -> int:
        """Rows not settled, up to a position where one is given."""
        with self._reading() as connection:
            return sql.count_rows(connection, limits.SEQUENCE_MAX if through is None else through)

    @property
    def is_closed(self) -> bool:
        return self._connection is None

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(
                    sqlite3.Error
                ):  # A damaged file cannot be checkpointed; it is closed all the same.
                    connection.close()

    def _random_id(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))

    def _random_epoch(self) -> bytes:
        return self._chance.getrandbits(8 * limits.EPOCH_BYTES).to_bytes(limits.EPOCH_BYTES)

    def _read_device(self) -> Device:
        with self._reading() as connection:
            device = sql.read_device(connection)
        if device is None:
            raise QueueUnavailable("The queue file is damaged: it names no install.")
        return device

    def _next_sequence(self, connection: sqlite3.Connection) -> tuple[bytes, int]:
        epoch = self._device.epoch
        if sql.last_sequence(connection, epoch) >= limits.SEQUENCE_MAX:
            epoch = self._new_epoch(connection)
        return epoch, sql.take_sequence(connection, epoch)

    def _new_epoch(self, connection: sqlite3.Connection) -> bytes:
        epoch = self._random_epoch()
        sql.begin_epoch(connection, epoch)
        return epoch

    def _fork(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> bytes:
        """Move rows out of an epoch that another device shares (R14a); returns the epoch of new events.

        Rows of an epoch that was left already follow into the current one. They
        keep their places in the queue, so that a flush still waits for them.
        """
        epoch = self._device.epoch
        if any(row.epoch == epoch for row in rows):
            epoch = self._new_epoch(connection)
        for row in rows:
            sql.move(connection, row, epoch, sql.take_sequence(connection, epoch))
        return epoch

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._open_connection()
            except sqlite3.Error as error:
                raise QueueUnavailable(f"The queue file could not be read: {error}.") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._open_connection()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                _roll_back(connection)
                raise QueueUnavailable(f"The queue file could not be written: {error}.") from error
            except BaseException:
                _roll_back(connection)
                raise

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise QueueUnavailable("The queue is closed.")
        return self._connection


def _roll_back(connection: sqlite3.Connection) -> None:
    """Undo what is open; SQLite has often done it itself when the disk is full."""
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
