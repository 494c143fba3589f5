"""The queue's statements: each function one step inside a transaction of `queue.Queue`."""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from workevo_mobile import limits
from workevo_mobile.client_config import ClientConfig, config_from_text
from workevo_mobile.drop_reason import DropReason
from workevo_mobile.moments import Moment, Wait
from workevo_mobile.orders import NO_ORDERS, Orders
from workevo_mobile.policy import Row, RowKind
from workevo_mobile.settlement import Hold, SequenceRange

QUIET_WAIT_ID = 0  # The wait that the server asked of the whole device; the others hold single rows.

_MICROSECOND = timedelta(microseconds=1)


def text_from_file(text: bytes) -> str:
    """Never fails: a damaged letter must not make a whole row unreadable."""
    return text.decode(errors="replace")


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
    opted_out: bool = False
    marker: str | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    drop_id: int
    sequences: SequenceRange
    reason: DropReason
    name: str = ""
    """Of an event that client_config says not to send; empty otherwise."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What an upload carries beside the install and the clocks."""

    rows: tuple[Row, ...]
    """Those of the call that are still queued: what the device gave up since is not sent."""
    bodies: tuple[bytes, ...]
    """One for each of these rows, in their order."""
    last_sequence: int
    applied_through: int
    drops: tuple[Drop, ...]
    config_version: str
    proofs: tuple[tuple[str, str], ...]
    """User and hash, for the users that the rows name."""


def read_device(connection: sqlite3.Connection) -> Device | None:
    """None when there is none, or it is damaged."""
    query = "SELECT install_id, epoch, visitor_id, user_id, opted_out, marker FROM device"
    found = connection.execute(query).fetchone()
    if found is None:
        return None
    install_id, epoch, visitor_id, user_id, opted_out, marker = found
    if not (isinstance(install_id, str) and isinstance(visitor_id, str) and isinstance(epoch, bytes)):
        return None
    return Device(install_id, epoch, Contact(visitor_id, user_id), bool(opted_out), marker)


def write_contact(connection: sqlite3.Connection, contact: Contact) -> None:
    values = (contact.visitor_id, contact.user_id)
    connection.execute("UPDATE device SET visitor_id = ?, user_id = ?", values)


def write_opted_out(connection: sqlite3.Connection, *, opted_out: bool) -> None:
    connection.execute("UPDATE device SET opted_out = ?", (opted_out,))


def write_marker(connection: sqlite3.Connection, marker: str) -> None:
    connection.execute("UPDATE device SET marker = ?", (marker,))


def write_answered(connection: sqlite3.Connection, now: Moment) -> None:
    connection.execute("UPDATE device SET last_answer_wall_micros = ?", (now.wall_micros,))


def last_answer_wall_micros(connection: sqlite3.Connection) -> int | None:
    (micros,) = connection.execute("SELECT last_answer_wall_micros FROM device").fetchone()
    return None if micros is None else int(micros)


def read_orders(connection: sqlite3.Connection) -> Orders:
    query = "SELECT body, told_wall_micros, told_uptime_millis, told_boot_id FROM client_config"
    found = connection.execute(query).fetchone()
    config = None if found is None else config_from_text(found[0])
    return NO_ORDERS if config is None else Orders(config, Moment(*found[1:]))


def write_orders(connection: sqlite3.Connection, config: ClientConfig, now: Moment) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO client_config VALUES (1, ?, ?, ?, ?)", (config.to_text(), *clock_values(now))
    )


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
    _insert(connection, body, (RowKind.EVENT.value, epoch, sequence, user_id, body, *clock_values(moment)))


def insert_identify(connection: sqlite3.Connection, user_id: str, body: bytes, moment: Moment) -> None:
    _insert(connection, body, (RowKind.IDENTIFY.value, None, None, user_id, body, *clock_values(moment)))


def _insert(connection: sqlite3.Connection, body: bytes, values: tuple[object, ...]) -> None:
    connection.execute(
        "INSERT INTO queued (kind, epoch, sequence, user_id, body,"
        " queued_wall_micros, queued_uptime_millis, queued_boot_id, checksum)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*values, zlib.crc32(body)),
    )


def clock_values(moment: Moment) -> tuple[int, int | None, str]:
    return moment.wall_micros, moment.uptime_millis, moment.boot_id


