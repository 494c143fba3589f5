"""The queue's statements: each function one step inside a transaction of `queue.Queue`."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from workevo_mobile import limits
from workevo_mobile.moments import Moment, Wait
from workevo_mobile.policy import Row, RowKind, UntoldDrop
from workevo_mobile.settlement import Burial, DropReason, Hold, SequenceRange, Settlement, unfillable

QUIET_WAIT_ID = 0  # The wait that the server asked of the whole device; the others hold single rows.

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Contact:
    """Who does what is tracked now: the user when one is logged in, else the visitor."""

    visitor_id: str
    user_id: str | None


@dataclass(frozen=True, slots=True)
class Device:
    install_id: str
    epoch: bytes
    contact: Contact


@dataclass(frozen=True, slots=True)
class Drop:
    drop_id: int
    sequences: SequenceRange
    reason: DropReason


@dataclass(frozen=True, slots=True)
class Parcel:
    """What an upload carries beside the install and the clocks."""

    bodies: tuple[bytes, ...]
    """One for each row of the call, in its order."""
    last_sequence: int
    applied_through: int
    drops: tuple[Drop, ...]
    proofs: tuple[tuple[str, str], ...]
    """User and hash, for the users that the rows name."""


def read_device(connection: sqlite3.Connection) -> Device | None:
    found = connection.execute("SELECT install_id, epoch, visitor_id, user_id FROM device").fetchone()
    if found is None:
        return None
    install_id, epoch, visitor_id, user_id = found
    return Device(install_id, epoch, Contact(visitor_id, user_id))


def write_contact(connection: sqlite3.Connection, contact: Contact) -> None:
    values = (contact.visitor_id, contact.user_id)
    connection.execute("UPDATE device SET visitor_id = ?, user_id = ?", values)


def begin_epoch(connection: sqlite3.Connection, epoch: bytes) -> None:
    connection.execute("INSERT INTO epochs (epoch) VALUES (?)", (epoch,))
    connection.execute("UPDATE device SET epoch = ?", (epoch,))


def take_sequence(connection: sqlite3.Connection, epoch: bytes) -> int:
    connection.execute("UPDATE epochs SET last_sequence = last_sequence + 1 WHERE epoch = ?", (epoch,))
    return last_sequence(connection, epoch)


def last_sequence(connection: sqlite3.Connection, epoch: bytes) -> int:
    """The highest sequence given in the epoch; 0 when none."""
    (last,) = connection.execute("SELECT last_sequence FROM epochs WHERE epoch = ?", (epoch,)).fetchone()
    return int(last)


def applied_through(connection: sqlite3.Connection, epoch: bytes) -> int:
    """Below the lowest sequence still held: every answer up to there has been applied (R14)."""
    query = "SELECT min(sequence) FROM queued WHERE epoch = ?"
    (lowest,) = connection.execute(query, (epoch,)).fetchone()
    return last_sequence(connection, epoch) if lowest is None else int(lowest) - 1


def insert_event(
    connection: sqlite3.Connection,
    epoch: bytes,
    sequence: int,
    user_id: str | None,
    body: bytes,
    moment: Moment,
) -> None:
    _insert(connection, (RowKind.EVENT.value, epoch, sequence, user_id, body, *_clocks(moment)))


def insert_identify(connection: sqlite3.Connection, user_id: str, body: bytes, moment: Moment) -> None:
    _insert(connection, (RowKind.IDENTIFY.value, None, None, user_id, body, *_clocks(moment)))


def _insert(connection: sqlite3.Connection, values: tuple[object, ...]) -> None:
    connection.execute(
        "INSERT INTO queued (kind, epoch, sequence, user_id, body,"
        " queued_wall_micros, queued_uptime_millis, queued_boot_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )


def _clocks(moment: Moment) -> tuple[int, int | None, str]:
    return moment.wall_micros, moment.uptime_millis, moment.boot_id


def rows(
    connection: sqlite3.Connection, current_epoch: bytes, waits_over: Sequence[int], rows_max: int
) -> tuple[Row, ...]:
    """The oldest rows that nothing holds back; a user's proof is counted with each, rather too much."""
    found = connection.execute(
        "SELECT position, kind, coalesce(epoch, ?), coalesce(sequence, 0), length(body)"
        " + coalesce(length(CAST(user_id AS BLOB)) + length(user_hash), 0),"
        " queued_wall_micros, queued_uptime_millis, queued_boot_id"
        " FROM queued LEFT JOIN proofs USING (user_id)"
        " WHERE wait_id IS NULL OR wait_id IN (SELECT value FROM json_each(?)) ORDER BY position LIMIT ?",
        (current_epoch, json.dumps(waits_over), rows_max),
    )
    return tuple(
        Row(
            position=position,
            kind=RowKind(kind),
            epoch=epoch,
            sequence=sequence,
            upload_bytes=size + limits.ROW_OVERHEAD_BYTES,
            queued=Moment(*clocks),
        )
        for position, kind, epoch, sequence, size, *clocks in found
    )


