"""Damaged cells, put right when the file is opened: each costs itself alone (R14)."""

import json
import sqlite3

from workevo_mobile import limits
from workevo_mobile.drop_reason import DropReason
from workevo_mobile.queue_sql import begin_epoch

_COVERS_ALL = (
    "SELECT typeof(last_sequence) = 'integer' AND last_sequence BETWEEN 0 AND ?2 AND last_sequence >="
    " (SELECT coalesce(max(sequence), 0) FROM queued"
    " WHERE epoch = ?1 AND typeof(sequence) = 'integer' AND sequence <= ?2) AND last_sequence >="
    " (SELECT coalesce(max(drops.last_sequence), 0) FROM drops WHERE epoch = ?1)"
    " FROM epochs WHERE epoch = ?1"
)
_DELETE_BAD_DROPS = (
    "DELETE FROM drops WHERE typeof(epoch) <> 'blob' OR length(epoch) <> ?1"
    " OR typeof(first_sequence) <> 'integer' OR typeof(last_sequence) <> 'integer'"
    " OR first_sequence < 1 OR last_sequence < first_sequence OR last_sequence > ?2"
)
_MEND_EPOCHS = (
    "UPDATE epochs SET last_sequence = 0"
    " WHERE typeof(last_sequence) <> 'integer' OR last_sequence NOT BETWEEN 0 AND ?"
)
_RAISE_TO_ROWS = (
    "INSERT INTO epochs (epoch, last_sequence) SELECT epoch, max(sequence) FROM queued"
    " WHERE kind = 'event' AND typeof(epoch) = 'blob' AND length(epoch) = ?1"
    " AND typeof(sequence) = 'integer' AND sequence BETWEEN 1 AND ?2 GROUP BY epoch"
    " ON CONFLICT (epoch) DO UPDATE SET last_sequence = excluded.last_sequence"
    " WHERE excluded.last_sequence > epochs.last_sequence"
)
_ADD_THOSE_OF_DROPS = (
    "INSERT OR IGNORE INTO epochs (epoch, last_sequence)"
    " SELECT epoch, max(last_sequence) FROM drops GROUP BY epoch"
)
_DELETE_DROPS_ABOVE = (
    "DELETE FROM drops WHERE last_sequence >"
    " (SELECT last_sequence FROM epochs WHERE epochs.epoch = drops.epoch)"
)
_MEND_DROPS = (
    "UPDATE drops SET reason = 'CORRUPT', name = '' WHERE typeof(name) <> 'text'"
    " OR reason NOT IN (SELECT value FROM json_each(?))"
)
_MEND_CLOCKS = (
    "UPDATE drops SET queued_wall_micros = 0, queued_uptime_millis = NULL, queued_boot_id = ''"
    " WHERE typeof(queued_wall_micros) <> 'integer' OR typeof(queued_boot_id) <> 'text'"
    " OR typeof(coalesce(queued_uptime_millis, 0)) <> 'integer'"
)
_DELETE_BAD_WAITS = (
    "DELETE FROM waits WHERE typeof(began_wall_micros) <> 'integer' OR typeof(began_boot_id) <> 'text'"
    " OR typeof(coalesce(began_uptime_millis, 0)) <> 'integer' OR typeof(length_micros) <> 'integer'"
    " OR abs(length_micros / 2) > ?"
)


def repair(connection: sqlite3.Connection, epoch: bytes, *, new_epoch: bytes) -> None:
    """Make every epoch cover its rows and drops; where the current one did not, begin another (R14a).

    Sequences that it gave may be forgotten, and must not be given again. The
    gaps that a lost drop leaves are confessed when the server asks.
    """
    connection.execute(_DELETE_BAD_DROPS, (limits.EPOCH_BYTES, limits.SEQUENCE_MAX))
    found = connection.execute(_COVERS_ALL, (epoch, limits.SEQUENCE_MAX)).fetchone()
    connection.execute(_MEND_EPOCHS, (limits.SEQUENCE_MAX,))
    connection.execute(_RAISE_TO_ROWS, (limits.EPOCH_BYTES, limits.SEQUENCE_MAX))
    connection.execute(_ADD_THOSE_OF_DROPS)
    connection.execute(_DELETE_DROPS_ABOVE)
    connection.execute(_MEND_DROPS, (json.dumps(list(DropReason.__members__)),))
    connection.execute(_MEND_CLOCKS)
    connection.execute(_DELETE_BAD_WAITS, (limits.CLOCK_MICROS_MAX,))
    if found is None or not found[0]:
        begin_epoch(connection, new_epoch)
