"""The device's queue without its file: the same verbs over one immutable value.

The exhaustive search needs a queue that can be copied, compared and counted by the
million, which a SQLite file cannot. `test_queue_machine` holds it equal to the real
one: after every step both must say the same to every question. What a verb decides by
(`unfillable`, `Wait`, `elapsed`, `Orders`) is the product's own code; what the product
leaves to SQL is said here in Python.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

from workevo_mobile import limits
from workevo_mobile.caps import Caps
from workevo_mobile.client_config import ClientConfig
from workevo_mobile.drop_reason import DropReason
from workevo_mobile.errors import QueueFull
from workevo_mobile.letter_sql import BuriedRow, Counts
from workevo_mobile.moments import ZERO, Moment, Wait, elapsed
from workevo_mobile.orders import NO_ORDERS, Orders
from workevo_mobile.policy import Call, Row, RowKind, UntoldDrop, Waiting
from workevo_mobile.queue import Appended, Draft
from workevo_mobile.queue_sql import Contact, Drop, Parcel
from workevo_mobile.settlement import Burial, Hold, SequenceRange, Settlement, unfillable

QUIET = 0
"""The wait that the server asked of the whole device; the others hold single rows."""


class Kept(NamedTuple):
    """A queued event or log-in."""

    position: int
    kind: RowKind
    epoch: bytes
    sequence: int
    user_id: str | None
    body: bytes
    queued: Moment
    wait_id: int | None = None
    is_sound: bool = True
    """Whether the body is the one that its checksum was made of."""


class KeptDrop(NamedTuple):
    drop_id: int
    epoch: bytes
    sequences: SequenceRange
    reason: DropReason
    name: str
    queued: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """All that the file holds; two are equal when nothing could tell the files apart."""

    epoch: bytes
    contact: Contact
    marker: str | None = None
    opted_out: bool = False
    last_sequences: tuple[tuple[bytes, int], ...]
    rows: tuple[Kept, ...] = ()
    drops: tuple[KeptDrop, ...] = ()
    letters: tuple[BuriedRow, ...] = ()
    waits: tuple[tuple[int, Wait], ...] = ()
    tallies: tuple[tuple[str, int], ...] = ()
    proofs: tuple[tuple[str, str], ...] = ()
    config: tuple[ClientConfig, Moment] | None = None
    last_position: int = 0
    last_drop_id: int = 0
    answered_wall_micros: int | None = None


def new_state(epoch: bytes, contact: Contact, *, marker: str | None = None) -> QueueState:
    return QueueState(epoch=epoch, contact=contact, marker=marker, last_sequences=((epoch, 0),))


class MemoryQueue:
    """The verbs of `workevo_mobile.queue.Queue`; each puts another value in place of `state`, or none."""

    def __init__(
        self,
        state: QueueState,
        *,
        new_epoch: Callable[[], bytes],
        caps: Caps = Caps(),  # noqa: B008  # Frozen.
        fault: Callable[[str], None] = lambda _point: None,
    ) -> None:
        self.state = state
        self._new_epoch = new_epoch
        self._caps = caps
        self._fault = fault

    # What is asked ---------------------------------------------------------

    @property
    def orders(self) -> Orders:
        return NO_ORDERS if self.state.config is None else Orders(*self.state.config)

    def waiting(self, now: Moment, *, rows_max: int) -> Waiting:
        waits = dict(self.state.waits)
        quiet = waits.pop(QUIET, None)
        remaining = {wait_id: left for wait_id, wait in waits.items() if (left := wait.remaining(now)) > ZERO}
        free = [kept for kept in self.state.rows if kept.wait_id not in remaining]
        oldest = min(self.state.drops, default=None)
        return Waiting(
            rows=tuple(self._row(kept) for kept in free[:rows_max]),
            drop=None
            if oldest is None
            else UntoldDrop(drop_id=oldest.drop_id, epoch=oldest.epoch, queued=oldest.queued),
            next_release=min(remaining.values(), default=None),
            quiet=quiet,
            upload_events_max=self.orders.upload_events_max,
            upload_bytes_max=self.orders.upload_bytes_max,
        )

    def parcel(self, call: Call) -> Parcel:
        found = [(row, kept) for row in call.rows if (kept := self._found(row)) is not None]
        users = sorted({kept.user_id for _, kept in found if kept.user_id is not None})
        proofs = dict(self.state.proofs)
        return Parcel(
            rows=tuple(row for row, _ in found),
            bodies=tuple(kept.body if kept.is_sound else b"" for _, kept in found),
            last_sequence=self.last_sequence(call.epoch),
            applied_through=self._applied_through(call.epoch),
            drops=self._drops_to_tell(call.epoch),
            config_version=self.orders.version,
            proofs=tuple((user, proofs[user]) for user in users if user in proofs),
        )

    def counts(self) -> Counts:
        tallies = dict(self.state.tallies)
        return Counts(
            rows=len(self.state.rows),
            row_bytes=self._bytes(),
            dead_letters=len(self.state.letters),
            overwritten=tallies.pop("OVERWRITTEN", 0),
            dropped=tallies,
            last_answer_wall_micros=self.state.answered_wall_micros,
        )

    def dead_letters(self) -> list[BuriedRow]:
        return list(self.state.letters)

    def last_marks(self) -> tuple[int, int]:
        positions = [kept.position for kept in self.state.rows]
        return max(positions, default=0), max(self.state.drops, default=(0,))[0]

    def pending(self, *, through: int = limits.SEQUENCE_MAX) -> int:
        return sum(kept.position <= through for kept in self.state.rows)

    def last_sequence(self, epoch: bytes) -> int:
        return dict(self.state.last_sequences)[epoch]

    # What is changed -------------------------------------------------------

    def append(self, drafts: Sequence[Draft]) -> list[Appended | QueueFull]:
        if self.state.opted_out:
            return [Appended(self.state.epoch, 0)] * len(drafts)
        with _Transaction(self):
            results = [self._put(draft) for draft in drafts]
            self._fault("before_row")
        self._fault("after_row")
        return results

    def append_identify(self, contact: Contact, user_hash: str | None, body: bytes, now: Moment) -> None:
        """`contact` is whom the queue is told to hold for the one who is logged in from now on."""
        assert contact.user_id is not None
        with _Transaction(self):
            if not self.state.opted_out:
                self._make_room(len(body), now)
                self._insert(RowKind.IDENTIFY, b"", 0, contact.user_id, body, now)
            self._change(contact=contact)
            if user_hash is not None:
                proofs = dict(self.state.proofs) | {contact.user_id: user_hash}
                self._change(proofs=tuple(sorted(proofs.items())))

    def log_out(self, contact: Contact) -> None:
        self._change(contact=contact)

    def opt_out(self, now: Moment) -> None:
        for kept in sorted(self.state.rows, key=lambda kept: (kept.epoch, kept.sequence)):
            if kept.kind is RowKind.EVENT:
                self._add_drop(kept.epoch, kept.sequence, kept.sequence, DropReason.OPTED_OUT, now)
        self._change(rows=(), letters=(), opted_out=True)
        self._forget_unused()

    def opt_in(self) -> None:
        self._change(opted_out=False)

    def expire(self, now: Moment) -> None:
        if self._give_up_expired(now):
            self._forget_unused()

    def keep_quiet(self, length: timedelta, now: Moment) -> None:
        self._put_wait(QUIET, Wait(now, length))

    def clear_dead_letters(self) -> None:
        self._change(letters=())

    def settle(self, settlement: Settlement, now: Moment) -> None:
        with _Transaction(self):
            self._delete(self._found(row) for row in settlement.done)
            for burial in settlement.buried:
                self._bury(burial, now)
            self._hold(settlement.held, now)
            self._fork(settlement.forked, now)
            self._confess(settlement, now)
            told = settlement.told_drops
            self._change(drops=tuple(drop for drop in self.state.drops if drop.drop_id not in told))
            self._forget_unused()
            if settlement.quiet is not None:
                self._put_wait(QUIET, Wait(now, settlement.quiet))
            self._obey(settlement, now)
            if settlement.is_answer:
                self._change(answered_wall_micros=now.wall_micros)
            self._fault("before_settle")
        self._fault("after_settle")

    def opened(self, *, marker: str | None) -> None:
        """What opening the file on a device with this marker changes (R14a)."""
        if marker is not None and marker != self.state.marker:
            if self.state.marker is not None:
                self._begin_epoch()
            self._change(marker=marker)

    def damage_body(self, position: int, body: bytes) -> None:
        self._change(
            rows=tuple(
                kept._replace(body=body, is_sound=False) if kept.position == position else kept
                for kept in self.state.rows
            )
        )

    # Steps -----------------------------------------------------------------

    def _change(self, **fields: object) -> None:
        self.state = replace(self.state, **fields)  # type: ignore[arg-type]

    def _put(self, draft: Draft) -> Appended | QueueFull:
        unwanted = self.orders.reason_not_to_send(draft.name, draft.moment)
        if unwanted is not None and len(self.state.drops) < limits.UPLOAD_DROPPED_RANGES_MAX:
            sequence = self._take_sequence()
            self._add_drop(self.state.epoch, sequence, sequence, unwanted, draft.moment, name=draft.name)
            return Appended(self.state.epoch, sequence)
        try:
            self._make_room(len(draft.body), draft.moment)
        except QueueFull as full:
            return full
        sequence = self._take_sequence()
        self._insert(RowKind.EVENT, self.state.epoch, sequence, draft.user_id, draft.body, draft.moment)
        return Appended(self.state.epoch, sequence)

    def _insert(
        self, kind: RowKind, epoch: bytes, sequence: int, user_id: str | None, body: bytes, now: Moment
    ) -> None:
        position = self.state.last_position + 1
        kept = Kept(position, kind, epoch, sequence, user_id, body, now)
        self._change(rows=(*self.state.rows, kept), last_position=position)

    def _take_sequence(self) -> int:
        lasts = dict(self.state.last_sequences)
        lasts[self.state.epoch] += 1
        self._change(last_sequences=tuple(sorted(lasts.items())))
        return lasts[self.state.epoch]

    def _begin_epoch(self) -> None:
        epoch = self._new_epoch()
        lasts = dict(self.state.last_sequences) | {epoch: 0}
        self._change(epoch=epoch, last_sequences=tuple(sorted(lasts.items())))

    def _make_room(self, body_bytes: int, now: Moment) -> None:
        self._give_up_expired(now)
        while self._is_full(body_bytes):
            if self._caps.refuse_new:
                raise QueueFull("full")
            if not self._give_up_oldest(now):
                return

    def _is_full(self, body_bytes: int) -> bool:
        size = self._bytes() + body_bytes + limits.ROW_OVERHEAD_BYTES
        return len(self.state.rows) >= self._caps.count or size > self._caps.bytes

    def _bytes(self) -> int:
        return sum(len(kept.body) + limits.ROW_OVERHEAD_BYTES for kept in self.state.rows)

    def _oldest_event(self) -> Kept | None:
        return next((kept for kept in self.state.rows if kept.kind is RowKind.EVENT), None)

    def _give_up_expired(self, now: Moment) -> bool:
        found = False
        while (oldest := self._oldest_event()) is not None:
            age = elapsed(oldest.queued, now)
            if age is None or age <= self._caps.age:
                break
            self._give_up(oldest, DropReason.EXPIRED, now)
            found = True
        return found

    def _give_up_oldest(self, now: Moment) -> bool:
        oldest = self._oldest_event()
        if oldest is not None:
            self._give_up(oldest, DropReason.QUEUE_FULL, now)
            return True
        gone = self.state.rows[:1]
        self._delete(gone)
        self._tally(DropReason.QUEUE_FULL.value, len(gone))
        return bool(gone)

    def _give_up(self, kept: Kept, reason: DropReason, now: Moment) -> None:
        self._delete([kept])
        self._add_drop(kept.epoch, kept.sequence, kept.sequence, reason, now)

    def _delete(self, gone: Iterable[Kept | None]) -> None:
        positions = {kept.position for kept in gone if kept is not None}
        self._change(rows=tuple(kept for kept in self.state.rows if kept.position not in positions))

    def _add_drop(
        self, epoch: bytes, first: int, last: int, reason: DropReason, now: Moment, *, name: str = ""
    ) -> None:
        self._tally(reason.value, last - first + 1)
        drops = list(self.state.drops)
        before = first - 1
        for drop in self.state.drops:
            same = (drop.epoch, drop.reason, drop.name) == (epoch, reason, name)
            if same and drop.sequences.last == before:
                drops.remove(drop)
                first, now = drop.sequences.first, drop.queued
        drop_id = self.state.last_drop_id + 1
        drops.append(KeptDrop(drop_id, epoch, SequenceRange(first, last), reason, name, now))
        self._change(drops=tuple(drops), last_drop_id=drop_id)

    def _tally(self, reason: str, count: int) -> None:
        tallies = dict(self.state.tallies)
        tallies[reason] = tallies.get(reason, 0) + count
        self._change(tallies=tuple(sorted(tallies.items())))

    def _found(self, row: Row) -> Kept | None:
        """The row itself, never another one at its place."""
        for kept in self.state.rows:
            is_it = (kept.position, kept.kind) == (row.position, row.kind)
            same = row.kind is RowKind.IDENTIFY or (kept.epoch, kept.sequence) == (row.epoch, row.sequence)
            if is_it and same:
                return kept
        return None

    def _bury(self, burial: Burial, now: Moment) -> None:
        kept = self._found(burial.row)
        if kept is None:
            return
        letter = BuriedRow(
            kind=kept.kind.value,
            epoch=kept.epoch,
            sequence=kept.sequence,
            body=kept.body,
            reason=burial.reason,
            field=burial.field,
            message=burial.message,
            buried_wall_micros=now.wall_micros,
        )
        self._change(letters=(*self.state.letters, letter))
        self._delete([kept])
        if burial.drop is not None and kept.kind is RowKind.EVENT:
            self._add_drop(kept.epoch, kept.sequence, kept.sequence, burial.drop, now)

    def _hold(self, holds: Sequence[Hold], now: Moment) -> None:
        wait_ids: dict[timedelta, int] = {}
        for held in holds:
            if held.delay not in wait_ids:
                wait_ids[held.delay] = 1 + max(dict(self.state.waits), default=QUIET)
                self._put_wait(wait_ids[held.delay], Wait(now, held.delay))
            found = self._found(held.row)
            self._replace(found, wait_id=wait_ids[held.delay])

    def _put_wait(self, wait_id: int, wait: Wait) -> None:
        waits = dict(self.state.waits) | {wait_id: wait}
        self._change(waits=tuple(sorted(waits.items(), key=lambda item: item[0])))

    def _replace(self, found: Kept | None, **fields: object) -> None:
        if found is not None:
            other = found._replace(**fields)  # type: ignore[arg-type]
            self._change(rows=tuple(other if kept is found else kept for kept in self.state.rows))

    def _fork(self, forked: Sequence[Row], now: Moment) -> None:
        if any(row.epoch == self.state.epoch for row in forked):
            self._begin_epoch()
        for row in forked:
            sequence = self._take_sequence()
            found = self._found(row)
            self._replace(found, epoch=self.state.epoch, sequence=sequence, wait_id=None)
            if found is None:
                reason = self._reason_given_up(row) or DropReason.CORRUPT
                self._add_drop(self.state.epoch, sequence, sequence, reason, now)

    def _reason_given_up(self, row: Row) -> DropReason | None:
        for drop in self.state.drops:
            if drop.epoch == row.epoch and drop.sequences.first <= row.sequence <= drop.sequences.last:
                return drop.reason
        return None

    def _confess(self, settlement: Settlement, now: Moment) -> None:
        epoch = settlement.epoch
        queued = [kept.sequence for kept in self.state.rows if kept.epoch == epoch]
        sequences = [*queued, *(row.sequence for row in settlement.sent)]
        known = [SequenceRange(sequence, sequence) for sequence in sequences]
        known += [drop.sequences for drop in self.state.drops if drop.epoch == epoch]
        if settlement.gaps:
            last = self.last_sequence(epoch)
            for lost in unfillable(settlement.gaps, last_sequence=last, known=known):
                self._add_drop(epoch, lost.first, lost.last, DropReason.CORRUPT, now)

    def _forget_unused(self) -> None:
        users = {kept.user_id for kept in self.state.rows} | {self.state.contact.user_id}
        waits = {kept.wait_id for kept in self.state.rows} | {QUIET}
        self._change(
            proofs=tuple(proof for proof in self.state.proofs if proof[0] in users),
            waits=tuple(wait for wait in self.state.waits if wait[0] in waits),
        )

    def _obey(self, settlement: Settlement, now: Moment) -> None:
        config = settlement.config
        if config is None and settlement.config_confirmed:
            config = self.orders.config
        if config is not None:
            self._change(config=(config, now))

    def _row(self, kept: Kept) -> Row:
        proof = dict(self.state.proofs).get(kept.user_id or "")
        extra = 0 if proof is None or kept.user_id is None else len(kept.user_id.encode()) + len(proof)
        is_event = kept.kind is RowKind.EVENT
        return Row(
            position=kept.position,
            kind=kept.kind,
            epoch=kept.epoch if is_event else self.state.epoch,
            sequence=kept.sequence,
            upload_bytes=len(kept.body) + extra + limits.ROW_OVERHEAD_BYTES,
            queued=kept.queued,
        )

    def _applied_through(self, epoch: bytes) -> int:
        held = [kept.sequence for kept in self.state.rows if kept.epoch == epoch]
        return min(held) - 1 if held else self.last_sequence(epoch)

    def _drops_to_tell(self, epoch: bytes) -> tuple[Drop, ...]:
        """None of these queues has so many that one upload cannot take them."""
        return tuple(
            Drop(drop.drop_id, drop.sequences, drop.reason, drop.name)
            for drop in self.state.drops
            if drop.epoch == epoch
        )


class _Transaction:
    """All or nothing, as the file has it."""

    def __init__(self, queue: MemoryQueue) -> None:
        self._queue = queue
        self._before = queue.state

    def __enter__(self) -> None:
        pass

    def __exit__(self, error: object, *_: object) -> None:
        if error is not None:
            self._queue.state = self._before
