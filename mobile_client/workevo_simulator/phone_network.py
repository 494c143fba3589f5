"""The way between one phone and the server, as its weather allows: a `workevo_mobile.Transport`."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import grpc

from workevo.tracking.v1 import tracking_pb2 as wire
from workevo_mobile import CallFailed, Transport
from workevo_simulator.limits import PUSH_BACK_LONGEST, PUSH_BACK_SHORTEST
from workevo_simulator.scenario import Network
from workevo_simulator.virtual_time import VirtualTime, micros_of
from workevo_simulator.weather import State, Weather
from workevo_simulator.witness import Witness

Answer = TypeVar("Answer", wire.UploadEventsResponse, wire.IdentifyResponse)
_SECOND = 1_000_000
_MEDIAN_SECONDS = {State.ONLINE: 0.06, State.FLAPPING: 0.3, State.SLOW: 4.0}


class AppKilled(BaseException):
    """The system ended the app. No `except Exception` of the SDK may catch it, as none could in the world."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushing:
    """When every call is pushed back: what stands before the server answers with a delay."""

    times: Sequence[tuple[int, int]] = ()

    def at(self, micros: int) -> bool:
        return any(begins <= micros < ends for begins, ends in self.times)


@dataclass(slots=True, kw_only=True)
class PhoneNetwork:
    """Each call takes virtual time: `time` is the phone's, `wire_time` what the server is told."""

    line: Transport
    wire_time: VirtualTime
    time: VirtualTime
    weather: Weather
    faults: Network
    pushing: Pushing
    chance: random.Random
    witness: Witness
    dies_in_call: Callable[[], bool]
    """Whether the app is to be killed between request and answer; asked once a call that was handled."""
    _was_pushed_back: bool = field(default=False, init=False)

    def upload_events(
        self, request: wire.UploadEventsRequest, *, timeout: timedelta
    ) -> wire.UploadEventsResponse:
        self.witness.upload_sent(request)

        sent = self.time.now_micros

        def call() -> wire.UploadEventsResponse:
            self.witness.upload_arrives(request, self.wire_time.now_micros - sent)
            return self.line.upload_events(request, timeout=timeout)

        def handled(answer: wire.UploadEventsResponse, received: int) -> None:
            self.witness.upload_handled(request, answer, received_micros=received)

        answer = self._carry(request.ByteSize(), call, handled, timeout)
        self.witness.upload_heard(request, answer)
        return answer

    def identify(self, request: wire.IdentifyRequest, *, timeout: timedelta) -> wire.IdentifyResponse:
        def handled(answer: wire.IdentifyResponse, received: int) -> None:
            self.witness.log_in_handled(request, answer, received_micros=received)

        return self._carry(
            request.ByteSize(), lambda: self.line.identify(request, timeout=timeout), handled, timeout
        )

    def close(self) -> None:
        """The line is the lane's, and outlives the app."""

    def _carry(
        self,
        size: int,
        call: Callable[[], Answer],
        handled: Callable[[Answer, int], None],
        timeout: timedelta,
    ) -> Answer:
        sent = self.time.now_micros
        self.witness.call(sent, size)
        if self._was_pushed_back:
            self._was_pushed_back = False
            self.witness.return_micros.append(sent)
        try:
            return self._carried(sent, call, handled, micros_of(timeout))
        except CallFailed:
            self.witness.call_failed(sent)
            raise

    def _carried(
        self, sent: int, call: Callable[[], Answer], handled: Callable[[Answer, int], None], timeout: int
    ) -> Answer:
        traffic = self.witness.traffic
        if not self.weather.is_up(sent):
            traffic.offline += 1
            raise CallFailed(grpc.StatusCode.UNAVAILABLE)
        there, back = self._latency(sent), self._latency(sent)
        if self.chance.random() < self.faults.lost_requests:
            traffic.lost_requests += 1
            self._fail(sent, timeout)
        if there >= timeout or not self.weather.is_up(sent + there):
            traffic.timed_out += 1
            self.time.now_micros = sent + timeout
            raise CallFailed(grpc.StatusCode.DEADLINE_EXCEEDED)
        if self.pushing.at(sent + there):
            self._push_back(sent, sent + there + back)
        answer = self._deliver(call, handled, sent + there)
        if self.chance.random() < self.faults.duplicated:
            traffic.duplicated += 1
            late = there + self._latency(sent)
            second = self._deliver(call, handled, sent + late)
            answer = second if self.chance.random() < 0.5 else answer
        if self.dies_in_call():
            raise AppKilled
        if there + back >= timeout:
            traffic.timed_out += 1
            self.time.now_micros = sent + timeout
            raise CallFailed(grpc.StatusCode.DEADLINE_EXCEEDED)
        if self.chance.random() < self.faults.lost_answers or not self.weather.is_up(sent + there + back):
            traffic.lost_answers += 1
            self._fail(sent + there, timeout - there)
        self.time.now_micros = sent + there + back
        return answer

    def _deliver(self, call: Callable[[], Answer], handled: Callable[[Answer, int], None], at: int) -> Answer:
        self.wire_time.now_micros = at
        try:
            answer = call()
        except CallFailed as failure:
            if failure.code is grpc.StatusCode.UNAVAILABLE:
                self.witness.traffic.server_down += 1
            else:
                self.witness.traffic.refused += 1
            self.time.now_micros = at
            raise
        handled(answer, at)
        return answer

    def _latency(self, at: int) -> int:
        """One way, in microseconds; on a slow network some take longer than a phone waits."""
        median = _MEDIAN_SECONDS[self.weather.at(at).state]
        return round(self.chance.lognormvariate(0, 0.8) * median * _SECOND)

    def _fail(self, at: int, timeout: int) -> None:
        """The phone learns of it by a broken connection, or not at all."""
        if self.chance.random() < 0.5:
            self.time.now_micros = at + self.chance.randint(0, min(timeout, 5 * _SECOND))
            raise CallFailed(grpc.StatusCode.UNAVAILABLE)
        self.time.now_micros = at + timeout
        raise CallFailed(grpc.StatusCode.DEADLINE_EXCEEDED)

    def _push_back(self, sent: int, answered: int) -> None:
        spread = PUSH_BACK_LONGEST - PUSH_BACK_SHORTEST
        self.time.now_micros = answered
        self._was_pushed_back = True
        self.witness.hour(sent).pushed_back += 1
        self.witness.pushed_back_micros.append(sent)
        raise CallFailed(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            reason="OVERLOADED",
            retry_delay=PUSH_BACK_SHORTEST + spread * self.chance.random(),
        )
