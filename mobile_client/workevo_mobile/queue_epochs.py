"""Sequences and epochs (R7, R14a), steps inside a transaction of `queue.Queue`; and ids given by chance."""

import random
import sqlite3
from collections.abc import Sequence
from uuid import UUID

from workevo_mobile import drop_sql, limits
from workevo_mobile import queue_sql as sql
from workevo_mobile.drop_reason import DropReason
from workevo_mobile.moments import Moment
from workevo_mobile.policy import Row
from workevo_mobile.settlement import SequenceRange


class Epochs:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def random_id(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))

    def random_epoch(self) -> bytes:
        return self._chance.getrandbits(8 * limits.EPOCH_BYTES).to_bytes(limits.EPOCH_BYTES)

    def begin(self, connection: sqlite3.Connection) -> bytes:
        epoch = self.random_epoch()
        sql.begin_epoch(connection, epoch)
        return epoch

    def next_sequence(self, connection: sqlite3.Connection, epoch: bytes) -> tuple[bytes, int]:
        """Of this epoch, or the first of a new one where it has no more."""
        if sql.last_sequence(connection, epoch) >= limits.SEQUENCE_MAX:
            epoch = self.begin(connection)
        return epoch, sql.take_sequence(connection, epoch)

    def fork(self, connection: sqlite3.Connection, epoch: bytes, rows: Sequence[Row], now: Moment) -> bytes:
        """Move rows out of an epoch that another device shares (R14a); returns the epoch of new events.

        Rows of an epoch that was left already follow into the current one. They
        keep their places in the queue, so that a flush still waits for them. One
        that was given up on its way is confessed where it would be now.
        """
        if any(row.epoch == epoch for row in rows):
            epoch = self.begin(connection)
        for row in rows:
            sequence = sql.take_sequence(connection, epoch)
            if not sql.move(connection, row, epoch, sequence):
                reason = drop_sql.reason_given_up(connection, row) or DropReason.CORRUPT
                drop_sql.add_drop(connection, epoch, SequenceRange(sequence, sequence), reason, now)
        return epoch
