"""What becomes of each event of an upload: R11's order, first hit answers.

Two steps, both pure. `judging.judge_upload` looks at each event alone and needs no
store. `decide` goes through the judged upload in order with what the store knows
(`StoreView`) and says what to keep. In between, the store reads what `decide` will ask
for, so that both run inside one transaction and neither knows of it.

    Upload -- judge_upload --> JudgedUpload -- decide(view) --> Decision -- the store writes it
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol

from workevo_server.domain import contacts, limits, naming
from workevo_server.domain.drops import close_drops
from workevo_server.domain.erasure import CONTACT_ERASED, Erasure
from workevo_server.domain.events import (
    ContactClaim,
    DropReason,
    Event,
    ProductIdentity,
    ReceivedEvent,
)
from workevo_server.domain.identifiers import NameKey
from workevo_server.domain.judging import Candidate, JudgedUpload, sequence_refusal
from workevo_server.domain.ledger import (
    ARCHIVED,
    DUPLICATE,
    OPEN,
    STORED,
    Ledger,
    Outcome,
    OutcomeKind,
)
from workevo_server.domain.proofs import UNVERIFIED, UNVERIFIED_RETRY_DELAY
from workevo_server.domain.verdicts import (
    EventVerdict,
    MatchedIdentity,
    Reason,
    Refusal,
    Verdict,
)
from workevo_server.domain.workspace import IdentityVerification, SameInstallTwins

RETRY_DELAY = timedelta(seconds=1)
"""What blocks a retried event is removed by the device itself, so it need not wait."""


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

    def knows(self, contact: ContactClaim) -> bool:
        """Whether the workspace has a contact of this id (R18)."""

    def definition(self, name_key: NameKey) -> DefinitionState | None:
        """The catalogue entry, or None for a name never stored."""

    def active_definition_count(self) -> int:
        """How many names of the workspace are not archived (R10)."""

    def erasure(self, contact: ContactClaim) -> Erasure | None:
        """When a contact of this id was deleted, last; None when none was (R32)."""

    def first_contact(self, contact: ContactClaim) -> int | None:
        """When this visitor, aliases resolved, first contacted the business; None when never (R16)."""

    def install_saw_a_deletion(self) -> bool:
        """Whether somebody who used this install was deleted (R32)."""

    def workspace_saw_a_deletion(self) -> bool:
        """Whether anybody of the workspace was deleted (R32); asked for what a back end sent."""

    def expired_before(self) -> int | None:
        """Until which receipt events may be gone by age (R32); None when none ever went."""

    def failed(self, sequence: int) -> Sequence[bytes]:
        """The events kept as failed (R13) under a sequence of this install and epoch, as they were sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedEvent:
    """A REJECTED event, kept whole with why (R13)."""

    received: ReceivedEvent
    refusal: Refusal
    claim: ContactClaim | None
    """Who is named, so that a deletion finds it (R32)."""
    verified: bool
    """With a valid proof (R19), which a replay keeps."""
    kept: bool
    """False: only counted, as it may be of a deleted contact (R32)."""
    name_key: NameKey | None
    """Its name, where it can be read, for those who look for it."""
    settled: bool
    """Whether the ledger has the rejection under its sequence; else another event took that."""


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
    unsent: Counter[tuple[NameKey, DropReason]] = field(default_factory=Counter)
    """Events that the device gave up by name, as client_config told it to (R23)."""
    unverified: Counter[str] = field(default_factory=Counter)
    """Events by user for which a proof is demanded, or would be, and none was valid (R19)."""


def decide(judged: JudgedUpload, *, ledger: Ledger, view: StoreView) -> Decision:
    """Give every event its verdict and `ledger`, which it takes over, the outcomes.

    An upload without an install is decided with a ledger that nobody keeps.
    """
    upload = judged.upload
    decision = Decision(ledger=ledger)
    ledger.tell(upload.last_sequence)
    court = _Court(judged, decision, view)
    for candidate in judged.candidates:
        decision.verdicts.append(court.verdict(candidate))
    decision.unsent = close_drops(upload.dropped, ledger)
    ledger.apply(upload.applied_through)
    return decision


_PersonalIdentity = tuple[Hashable, NameKey, int]


