"""The file under the queue: its tables, and how it is opened, locked and found to be ours."""

import sqlite3
from pathlib import Path

from workevo_mobile.errors import QueueUnavailable

APPLICATION_ID = 0x574B4556  # "WKEV": tells our file from any other SQLite database.
VERSION = 1

_TABLES = """
CREATE TABLE device (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    install_id TEXT NOT NULL,
    epoch BLOB NOT NULL,
    visitor_id TEXT NOT NULL,
    user_id TEXT
);
CREATE TABLE epochs (
    epoch BLOB PRIMARY KEY,
    last_sequence INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE waits (
    wait_id INTEGER PRIMARY KEY,
    began_wall_micros INTEGER NOT NULL,
    began_uptime_millis INTEGER,
    began_boot_id TEXT NOT NULL,
    length_micros INTEGER NOT NULL
);
CREATE TABLE queued (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    epoch BLOB,
    sequence INTEGER,
    user_id TEXT,
    body BLOB NOT NULL,
    queued_wall_micros INTEGER NOT NULL,
    queued_uptime_millis INTEGER,
    queued_boot_id TEXT NOT NULL,
    wait_id INTEGER,
    UNIQUE (epoch, sequence)
);
CREATE TABLE drops (
    drop_id INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch BLOB NOT NULL,
    first_sequence INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    reason TEXT NOT NULL,
    queued_wall_micros INTEGER NOT NULL,
    queued_uptime_millis INTEGER,
    queued_boot_id TEXT NOT NULL
);
CREATE TABLE dead_letters (
    dead_letter_id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    epoch BLOB,
    sequence INTEGER,
    body BLOB NOT NULL,
    reason TEXT NOT NULL,
    field TEXT NOT NULL,
    message TEXT NOT NULL,
    buried_wall_micros INTEGER NOT NULL
);
CREATE TABLE proofs (
    user_id TEXT PRIMARY KEY,
    user_hash TEXT NOT NULL
) WITHOUT ROWID;
"""


def open_queue_file(path: Path, *, install_id: str, epoch: bytes, visitor_id: str) -> sqlite3.Connection:
    """Open the file for this Tracker alone, until closed or killed; a new one is made with the ids given.

    Nothing of the file is changed before it is known to be ours.
    """
    try:
        # The lock of the queue guards the connection, not sqlite3's check of the thread.
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            _make_or_check(connection, install_id=install_id, epoch=epoch, visitor_id=visitor_id)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise QueueUnavailable(_sentence(path, error)) from error
    return connection


def _make_or_check(connection: sqlite3.Connection, *, install_id: str, epoch: bytes, visitor_id: str) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA synchronous = FULL")  # NORMAL loses committed rows at a power cut.
    if _is_empty(connection):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN IMMEDIATE; {_TABLES}")
        connection.execute("INSERT INTO epochs (epoch) VALUES (?)", (epoch,))
        connection.execute(
            "INSERT INTO device (one, install_id, epoch, visitor_id) VALUES (1, ?, ?, ?)",
            (install_id, epoch, visitor_id),
        )
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
        return
    application_id, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    if application_id != APPLICATION_ID:
        raise QueueUnavailable("The queue file belongs to another program. Choose another path.")
    if version != VERSION:
        raise QueueUnavailable(f"The queue file has version {version}; this SDK reads version {VERSION}.")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")  # Takes the lock that locking_mode then keeps.
    connection.execute("COMMIT")


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(tables == 0 and _pragma(connection, "application_id") == 0)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _sentence(path: Path, error: sqlite3.Error) -> str:
    match getattr(error, "sqlite_errorname", ""):
        case "SQLITE_BUSY":
            return f"The queue file {path.name} is in use: only one Tracker at a time may have it."
        case "SQLITE_NOTADB" | "SQLITE_CORRUPT":
            return f"The queue file {path.name} is damaged or no queue."
        case _:
            return f"The queue file {path.name} cannot be opened: {error}."
