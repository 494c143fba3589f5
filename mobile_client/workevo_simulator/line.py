"""A lane's real connection: its failures are the server's own, and cost real time, not virtual time."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import grpc

from workevo.tracking.v1 import tracking_pb2 as wire
from workevo_mobile import CallFailed, Transport
from workevo_simulator.errors import ServerGone, ServerUnusable, SimulatorError
from workevo_simulator.limits import PROBE_EVERY, PROBE_TIMEOUT, SERVER_TIME_TOLERANCE
from workevo_simulator.virtual_time import VirtualTime, micros_of

SIMULATED_TIME_METADATA = "workevo-simulated-time-micros"

# No answer came, or one that asks for patience: virtual time must not run on meanwhile.
_WAIT = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})
# A device would come back every hour for ever.
_HOPELESS = {
    grpc.StatusCode.UNAUTHENTICATED: "it does not know the sdk key",
    grpc.StatusCode.PERMISSION_DENIED: "the sdk key may not write events",
    grpc.StatusCode.UNIMPLEMENTED: "it speaks no workevo.tracking.v1",
}

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Patience:
    """How long to wait for a server that went away, in real time."""

    longest: timedelta
    monotonic: Callable[[], float]
    """Seconds, as time.monotonic."""
    stop: threading.Event
    """Set when the run has ended early: nobody waits any longer."""


@dataclass(slots=True)
class Line:
    """A `workevo_mobile.Transport` over `transport`.

    A call that failed is reported to the device as failed, but only once the
    server answers again. What ends the whole run is kept in `broken`, as an
    exception of ours must not unwind through a device's tracker.
    """

    transport: Transport
    time: VirtualTime
    patience: Patience
    failed_count: int = 0
    broken: SimulatorError | None = field(default=None)

    def upload_events(
        self, request: wire.UploadEventsRequest, *, timeout: timedelta
    ) -> wire.UploadEventsResponse:
        answer = self._call(lambda: self.transport.upload_events(request, timeout=timeout))
        self._check_clock(answer)
        return answer

    def identify(self, request: wire.IdentifyRequest, *, timeout: timedelta) -> wire.IdentifyResponse:
        return self._call(lambda: self.transport.identify(request, timeout=timeout))

    def close(self) -> None:
        self.transport.close()

    def _call(self, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except CallFailed as failure:
            self.failed_count += 1
            if failure.code in _HOPELESS:
                self.broken = ServerUnusable(f"The server refuses the devices: {_HOPELESS[failure.code]}.")
            elif failure.code in _WAIT or failure.retry_delay is not None:
                self._wait_until_answered()
            raise

    def await_server(self) -> None:
        """Until it answers: after it was started anew, so that no device's call finds a dead connection."""
        if not self._answers():
            self._wait_until_answered()

    def _wait_until_answered(self) -> None:
        ends = self.patience.monotonic() + self.patience.longest.total_seconds()
        while not self.patience.stop.wait(PROBE_EVERY.total_seconds()):
            if self._answers():
                return
            if self.patience.monotonic() >= ends:
                seconds = self.patience.longest.total_seconds()
                self.broken = ServerGone(
                    f"The server went away and did not answer again within {seconds:g} s."
                )
                return

    def _answers(self) -> bool:
        """Any answer will do, a refusal most of all: an empty call changes nothing on the server."""
        try:
            self.transport.identify(wire.IdentifyRequest(), timeout=PROBE_TIMEOUT)
        except CallFailed as failure:
            return failure.code not in _WAIT
        return True

    def _check_clock(self, answer: wire.UploadEventsResponse) -> None:
        off_micros = answer.server_time.ToMicroseconds() - self.time.now_micros
        if abs(off_micros) > micros_of(SERVER_TIME_TOLERANCE):
            self.broken = ServerUnusable(
                "The server keeps its own time, so a recorded log cannot be judged at its own: "
                "start it with `workevo serve --simulated-clock` on a store made for that."
            )
