"""What becomes of each event of an upload: R11's order, first hit answers.

Two steps, both pure. `judge` looks at one event alone and needs no store. `decide`
goes through the judged upload in order with what the store knows (`StoreView`) and
says what to keep. In between, the store reads what `decide` will ask for, so that
both run inside one transaction and neither knows of it.

    Upload -- judge --> JudgedUpload -- decide(view) --> Decision -- the store writes it
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from workevo_server.domain import contacts, limits, metadata, naming, timestamps
from workevo_server.domain.events import (
    ClockReading,
    ContactClaim,
    Event,
    ProductIdentity,
    ReceivedEvent,
    Upload,
)
from workevo_server.domain.identifiers import NameKey
from workevo_server.domain.ledger import (
    ARCHIVED,
    DUPLICATE,
    OPEN,
    STORED,
    Ledger,
    Outcome,
    OutcomeKind,
)
from workevo_server.domain.verdicts import (
    EventVerdict,
    EventWarning,
    MatchedIdentity,
    Reason,
    Refusal,
    Verdict,
    WarningCode,
)
from workevo_server.domain.workspace import SameInstallTwins, WorkspaceSettings

RETRY_DELAY = timedelta(seconds=1)
"""What blocks a retried event is removed by the device itself, so it need not wait."""


# Judging one event alone ----------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An event with what could be said of it without the store."""

    received: ReceivedEvent
    judged: Event | Refusal
    identity: ProductIdentity | None
    """R6's identity where it can be told, whatever else is wrong: R14a compares by it, and settings
    that make an event refused today must not make yesterday's look like another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedUpload:
    upload: Upload
    settings: WorkspaceSettings
    candidates: tuple[Candidate, ...]


def judge_upload(upload: Upload, settings: WorkspaceSettings) -> JudgedUpload:
    return JudgedUpload(
        upload=upload,
        settings=settings,
        candidates=tuple(judge(event, upload=upload, settings=settings) for event in upload.events),
    )


def judge(received: ReceivedEvent, *, upload: Upload, settings: WorkspaceSettings) -> Candidate:
    """Judge one event alone, so that a bad event never costs its neighbours."""
    refusal = received.refusal or _sequence_refusal(received.sequence)
    if refusal is not None:
        return Candidate(received=received, judged=refusal, identity=_identity_of(received))
    judged = _judge_fields(received, upload=upload, settings=settings)
    identity = judged.identity if isinstance(judged, Event) else _identity_of(received)
    return Candidate(received=received, judged=judged, identity=identity)


def _sequence_refusal(sequence: int) -> Refusal | None:
    if 1 <= sequence <= limits.SEQUENCE_MAX:
        return None
    return Refusal(
        reason=Reason.SEQUENCE_INVALID,
        field="sequence",
        message=f"A sequence is 1 to {limits.SEQUENCE_MAX}.",
    )


def _identity_of(received: ReceivedEvent) -> ProductIdentity | None:
    if received.refusal is not None or contacts.judge_claim(received.contact) is not None:
        return None
    if len(received.name.strip()) > limits.NAME_CODE_POINTS_MAX:
        return None  # Nothing stored can match it, and normalising takes the square of its length.
    created_at = timestamps.created_at_from_wire(received.created_at)
    if isinstance(created_at, Refusal):
        return None
    return ProductIdentity(
        received.contact, naming.name_key(received.name), timestamps.identity_seconds(created_at)
    )


def _judge_fields(received: ReceivedEvent, *, upload: Upload, settings: WorkspaceSettings) -> Event | Refusal:
    name = naming.judge_name(received.name, charset=settings.key_charset)
    if isinstance(name, Refusal):
        return name
    created_at = timestamps.created_at_from_wire(received.created_at)
    if isinstance(created_at, Refusal):
        return created_at
    no_contact = contacts.judge_claim(received.contact)
    if no_contact is not None:
        return no_contact
    admitted = metadata.admit(
        received.metadata, keys_max=settings.metadata_keys_max, charset=settings.key_charset
    )
    if isinstance(admitted, Refusal):
        return admitted
    placement = timestamps.place(
        created_at,
        event_clock=ClockReading(
            wall_micros=created_at, uptime_millis=received.uptime_millis, boot_id=received.boot_id
        ),
        send_clock=upload.send_clock,
        received_at_micros=upload.received_at_micros,
    )
    warnings: list[EventWarning] = []
    if admitted.dropped_keys:
        warnings.append(
            EventWarning(code=WarningCode.METADATA_KEYS_DROPPED, fields=tuple(admitted.dropped_keys))
        )
    if placement.warning is not None:
        warnings.append(placement.warning)
    return Event(
        index=received.index,
        sequence=received.sequence,
        identity=ProductIdentity(
            received.contact, naming.name_key(name), timestamps.identity_seconds(created_at)
        ),
        name=name,
        contact_kind=contacts.kind_of(received.contact),
        created_at_micros=created_at,
        occurred_at_micros=placement.occurred_at_micros,
        clock_method=placement.method,
        metadata=admitted.entries,
        warnings=tuple(warnings),
    )


# Deciding about the upload --------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCopy:
    """A stored event with the identity that was asked for, aliases resolved (R16)."""

    received_at_micros: int
    same_install: bool


@dataclass(frozen=True, slots=True)
class DefinitionState:
    archived: bool


class StoreView(Protocol):
    """What the store knew before this upload; `decide` itself keeps track of what the upload adds."""

    def person(self, contact: ContactClaim) -> Hashable:
        """The same value for two claims exactly when they are one person, aliases resolved (R16)."""

    def copies(self, identity: ProductIdentity) -> Sequence[StoredCopy]:
        """Every stored event of that person with that name and second."""

    def definition(self, name_key: NameKey) -> DefinitionState | None:
        """The catalogue entry, or None for a name never stored."""

    def active_definition_count(self) -> int:
        """How many names of the workspace are not archived (R10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedEvent:
    """A REJECTED event, kept whole with why (R13)."""

    received: ReceivedEvent
    refusal: Refusal


@dataclass(slots=True, kw_only=True)
class Decision:
    """The answer, and what must be durable before it is given (R12)."""

    ledger: Ledger
    verdicts: list[EventVerdict] = field(default_factory=list)
    stored: list[Event] = field(default_factory=list)
    duplicates: list[Event] = field(default_factory=list)
    """Copies by R6, which the definition counts apart."""
    archived: list[Event] = field(default_factory=list)
    failed: list[FailedEvent] = field(default_factory=list)


def decide(judged: JudgedUpload, *, ledger: Ledger, view: StoreView) -> Decision:
    """Give every event its verdict and `ledger`, which it takes over, the outcomes."""
    upload = judged.upload
    decision = Decision(ledger=ledger)
    ledger.tell(upload.last_sequence)
    court = _Court(judged, decision, view)
    for candidate in judged.candidates:
        decision.verdicts.append(court.verdict(candidate))
    ledger.drop([(told.first_sequence, told.last_sequence, told.reason) for told in upload.dropped])
    ledger.apply(upload.applied_through)
    return decision


_PersonalIdentity = tuple[Hashable, NameKey, int]


class _Court:
    """Goes through one upload; remembers what its own earlier events changed."""

    def __init__(self, judged: JudgedUpload, decision: Decision, view: StoreView) -> None:
        self._settings = judged.settings
        self._received_at_micros = judged.upload.received_at_micros
        self._decision = decision
        self._ledger = decision.ledger
        self._view = view
        self._new_copies: dict[_PersonalIdentity, list[StoredCopy]] = {}
        self._new_names: set[NameKey] = set()

    def verdict(self, candidate: Candidate) -> EventVerdict:
        received, judged = candidate.received, candidate.judged
        known = self._ledger.outcome_of(received.sequence)
        if known is OPEN and self._opens_too_many_gaps(received.sequence):
            self._ledger.tell(received.sequence)  # It is known to exist (R14), and open.
            return _retry(received, _TOO_MANY_GAPS)
        if isinstance(judged, Refusal) and judged.reason in _BEFORE_TRANSPORT_IDENTITY:
            return self._reject(received, judged)
        if known.kind not in {OutcomeKind.OPEN, OutcomeKind.DROPPED}:
            return self._known(candidate, known)
        if isinstance(judged, Refusal):
            return self._reject(received, judged)
        return self._admit(received, judged)

    def _opens_too_many_gaps(self, sequence: int) -> bool:
        return _sequence_refusal(sequence) is None and self._ledger.opens_too_many_gaps(sequence)

    # R7, R14a

    def _known(self, candidate: Candidate, outcome: Outcome) -> EventVerdict:
        received = candidate.received
        if self._is_forked(candidate, outcome):
            return _retry(received, _EPOCH_FORKED)
        self._ledger.resent += 1
        if outcome.kind is OutcomeKind.ARCHIVED:
            return EventVerdict(index=received.index, sequence=received.sequence, verdict=Verdict.ARCHIVED)
        if outcome.reason is not None:
            return _refused(received, Refusal(reason=outcome.reason, message=_REFUSED_BEFORE))
        return _duplicate(received, MatchedIdentity.TRANSPORT)

    def _is_forked(self, candidate: Candidate, outcome: Outcome) -> bool:
        """Whether another event took this sequence, so that calling it a duplicate would lose this one.

        Of a folded sequence only counts are left, so there an event counts as another
        one when it is good and nothing like it is stored. That goes beyond R14's
        sentence and costs a device that really sends again nothing: R6 absorbs it.
        """
        if outcome.kind is OutcomeKind.FOLDED:
            return isinstance(candidate.judged, Event) and not self._is_stored(candidate)
        return outcome in {STORED, DUPLICATE} and not self._is_stored(candidate)

    def _is_stored(self, candidate: Candidate) -> bool:
        return candidate.identity is not None and bool(self._copies(candidate.identity))

    # R23, R6, R10

    def _admit(self, received: ReceivedEvent, event: Event) -> EventVerdict:
        name_key = event.identity.name_key
        definition = self._view.definition(name_key)
        if definition is not None and definition.archived:
            return self._archive(event)
        if self._is_copy(event):
            return self._absorb(event)
        is_new_name = definition is None and name_key not in self._new_names
        if is_new_name and self._names_are_full():
            return self._reject(received, _EVENT_NAME_LIMIT)
        if is_new_name:
            self._new_names.add(name_key)
        return self._store(event)

    def _is_copy(self, event: Event) -> bool:
        """R6: the window runs from the receipt of a stored copy, so that no duplicate prolongs it."""
        window_micros = self._settings.product_identity_window // timedelta(microseconds=1)
        if not window_micros:
            return False  # Off, even for an upload received before the one that was written first.
        keep_twins = self._settings.same_install_twins is SameInstallTwins.KEEP
        return any(
            self._received_at_micros - copy.received_at_micros < window_micros
            and not (keep_twins and copy.same_install)
            for copy in self._copies(event.identity)
        )

    def _copies(self, identity: ProductIdentity) -> list[StoredCopy]:
        return [*self._view.copies(identity), *self._new_copies.get(self._personal(identity), ())]

    def _personal(self, identity: ProductIdentity) -> _PersonalIdentity:
        return self._view.person(identity.contact), identity.name_key, identity.created_at_seconds

    def _names_are_full(self) -> bool:
        active_count = self._view.active_definition_count() + len(self._new_names)
        return active_count >= self._settings.event_names_max

    # Each outcome: the ledger and the decision change together

    def _store(self, event: Event) -> EventVerdict:
        self._ledger.settle(event.sequence, STORED)
        self._decision.stored.append(event)
        self._new_copies.setdefault(self._personal(event.identity), []).append(
            StoredCopy(received_at_micros=self._received_at_micros, same_install=True)
        )
        return EventVerdict(
            index=event.index, sequence=event.sequence, verdict=Verdict.ACCEPTED, warnings=event.warnings
        )

    def _absorb(self, event: Event) -> EventVerdict:
        self._ledger.settle(event.sequence, DUPLICATE)
        self._decision.duplicates.append(event)
        return _duplicate(event, MatchedIdentity.PRODUCT)

    def _archive(self, event: Event) -> EventVerdict:
        self._ledger.settle(event.sequence, ARCHIVED)
        self._decision.archived.append(event)
        return EventVerdict(index=event.index, sequence=event.sequence, verdict=Verdict.ARCHIVED)

    def _reject(self, received: ReceivedEvent, refusal: Refusal) -> EventVerdict:
        """Kept among the failed events, once: one that is sent again after it was refused is only counted.

        Under a sequence that another event has settled it is kept too (R13), outside the balance.
        """
        if _sequence_refusal(received.sequence) is None:
            known = self._ledger.outcome_of(received.sequence)
            if known.kind not in {OutcomeKind.OPEN, OutcomeKind.DROPPED}:
                self._ledger.resent += 1
                if known.kind not in {OutcomeKind.REJECTED, OutcomeKind.FOLDED}:
                    self._decision.failed.append(FailedEvent(received=received, refusal=refusal))
                return _refused(received, refusal)
            self._ledger.settle(received.sequence, Outcome(OutcomeKind.REJECTED, reason=refusal.reason))
        self._decision.failed.append(FailedEvent(received=received, refusal=refusal))
        return _refused(received, refusal)


_BEFORE_TRANSPORT_IDENTITY = frozenset(
    {Reason.EVENT_TOO_LARGE, Reason.EVENT_MALFORMED, Reason.SEQUENCE_INVALID}
)
"""What R11 judges before R7, as it hangs on the event's bytes alone and so is the same every time."""

_REFUSED_BEFORE = "This sequence was refused before for the same reason; send the next one."
_EPOCH_FORKED = Refusal(
    reason=Reason.EPOCH_FORKED,
    field="sequence",
    message="Another event has this sequence, so two devices share a queue. Move this event to a new epoch.",
)
_TOO_MANY_GAPS = Refusal(
    reason=Reason.TOO_MANY_GAPS,
    field="sequence",
    message=f"It would leave more than {limits.LEDGER_GAPS_MAX} gaps. Send the earlier sequences first.",
)
_EVENT_NAME_LIMIT = Refusal(
    reason=Reason.EVENT_NAME_LIMIT,
    field="name",
    message="The workspace has as many active event names as it may. Archive one that is not needed.",
)


def _refused(received: ReceivedEvent, refusal: Refusal) -> EventVerdict:
    return EventVerdict(
        index=received.index, sequence=received.sequence, verdict=Verdict.REJECTED, refusal=refusal
    )


def _retry(received: ReceivedEvent, refusal: Refusal) -> EventVerdict:
    return EventVerdict(
        index=received.index,
        sequence=received.sequence,
        verdict=Verdict.RETRY,
        refusal=refusal,
        retry_delay=RETRY_DELAY,
    )


def _duplicate(event: ReceivedEvent | Event, identity: MatchedIdentity) -> EventVerdict:
    return EventVerdict(
        index=event.index, sequence=event.sequence, verdict=Verdict.DUPLICATE, identity=identity
    )