def bodies(connection: sqlite3.Connection, wanted: Sequence[Row]) -> tuple[bytes, ...]:
    query = "SELECT body FROM queued WHERE position = ?"
    return tuple(connection.execute(query, (row.position,)).fetchone()[0] for row in wanted)


def count_rows(connection: sqlite3.Connection, through: int) -> int:
    (count,) = connection.execute("SELECT count(*) FROM queued WHERE position <= ?", (through,)).fetchone()
    return int(count)


def last_marks(connection: sqlite3.Connection) -> tuple[int, int]:
    """The highest position and drop id in the queue; 0 when there is none."""
    (position,) = connection.execute("SELECT coalesce(max(position), 0) FROM queued").fetchone()
    (drop_id,) = connection.execute("SELECT coalesce(max(drop_id), 0) FROM drops").fetchone()
    return position, drop_id


def delete_rows(connection: sqlite3.Connection, done: Iterable[Row]) -> None:
    positions = [(row.position,) for row in done]
    connection.executemany("DELETE FROM queued WHERE position = ?", positions)


def move(connection: sqlite3.Connection, row: Row, epoch: bytes, sequence: int) -> None:
    connection.execute(
        "UPDATE queued SET epoch = ?, sequence = ?, wait_id = NULL WHERE position = ?",
        (epoch, sequence, row.position),
    )


def bury(connection: sqlite3.Connection, burial: Burial, now: Moment) -> None:
    """Move a row to the dead letters; done twice, the second changes nothing."""
    row = burial.row
    buried = connection.execute(
        "INSERT INTO dead_letters (kind, epoch, sequence, body, reason, field, message, buried_wall_micros)"
        " SELECT kind, epoch, sequence, body, ?, ?, ?, ? FROM queued WHERE position = ?",
        (burial.reason, burial.field, burial.message, now.wall_micros, row.position),
    )
    delete_rows(connection, [row])
    if buried.rowcount and burial.drop is not None and row.kind is RowKind.EVENT:
        _add_drop(connection, row.epoch, SequenceRange(row.sequence, row.sequence), burial.drop, now)


def hold(connection: sqlite3.Connection, holds: Iterable[Hold], now: Moment) -> None:
    """Keep rows back; those with equal delays share a wait."""
    wait_ids: dict[timedelta, int] = {}
    for held in holds:
        if held.delay not in wait_ids:
            wait_ids[held.delay] = _free_wait_id(connection)
            put_wait(connection, wait_ids[held.delay], Wait(now, held.delay))
        values = (wait_ids[held.delay], held.row.position)
        connection.execute("UPDATE queued SET wait_id = ? WHERE position = ?", values)


def _free_wait_id(connection: sqlite3.Connection) -> int:
    (highest,) = connection.execute("SELECT max(wait_id) FROM waits").fetchone()
    return (QUIET_WAIT_ID if highest is None else int(highest)) + 1