def rows(
    connection: sqlite3.Connection, current_epoch: bytes, waits_left: Sequence[int], rows_max: int
) -> tuple[Row, ...]:
    """The oldest rows that no wait in `waits_left` holds back; a user's proof is counted with each."""
    found = connection.execute(
        "SELECT position, kind, coalesce(epoch, ?), coalesce(sequence, 0), length(body)"
        " + coalesce(length(CAST(user_id AS BLOB)) + length(user_hash), 0),"
        " queued_wall_micros, queued_uptime_millis, queued_boot_id"
        " FROM sound_rows LEFT JOIN proofs USING (user_id)"
        " WHERE wait_id IS NULL OR wait_id NOT IN (SELECT value FROM json_each(?)) ORDER BY position LIMIT ?",
        (current_epoch, json.dumps(waits_left), rows_max),
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


def body(connection: sqlite3.Connection, row: Row) -> bytes | None:
    """None when the row is gone; empty, which no event is, when its checksum shows damage."""
    if not is_there(connection, row):
        return None
    query = "SELECT body, checksum FROM queued WHERE position = ?"
    body, checksum = connection.execute(query, (row.position,)).fetchone()
    return bytes(body) if checksum in (None, zlib.crc32(body)) else b""


def count_rows(connection: sqlite3.Connection, through: int) -> int:
    (count,) = connection.execute("SELECT count(*) FROM queued WHERE position <= ?", (through,)).fetchone()
    return int(count)


def last_marks(connection: sqlite3.Connection) -> tuple[int, int]:
    """The highest position and drop id in the queue; 0 when there is none."""
    (position,) = connection.execute("SELECT coalesce(max(position), 0) FROM queued").fetchone()
    (drop_id,) = connection.execute("SELECT coalesce(max(drop_id), 0) FROM drops").fetchone()
    return position, drop_id


def is_there(connection: sqlite3.Connection, row: Row) -> bool:
    """Whether this very row is in the queue: an answer on its way must never touch another at its place."""
    query = "SELECT 1 FROM queued WHERE position = ? AND kind = ? AND (? OR epoch IS ? AND sequence IS ?)"
    is_log_in = row.kind is RowKind.IDENTIFY  # It has no sequence.
    values = (row.position, row.kind.value, is_log_in, row.epoch, row.sequence)
    return connection.execute(query, values).fetchone() is not None


def delete_rows(connection: sqlite3.Connection, done: Iterable[Row]) -> None:
    positions = [(row.position,) for row in done if is_there(connection, row)]
    connection.executemany("DELETE FROM queued WHERE position = ?", positions)


def move(connection: sqlite3.Connection, row: Row, epoch: bytes, sequence: int) -> bool:
    """Whether the row was still there."""
    if not is_there(connection, row):
        return False
    connection.execute(
        "UPDATE queued SET epoch = ?, sequence = ?, wait_id = NULL WHERE position = ?",
        (epoch, sequence, row.position),
    )
    return True


def hold(connection: sqlite3.Connection, holds: Iterable[Hold], now: Moment) -> None:
    """Keep rows back; those with equal delays share a wait."""
    wait_ids: dict[timedelta, int] = {}
    for held in holds:
        if held.delay not in wait_ids:
            wait_ids[held.delay] = _free_wait_id(connection)
            put_wait(connection, wait_ids[held.delay], Wait(now, held.delay))
        if is_there(connection, held.row):
            values = (wait_ids[held.delay], held.row.position)
            connection.execute("UPDATE queued SET wait_id = ? WHERE position = ?", values)


def _free_wait_id(connection: sqlite3.Connection) -> int:
    (highest,) = connection.execute("SELECT max(wait_id) FROM waits").fetchone()
    return (QUIET_WAIT_ID if highest is None else int(highest)) + 1


def put_wait(connection: sqlite3.Connection, wait_id: int, wait: Wait) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO waits (wait_id, length_micros,"
        " began_wall_micros, began_uptime_millis, began_boot_id) VALUES (?, ?, ?, ?, ?)",
        (wait_id, wait.length // _MICROSECOND, *clock_values(wait.began)),
    )


def waits(connection: sqlite3.Connection) -> dict[int, Wait]:
    found = connection.execute(
        "SELECT wait_id, length_micros, began_wall_micros, began_uptime_millis, began_boot_id FROM waits"
    )
    return {
        wait_id: Wait(Moment(*clocks), timedelta(microseconds=length)) for wait_id, length, *clocks in found
    }


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
