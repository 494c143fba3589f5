"""What people are and show, and what became of every event: the rules again, in plain Python.

Nothing here knows how the server keeps it. Everything is a list that is read whole at each
question: persons by following merges (R16), summaries by counting events (R20), timelines by
sorting them (R21), copies by comparing all with all (R6), the balance by counting outcomes (R14).
So it cannot forget an alias, a count or a row, which is what the server could.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workevo_server.domain.errors import CatalogueFull, ContactSuppressed, MergeRefused, NotFound
from workevo_server.domain.events import ContactClaim, ContactKind, DropReason
from workevo_server.domain.ledger import ARCHIVED, DUPLICATE, STORED, Outcome, OutcomeKind
from workevo_server.domain.verdicts import Reason
from workevo_server.ports.people import ActivityKind

HOUR = 3_600_000_000
WINDOW, LEAD_HISTORY = 48 * HOUR, 90 * 24 * HOUR  # R6, R17
NOBODY = ContactClaim()
RANK = (ContactKind.VISITOR, ContactKind.LEAD, ContactKind.USER)
FORKED = "forked"


def rejected(reason: Reason) -> Outcome:
    return Outcome(OutcomeKind.REJECTED, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """One event as a device made it; `serial` tells it from every other, its like included."""

    serial: int
    install: str
    sequence: int
    claim: ContactClaim
    name: str
    created_at: int
    is_bad: bool = False

    @property
    def identity(self) -> tuple[str, int]:
        """R1 and R3: the name whatever its case, and the nearest second, halves up."""
        return self.name.casefold(), (self.created_at + 500_000) // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An event that was stored, or kept as failed with why."""

    event: Tracked
    received_at: int
    place: int
    """In the order of everything that the server took."""
    kind: ContactKind | None = None
    reason: Reason | None = None

    @property
    def occurred_at(self) -> int:
        return occurrence(self.event, self.received_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    claim: ContactClaim
    kind: ActivityKind
    occurred_at: int
    place: int
    conversation_id: str = ""
    from_kind: ContactKind | None = None
    join: int = 0


@dataclass(slots=True, kw_only=True)
class Join:
    """A merge, undone or not."""

    number: int
    claim: ContactClaim
    into: ContactClaim
    occurred_at: int
    split_at: int | None = None


@dataclass(slots=True)
class Contact:
    installs: list[str] = field(default_factory=list)
    """Those that sent events of it, in the order they first did (R31)."""
    first_contact: int | None = None


@dataclass(slots=True)
class Name:
    spelling: str
    is_archived: bool = False
    stored: int = 0
    duplicates: int = 0
    archived: int = 0


@dataclass(slots=True)
class Queue:
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    generated: int = 0
    resent: int = 0
    erased: int = 0


def occurrence(event: Tracked, received_at: int) -> int:
    """R8 for a device without uptimes: its wall clock, never after the receipt."""
    return min(event.created_at, received_at)


class PeopleModel:
    def __init__(self) -> None:
        self.contacts: dict[ContactClaim, Contact] = {}
        self.joins: list[Join] = []
        self.events: list[Kept] = []
        self.failed: list[Kept] = []
        self.told: list[Told] = []
        self.names: dict[str, Name] = {}
        self.queues: dict[str, Queue] = defaultdict(Queue)
        self.erasures: dict[ContactClaim, tuple[int, bool]] = {}
        self.marked: set[str] = set()
        """Installs that somebody used who was deleted (R32)."""
        self.is_strict, self.names_max = False, 500
        self._places, self._join_count = 0, 0

    # Uploads (R7, R11, R14, R14a)

    def upload(
        self,
        install: str,
        events: Sequence[Tracked],
        *,
        now: int,
        generated: int,
        dropped: Iterable[int] = (),
    ) -> list[Outcome | str]:
        """The outcome that each event is answered with, or FORKED."""
        queue = self.queues[install]
        queue.generated = max(queue.generated, generated)
        answers = [self._answer(queue, event, now) for event in events]
        for sequence in dropped:
            queue.outcomes.setdefault(
                sequence, Outcome(OutcomeKind.DROPPED, drop_reason=DropReason.QUEUE_FULL)
            )
        return answers

    def _answer(self, queue: Queue, event: Tracked, now: int) -> Outcome | str:
        known = queue.outcomes.get(event.sequence)
        if known is not None and known.kind is not OutcomeKind.DROPPED:
            if not self._is_repeat(event, known, now):
                return FORKED
            queue.resent += 1
            return DUPLICATE if known == STORED else known
        outcome = self._judge(event, now)
        queue.outcomes[event.sequence] = outcome
        self._take(event, now, outcome)
        if outcome.kind is OutcomeKind.REJECTED and self._may_be_kept(event, now):
            self.failed.append(Kept(event=event, received_at=now, place=self._place(), reason=outcome.reason))
        return outcome

    def _is_repeat(self, event: Tracked, known: Outcome, now: int) -> bool:
        """R14a, and decision 2 for what was archived or refused: whether nothing is lost by that answer."""
        if self._is_erased(event, now) or self._copies(event):
            return True
        if known == ARCHIVED:
            return self._is_archived(event.name)
        if known.kind is OutcomeKind.REJECTED:
            kept = [
                each.event
                for each in self.failed
                if (each.event.install, each.event.sequence) == (event.install, event.sequence)
            ]
            return event in kept if kept else self._fault(event) is not None
        return False

    def _judge(self, event: Tracked, received_at: int) -> Outcome:
        """R11's order."""
        fault = self._fault(event)
        if fault not in {None, Reason.METADATA_VALUE_INVALID}:
            return rejected(fault)
        if self._is_erased(event, received_at):
            return rejected(Reason.CONTACT_ERASED)
        if fault is not None:
            return rejected(fault)
        if self._is_archived(event.name):
            return ARCHIVED
        if any(abs(copy.received_at - received_at) < WINDOW for copy in self._copies(event)):
            return DUPLICATE
        is_new = event.name.casefold() not in self.names
        if is_new and self._active_count() >= self.names_max:
            return rejected(Reason.EVENT_NAME_LIMIT)
        return STORED

    def _fault(self, event: Tracked) -> Reason | None:
        """What the event alone shows."""
        if self.is_strict and "." in event.name:
            return Reason.NAME_INVALID
        if event.claim == NOBODY:
            return Reason.CONTACT_MISSING
        return Reason.METADATA_VALUE_INVALID if event.is_bad else None

    def _take(self, event: Tracked, received_at: int, outcome: Outcome) -> None:
        """What follows from an outcome beside the ledger."""
        if outcome.kind is OutcomeKind.REJECTED:
            return
        name = self.names.setdefault(event.name.casefold(), Name(event.name))
        if outcome == STORED:
            kind = self._kind_when_tracked(event.claim, occurrence(event, received_at))
            self.contacts.setdefault(event.claim, Contact())
            self.events.append(Kept(event=event, received_at=received_at, place=self._place(), kind=kind))
        name.stored += outcome == STORED
        name.duplicates += outcome == DUPLICATE
        name.archived += outcome == ARCHIVED
        contact = self.contacts.get(event.claim)
        if contact is not None and event.install not in contact.installs:
            contact.installs.append(event.install)

    def _copies(self, event: Tracked) -> list[Kept]:
        """R6: of the same person, aliases resolved, under the same name and second."""
        person = self.person(event.claim)
        return [
            kept
            for kept in self.events
            if kept.event.identity == event.identity and self.person(kept.event.claim) == person
        ]

    def _kind_when_tracked(self, claim: ContactClaim, occurred_at: int) -> ContactKind:
        """R24. Merged into a user, a visitor was a lead from its own first contact on."""
        if claim.user_id is not None:
            return ContactKind.USER
        since = self.first_contact(claim)
        if self.person(claim).user_id is not None:
            since = self.contacts[claim].first_contact
        return ContactKind.LEAD if since is not None and since <= occurred_at else ContactKind.VISITOR

    def _is_erased(self, event: Tracked, received_at: int) -> bool:
        erased_at, suppressed = self.erasures.get(event.claim, (0, False))
        return suppressed or occurrence(event, received_at) < erased_at

    def _may_be_kept(self, event: Tracked, received_at: int) -> bool:
        """R32: nothing of a deleted contact, nor what names nobody and may be of one."""
        if event.claim == NOBODY:
            return event.install not in self.marked
        return not self._is_erased(event, received_at)

    # The catalogue (R10, R23)

    def archive(self, name: str, *, archived: bool) -> None:
        found = self.names.get(name.casefold())
        if found is None:
            raise NotFound("event definition")
        if found.is_archived and not archived and self._active_count() >= self.names_max:
            raise CatalogueFull
        found.is_archived = archived

    def _is_archived(self, name: str) -> bool:
        found = self.names.get(name.casefold())
        return found is not None and found.is_archived

    def _active_count(self) -> int:
        return sum(not name.is_archived for name in self.names.values())

    # Replays (R13)

    def replay(self) -> list[Outcome]:
        """All failed events, oldest receipt first, each with its receipt and today's settings."""
        outcomes = []
        for kept in sorted(self.failed, key=lambda kept: (kept.received_at, kept.place)):
            outcome = self._judge(kept.event, kept.received_at)
            self.failed.remove(kept)
            self.queues[kept.event.install].outcomes[kept.event.sequence] = outcome
            self._take(kept.event, kept.received_at, outcome)
            if outcome.kind is OutcomeKind.REJECTED and self._may_be_kept(kept.event, kept.received_at):
                self.failed.append(
                    Kept(
                        event=kept.event,
                        received_at=kept.received_at,
                        place=kept.place,
                        reason=outcome.reason,
                    )
                )
            outcomes.append(outcome)
        return outcomes

    # Who people become (R16, R17, R31, R32)

    def identify(self, install: str, visitor: ContactClaim, user: ContactClaim, *, now: int) -> Reason | None:
        """A log-in that a device tells: the refusal, or None."""
        for claim in (user, visitor):
            erased_at, suppressed = self.erasures.get(claim, (0, False))
            if suppressed or now < erased_at:
                return Reason.CONTACT_ERASED
        for claim in (user, visitor):
            self.contacts.setdefault(claim, Contact())
        person = self.person(visitor)
        if person == user:
            return None
        if person.user_id is not None:
            return Reason.VISITOR_TAKEN
        if any(set(self.contacts[member].installs) - {install} for member in self.members(visitor)):
            return Reason.VISITOR_SHARED
        self._join(person, user, now)
        return None

    def make_user(self, visitor: ContactClaim, user: ContactClaim, *, now: int) -> None:
        self._refuse_suppressed(user, visitor)
        person = self.person(visitor)
        if person.user_id is not None and person != user:
            raise MergeRefused("Both are users.")
        for claim in (user, visitor):
            self.contacts.setdefault(claim, Contact())
        if person != user:
            self._join(person, user, now)

    def make_lead(self, visitor: ContactClaim, *, occurred_at: int) -> None:
        self._refuse_suppressed(visitor)
        self.contacts.setdefault(visitor, Contact())
        self._keep_first_contact(visitor, occurred_at)

    def _refuse_suppressed(self, *claims: ContactClaim) -> None:
        """R32: whose deletion asked for more is not made anew."""
        if any(self.erasures.get(claim, (0, False))[1] for claim in claims):
            raise ContactSuppressed

    def record_conversation(self, claim: ContactClaim, conversation_id: str, *, occurred_at: int) -> None:
        self._found(claim)
        if not any((told.claim, told.conversation_id) == (claim, conversation_id) for told in self.told):
            self._tell(claim, ActivityKind.CONVERSATION, occurred_at, conversation_id=conversation_id)
        self._keep_first_contact(claim, occurred_at)

    def merge(self, claim: ContactClaim, into: ContactClaim, *, now: int) -> bool:
        """By a back end; False where they are one already."""
        person, target = (self.person(self._found(each)) for each in (claim, into))
        if person == target:
            return False
        if not self.may_merge(person, target):
            raise MergeRefused("R16")
        self._join(person, target, now)
        return True

    def may_merge(self, claim: ContactClaim, into: ContactClaim) -> bool:
        """R16: never two users, and into the one that is known better."""
        kind, into_kind = self.kind(claim), self.kind(into)
        is_one = self.person(claim) == self.person(into)
        return not is_one and kind is not ContactKind.USER and RANK.index(kind) <= RANK.index(into_kind)

    def split(self, join: Join, *, now: int) -> None:
        if join not in self.joins:
            raise NotFound("merge with this merge_id")
        if join.split_at is None:
            join.split_at = now
            self.told = [told for told in self.told if told.join != join.number]

    def delete(self, claim: ContactClaim, *, suppress: bool, now: int) -> tuple[int, int, int, int]:
        """R32: how many contacts, events, failed events and activities are gone."""
        members = self.members(self._found(claim))
        gone = [kept for kept in self.events if kept.event.claim in members]
        installs = {each.event.install for each in (*gone, *self.failed) if each.event.claim in members}
        installs.update(self.contacts[each].installs[0] for each in members if self.contacts[each].installs)
        for kept in gone:
            self.queues[kept.event.install].erased += 1
        failed = [
            kept
            for kept in self.failed
            if kept.event.claim in members or (kept.event.claim == NOBODY and kept.event.install in installs)
        ]
        told = [each for each in self.told if each.claim in members]
        self.marked |= installs
        self.events = [kept for kept in self.events if kept not in gone]
        self.failed = [kept for kept in self.failed if kept not in failed]
        self.told = [each for each in self.told if each not in told]
        self.joins = [join for join in self.joins if not {join.claim, join.into} & set(members)]
        for member in members:
            del self.contacts[member]
            self.erasures[member] = (now, suppress or self.erasures.get(member, (0, False))[1])
        return len(members), len(gone), len(failed), len(told)

    def _found(self, claim: ContactClaim) -> ContactClaim:
        if claim not in self.contacts:
            raise NotFound("contact")
        return claim

    def _join(self, person: ContactClaim, into: ContactClaim, now: int) -> None:
        self._join_count += 1
        kind = self.kind(person)
        join = Join(number=self._join_count, claim=person, into=into, occurred_at=now)
        self.joins.append(join)
        if into.user_id is not None:
            self._tell(into, ActivityKind.CONVERSION, now, from_kind=kind, join=join.number)

    def _keep_first_contact(self, claim: ContactClaim, occurred_at: int) -> None:
        """The earliest one told counts (R17); of a user it is no news."""
        contact = self.contacts[claim]
        known = contact.first_contact
        if claim.user_id is not None or (known is not None and known <= occurred_at):
            return
        contact.first_contact = occurred_at
        self.told = [
            told for told in self.told if (told.claim, told.kind) != (claim, ActivityKind.FIRST_CONTACT)
        ]
        self._tell(claim, ActivityKind.FIRST_CONTACT, occurred_at)

    def _tell(self, claim: ContactClaim, kind: ActivityKind, occurred_at: int, **more: Any) -> None:
        self.told.append(Told(claim=claim, kind=kind, occurred_at=occurred_at, place=self._place(), **more))

    def _place(self) -> int:
        self._places += 1
        return self._places

    # What is seen (R16, R17, R20, R21)

    def person(self, claim: ContactClaim) -> ContactClaim:
        """Where the merges that stand lead to."""
        for join in self.joins:
            if join.claim == claim and join.split_at is None:
                return self.person(join.into)
        return claim

    def members(self, claim: ContactClaim) -> list[ContactClaim]:
        person = self.person(claim)
        return [each for each in self.contacts if self.person(each) == person]

    def first_contact(self, claim: ContactClaim) -> int | None:
        told = (self.contacts[member].first_contact for member in self.members(claim))
        return min((each for each in told if each is not None), default=None)

    def kind(self, claim: ContactClaim) -> ContactKind:
        if self.person(claim).user_id is not None:
            return ContactKind.USER
        return ContactKind.VISITOR if self.first_contact(claim) is None else ContactKind.LEAD

    def shown(self, claim: ContactClaim) -> list[Kept | Told]:
        """What stands on a profile, newest first, what occurred at one time by order of receipt."""
        members, first_contact = self.members(claim), self.first_contact(claim)
        is_lead = self.kind(claim) is ContactKind.LEAD
        since = first_contact - LEAD_HISTORY if is_lead and first_contact is not None else 0
        entries: list[Kept | Told] = [
            kept
            for kept in self.events
            if kept.event.claim in members and not self._is_archived(kept.event.name)
        ]
        entries += [
            told
            for told in self.told
            if told.claim in members
            if told.kind is not ActivityKind.FIRST_CONTACT or told.occurred_at == first_contact
        ]
        return sorted(
            (entry for entry in entries if entry.occurred_at >= since),
            key=lambda entry: (entry.occurred_at, entry.place),
            reverse=True,
        )

    def summary(self, claim: ContactClaim) -> dict[str, tuple[int, int, int]]:
        """Count, first and last of each name, as it is spelled."""
        times: dict[str, list[int]] = defaultdict(list)
        for entry in self.shown(claim):
            if isinstance(entry, Kept):
                times[self.spelling(entry.event.name)].append(entry.occurred_at)
        return {name: (len(each), min(each), max(each)) for name, each in times.items()}

    def spelling(self, name: str) -> str:
        """As it was first stored (R1)."""
        return self.names[name.casefold()].spelling
