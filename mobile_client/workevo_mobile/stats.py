"""What a Tracker tells about itself."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf.message import DecodeError

from workevo.tracking.v1 import event_pb2 as wire
from workevo_mobile.letter_sql import BuriedRow, Counts
from workevo_mobile.policy import RowKind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    pending: int
    """Events and log-ins that are not settled, those that wait for the disk included."""
    pending_bytes: int
    """Of those in the queue file."""
    dead_letters: int
    dead_letters_overwritten: int
    """Those that gave way to newer ones, since the queue file was made."""
    dropped: dict[str, int]
    """Events given up since the queue file was made, by reason (R14)."""
    last_answer_at: datetime | None
    """By the device's wall clock; None when no server has answered yet."""
    failures: int
    """Calls that failed since the last one that was answered."""
    never_committed: int
    """Events whose receipt was pending when `track` returned and that the disk then refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event or log-in that no upload carries; `reason` is the server's, or CORRUPT or QUARANTINED."""

    is_event: bool
    name: str
    """Empty where it can no longer be read, and of a log-in."""
    sequence: int
    epoch: bytes
    reason: str
    field: str
    message: str
    buried_at: datetime
    body: bytes
    """Serialized `workevo.tracking.v1.Event` without its sequence, or IdentifyRequest."""


def stats_of(counts: Counts, *, backlog: int, failures: int, never_committed: int) -> Stats:
    micros = counts.last_answer_wall_micros
    return Stats(
        pending=counts.rows + backlog,
        pending_bytes=counts.row_bytes,
        dead_letters=counts.dead_letters,
        dead_letters_overwritten=counts.overwritten,
        dropped=counts.dropped,
        last_answer_at=None if micros is None else _time(micros),
        failures=failures,
        never_committed=never_committed,
    )


def dead_letter_of(row: BuriedRow) -> DeadLetter:
    is_event = row.kind == RowKind.EVENT.value
    return DeadLetter(
        is_event=is_event,
        name=_name(row.body) if is_event else "",
        sequence=row.sequence,
        epoch=row.epoch,
        reason=row.reason,
        field=row.field,
        message=row.message,
        buried_at=_time(row.buried_wall_micros),
        body=row.body,
    )


def _name(body: bytes) -> str:
    try:
        return wire.Event.FromString(body).name
    except DecodeError:
        return ""


def _time(wall_micros: int) -> datetime:
    """The device's clock may say anything; what no datetime can say is cut."""
    latest = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
    return _EPOCH + timedelta(microseconds=min(max(wall_micros, 0), latest))
