"""What the simulator knows for certain: what was tracked, and every word between a phone and the server.

Each event of a scenario carries a mark of its own in its metadata, by which it is known again under any
sequence, epoch or install; a recorded one is known by its place in the queue, as nothing clones or restores
it. A witness belongs to one lane; nothing in it is shared between threads.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from workevo.tracking.v1 import tracking_pb2 as wire
from workevo.tracking.v1 import verdict_pb2
from workevo_simulator.truth import ContactId, EventKey, Metadata

MARK_KEY = "mark"
_HOUR_MICROS = 3600 * 1_000_000


@dataclass(slots=True, kw_only=True)
class Happening:
    """One event that an app tracked, or that was committed when the app was killed; and what came of it."""

    mark: str
    phone: str
    kind: str
    name: str
    metadata: Metadata
    true_micros: int
    created_at_micros: int
    """By the phone's wall clock."""
    contact: ContactId
    is_recorded: bool
    """From a log: it has no mark, and its clock was right."""
    keys: list[EventKey] = field(default_factory=list)
    """Under which it stands or stood in a queue; empty while its place is not known."""
    left_keys: list[EventKey] = field(default_factory=list)
    """Places that it left, as another phone's event had them (R14a)."""
    answers: dict[EventKey, str] = field(default_factory=dict)
    """The first settling verdict that the server gave it there, whether or not the phone heard it."""
    unplaced: int = 0
    """How many queues have it in a place that is not known: taken when the app was killed, or by a fork."""
    attempts: int = 0
    settled_micros: int | None = None
    """When the server received what it then settled."""
    wire_micros: int = 0
    """How long it was on its way at most, as a server that died may have kept what it never answered."""
    heard: bool = False
    """The phone has applied a settling answer."""
    is_wiped: bool = False
    """A queue that held it was deleted or replaced."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A row of a log that the SDK did not take: it never was an event, and the app was told."""

    line: int
    why: str


@dataclass(slots=True)
class HourCounts:
    tracked: int = 0
    stored: int = 0
    calls: int = 0
    failed_calls: int = 0
    pushed_back: int = 0

    def add(self, other: "HourCounts") -> None:
        self.tracked += other.tracked
        self.stored += other.stored
        self.calls += other.calls
        self.failed_calls += other.failed_calls
        self.pushed_back += other.pushed_back


