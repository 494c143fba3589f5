"""Which call to make next, and when. Decides and never does: values in, a value out.

The queue says what waits and `failures` what the calls so far have taught.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from workevo_mobile import limits
from workevo_mobile.moments import ZERO, Moment, Wait

_MILLISECOND = timedelta(milliseconds=1)


class RowKind(enum.Enum):
    EVENT = "event"
    IDENTIFY = "identify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A queued event or log-in, without what is in it."""

    position: int
    """Place in the queue; never given twice, kept through a fork."""
    kind: RowKind
    epoch: bytes
    """Of a log-in: the current one."""
    sequence: int
    """0 for a log-in."""
    upload_bytes: int
    queued: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class UntoldDrop:
    """The oldest dropped range that no answered upload has carried."""

    drop_id: int
    epoch: bytes
    queued: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What the queue holds, as far as it matters now."""

    rows: tuple[Row, ...] = ()
    """Those that no RETRY holds back, oldest first; a page of the queue is enough."""
    drop: UntoldDrop | None = None
    next_release: timedelta | None = None
    """When the next held row may be sent; None when none is held."""
    quiet: Wait | None = None
    """The wait that the server asked for, stored in the queue."""
    upload_events_max: int = limits.UPLOAD_EVENTS_MAX
    upload_bytes_max: int = limits.UPLOAD_BYTES_MAX
    """What the workspace takes (`client_config`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """When a device uploads without being asked."""

    event_count: int = limits.FLUSH_EVENT_COUNT_DEFAULT
    interval: timedelta = limits.FLUSH_INTERVAL_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Up to where the app asked for an upload, or an upload has become due already."""

    rows_through: int = 0
    drops_through: int = 0

    def joined(self, other: "Asked") -> "Asked":
        return Asked(
            rows_through=max(self.rows_through, other.rows_through),
            drops_through=max(self.drops_through, other.drops_through),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """The server called an upload invalid as a whole; the fault is among the rows up to `through`."""

    through: int
    events_max: int
    envelope_proved: bool = False
    """An upload without events has been answered since: it is an event that is at fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the failed calls so far have taught. Kept in memory: a restart may try again at once."""

    failures: int = 0
    rest: Wait | None = None
    events_max: int = limits.UPLOAD_EVENTS_MAX
    doubt: Doubt | None = None
    backs_off: bool = False
    """`rest` is a guess of the device, that a network which comes back overturns."""
    network_gone: bool = False
    """The app says so; no call is made until it says otherwise."""

    def doubts(self, oldest: Row) -> Doubt | None:
        """The doubt that is still open: rows above it are innocent, and positions never come again."""
        return self.doubt if self.doubt is not None and oldest.position <= self.doubt.through else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call to make. A log-in stands alone; no rows is an upload without events."""

    epoch: bytes
    rows: tuple[Row, ...] = ()
    asked: Asked = Asked()
    """What has become due by now, so that a slice that ends early is followed by the next."""

    @property
    def is_identify(self) -> bool:
        return bool(self.rows) and self.rows[0].kind is RowKind.IDENTIFY


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Nothing to do for `delay` (None: until something changes), or until so many more rows are queued."""

    delay: timedelta | None
    rows_wanted: int | None = None
    """None: however many come, nothing becomes due sooner."""


def plan(waiting: Waiting, progress: Progress, asked: Asked, triggers: Triggers, now: Moment) -> Call | Rest:
    """Decide the next call, or how long to rest. A Rest is never of zero length."""
    if progress.network_gone:
        return Rest(delay=None)
    due = _due_in(waiting, progress, asked, triggers, now)
    if due is None:
        return Rest(delay=None, rows_wanted=1)
    delay = max(due, _silence(waiting, progress, now))
    if delay > ZERO:
        return Rest(delay=_whole_millis(delay), rows_wanted=_rows_wanted(waiting, triggers))
    return _next_call(waiting, progress)


def _whole_millis(delay: timedelta) -> timedelta:
    """Rounded up: uptime counts milliseconds, and a shorter sleep would wake too early for ever."""
    return -(-delay // _MILLISECOND) * _MILLISECOND


def _silence(waiting: Waiting, progress: Progress, now: Moment) -> timedelta:
    waits = (waiting.quiet, progress.rest)
    return max((wait.remaining(now) for wait in waits if wait is not None), default=ZERO)


def _rows_wanted(waiting: Waiting, triggers: Triggers) -> int | None:
    if not waiting.rows:
        return 1  # The first one starts the interval.
    missing = triggers.event_count - len(waiting.rows)
    return missing if missing > 0 else None


def _due_in(
    waiting: Waiting, progress: Progress, asked: Asked, triggers: Triggers, now: Moment
) -> timedelta | None:
    due = [] if waiting.next_release is None else [waiting.next_release]
    if waiting.rows:
        due.append(_rows_due_in(waiting.rows, progress, asked, triggers, now))
    if waiting.drop is not None:
        drop_asked = waiting.drop.drop_id <= asked.drops_through
        due.append(ZERO if drop_asked else Wait(waiting.drop.queued, triggers.interval).remaining(now))
    return min(due, default=None)


def _rows_due_in(
    rows: Sequence[Row], progress: Progress, asked: Asked, triggers: Triggers, now: Moment
) -> timedelta:
    oldest = rows[0]
    if oldest.position <= asked.rows_through or len(rows) >= triggers.event_count or progress.doubts(oldest):
        return ZERO
    return Wait(oldest.queued, triggers.interval).remaining(now)


def _next_call(waiting: Waiting, progress: Progress) -> Call:
    if not waiting.rows:
        assert waiting.drop is not None, "what is due now is a row or a drop"
        return Call(epoch=waiting.drop.epoch, asked=Asked(drops_through=waiting.drop.drop_id))
    oldest = waiting.rows[0]
    asked = Asked(rows_through=waiting.rows[-1].position)
    doubt = progress.doubts(oldest)
    if doubt is not None and not doubt.envelope_proved:
        return Call(epoch=oldest.epoch, asked=asked)
    if oldest.kind is RowKind.IDENTIFY:
        return Call(epoch=oldest.epoch, rows=(oldest,), asked=asked)
    return Call(epoch=oldest.epoch, rows=_slice(waiting, progress.events_max, doubt), asked=asked)


def _slice(waiting: Waiting, events_max: int, doubt: Doubt | None) -> tuple[Row, ...]:
    """The next events of one epoch: up to a log-in (R15) or a limit of R9; in doubt the suspects alone."""
    rows: Sequence[Row] = waiting.rows
    events_max = min(events_max, waiting.upload_events_max)
    if doubt is not None:
        events_max = min(events_max, doubt.events_max)
        rows = [row for row in rows if row.position <= doubt.through]
    bytes_max = waiting.upload_bytes_max - limits.UPLOAD_ENVELOPE_BYTES_MAX
    taken: list[Row] = []
    for row in rows:
        if row.kind is RowKind.IDENTIFY or len(taken) == events_max:
            break
        if row.epoch != rows[0].epoch:
            continue  # Another epoch's upload; nothing orders the two.
        bytes_max -= row.upload_bytes
        if taken and bytes_max < 0:
            break
        taken.append(row)
    return tuple(sorted(taken, key=lambda row: row.sequence))
