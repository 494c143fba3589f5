"""The device's queue: a few verbs over one SQLite file.

Every verb is one transaction, committed and fsynced when it returns. One
connection, one lock; safe from any thread. Only the file decides what is
queued: nothing waits in memory.
"""

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from workevo_mobile import drop_sql, identity_file, letter_sql, limits
from workevo_mobile import queue_sql as sql
from workevo_mobile.caps import Caps
from workevo_mobile.drop_reason import DropReason
from workevo_mobile.errors import QueueFull
from workevo_mobile.letter_sql import BuriedRow, Counts
from workevo_mobile.moments import ZERO, Moment, Wait
from workevo_mobile.orders import Orders
from workevo_mobile.policy import Call, Waiting
from workevo_mobile.queue_epochs import Epochs
from workevo_mobile.queue_sql import Contact, Device, Parcel
from workevo_mobile.queue_store import Ids, QueueStore
from workevo_mobile.settlement import SequenceRange, Settlement

FaultPoint = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An event on its way into the queue, of whoever was identified when it was tracked (R15)."""

    body: bytes
    user_id: str | None
    moment: Moment
    name: str = ""


@dataclass(frozen=True, slots=True)
class Appended:
    """`sequence` 0: the person has opted out, nothing was queued."""

    epoch: bytes
    sequence: int


class Queue:
    """Raises QueueUnavailable from every verb when the file cannot take or give what was asked.

    With `install_path` several queues are one install, each with its own epoch.
    With `marker_path`, a file that no backup holds, a restored or cloned queue
    is known by the marker that differs: new events take a new epoch (R14a).
    """

    def __init__(
        self,
        path: Path,
        *,
        chance: random.Random,
        fault: FaultPoint,
        caps: Caps = Caps(),  # noqa: B008  # Frozen.
        install_path: Path | None = None,
        marker_path: Path | None = None,
    ) -> None:
        self._epochs = Epochs(chance)
        self._fault = fault
        self._caps = caps
        self._install_path = install_path
        self._shared_install_id = self._read_shared_install_id(path)
        self._store = QueueStore(path, make_ids=self._new_ids)
        try:
            self._device, self._orders = self._recalled()
            self._begin(marker_path)
        except BaseException:
            self.close()
            raise

    @property
    def install_id(self) -> str:
        return self._device.install_id

    @property
    def epoch(self) -> bytes:
        """Of the events tracked from now on."""
        return self._device.epoch

    @property
    def contact(self) -> Contact:
        return self._device.contact

    @property
    def orders(self) -> Orders:
        """The client configuration, as far as it is obeyed."""
        return self._orders

    @property
    def opted_out(self) -> bool:
        return self._device.opted_out

    def append_event(self, encode: Callable[[Contact], bytes], moment: Moment, *, name: str = "") -> int:
        """Queue one event of whoever is identified now (R15); sequence and row in one commit (R7)."""
        with self._store.lock:
            contact = self._device.contact
            draft = Draft(body=encode(contact), user_id=contact.user_id, moment=moment, name=name)
            (appended,) = self.append([draft])
        if isinstance(appended, QueueFull):
            raise appended
        return appended.sequence

    def append(self, drafts: Sequence[Draft]) -> list[Appended | QueueFull]:
        """Queue them all in one commit, in their order; one for which there is no room costs no other."""
        with self._verb():
            if self._device.opted_out:
                return [Appended(self._device.epoch, 0)] * len(drafts)
            with self._store.transaction() as connection:
                epoch = self._device.epoch
                results: list[Appended | QueueFull] = []
                for draft in drafts:
                    result = self._put(connection, epoch, draft)
                    results.append(result)
                    epoch = result.epoch if isinstance(result, Appended) else epoch
                self._fault("before_row")
            self._device = replace(self._device, epoch=epoch)
            self._fault("after_row")
            return results

    def _put(self, connection: sqlite3.Connection, epoch: bytes, draft: Draft) -> Appended | QueueFull:
        unwanted = self._orders.reason_not_to_send(draft.name, draft.moment)
        if unwanted is not None and drop_sql.has_room_for_drops(connection):
            epoch, sequence = self._epochs.next_sequence(connection, epoch)
            lost = SequenceRange(sequence, sequence)
            drop_sql.add_drop(connection, epoch, lost, unwanted, draft.moment, name=draft.name)
            return Appended(epoch, sequence)
        try:
            drop_sql.make_room(connection, self._caps, len(draft.body), draft.moment)
        except QueueFull as full:
            return full
        epoch, sequence = self._epochs.next_sequence(connection, epoch)
        sql.insert_event(connection, epoch, sequence, draft.user_id, draft.body, draft.moment)
        return Appended(epoch, sequence)

    def append_identify(
        self, user_id: str, user_hash: str | None, encode: Callable[[Contact], bytes], moment: Moment
    ) -> None:
        """Queue a log-in; events queued after it are the user's.

        Another user than the one logged in comes with a new visitor: the old
        one belongs to the first user and is not merged again (R16). Who has
        opted out is remembered, and nobody is told.
        """
        with self._verb():
            known = self._device.contact
            other = known.user_id not in (None, user_id)
            contact = Contact(self._epochs.random_id() if other else known.visitor_id, user_id)
            body = encode(contact)
            with self._store.transaction() as connection:
                if not self._device.opted_out:
                    drop_sql.make_room(connection, self._caps, len(body), moment)
                    sql.insert_identify(connection, user_id, body, moment)
                sql.write_contact(connection, contact)
                if user_hash is not None:
                    sql.put_proof(connection, user_id, user_hash)
            self._device = replace(self._device, contact=contact)

    def log_out(self) -> None:
        with self._verb():
            contact = Contact(self._epochs.random_id(), None)
            with self._store.transaction() as connection:
                sql.write_contact(connection, contact)
            self._device = replace(self._device, contact=contact)

    def opt_out(self, now: Moment) -> None:
        """Empty the queue, confess it as OPTED_OUT (R32) and take nothing until `opt_in`."""
        with self._verb():
            with self._store.transaction() as connection:
                drop_sql.empty(connection, DropReason.OPTED_OUT, now)
                sql.write_opted_out(connection, opted_out=True)
                sql.forget_unused(connection)
            self._device = replace(self._device, opted_out=True)

    def opt_in(self) -> None:
        with self._verb():
            with self._store.transaction() as connection:
                sql.write_opted_out(connection, opted_out=False)
            self._device = replace(self._device, opted_out=False)

    def waiting(self, now: Moment, *, rows_max: int) -> Waiting:
        """What the policy has to know: the first rows that nothing holds back, and the waits."""
        with self._verb(), self._store.reading() as connection:
            waits = sql.waits(connection)
            quiet = waits.pop(sql.QUIET_WAIT_ID, None)
            remaining = {wait_id: wait.remaining(now) for wait_id, wait in waits.items()}
            remaining = {wait_id: left for wait_id, left in remaining.items() if left > ZERO}
            return Waiting(
                rows=sql.rows(connection, self._device.epoch, list(remaining), rows_max),
                drop=drop_sql.oldest_drop(connection),
                next_release=min(remaining.values(), default=None),
                quiet=quiet,
                upload_events_max=self._orders.upload_events_max,
                upload_bytes_max=self._orders.upload_bytes_max,
            )

    def expire(self, now: Moment) -> None:
        """Give up what is older than the queue keeps events."""
        with self._verb():
            with self._store.reading() as connection:
                if not drop_sql.has_expired(connection, self._caps, now):
                    return
            with self._store.transaction() as connection:
                drop_sql.expire(connection, self._caps, now)
                sql.forget_unused(connection)

    def parcel(self, call: Call) -> Parcel:
        """What the call's rows hold; those that were given up since it was planned are left out."""
        with self._verb(), self._store.reading() as connection:
            found = [(row, sql.body(connection, row)) for row in call.rows]
            rows = tuple(row for row, body in found if body is not None)
            return Parcel(
                rows=rows,
                bodies=tuple(body for _, body in found if body is not None),
                last_sequence=sql.last_sequence(connection, call.epoch),
                applied_through=sql.applied_through(connection, call.epoch),
                drops=drop_sql.drops(connection, call.epoch),
                config_version=self._orders.version,
                proofs=sql.proofs(connection, rows),
            )

    def settle(self, settlement: Settlement, now: Moment) -> None:
        """Apply all that one answer says, or nothing of it; then the same events are sent again."""
        with self._verb():
            with self._store.transaction() as connection:
                sql.delete_rows(connection, settlement.done)
                for burial in settlement.buried:
                    letter_sql.bury(connection, burial, now)
                sql.hold(connection, settlement.held, now)
                epoch = self._epochs.fork(connection, self._device.epoch, settlement.forked, now)
                drop_sql.confess(connection, settlement, now)  # While what was told still explains a gap.
                drop_sql.delete_drops(connection, settlement.told_drops)
                sql.forget_unused(connection)
                if settlement.quiet is not None:
                    sql.put_wait(connection, sql.QUIET_WAIT_ID, Wait(now, settlement.quiet))
                orders = self._obey(connection, settlement, now)
                if settlement.is_answer:
                    sql.write_answered(connection, now)
                self._fault("before_settle")
            self._device = replace(self._device, epoch=epoch)
            self._orders = orders
            self._fault("after_settle")

    def keep_quiet(self, length: timedelta, now: Moment) -> None:
        """Store a wait that the server asked for, so that a restart does not forget it."""
        with self._verb(), self._store.transaction() as connection:
            sql.put_wait(connection, sql.QUIET_WAIT_ID, Wait(now, length))

    def last_marks(self) -> tuple[int, int]:
        """The highest position and drop id given so far; 0 when none."""
        with self._verb(), self._store.reading() as connection:
            return sql.last_marks(connection)

    def pending(self, *, through: int | None = None) -> int:
        """Rows not settled, up to a position where one is given."""
        with self._verb(), self._store.reading() as connection:
            return sql.count_rows(connection, limits.SEQUENCE_MAX if through is None else through)

    def counts(self) -> Counts:
        with self._verb(), self._store.reading() as connection:
            return letter_sql.counts(connection)

    def dead_letters(self) -> list[BuriedRow]:
        """Oldest first."""
        with self._verb(), self._store.reading() as connection:
            return letter_sql.dead_letters(connection)

    def clear_dead_letters(self) -> None:
        with self._verb(), self._store.transaction() as connection:
            letter_sql.clear(connection)

    @property
    def is_closed(self) -> bool:
        return self._store.is_closed

    def close(self) -> None:
        self._store.close()

    def _begin(self, marker_path: Path | None) -> None:
        if self._install_path is not None:
            identity_file.read_or_make_id(self._install_path, lambda: self.install_id)
        if marker_path is None:
            return
        marker = identity_file.read_or_make_id(marker_path, self._epochs.random_id)
        if marker != self._device.marker:
            with self._store.transaction() as connection:
                if self._device.marker is not None:  # A first one says nothing about where the queue was.
                    self._epochs.begin(connection)
                sql.write_marker(connection, marker)
            self._device, self._orders = self._recalled()

    def _read_shared_install_id(self, path: Path) -> str | None:
        if self._install_path is None:
            return None
        if path.exists():  # It has an install of its own, which the others are to have too.
            return identity_file.read_id(self._install_path)
        return identity_file.read_or_make_id(self._install_path, self._epochs.random_id)

    def _recalled(self) -> tuple[Device, Orders]:
        with self._store.reading() as connection:
            device = sql.read_device(connection)
            assert device is not None, "the file was checked when it was opened"
            return device, sql.read_orders(connection)

    @contextmanager
    def _verb(self) -> Iterator[None]:
        """One verb at a time; what is remembered of a file that was set aside is read anew."""
        with self._store.lock:
            renewed_count = self._store.renewed_count
            try:
                yield
            finally:
                if self._store.renewed_count != renewed_count:
                    self._device, self._orders = self._recalled()

    def _new_ids(self) -> Ids:
        return (
            self._shared_install_id or self._epochs.random_id(),
            self._epochs.random_epoch(),
            self._epochs.random_id(),
        )

    def _obey(self, connection: sqlite3.Connection, settlement: Settlement, now: Moment) -> Orders:
        """Store a new configuration; one that the server just confirmed is as fresh as a new one."""
        config = settlement.config
        if config is None and settlement.config_confirmed:
            config = self._orders.config
        if config is None:
            return self._orders
        sql.write_orders(connection, config, now)
        return Orders(config, now)
