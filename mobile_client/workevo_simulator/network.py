"""The network between a device and the server: away for hours, losing requests, losing answers."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import grpc

from workevo.tracking.v1 import tracking_pb2 as wire
from workevo_mobile import CallFailed, Transport
from workevo_simulator.limits import OFFLINE_SPELL_MAX, OFFLINE_SPELL_MIN, ONLINE_SPELL_MIN
from workevo_simulator.virtual_time import VirtualTime, micros_of

_WEEK_MICROS = 7 * 24 * 3600 * 1_000_000

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How bad the networks are."""

    lost_requests: float
    """Share of calls that never reach the server."""
    lost_answers: float
    """Share of handled calls whose answer never reaches the device."""
    offline_spells_per_week: float
    """Mean; each lasts from a minute to 23 hours, most of them short."""


@dataclass(slots=True)
class CallCounts:
    """What happened to the devices' calls. `failed`: refused by the server, or it was not there."""

    calls: int = 0
    offline: int = 0
    lost_requests: int = 0
    lost_answers: int = 0
    failed: int = 0

    def add(self, other: "CallCounts") -> None:
        self.calls += other.calls
        self.offline += other.offline
        self.lost_requests += other.lost_requests
        self.lost_answers += other.lost_answers
        self.failed += other.failed


@dataclass(slots=True)
class OfflineSpells:
    """When a device has no network: drawn as time goes on, from its own chance alone."""

    chance: random.Random
    per_week: float
    from_micros: int
    _starts_micros: int = field(init=False)
    _ends_micros: int = field(init=False)

    def __post_init__(self) -> None:
        self._ends_micros = self._starts_micros = self.from_micros
        if self.per_week:
            self._draw(online_min_micros=0)

    def offline(self, now_micros: int) -> bool:
        """Asked with times that never go back."""
        while self.per_week and self._ends_micros <= now_micros:
            self._draw(online_min_micros=micros_of(ONLINE_SPELL_MIN))
        return self._starts_micros <= now_micros < self._ends_micros

    def _draw(self, *, online_min_micros: int) -> None:
        online_micros = online_min_micros + self.chance.expovariate(self.per_week / _WEEK_MICROS)
        longest = OFFLINE_SPELL_MAX / OFFLINE_SPELL_MIN
        offline_micros = micros_of(OFFLINE_SPELL_MIN) * longest ** self.chance.random()
        self._starts_micros = self._ends_micros + round(online_micros)
        self._ends_micros = self._starts_micros + round(offline_micros)


@dataclass(slots=True)
class DeviceNetwork:
    """A `workevo_mobile.Transport` that carries a device's calls over `line` as well as its luck allows."""

    line: Transport
    time: VirtualTime
    spells: OfflineSpells
    faults: Faults
    chance: random.Random
    counts: CallCounts

    def upload_events(
        self, request: wire.UploadEventsRequest, *, timeout: timedelta
    ) -> wire.UploadEventsResponse:
        return self._carry(lambda: self.line.upload_events(request, timeout=timeout))

    def identify(self, request: wire.IdentifyRequest, *, timeout: timedelta) -> wire.IdentifyResponse:
        return self._carry(lambda: self.line.identify(request, timeout=timeout))

    def close(self) -> None:
        """The line is the lane's, and outlives the device."""

    def _carry(self, call: Callable[[], Answer]) -> Answer:
        if self.spells.offline(self.time.now_micros):
            self.counts.offline += 1
            raise CallFailed(grpc.StatusCode.UNAVAILABLE)
        if self.chance.random() < self.faults.lost_requests:
            self.counts.lost_requests += 1
            raise CallFailed(grpc.StatusCode.UNAVAILABLE)
        answer = call()
        self.counts.calls += 1
        if self.chance.random() < self.faults.lost_answers:
            self.counts.lost_answers += 1
            raise CallFailed(grpc.StatusCode.UNAVAILABLE)
        return answer