@dataclass(slots=True)
class Traffic:
    """What was sent, and how it fared."""

    calls: int = 0
    events_sent: int = 0
    bytes_sent: int = 0
    offline: int = 0
    lost_requests: int = 0
    lost_answers: int = 0
    duplicated: int = 0
    timed_out: int = 0
    refused: int = 0
    server_down: int = 0

    def add(self, other: "Traffic") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class Witness:
    happenings: dict[str, Happening] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    _recorded: dict[EventKey, Happening] = field(default_factory=dict)
    """Those without a mark."""
    merged: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Of a visitor_id: the user that the server gave it to, and when."""
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    hours: dict[int, HourCounts] = field(default_factory=lambda: defaultdict(HourCounts))
    traffic: Traffic = field(default_factory=Traffic)
    pushed_back_micros: list[int] = field(default_factory=list)
    return_micros: list[int] = field(default_factory=list)
    """The first call of a device after each push-back."""
    acts_done: int = 0
    """On all phones of the lane."""

    def hour(self, at_micros: int) -> HourCounts:
        return self.hours[at_micros // _HOUR_MICROS]

    def tracked(self, happening: Happening) -> None:
        self.happenings[happening.mark] = happening
        if happening.is_recorded:
            self._recorded[happening.keys[0]] = happening
        self.hour(happening.true_micros).tracked += 1

    def call(self, at_micros: int, request_bytes: int) -> None:
        self.traffic.calls += 1
        self.traffic.bytes_sent += request_bytes
        self.hour(at_micros).calls += 1

    def call_failed(self, at_micros: int) -> None:
        self.hour(at_micros).failed_calls += 1

    def upload_sent(self, request: wire.UploadEventsRequest) -> None:
        """Whether or not it arrives: the phone holds these events under these sequences."""
        self.traffic.events_sent += len(request.events)
        for happening, key in self._sent(request):
            happening.attempts += 1
            if key not in happening.keys:
                happening.keys.append(key)
                happening.unplaced = max(0, happening.unplaced - 1)

    def upload_arrives(self, request: wire.UploadEventsRequest, wire_micros: int) -> None:
        """The server gets it now; whether it answers is another matter."""
        for happening, _ in self._sent(request):
            if happening.settled_micros is None:
                happening.wire_micros = max(happening.wire_micros, wire_micros)

    def upload_handled(
        self, request: wire.UploadEventsRequest, answer: wire.UploadEventsResponse, *, received_micros: int
    ) -> None:
        """The server has answered it; perhaps nobody hears."""
        results = {result.index: result for result in answer.results}
        for index, (happening, key) in enumerate(self._sent(request)):
            result = results.get(index)
            verdict = verdict_pb2.VERDICT_ACCEPTED if result is None else result.verdict
            said = verdict_pb2.Verdict.Name(verdict).removeprefix("VERDICT_")
            self.verdicts[said, _reason(result)] += 1
            if result is not None and (result.retriable or said == "RETRY"):
                continue
            happening.answers.setdefault(key, said)
            if happening.settled_micros is None:
                happening.settled_micros = received_micros
                self.hour(received_micros).stored += said == "ACCEPTED"

    def upload_heard(self, request: wire.UploadEventsRequest, answer: wire.UploadEventsResponse) -> None:
        """The phone has the answer, and will apply it."""
        results = {result.index: result for result in answer.results}
        for index, (happening, key) in enumerate(self._sent(request)):
            result = results.get(index)
            if result is None or not (result.retriable or result.verdict == verdict_pb2.VERDICT_RETRY):
                happening.heard = True
            elif result.reason == verdict_pb2.REASON_EPOCH_FORKED:
                happening.unplaced += 1
                if key not in happening.answers:
                    happening.keys.remove(key)  # Another phone's event has this place; it moves on.
                    happening.left_keys.append(key)

    def log_in_handled(
        self, request: wire.IdentifyRequest, answer: wire.IdentifyResponse, *, received_micros: int
    ) -> None:
        said = verdict_pb2.Verdict.Name(answer.verdict).removeprefix("VERDICT_")
        if said in ("ACCEPTED", "DUPLICATE"):
            self.merged.setdefault(request.visitor_id, (request.user_id, received_micros))

    def wipe(self, phone: str) -> None:
        """All that this phone holds is gone with its queue file."""
        for happening in self.happenings.values():
            if happening.phone == phone and not happening.heard:
                happening.is_wiped = True

    def person(self, contact: ContactId) -> ContactId:
        """Whose an event of this contact is, log-ins known to the server applied (R16)."""
        if contact.kind == "visitor" and contact.id in self.merged:
            return ContactId("user", self.merged[contact.id][0])
        return contact

    def _sent(self, request: wire.UploadEventsRequest) -> Iterable[tuple[Happening, EventKey]]:
        install = request.install
        for event in request.events:
            key = install.install_id, install.epoch, event.sequence
            happening = self._recorded.get(key)
            if happening is None:
                mark = next(entry.text for entry in event.metadata if entry.key == MARK_KEY)
                happening = self.happenings[mark]
            yield happening, key


def _reason(result: "verdict_pb2.EventResult | None") -> str:
    if result is None:
        return ""
    if result.verdict == verdict_pb2.VERDICT_DUPLICATE:
        return verdict_pb2.MatchedIdentity.Name(result.identity).removeprefix("MATCHED_IDENTITY_")
    if not result.reason:
        return ""
    return verdict_pb2.Reason.Name(result.reason).removeprefix("REASON_")
