"""The queue's statements for its dead letters, and for what `stats` tells."""

import sqlite3
from dataclasses import dataclass

from workevo_mobile import limits
from workevo_mobile.drop_reason import DropReason
from workevo_mobile.drop_sql import add_drop, tally, totals
from workevo_mobile.moments import Moment
from workevo_mobile.policy import RowKind
from workevo_mobile.queue_sql import delete_rows, is_there, last_answer_wall_micros
from workevo_mobile.settlement import Burial, SequenceRange

_OVERWRITTEN = "OVERWRITTEN"  # In the tallies: dead letters that gave way to newer ones.


@dataclass(frozen=True, slots=True, kw_only=True)
class BuriedRow:
    kind: str
    """A RowKind's value, unless it was damaged."""
    epoch: bytes
    sequence: int
    body: bytes
    reason: str
    field: str
    message: str
    buried_wall_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    rows: int
    row_bytes: int
    dead_letters: int
    overwritten: int
    """Dead letters that gave way to newer ones."""
    dropped: dict[str, int]
    """Since the file was made, by reason (R14)."""
    last_answer_wall_micros: int | None


def counts(connection: sqlite3.Connection) -> Counts:
    rows, row_bytes = totals(connection)
    tallies = dict(connection.execute("SELECT reason, count FROM tallies ORDER BY reason").fetchall())
    (letters,) = connection.execute("SELECT count(*) FROM dead_letters").fetchone()
    return Counts(
        rows=rows,
        row_bytes=row_bytes,
        dead_letters=letters,
        overwritten=tallies.pop(_OVERWRITTEN, 0),
        dropped=tallies,
        last_answer_wall_micros=last_answer_wall_micros(connection),
    )


def dead_letters(connection: sqlite3.Connection) -> list[BuriedRow]:
    found = connection.execute(
        "SELECT kind, epoch, sequence, body, reason, field, message, buried_wall_micros"
        " FROM dead_letters ORDER BY dead_letter_id"
    )
    return [
        BuriedRow(
            kind=kind,
            epoch=epoch if isinstance(epoch, bytes) else b"",
            sequence=sequence if isinstance(sequence, int) else 0,
            body=body if isinstance(body, bytes) else b"",
            reason=reason,
            field=field,
            message=message,
            buried_wall_micros=micros,
        )
        for kind, epoch, sequence, body, reason, field, message, micros in found
    ]


def clear(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM dead_letters")


def bury(connection: sqlite3.Connection, burial: Burial, now: Moment) -> None:
    """Move a row to the dead letters; done twice, the second changes nothing."""
    row = burial.row
    if not is_there(connection, row):
        return
    connection.execute(
        "INSERT INTO dead_letters (kind, epoch, sequence, body, reason, field, message, buried_wall_micros)"
        " SELECT kind, epoch, sequence, body, ?, ?, ?, ? FROM queued WHERE position = ?",
        (burial.reason, burial.field, burial.message, now.wall_micros, row.position),
    )
    delete_rows(connection, [row])
    if burial.drop is not None and row.kind is RowKind.EVENT:
        add_drop(connection, row.epoch, SequenceRange(row.sequence, row.sequence), burial.drop, now)
    bound_dead_letters(connection)


def bury_unsound(connection: sqlite3.Connection, now: Moment) -> None:
    """Put damaged rows aside. Those whose place in the ledger is still to be read are confessed.

    The gap that another one leaves is confessed when the server asks (`confess`).
    """
    unsound = "SELECT position FROM queued WHERE position NOT IN (SELECT position FROM sound_rows)"
    for (position,) in connection.execute(unsound).fetchall():
        found = connection.execute(
            "SELECT epoch, sequence FROM queued JOIN epochs USING (epoch)"
            " WHERE position = ? AND typeof(sequence) = 'integer' AND sequence BETWEEN 1 AND last_sequence",
            (position,),
        ).fetchone()
        connection.execute(
            "INSERT INTO dead_letters"
            " (kind, epoch, sequence, body, reason, field, message, buried_wall_micros)"
            " SELECT kind, epoch, sequence, body, ?, '', '', ? FROM queued WHERE position = ?",
            (DropReason.CORRUPT.value, now.wall_micros, position),
        )
        connection.execute("DELETE FROM queued WHERE position = ?", (position,))
        if found is not None:
            add_drop(connection, found[0], SequenceRange(found[1], found[1]), DropReason.CORRUPT, now)
    bound_dead_letters(connection)


def bound_dead_letters(connection: sqlite3.Connection) -> None:
    """Let the oldest give way, and count them; the server has their outcome or was told of the drop."""
    gone = connection.execute(
        "DELETE FROM dead_letters WHERE dead_letter_id <= (SELECT max(dead_letter_id) FROM ("
        " SELECT dead_letter_id, row_number() OVER newest AS place, sum(length(body)) OVER newest AS size"
        " FROM dead_letters WINDOW newest AS (ORDER BY dead_letter_id DESC)"
        ") WHERE place > ? OR size > ?)",
        (limits.DEAD_LETTERS_MAX, limits.DEAD_LETTER_BYTES_MAX),
    )
    if gone.rowcount > 0:
        tally(connection, _OVERWRITTEN, gone.rowcount)
