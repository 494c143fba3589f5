"""What a run is reported by: plain figures, drawn by `page` and written as JSON.

The same seed gives the same figures: everything is virtual: nothing here depends on how fast the machine was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All that the report draws, balance first."""

    scenario: str
    seed: int
    device_count: int
    person_count: int
    from_micros: int
    """Unix microseconds, UTC: when the run began."""
    until_micros: int
    """When the last device had delivered, or was given up."""
    server_kills: int
    """How often the server was killed on the way."""
    balance: "BalanceFigures"
    findings: Sequence[str]
    """What is not as it should be, a sentence each, the first 20 of each kind; empty where all is."""
    hours: Sequence["HourFigures"]
    """One for each virtual hour, first to last, none left out."""
    delivery: Sequence["DeliveryFigures"]
    """One for each kind of device in the scenario, by name."""
    verdicts: Sequence["VerdictFigures"]
    """Most frequent first."""
    drops: Mapping[str, int]
    """Events that devices gave up, by reason (R14), as the ledgers tell."""
    calls: "CallFigures"
    clocks: Sequence["ClockFigures"]
    """One for each clock method of R8 that placed an event."""
    oddities: Sequence["DeviceStrip"]
    """The ten devices that lived through most, oddest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceFigures:
    """generated = stored + duplicate + archived + rejected + dropped + open + wiped."""

    generated: int
    stored: int
    duplicate: int
    archived: int
    rejected: int
    dropped: int
    open: int
    """The server waits for it: it knows the sequence and has no outcome."""
    wiped: int
    """Gone with a queue that was deleted with its app, or replaced: unknown to the server (R14)."""
    resent: int
    """Sequences that came again after they had their outcome; outside the sum."""
    missing: int
    unexpected: int
    differing: int
    imbalances: int
    balanced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HourFigures:
    at_micros: int
    """When the hour begins."""
    tracked: int
    stored: int
    """Events whose first settling answer the server gave in this hour."""
    queued: int
    """Events that wait on all devices when the hour ends."""
    offline: int
    """Devices without a network when the hour ends."""
    calls: int
    """Attempts that reached the server, or tried to."""
    failed_calls: int
    """Those of them that the device saw fail, for whatever reason."""
    pushed_back: int
    """Those of them that the server answered with RESOURCE_EXHAUSTED and a delay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFigures:
    """Seconds from tracked to stored, of the events of one kind of device."""

    kind: str
    device_count: int
    event_count: int
    p50_seconds: float
    p90_seconds: float
    p99_seconds: float
    max_seconds: float
    histogram: Sequence[int]
    """Counts under the bounds DELIVERY_BOUNDS_SECONDS, and one more for all above the last."""


DELIVERY_BOUNDS_SECONDS = (1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600, 3 * 24 * 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictFigures:
    verdict: str
    reason: str
    """Empty where the verdict has none; of DUPLICATE the identity that matched."""
    count: int
    """Answers given, repeats included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFigures:
    calls: int
    events_sent: int
    """Repeats included."""
    events_first_sent: int
    """Each once; events_sent / events_first_sent - 1 is the share sent again."""
    bytes_sent: int
    """Of serialized requests, before compression."""
    offline: int
    lost_requests: int
    lost_answers: int
    duplicated: int
    """Requests that the network delivered twice."""
    timed_out: int
    refused: int
    """Answered by the server with a status that is not OK."""
    server_down: int
    returns: Sequence[int]
    """Calls that came again after a push-back, in each of 60 equal slices of the longest delay asked for,
    from the first call that was pushed back. Flat is what jitter and the server's spread are for; empty
    where nobody was pushed back."""
    returns_slice_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFigures:
    """Error of occurred_at against the truth that the simulator knows, absolute, in seconds."""

    method: str
    event_count: int
    share: float
    """Of all stored events, 0 to 1."""
    p50_seconds: float
    p99_seconds: float
    max_seconds: float
    over_bound: int
    """Events off by more than the upload's time on the wire and a second; must be 0 for UPTIME."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStrip:
    """One device drawn over the time of the run: its sequences above, its network below."""

    name: str
    kind: str
    why: str
    """What made it odd, as a sentence."""
    events: Sequence["StripEvent"]
    """In the order of tracking."""
    network: Sequence["StripSpell"]
    """Without gaps, first to last."""
    marks: Sequence["StripMark"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StripEvent:
    tracked_micros: int
    settled_micros: int | None
    """When the server first gave a settling answer; None when it never did."""
    epoch_number: int
    """From 1: the device's first queue, its second …"""
    sequence: int
    fate: str
    """A key of BalanceFigures: stored, duplicate, …, wiped, missing."""
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StripSpell:
    from_micros: int
    until_micros: int
    state: str
    """online, slow, flapping or offline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StripMark:
    at_micros: int
    what: str
    """As people say it: "rebooted", "app killed", "clock set 3 h ahead", "restored on a second phone" …"""
