"""The file under the queue: its tables, and how it is opened, locked and found to be ours."""

import sqlite3
from pathlib import Path

from workevo_mobile import limits
from workevo_mobile.errors import QueueUnavailable

APPLICATION_ID = 0x574B4556  # "WKEV": tells our file from any other SQLite database.
VERSION = 2

_FIRST_VERSION = """
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

# Each version is the one before and this; a file of an older one is brought up to date when opened.
_SECOND_VERSION = """
ALTER TABLE device ADD COLUMN opted_out INTEGER NOT NULL DEFAULT 0;
ALTER TABLE device ADD COLUMN marker TEXT;
ALTER TABLE device ADD COLUMN last_answer_wall_micros INTEGER;
ALTER TABLE queued ADD COLUMN checksum INTEGER;
ALTER TABLE drops ADD COLUMN name TEXT NOT NULL DEFAULT '';
CREATE INDEX drops_by_end ON drops (epoch, reason, name, last_sequence);
CREATE TABLE tallies (
    reason TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE client_config (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    body TEXT NOT NULL,
    told_wall_micros INTEGER NOT NULL,
    told_uptime_millis INTEGER,
    told_boot_id TEXT NOT NULL
);
CREATE TABLE totals (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    row_count INTEGER NOT NULL,
    byte_count INTEGER NOT NULL
);
INSERT INTO totals SELECT 1, count(*), coalesce(sum(length(body) + OVERHEAD), 0) FROM queued;
CREATE TRIGGER row_came AFTER INSERT ON queued BEGIN
    UPDATE totals SET row_count = row_count + 1, byte_count = byte_count + length(new.body) + OVERHEAD;
END;
CREATE TRIGGER row_went AFTER DELETE ON queued BEGIN
    UPDATE totals SET row_count = row_count - 1, byte_count = byte_count - length(old.body) - OVERHEAD;
END;
-- What a row must be to be read at all; any other was damaged. What is in its body has a checksum.
CREATE VIEW sound_rows AS SELECT * FROM queued
WHERE (kind = 'identify' OR (kind = 'event' AND typeof(sequence) = 'integer' AND sequence > 0
    AND epoch IN (SELECT epoch FROM epochs)))
    AND typeof(body) = 'blob' AND typeof(queued_wall_micros) = 'integer'
    AND typeof(coalesce(queued_uptime_millis, 0)) = 'integer' AND typeof(queued_boot_id) = 'text';
""".replace("OVERHEAD", str(limits.ROW_OVERHEAD_BYTES))


class QueueDamaged(QueueUnavailable):
    """What is in the file can no longer be read as a queue; it is to be set aside."""


DAMAGES = ("SQLITE_NOTADB", "SQLITE_CORRUPT")


def is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(DAMAGES)


def open_queue_file(
    path: Path, *, install_id: str, epoch: bytes, visitor_id: str, journal_mode: str = "WAL"
) -> sqlite3.Connection:
    """Open the file for this Tracker alone, until closed or killed; a new one is made with the ids given.

    With the journal mode DELETE every commit is in the file itself, and told when it is not.
    Nothing of the file is changed before it is known to be ours.
    """
    try:
        # The lock of the queue guards the connection, not sqlite3's check of the thread.
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA synchronous = FULL")  # NORMAL loses committed rows at a power cut.
            if _is_empty(connection):
                connection.execute(f"PRAGMA journal_mode = {journal_mode}")
                _make(connection, install_id=install_id, epoch=epoch, visitor_id=visitor_id)
            else:
                _check(connection, journal_mode)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        sentence = _sentence(path, error)
        raise (QueueDamaged(sentence) if is_damage(error) else QueueUnavailable(sentence)) from error
    return connection


def _make(connection: sqlite3.Connection, *, install_id: str, epoch: bytes, visitor_id: str) -> None:
    connection.executescript(f"BEGIN IMMEDIATE; {_FIRST_VERSION} {_SECOND_VERSION}")
    connection.execute("INSERT INTO epochs (epoch) VALUES (?)", (epoch,))
    connection.execute(
        "INSERT INTO device (one, install_id, epoch, visitor_id) VALUES (1, ?, ?, ?)",
        (install_id, epoch, visitor_id),
    )
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _check(connection: sqlite3.Connection, journal_mode: str) -> None:
    application_id, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    if application_id != APPLICATION_ID:
        raise QueueUnavailable("The queue file belongs to another program. Choose another path.")
    if version not in (1, VERSION):
        raise QueueUnavailable(f"The queue file has version {version}; this SDK reads version {VERSION}.")
    connection.execute(f"PRAGMA journal_mode = {journal_mode}")
    connection.execute("BEGIN IMMEDIATE")  # Takes the lock that locking_mode then keeps.
    connection.execute("COMMIT")
    if version == 1:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_SECOND_VERSION} PRAGMA user_version = {VERSION}; COMMIT"
        )


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
        case name if name.startswith(DAMAGES):
            return f"The queue file {path.name} is damaged or no queue."
        case _:
            return f"The queue file {path.name} cannot be opened: {error}."
