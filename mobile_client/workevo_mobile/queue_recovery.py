"""A damaged queue file: what can still be read goes on in a new file, the rest is confessed (R14).

The damaged one is set aside as `….damaged` and kept, one at most. The new file
is complete before it takes the old one's name, so that a kill in between costs
nothing.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workevo_mobile import drop_sql, limits
from workevo_mobile import queue_sql as sql
from workevo_mobile.drop_reason import DropReason
from workevo_mobile.errors import QueueUnavailable
from workevo_mobile.identity_file import sync_directory
from workevo_mobile.moments import Moment
from workevo_mobile.policy import RowKind
from workevo_mobile.queue_file import open_queue_file
from workevo_mobile.settlement import SequenceRange, unfillable

LONG_AGO = Moment(0, None, "")  # A loss that is found when the file is opened is due to be told at once.

_SIDE_FILES = ("-wal", "-shm", "-journal")

_DEVICE = "SELECT install_id, visitor_id, user_id FROM device"
_MARKS = "SELECT marker, opted_out FROM device"
_EPOCHS = "SELECT epoch, last_sequence FROM epochs"
_ROWS = (
    "SELECT position, kind, epoch, sequence, user_id, body, queued_wall_micros, queued_uptime_millis,"
    " queued_boot_id, checksum FROM queued WHERE kind IN ('identify', 'event') AND typeof(body) = 'blob'"
    " AND typeof(queued_wall_micros) = 'integer' AND typeof(coalesce(queued_uptime_millis, 0)) = 'integer'"
    " AND typeof(queued_boot_id) = 'text' ORDER BY position"
)
_PUT_ROW = (
    "INSERT OR IGNORE INTO queued (position, kind, epoch, sequence, user_id, body, queued_wall_micros,"
    " queued_uptime_millis, queued_boot_id, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_DROPS = "SELECT epoch, first_sequence, last_sequence, reason, name FROM drops"
_PROOFS = "SELECT user_id, user_hash FROM proofs"
_PLACES = (
    "SELECT name, seq FROM sqlite_sequence",
    "SELECT 'queued', max(position) FROM queued",
    "SELECT 'drops', max(drop_id) FROM drops",
)
_PLACES_APART = 2**40  # More than were ever given: an answer still on its way must not meet another row.
_PLACE_MAX = 2**61  # A higher one is damage; leaves room for all that is added to it.


@dataclass(slots=True)
class Salvage:
    """What could be read of a damaged file."""

    install_id: str | None = None
    visitor_id: str | None = None
    user_id: str | None = None
    marker: str | None = None
    opted_out: bool = False
    epochs: dict[bytes, int] = field(default_factory=dict)
    rows: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    drops: list[tuple[Any, ...]] = field(default_factory=list)
    proofs: list[tuple[str, str]] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    """The highest position and drop id, by table; none where it could not be read."""


def finish_interrupted(path: Path) -> None:
    """Complete the exchange of files that a kill has interrupted."""
    if _beside(path, "renewed").exists() and not path.exists():
        _finish(path)


def renew(path: Path, *, install_id: str, epoch: bytes, visitor_id: str) -> None:
    """Set the damaged file aside and put a new one in its place; where that fails the damaged one stays.

    Raises as `open_queue_file` does, and OSError and sqlite3.Error. The ids are
    for what could not be read; the epoch is the new one in any case.
    """
    salvage = read_what_is_left(path)
    renewed, damaged = _beside(path, "renewed"), _beside(path, "damaged")
    _remove(renewed)
    try:
        _build(renewed, salvage, (install_id, epoch, visitor_id))
        sync_directory(path.parent)
        _remove(damaged)
        path.replace(damaged)
    except BaseException:
        _remove(renewed)
        raise
    _finish(path)


def _build(renewed: Path, salvage: Salvage, ids: tuple[str, bytes, str]) -> None:
    """All of it is in the one file when this returns: a WAL that a full disk keeps would stay behind."""
    install_id, epoch, visitor_id = ids
    connection = open_queue_file(
        renewed,
        install_id=salvage.install_id or install_id,
        epoch=epoch,
        visitor_id=salvage.visitor_id or visitor_id,
        journal_mode="DELETE",
    )
    try:
        connection.execute("BEGIN IMMEDIATE")
        _give_new_places(connection, salvage, epoch)
        _put(connection, salvage)
        connection.execute("COMMIT")
    finally:
        connection.close()
    if any(Path(f"{renewed}{suffix}").exists() for suffix in _SIDE_FILES):
        raise QueueUnavailable(f"The queue file {renewed.name} could not be completed.")


def _finish(path: Path) -> None:
    """What is still there under the old name goes first: a foreign WAL would overwrite the new file."""
    damaged = _beside(path, "damaged")
    for suffix in _SIDE_FILES:
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{damaged}{suffix}")
    sync_directory(path.parent)
    _beside(path, "renewed").replace(path)
    sync_directory(path.parent)


def read_what_is_left(path: Path) -> Salvage:
    salvage = Salvage()
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    connection.text_factory = sql.text_from_file
    try:
        for install_id, visitor_id, user_id in _read(connection, _DEVICE):
            if isinstance(install_id, str) and isinstance(visitor_id, str):
                salvage.install_id, salvage.visitor_id = install_id, visitor_id
                salvage.user_id = user_id
        for marker, opted_out in _read(connection, _MARKS):
            salvage.marker, salvage.opted_out = marker, bool(opted_out)
        salvage.epochs = {
            epoch: last
            for epoch, last in _read(connection, _EPOCHS)
            if isinstance(epoch, bytes) and isinstance(last, int) and 0 <= last <= limits.SEQUENCE_MAX
        }
        for query in (_ROWS, f"{_ROWS} DESC"):  # From both ends: reading ends at the first damaged page.
            salvage.rows |= {row[0]: row for row in _read(connection, query) if _is_sound(row)}
        for _, kind, epoch, sequence, *_rest in salvage.rows.values():  # Whatever `epochs` says, or cannot.
            if kind == RowKind.EVENT.value:
                salvage.epochs[epoch] = max(sequence, salvage.epochs.get(epoch, 0))
        salvage.drops = [drop for drop in _read(connection, _DROPS) if _is_sound_drop(drop)]
        for epoch in {drop[0] for drop in salvage.drops} - salvage.epochs.keys():
            salvage.epochs[epoch] = max(drop[2] for drop in salvage.drops if drop[0] == epoch)
        salvage.proofs = [(user, proof) for user, proof in _read(connection, _PROOFS) if user and proof]
        for query in _PLACES:
            for name, place in _read(connection, query):
                if isinstance(place, int) and 0 < place <= _PLACE_MAX:
                    salvage.places[name] = max(place, salvage.places.get(name, 0))
    finally:
        connection.close()
    return salvage


def _is_sound(row: tuple[Any, ...]) -> bool:
    position, kind, epoch, sequence, *_rest = row
    if not 0 < position <= _PLACE_MAX:
        return False
    return kind == RowKind.IDENTIFY.value or (
        isinstance(epoch, bytes)
        and len(epoch) == limits.EPOCH_BYTES
        and isinstance(sequence, int)
        and 0 < sequence <= limits.SEQUENCE_MAX
    )


def _is_sound_drop(drop: tuple[Any, ...]) -> bool:
    epoch, first, last, _reason, name = drop
    return (
        isinstance(epoch, bytes)
        and len(epoch) == limits.EPOCH_BYTES
        and isinstance(first, int)
        and isinstance(last, int)
        and 0 < first <= last <= limits.SEQUENCE_MAX
        and isinstance(name, str)
    )


def _read(connection: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    with suppress(sqlite3.Error):
        yield from connection.execute(query)


def _put(connection: sqlite3.Connection, salvage: Salvage) -> None:
    connection.execute(
        "UPDATE device SET user_id = ?, marker = ?, opted_out = ?",
        (salvage.user_id, salvage.marker, salvage.opted_out),
    )
    for epoch, last in salvage.epochs.items():
        connection.execute("INSERT OR IGNORE INTO epochs VALUES (?, ?)", (epoch, last))
    connection.executemany(_PUT_ROW, salvage.rows.values())
    connection.executemany("INSERT OR REPLACE INTO proofs VALUES (?, ?)", salvage.proofs)
    _put_drops(connection, salvage)


def _give_new_places(connection: sqlite3.Connection, salvage: Salvage, epoch: bytes) -> None:
    """Above all that were given before; where those cannot be told, by the chance that made the epoch."""
    highest = max(salvage.rows, default=0)
    for table in ("queued", "drops"):
        known = salvage.places.get(table)
        before = int.from_bytes(epoch[:6]) if known is None else max(known, highest)
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        values = (table, before + _PLACES_APART)
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", values)


def _put_drops(connection: sqlite3.Connection, salvage: Salvage) -> None:
    """Every sequence that is neither here nor confessed already is confessed; a settled one stays settled."""
    for epoch, last in salvage.epochs.items():
        known = [SequenceRange(row[3], row[3]) for row in salvage.rows.values() if row[2] == epoch]
        for found, first, end, reason, name in salvage.drops:
            if found == epoch and reason in DropReason.__members__ and 0 < first <= end <= last:
                known.append(SequenceRange(first, end))
                drop_sql.add_drop(connection, epoch, known[-1], DropReason(reason), LONG_AGO, name=name)
        whole = [SequenceRange(1, last)] if last else []
        for lost in unfillable(whole, last_sequence=last, known=known):
            drop_sql.add_drop(connection, epoch, lost, DropReason.CORRUPT, LONG_AGO)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


def _remove(path: Path) -> None:
    for suffix in ("", *_SIDE_FILES):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
