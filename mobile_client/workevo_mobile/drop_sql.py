"""The queue's statements for what is not sent: dropped ranges, their counts, and room for the new."""

import sqlite3
from collections.abc import Callable, Iterable

from workevo_mobile import limits
from workevo_mobile.caps import Caps
from workevo_mobile.drop_reason import DropReason, reason_from_file
from workevo_mobile.errors import QueueFull
from workevo_mobile.moments import Moment, elapsed
from workevo_mobile.policy import Row, RowKind, UntoldDrop
from workevo_mobile.queue_sql import Drop, clock_values, last_sequence
from workevo_mobile.settlement import SequenceRange, Settlement, unfillable


def drops(connection: sqlite3.Connection, epoch: bytes) -> tuple[Drop, ...]:
    """The oldest dropped ranges of an epoch that are still to be told, as many as an upload takes."""
    found = connection.execute(
        "SELECT drop_id, first_sequence, last_sequence, reason, name FROM drops"
        " WHERE epoch = ? ORDER BY drop_id LIMIT ?",
        (epoch, limits.UPLOAD_DROPPED_RANGES_MAX),
    )
    taken: list[Drop] = []
    size = 0
    for drop_id, first, last, reason, name in found:
        size += limits.DROPPED_RANGE_BYTES + len(name.encode())
        if size > limits.DROPPED_RANGES_BYTES_MAX:
            break
        taken.append(Drop(drop_id, SequenceRange(first, last), reason_from_file(reason), name))
    return tuple(taken)


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


def has_room_for_drops(connection: sqlite3.Connection) -> bool:
    """Whether another range may be added for no better reason than to spare an upload."""
    (count,) = connection.execute("SELECT count(*) FROM drops").fetchone()
    return bool(count < limits.UPLOAD_DROPPED_RANGES_MAX)


def add_drop(
    connection: sqlite3.Connection,
    epoch: bytes,
    lost: SequenceRange,
    reason: DropReason,
    now: Moment,
    *,
    name: str = "",
) -> None:
    """Confess a range and count it; where it continues another one the two become one.

    The joined one takes a new id and the older clocks: the answer to an upload
    that carried the first part alone then deletes nothing that was not told.
    """
    tally(connection, reason.value, lost.last - lost.first + 1)
    first, clocks = lost.first, clock_values(now)
    before = connection.execute(
        "DELETE FROM drops WHERE epoch = ? AND reason = ? AND name = ? AND last_sequence = ?"
        " RETURNING first_sequence, queued_wall_micros, queued_uptime_millis, queued_boot_id",
        (epoch, reason.value, name, lost.first - 1),
    ).fetchall()
    if before:
        first, *found = before[0]
        clocks = (found[0], found[1], found[2])
    connection.execute(
        "INSERT INTO drops (epoch, first_sequence, last_sequence, reason, name,"
        " queued_wall_micros, queued_uptime_millis, queued_boot_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (epoch, first, lost.last, reason.value, name, *clocks),
    )


def tally(connection: sqlite3.Connection, reason: str, count: int) -> None:
    connection.execute(
        "INSERT INTO tallies VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count",
        (reason, count),
    )


def totals(connection: sqlite3.Connection) -> tuple[int, int]:
    """Rows and their bytes."""
    rows, size = connection.execute("SELECT row_count, byte_count FROM totals").fetchone()
    return rows, size


def make_room(connection: sqlite3.Connection, caps: Caps, body_bytes: int, now: Moment) -> None:
    """Give up the oldest until one more row fits; raises QueueFull instead where the app chose so."""
    expire(connection, caps, now)
    while _is_full(connection, caps, body_bytes):
        if caps.refuse_new:
            raise QueueFull("The queue is full and the app chose to refuse what is new.")
        if not _give_up_oldest(connection, now):
            return


def _is_full(connection: sqlite3.Connection, caps: Caps, body_bytes: int) -> bool:
    rows, size = totals(connection)
    return rows >= caps.count or size + body_bytes + limits.ROW_OVERHEAD_BYTES > caps.bytes


def _give_up_oldest(connection: sqlite3.Connection, now: Moment) -> bool:
    if _give_up(connection, DropReason.QUEUE_FULL, now, while_=None):
        return True
    gone = connection.execute(
        "DELETE FROM queued WHERE position = (SELECT min(position) FROM queued) RETURNING position"
    ).fetchall()
    tally(connection, DropReason.QUEUE_FULL.value, len(gone))
    return bool(gone)


def expire(connection: sqlite3.Connection, caps: Caps, now: Moment) -> bool:
    """Give up the oldest events as long as they are too old; whether there was one."""

    def is_expired(queued: Moment) -> bool:
        age = elapsed(queued, now)
        return age is not None and age > caps.age

    found = False
    while _give_up(connection, DropReason.EXPIRED, now, while_=is_expired):
        found = True
    return found


def has_expired(connection: sqlite3.Connection, caps: Caps, now: Moment) -> bool:
    oldest = _oldest_event(connection)
    age = elapsed(oldest[3], now) if oldest is not None else None
    return age is not None and age > caps.age


def _oldest_event(connection: sqlite3.Connection) -> tuple[int, bytes, int, Moment] | None:
    found = connection.execute(
        "SELECT position, epoch, sequence, queued_wall_micros, queued_uptime_millis, queued_boot_id"
        " FROM sound_rows WHERE kind = ? ORDER BY position LIMIT 1",
        (RowKind.EVENT.value,),
    ).fetchone()
    if found is None:
        return None
    position, epoch, sequence, *clocks = found
    return position, epoch, sequence, Moment(*clocks)


def _give_up(
    connection: sqlite3.Connection,
    reason: DropReason,
    now: Moment,
    *,
    while_: Callable[[Moment], bool] | None,
) -> bool:
    oldest = _oldest_event(connection)
    if oldest is None:
        return False
    position, epoch, sequence, queued = oldest
    if while_ is not None and not while_(queued):
        return False
    connection.execute("DELETE FROM queued WHERE position = ?", (position,))
    add_drop(connection, epoch, SequenceRange(sequence, sequence), reason, now)
    return True


def empty(connection: sqlite3.Connection, reason: DropReason, now: Moment) -> None:
    """Give up everything that is queued, log-ins and dead letters too."""
    found = connection.execute(
        "SELECT epoch, sequence FROM sound_rows WHERE kind = ? ORDER BY epoch, sequence",
        (RowKind.EVENT.value,),
    ).fetchall()
    for epoch, sequence in found:
        add_drop(connection, epoch, SequenceRange(sequence, sequence), reason, now)
    connection.execute("DELETE FROM queued")
    connection.execute("DELETE FROM dead_letters")


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
        add_drop(connection, epoch, lost, DropReason.CORRUPT, now)


def reason_given_up(connection: sqlite3.Connection, row: Row) -> DropReason | None:
    """Why the device gave this row up while it was on its way; None when it did not."""
    found = connection.execute(
        "SELECT reason FROM drops WHERE epoch = ? AND ? BETWEEN first_sequence AND last_sequence",
        (row.epoch, row.sequence),
    ).fetchone()
    return None if found is None else reason_from_file(found[0])
