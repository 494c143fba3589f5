"""The only shell: asks the policy, makes the call, hands the answer to the queue."""

import random
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from google.protobuf.message import DecodeError

from workevo.tracking.v1 import event_pb2 as wire_event
from workevo.tracking.v1 import tracking_pb2 as wire
from workevo_mobile import codec, failures, limits, policy, settlement
from workevo_mobile.clocks import Clocks, read_moment
from workevo_mobile.codec import AppInfo
from workevo_mobile.errors import CallFailed, QueueUnavailable
from workevo_mobile.failures import Failure, FailureKind
from workevo_mobile.moments import ZERO, Moment, Wait
from workevo_mobile.policy import Asked, Call, Progress, Rest, Row, Triggers
from workevo_mobile.queue import Queue
from workevo_mobile.settlement import Settlement
from workevo_mobile.transport import Transport

_Contents = tuple[bytes, tuple[int, ...]]
"""What makes two uploads the same: epoch and sequences."""


class Uploader:
    """One call at a time. `ask` may be called from any thread, `step` from one at a time."""

    def __init__(
        self,
        queue: Queue,
        transport: Transport,
        app: AppInfo,
        *,
        clocks: Clocks,
        chance: random.Random,
        flush_event_count: int | None = None,
        flush_interval: timedelta | None = None,
    ) -> None:
        self._queue = queue
        self._transport = transport
        self._app = app
        self._clocks = clocks
        self._chance = chance
        self._flush_event_count = flush_event_count
        self._flush_interval = flush_interval
        self._network_news: bool | None = None
        self._progress = Progress()
        self._asked = Asked()
        self._asking = threading.Lock()
        self._upload_id: tuple[_Contents, str] | None = None

    def ask(self, asked: Asked) -> None:
        """Upload up to these marks, whatever count and interval say; backoff and the server's delays hold."""
        with self._asking:
            self._asked = self._asked.joined(asked)

    def on_network(self, *, available: bool) -> None:
        """Call nobody while there is no network; when it is back, forget the backoff."""
        with self._asking:
            self._network_news = available

    @property
    def failures(self) -> int:
        """Calls that failed since the last one that was answered."""
        return self._progress.failures

    def step(self) -> Rest:
        """Make the call that is due, if one is; say when the next is."""
        call = self._plan()
        if isinstance(call, Call):
            self.ask(call.asked)
            self._make(call)
            call = self._plan()
        return Rest(delay=ZERO) if isinstance(call, Call) else call

    def back_off(self) -> Rest:
        """For a failure outside the table: count it as a call that got no answer."""
        unavailable = Failure(kind=FailureKind.UNAVAILABLE)
        self._learn(Call(epoch=self._queue.epoch), unavailable)
        rest = self._progress.rest
        return Rest(delay=rest.remaining(self._now()) if rest is not None else ZERO)

    def _plan(self) -> Call | Rest:
        now = self._now()
        self._expire(now)
        triggers = self._triggers()
        waiting = self._queue.waiting(now, rows_max=max(limits.UPLOAD_EVENTS_MAX, triggers.event_count))
        with self._asking:
            asked, network_news, self._network_news = self._asked, self._network_news, None
        if network_news is False:
            self._progress = replace(self._progress, network_gone=True)
        elif network_news:
            self._progress = failures.after_network_came(self._progress, now=now, chance=self._chance)
        return policy.plan(waiting, self._progress, asked, triggers, now)

    def _triggers(self) -> Triggers:
        """What the app chose, else what the workspace asks for, else the defaults."""
        orders, own = self._queue.orders, Triggers()
        return Triggers(
            event_count=self._flush_event_count or orders.flush_event_count or own.event_count,
            interval=(
                self._flush_interval
                if self._flush_interval is not None
                else orders.flush_interval or own.interval
            ),
        )

    def _expire(self, now: Moment) -> None:
        with suppress(QueueUnavailable):  # A full disk; the queue is read all the same.
            self._queue.expire(now)

    def _make(self, call: Call) -> None:
        try:
            settled = self._identify(call) if call.is_identify else self._upload(call)
        except _PlanOutdated:
            return
        except _RowDamaged as damaged:
            self._settle(settlement.corrupted(damaged.row))
            return
        except CallFailed as error:
            self._learn(call, codec.failure_from_call(error))
            return
        if settled is None:  # The answer does not add up: nothing may be settled (R11).
            self._learn(call, Failure(kind=FailureKind.UNAVAILABLE))
        elif self._settle(settled):
            self._upload_id = None
            self._progress = failures.after_answer(self._progress, call)

    def _upload(self, call: Call) -> Settlement | None:
        parcel = self._queue.parcel(call)
        if len(parcel.rows) < len(call.rows):
            raise _PlanOutdated
        events = [_event(row, body) for row, body in zip(call.rows, parcel.bodies, strict=True)]
        request = codec.upload_request(
            parcel, events, self._install(call), upload_id=self._id_of(call), sent=self._now()
        )
        response = self._transport.upload_events(request, timeout=limits.CALL_DEADLINE)
        told = [drop.drop_id for drop in parcel.drops]
        return settlement.settle_upload(
            call, codec.answer_from_wire(response), told_drops=told, told_config=parcel.config_version
        )

    def _identify(self, call: Call) -> Settlement | None:
        parcel = self._queue.parcel(call)
        if not parcel.rows:
            raise _PlanOutdated
        (row,), (body,) = parcel.rows, parcel.bodies
        if not body:
            raise _RowDamaged(row)
        try:
            request = codec.identify_request(body, self._install(call), sent=self._now())
        except DecodeError as error:
            raise _RowDamaged(row) from error
        response = self._transport.identify(request, timeout=limits.CALL_DEADLINE)
        return settlement.settle_identify(call, codec.identify_result_from_wire(response))

    def _install(self, call: Call) -> wire.Install:
        return codec.install_to_wire(self._app, install_id=self._queue.install_id, epoch=call.epoch)

    def _id_of(self, call: Call) -> str:
        """The same for every retry of the same events, until they are answered."""
        contents = (call.epoch, tuple(row.sequence for row in call.rows))
        if self._upload_id is None or self._upload_id[0] != contents:
            self._upload_id = (contents, str(UUID(int=self._chance.getrandbits(128), version=4)))
        return self._upload_id[1]

    def _learn(self, call: Call, failure: Failure) -> None:
        now = self._now()
        consequence = failures.after_failure(self._progress, call, failure, now=now, chance=self._chance)
        self._progress = consequence.progress
        if consequence.quiet is not None:
            self._keep_quiet(consequence.quiet, now)
        if consequence.quarantine is not None:
            self._settle(settlement.quarantined(consequence.quarantine))

    def _keep_quiet(self, length: timedelta, now: Moment) -> None:
        try:
            self._queue.keep_quiet(length, now)
        except QueueUnavailable:  # A full disk; then it holds until the next start at least.
            self._progress = replace(self._progress, rest=Wait(now, length), backs_off=False)

    def _settle(self, settled: Settlement) -> bool:
        """Whether the queue took it. If not, nothing of it was applied, and the same events go again."""
        try:
            self._queue.settle(settled, self._now())
        except QueueUnavailable:
            if self._queue.is_closed:
                raise
            self.back_off()
            return False
        return True

    def _now(self) -> Moment:
        return read_moment(self._clocks)


class _PlanOutdated(Exception):
    """A row of the call was given up since it was planned; the next plan knows."""


class _RowDamaged(Exception):
    def __init__(self, row: Row) -> None:
        super().__init__(row.position)
        self.row = row


def _event(row: Row, body: bytes) -> wire_event.Event:
    if not body:
        raise _RowDamaged(row)
    try:
        return codec.event_from_row(row, body)
    except DecodeError as error:
        raise _RowDamaged(row) from error