class _Court:
    """Goes through one upload; remembers what its own earlier events changed."""

    def __init__(self, judged: JudgedUpload, decision: Decision, view: StoreView) -> None:
        self._settings = judged.settings
        self._install = judged.upload.install
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
            return self._reject(candidate, judged)
        if known.kind not in {OutcomeKind.OPEN, OutcomeKind.DROPPED}:
            return self._known(candidate, known)
        if isinstance(judged, Refusal) and judged.reason not in _AFTER_CONTACT:
            return self._reject(candidate, judged)
        if self._lacks_proof(candidate):
            return _retry(received, UNVERIFIED, delay=UNVERIFIED_RETRY_DELAY)
        if self._is_erased(candidate):
            return self._reject(candidate, CONTACT_ERASED)
        if self._is_unknown(candidate):
            return self._reject(candidate, contacts.CONTACT_UNKNOWN)
        if isinstance(judged, Refusal):
            return self._reject(candidate, judged)
        return self._admit(candidate, judged)

    def _opens_too_many_gaps(self, sequence: int) -> bool:
        return sequence_refusal(sequence) is None and self._ledger.opens_too_many_gaps(sequence)

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
        """Whether another event took this sequence, so that giving it that one's verdict would lose this one.

        R14a names stored ones and duplicates. Under another one's REJECTED or
        ARCHIVED an event is lost as well, and under a folded sequence, of which
        only counts are left (decisions/0002).
        """
        if self._is_erased(candidate):
            return False  # It went with its contact (R32), and is not to come back.
        if self._may_have_expired(candidate):
            return False  # What it is compared with may have gone by age (R32).
        return not self._is_stored(candidate) and not self._is_repeat(candidate, outcome)

    def _is_repeat(self, candidate: Candidate, outcome: Outcome) -> bool:
        """Whether an event that is not stored is the very one that was not wanted before (R7)."""
        if outcome in {STORED, DUPLICATE}:
            return False
        if outcome == ARCHIVED:
            return self._is_archived(candidate)
        kept = self._view.failed(candidate.received.sequence)
        if outcome.kind is OutcomeKind.REJECTED and not kept:  # Beyond R13's caps only counted.
            return isinstance(candidate.judged, Refusal)
        return candidate.received.raw in kept

    def _is_archived(self, candidate: Candidate) -> bool:
        if candidate.identity is None:
            return False
        definition = self._view.definition(candidate.identity.name_key)
        return definition is not None and definition.archived

    def _may_have_expired(self, candidate: Candidate) -> bool:
        """An event occurred no later than it was received, so one that occurred since then is still there."""
        before, occurred_at = self._view.expired_before(), candidate.occurred_at_micros
        return before is not None and (occurred_at is None or occurred_at < before)

    def _is_stored(self, candidate: Candidate) -> bool:
        return candidate.identity is not None and bool(self._copies(candidate.identity))

    # R19, R32

    def _lacks_proof(self, candidate: Candidate) -> bool:
        """Whether the event has to wait for a proof; who has to, or would have to, is counted."""
        demand = self._settings.identity_verification
        user_id = candidate.claim.user_id if candidate.claim is not None else None
        if demand is IdentityVerification.OFF or user_id is None or candidate.verified:
            return False
        self._decision.unverified[user_id] += 1
        return demand is IdentityVerification.ENFORCED

    def _is_erased(self, candidate: Candidate) -> bool:
        if candidate.claim is None:
            return False
        erasure = self._view.erasure(candidate.claim)
        return erasure is not None and erasure.covers(candidate.occurred_at_micros)

    def _is_unknown(self, candidate: Candidate) -> bool:
        """R18: what comes by a device makes the user it names, what comes by a back end only where it may."""
        if self._install is not None or self._settings.create_unknown_users or candidate.claim is None:
            return False
        return not self._view.knows(candidate.claim)

    def _may_be_kept(self, candidate: Candidate) -> bool:
        """R32: nothing of a deleted contact is, whatever else is wrong with it, nor what may be of one.

        What a device sends and names nobody may be of who used it, and what a back end
        sends and nobody can read, of anybody (decisions/0011).
        """
        if candidate.received.contact.is_unresolved:
            return False  # An address or id that nobody here has; whoever had it may have been deleted.
        if candidate.claim is not None:
            return not self._is_erased(candidate)
        if self._install is not None:
            return not self._view.install_saw_a_deletion()
        return candidate.received.refusal is None or not self._view.workspace_saw_a_deletion()

    # R23, R6, R10

    def _admit(self, candidate: Candidate, event: Event) -> EventVerdict:
        name_key = event.identity.name_key
        definition = self._view.definition(name_key)
        if definition is not None and definition.archived:
            return self._archive(event)
        if self._is_copy(event):
            return self._absorb(event)
        is_new_name = definition is None and name_key not in self._new_names
        if is_new_name and self._names_are_full():
            return self._reject(candidate, EVENT_NAME_LIMIT)
        if is_new_name:
            self._new_names.add(name_key)
        return self._store(event)

    def _is_copy(self, event: Event) -> bool:
        """R6: the window runs from the receipt of a stored copy, so that no duplicate prolongs it.

        It reaches both ways: a replay (R13) meets copies that were received after its event was.
        """
        window_micros = self._settings.product_identity_window // timedelta(microseconds=1)
        if not window_micros:
            return False  # Off, even for an upload received before the one that was written first.
        keep_twins = self._settings.same_install_twins is SameInstallTwins.KEEP
        return any(
            abs(self._received_at_micros - copy.received_at_micros) < window_micros
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
        self._decision.stored.append(self._with_kind(event))
        self._new_copies.setdefault(self._personal(event.identity), []).append(
            StoredCopy(received_at_micros=self._received_at_micros, same_install=self._install is not None)
        )
        return EventVerdict(
            index=event.index, sequence=event.sequence, verdict=Verdict.ACCEPTED, warnings=event.warnings
        )

    def _with_kind(self, event: Event) -> Event:
        """R24: as what the contact was known when it was tracked."""
        claim = event.identity.contact
        kind = contacts.kind_when_tracked(
            claim,
            occurred_at_micros=event.occurred_at_micros,
            first_contact_micros=self._view.first_contact(claim),
        )
        return event if kind is event.contact_kind else replace(event, contact_kind=kind)

    def _absorb(self, event: Event) -> EventVerdict:
        self._ledger.settle(event.sequence, DUPLICATE)
        self._decision.duplicates.append(event)
        return _duplicate(event, MatchedIdentity.PRODUCT)

    def _archive(self, event: Event) -> EventVerdict:
        self._ledger.settle(event.sequence, ARCHIVED)
        self._decision.archived.append(event)
        return EventVerdict(index=event.index, sequence=event.sequence, verdict=Verdict.ARCHIVED)

    def _reject(self, candidate: Candidate, refusal: Refusal) -> EventVerdict:
        """Kept among the failed events, once: one that is sent again after it was refused is only counted.

        Under a sequence that another event has settled it is kept too (R13), outside the balance.
        """
        received = candidate.received
        if sequence_refusal(received.sequence) is None:
            known = self._ledger.outcome_of(received.sequence)
            if known.kind not in {OutcomeKind.OPEN, OutcomeKind.DROPPED}:
                self._ledger.resent += 1
                if known.kind not in {OutcomeKind.REJECTED, OutcomeKind.FOLDED}:
                    self._fail(candidate, refusal, settled=False)
                return _refused(received, refusal)
            self._ledger.settle(received.sequence, Outcome(OutcomeKind.REJECTED, reason=refusal.reason))
            self._fail(candidate, refusal, settled=True)
        else:
            self._fail(candidate, refusal, settled=False)
        return _refused(received, refusal)

    def _fail(self, candidate: Candidate, refusal: Refusal, *, settled: bool) -> None:
        self._decision.failed.append(
            FailedEvent(
                received=candidate.received,
                refusal=refusal,
                claim=candidate.claim,
                verified=candidate.verified,
                kept=self._may_be_kept(candidate),
                name_key=_readable_name(candidate.received),
                settled=settled,
            )
        )


def _readable_name(received: ReceivedEvent) -> NameKey | None:
    return naming.comparable_key(received.name) if received.refusal is None else None


_BEFORE_TRANSPORT_IDENTITY = frozenset(
    {Reason.EVENT_TOO_LARGE, Reason.EVENT_MALFORMED, Reason.SEQUENCE_INVALID}
)
"""What R11 judges before R7, as it hangs on the event's bytes alone and so is the same every time."""
_AFTER_CONTACT = frozenset({Reason.METADATA_KEY_INVALID, Reason.METADATA_VALUE_INVALID})
"""What an event alone shows, and R11 judges only after its proof and its contact's deletion."""

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
EVENT_NAME_LIMIT = Refusal(
    reason=Reason.EVENT_NAME_LIMIT,
    field="name",
    message="The workspace has as many active event names as it may. Archive one that is not needed.",
)


def _refused(received: ReceivedEvent, refusal: Refusal) -> EventVerdict:
    return EventVerdict(
        index=received.index, sequence=received.sequence, verdict=Verdict.REJECTED, refusal=refusal
    )


def _retry(received: ReceivedEvent, refusal: Refusal, *, delay: timedelta = RETRY_DELAY) -> EventVerdict:
    return EventVerdict(
        index=received.index,
        sequence=received.sequence,
        verdict=Verdict.RETRY,
        refusal=refusal,
        retry_delay=delay,
    )


def _duplicate(event: ReceivedEvent | Event, identity: MatchedIdentity) -> EventVerdict:
    return EventVerdict(
        index=event.index, sequence=event.sequence, verdict=Verdict.DUPLICATE, identity=identity
    )
