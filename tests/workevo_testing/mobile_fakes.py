"""What stands around a Tracker in tests: a small honest server, a bad network, clocks set by hand."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import grpc

from workevo.tracking.v1 import event_pb2, tracking_pb2, verdict_pb2
from workevo_mobile import CallFailed

Identity = tuple[str, bytes, int]
"""Install, epoch and sequence (R7)."""

Judge = Callable[[event_pb2.Event], verdict_pb2.EventResult | None]
"""What the server says of an event it has not seen before; None: plainly accepted."""


def accept_all(_event: event_pb2.Event) -> None:
    return None


@dataclass
class HonestServer:
    """Keeps what it says it keeps, once, and answers repeats from its ledger."""

    judge: Judge = accept_all
    knows_copies: bool = False
    """Whether events with the same contact, name and created_at are one (R6)."""
    stored: list[tuple[Identity, event_pb2.Event]] = field(default_factory=list)
    outcomes: dict[Identity, tuple[verdict_pb2.EventResult, event_pb2.Event]] = field(default_factory=dict)
    dropped: dict[Identity, int] = field(default_factory=dict)
    last_sequences: dict[tuple[str, bytes], int] = field(default_factory=dict)
    identified: list[tuple[str, str]] = field(default_factory=list)
    uploads: list[tracking_pb2.UploadEventsRequest] = field(default_factory=list)
    _products: set[tuple[str, str, str, int]] = field(default_factory=set)

    def upload_events(self, request: tracking_pb2.UploadEventsRequest) -> tracking_pb2.UploadEventsResponse:
        self.uploads.append(request)
        install = (request.install.install_id, request.install.epoch)
        self.last_sequences[install] = max(self.last_sequences.get(install, 0), request.last_sequence)
        for drop in request.dropped:
            for sequence in range(drop.first_sequence, drop.last_sequence + 1):
                self.dropped.setdefault((*install, sequence), drop.reason)
        response = tracking_pb2.UploadEventsResponse()
        for index, event in enumerate(request.events):
            result = self._outcome((*install, event.sequence), event)
            result.index, result.sequence = index, event.sequence
            if result.verdict == verdict_pb2.VERDICT_ACCEPTED:
                response.accepted_count += 1
            else:
                response.results.append(result)
        for gap in self.gaps(*install):
            response.gaps.append(gap)
        return response

    def identify(self, request: tracking_pb2.IdentifyRequest) -> tracking_pb2.IdentifyResponse:
        self.identified.append((request.visitor_id, request.user_id))
        return tracking_pb2.IdentifyResponse(verdict=verdict_pb2.VERDICT_ACCEPTED)

    def gaps(self, install_id: str, epoch: bytes) -> list[tracking_pb2.SequenceRange]:
        last = self.last_sequences.get((install_id, epoch), 0)
        known = [*self.outcomes, *self.dropped]
        taken = {sequence for install, era, sequence in known if (install, era) == (install_id, epoch)}
        missing = [sequence for sequence in range(1, last + 1) if sequence not in taken]
        return [
            tracking_pb2.SequenceRange(first_sequence=sequence, last_sequence=sequence)
            for sequence in missing[:100]
        ]

    def identities(self) -> list[Identity]:
        return [identity for identity, _ in self.stored]

    def _outcome(self, identity: Identity, event: event_pb2.Event) -> verdict_pb2.EventResult:
        if identity in self.outcomes:
            return self._repeated(event, *self.outcomes[identity])
        result = self._judged(event)
        if result.verdict == verdict_pb2.VERDICT_ACCEPTED:
            self.stored.append((identity, event))
        if not result.retriable:
            self.outcomes[identity] = (result, event)
        return copied(result)

    def _judged(self, event: event_pb2.Event) -> verdict_pb2.EventResult:
        result = self.judge(event)
        if result is not None:
            return result
        identity = product_identity(event)
        if self.knows_copies and identity in self._products:
            return DUPLICATE
        self._products.add(identity)
        return ACCEPTED

    def _repeated(
        self, event: event_pb2.Event, known: verdict_pb2.EventResult, first: event_pb2.Event
    ) -> verdict_pb2.EventResult:
        """R7, and R14a: what is stored or a duplicate is compared, other verdicts are given again."""
        if known.verdict not in (verdict_pb2.VERDICT_ACCEPTED, verdict_pb2.VERDICT_DUPLICATE):
            return copied(known)
        same = product_identity(event) == product_identity(first)
        return copied(DUPLICATE) if same else retry("EPOCH_FORKED")


ACCEPTED = verdict_pb2.EventResult(verdict=verdict_pb2.VERDICT_ACCEPTED)
DUPLICATE = verdict_pb2.EventResult(verdict=verdict_pb2.VERDICT_DUPLICATE)


def product_identity(event: event_pb2.Event) -> tuple[str, str, str, int]:
    return event.user_id, event.visitor_id, event.name, event.created_at.ToMicroseconds()


def copied(result: verdict_pb2.EventResult) -> verdict_pb2.EventResult:
    copy = verdict_pb2.EventResult()
    copy.CopyFrom(result)
    return copy


def retry(reason: str, *, delay: timedelta | None = None) -> verdict_pb2.EventResult:
    result = verdict_pb2.EventResult(
        verdict=verdict_pb2.VERDICT_RETRY, reason=verdict_pb2.Reason.Value(f"REASON_{reason}"), retriable=True
    )
    if delay is not None:
        result.retry_delay.FromTimedelta(delay)
    return result


def rejected(reason: str, *, field: str = "") -> verdict_pb2.EventResult:
    return verdict_pb2.EventResult(
        verdict=verdict_pb2.VERDICT_REJECTED,
        reason=verdict_pb2.Reason.Value(f"REASON_{reason}"),
        field=field,
        message="Refused.",
    )


@dataclass
class FakeClocks:
    """Time stands still until `pass_time`; the wall clock can be set to anything."""

    micros: int = 1_700_000_000_000_000
    uptime_micros: int | None = 5_000_000
    boot: str = "boot-1"

    def wall_micros(self) -> int:
        return self.micros

    def uptime_millis(self) -> int | None:
        return None if self.uptime_micros is None else self.uptime_micros // 1000

    def boot_id(self) -> str:
        return self.boot

    def pass_time(self, length: timedelta) -> None:
        micros = length // timedelta(microseconds=1)
        self.micros += micros
        if self.uptime_micros is not None:
            self.uptime_micros += micros

    def reboot(self, boot: str) -> None:
        self.boot = boot
        self.uptime_micros = 1_000_000


UNAVAILABLE = CallFailed(grpc.StatusCode.UNAVAILABLE)


@dataclass
class FakeTransport:
    """A network to the server: `fate` is asked before (True) and after (False) each call and may raise.

    Raised after, the server has done its work and its answer is lost.
    """

    server: HonestServer
    fate: Callable[[bool], None] = lambda _before: None
    calls: int = 0
    closed: bool = False
    timeouts: list[timedelta] = field(default_factory=list)

    def upload_events(
        self, request: tracking_pb2.UploadEventsRequest, *, timeout: timedelta
    ) -> tracking_pb2.UploadEventsResponse:
        self._begin(timeout)
        response = self.server.upload_events(copied_request(request))
        self.fate(False)
        return response

    def identify(
        self, request: tracking_pb2.IdentifyRequest, *, timeout: timedelta
    ) -> tracking_pb2.IdentifyResponse:
        self._begin(timeout)
        response = self.server.identify(request)
        self.fate(False)
        return response

    def close(self) -> None:
        self.closed = True

    def _begin(self, timeout: timedelta) -> None:
        self.calls += 1
        self.timeouts.append(timeout)
        self.fate(True)


def copied_request(request: tracking_pb2.UploadEventsRequest) -> tracking_pb2.UploadEventsRequest:
    return tracking_pb2.UploadEventsRequest.FromString(request.SerializeToString())


def raising(*errors: CallFailed | None) -> Callable[[bool], None]:
    """A fate that loses the first calls with these errors (None: that one goes through), then no more."""
    remaining: Iterator[CallFailed | None] = iter(errors)

    def fate(before: bool) -> None:
        error = next(remaining, None) if before else None
        if error is not None:
            raise error

    return fate


def bad_network(chance: random.Random, *, request_lost: float, answer_lost: float) -> Callable[[bool], None]:
    def fate(before: bool) -> None:
        if chance.random() < (request_lost if before else answer_lost):
            raise CallFailed(grpc.StatusCode.UNAVAILABLE)

    return fate