def put_wait(connection: sqlite3.Connection, wait_id: int, wait: Wait) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO waits (wait_id, length_micros,"
        " began_wall_micros, began_uptime_millis, began_boot_id) VALUES (?, ?, ?, ?, ?)",
        (wait_id, wait.length // _MICROSECOND, *_clocks(wait.began)),
    )


def waits(connection: sqlite3.Connection) -> dict[int, Wait]:
    found = connection.execute(
        "SELECT wait_id, length_micros, began_wall_micros, began_uptime_millis, began_boot_id FROM waits"
    )
    return {
        wait_id: Wait(Moment(*clocks), timedelta(microseconds=length)) for wait_id, length, *clocks in found
    }


def drops(connection: sqlite3.Connection, epoch: bytes) -> tuple[Drop, ...]:
    """The oldest dropped ranges of an epoch that are still to be told, as many as an upload takes."""
    found = connection.execute(
        "SELECT drop_id, first_sequence, last_sequence, reason FROM drops"
        " WHERE epoch = ? ORDER BY drop_id LIMIT ?",
        (epoch, limits.UPLOAD_DROPPED_RANGES_MAX),
    )
    return tuple(
        Drop(drop_id, SequenceRange(first, last), DropReason(reason))
        for drop_id, first, last, reason in found
    )


def oldest_drop(connection: sqlite3.Connection) -> UntoldDrop | None:
    found = connection.execute(
        "SELECT drop_id, epoch, queued_wall_micros, queued_uptime_millis, queued_boot_id FROM drops"
        " ORDER BY drop_id LIMIT 1"
    ).fetchone()
    if found is None:
        return None
    drop_id, epoch, *clocks = found
    return UntoldDrop(drop_id=drop_id, epoch=epoch, queued=Moment(*clocks))


def delete_drops(connection: sqlite3.Connection, drop_ids: Iterable[int]) -> None:
    connection.executemany("DELETE FROM drops WHERE drop_id = ?", [(drop_id,) for drop_id in drop_ids])


def confess(connection: sqlite3.Connection, settlement: Settlement, now: Moment) -> None:
    """Add what the server misses and this device cannot send to the drops, as CORRUPT (R14).

    Not what is queued or confessed already, nor what this very answer settles;
    so a sequence that another device took (R14a) is not reported by this one.
    """
    if not settlement.gaps:
        return
    epoch = settlement.epoch
    sent = [SequenceRange(row.sequence, row.sequence) for row in settlement.sent]
    explained = connection.execute(
        "SELECT sequence, sequence FROM queued WHERE epoch = ?1"
        " UNION ALL SELECT first_sequence, last_sequence FROM drops WHERE epoch = ?1",
        (epoch,),
    )
    known = [*sent, *(SequenceRange(first, last) for first, last in explained)]
    last = last_sequence(connection, epoch)
    for lost in unfillable(settlement.gaps, last_sequence=last, known=known):
        _add_drop(connection, epoch, lost, DropReason.CORRUPT, now)


def _add_drop(
    connection: sqlite3.Connection, epoch: bytes, lost: SequenceRange, reason: DropReason, now: Moment
) -> None:
    connection.execute(
        "INSERT INTO drops (epoch, first_sequence, last_sequence, reason,"
        " queued_wall_micros, queued_uptime_millis, queued_boot_id) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (epoch, lost.first, lost.last, reason.value, *_clocks(now)),
    )


def put_proof(connection: sqlite3.Connection, user_id: str, user_hash: str) -> None:
    connection.execute("INSERT OR REPLACE INTO proofs VALUES (?, ?)", (user_id, user_hash))


def proofs(connection: sqlite3.Connection, wanted: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    """Each user's proof once, for the users that the rows name (R19)."""
    positions = [row.position for row in wanted]
    found = connection.execute(
        "SELECT DISTINCT user_id, user_hash FROM queued JOIN proofs USING (user_id)"
        " WHERE position IN (SELECT value FROM json_each(?)) ORDER BY user_id",
        (json.dumps(positions),),
    )
    return tuple((user_id, user_hash) for user_id, user_hash in found)


def forget_unused(connection: sqlite3.Connection) -> None:
    """Drop the proofs of users whose last row is settled and who are logged out, and the waits of no row."""
    connection.execute(
        "DELETE FROM proofs WHERE user_id NOT IN (SELECT user_id FROM queued WHERE user_id IS NOT NULL)"
        " AND user_id IS NOT (SELECT user_id FROM device)"
    )
    connection.execute(
        "DELETE FROM waits WHERE wait_id <> ?"
        " AND wait_id NOT IN (SELECT wait_id FROM queued WHERE wait_id IS NOT NULL)",
        (QUIET_WAIT_ID,),
    )
