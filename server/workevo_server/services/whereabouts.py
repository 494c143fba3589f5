"""Where is my event? Each answer with its evidence."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice

from workevo_server.domain import limits, naming, unix_time
from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.events import DropReason, JsonTime, ReceivedEvent, WireTime
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.ledger import Outcome
from workevo_server.domain.verdicts import MatchedIdentity, Reason
from workevo_server.domain.whereabouts import FindingKind, Known, missing, trace
from workevo_server.ports.delivery import DeliveryReader, InstallRecord
from workevo_server.ports.people import Contact, ContactRef
from workevo_server.ports.whereabouts import (
    LocatedEvent,
    PersonRecord,
    QueueRecord,
    QueueStretch,
    WhereaboutsReader,
)
from workevo_server.services.failed_events import FailedEvents, KeptEvent

WINDOW_DEFAULT = timedelta(hours=1)
MAY_BE_MAX = 50  # Of one queue. A time that spans more is too wide to tell anything.
_MICRO = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place where the event is, or may be; what is not known of it is None, or empty."""

    kind: FindingKind
    is_certain: bool = True
    """False: it may be one of these sequences, which lie around the time that was asked for."""
    install: InstallRecord | None = None
    epoch: bytes = b""
    first_sequence: int = 0
    last_sequence: int = 0
    """The sequences that it is told of, both included; 0 where there are none."""
    event: LocatedEvent | None = None
    """STORED: the event. DUPLICATE: the one that had been stored before, where that can be told."""
    before: LocatedEvent | None = None
    after: LocatedEvent | None = None
    """By sequence: what the device tracked before and after it, as far as that is stored and not far: who
    used it then, and between when."""
    identity: MatchedIdentity | None = None
    """DUPLICATE: by what it was recognised."""
    reason: Reason | None = None
    """REJECTED: why."""
    failed: KeptEvent | None = None
    """REJECTED: the event as sent, with the field and the sentence; None when it is not kept (R13)."""
    drop_reason: DropReason | None = None
    """DROPPED: why the device gave it up."""
    since_micros: int | None = None
    """OPEN: when a later sequence was received; None when none is known, so that the device may have it
    still. ARCHIVED: since when its name is archived. ERASED, MERGED: when. EXPIRED: what was received
    before then may be gone."""
    may_be: Sequence[Outcome] = ()
    """FOLDED: what it can have been."""
    person: Contact | None = None
    """Who was asked for, merges resolved."""


class Whereabouts:
    """`failed_events` reads what is kept of rejected ones."""

    def __init__(
        self, *, reader: WhereaboutsReader, delivery: DeliveryReader, failed_events: FailedEvents
    ) -> None:
        self._reader = reader
        self._delivery = delivery
        self._failed_events = failed_events

    async def by_sequence(
        self, workspace_id: WorkspaceId, install_id: InstallId, sequence: int, *, epoch: str = ""
    ) -> Sequence[Finding]:
        """A finding for each epoch that has the sequence, or of the one given in hexadecimal digits.

        Of very many epochs the newest are looked at: then `install.older` of a finding is set.
        What came under a sequence that was taken, and was rejected, is a finding of its
        own. One NEVER_SEEN when no epoch has it: with the install, which tells when it was
        last here and how far it has come, or without, when nobody knows it. Raises
        RequestInvalid for what is no sequence or no epoch.
        """
        wanted = _epoch(epoch)
        if not 1 <= sequence <= limits.SEQUENCE_MAX:
            raise RequestInvalid(FieldViolation("sequence", f"A sequence is 1 to {limits.SEQUENCE_MAX}."))
        queues = await self._reader.queues(workspace_id, install_id, epoch=wanted, sequence=sequence)
        findings = [
            finding for queue in queues for finding in await self._of_queue(workspace_id, queue, sequence)
        ]
        seen = [finding for finding in findings if finding.kind is not FindingKind.NEVER_SEEN]
        if seen or findings:
            return seen or findings[-1:]
        install = await self._delivery.install(workspace_id, install_id, count_max=1)
        return [Finding(kind=FindingKind.NEVER_SEEN, install=install, epoch=wanted or b"")]

    async def by_person(
        self,
        workspace_id: WorkspaceId,
        ref: ContactRef,
        event_name: str,
        at_micros: int,
        *,
        window: timedelta = WINDOW_DEFAULT,
    ) -> Sequence[Finding]:
        """What is known of an event of this name that the person did then, or up to `window` before or after.

        What is certain comes first. Where none is stored, there follow the sequences of
        the person's devices around that time which are not: it may be one of them.
        NEVER_SEEN when there is nothing at all.
        """
        ref = replace(ref, email=ref.email.strip().lower()) if ref.email is not None else ref
        erased = await self._of_erasure(workspace_id, ref, at_micros)
        name_key = naming.comparable_key(event_name)
        around = None
        since, until = at_micros - window // _MICRO, at_micros + window // _MICRO
        if name_key is not None:
            around = await self._reader.around(workspace_id, ref, name_key, since=since, until=until)
        if around is None:
            return erased or [Finding(kind=FindingKind.NEVER_SEEN)]
        stored = [
            Finding(kind=FindingKind.STORED, event=each, person=around.person) for each in around.events
        ]
        certain = [
            *_merged(around),
            *stored,
            *_archived(around),
            *[each async for each in self._rejected(workspace_id, around, since, until)],
            *(() if stored else (*erased, *_expired(around, at_micros))),
        ]
        possible = [each for queue in around.queues for each in _possible(queue, around)]
        if stored:
            possible = [each for each in possible if each.kind is FindingKind.DUPLICATE]
        told = {each.kind for each in (*certain, *possible)} - {FindingKind.MERGED}
        return [*certain, *possible, *(() if told else _never_seen(around))]

    async def _of_erasure(
        self, workspace_id: WorkspaceId, ref: ContactRef, at_micros: int
    ) -> Sequence[Finding]:
        erasure = await self._reader.erasure(workspace_id, ref)
        if erasure is None or not erasure.covers(at_micros):
            return ()
        return (Finding(kind=FindingKind.ERASED, since_micros=erasure.erased_at_micros),)

    async def _of_queue(
        self, workspace_id: WorkspaceId, queue: QueueRecord, sequence: int
    ) -> Sequence[Finding]:
        kept = [each async for each, _ in self._failed_events.shown(workspace_id, queue.failed)]
        settled = next((each for each in kept if each.record.settled), None)
        known = Known(
            is_present=queue.event is not None,
            rejected=settled.record.reason if settled is not None else None,
            erased_count=queue.gone.erased,
            expired_count=queue.gone.expired,
        )
        found = trace(queue.ledger, sequence, known)
        place = Finding(
            kind=found.kind,
            install=queue.install,
            epoch=queue.epoch,
            first_sequence=sequence,
            last_sequence=sequence,
        )
        first = replace(
            _with_outcome(place, found.outcome),
            event=queue.event,
            person=queue.event.person if queue.event is not None else None,
            failed=settled if found.kind is FindingKind.REJECTED else None,
            since_micros=_received(queue.after) if found.kind is FindingKind.OPEN else None,
            before=queue.before,
            after=queue.after,
            may_be=found.may_be,
        )
        besides = [replace(_of_failed(each), install=queue.install) for each in kept if each is not settled]
        return [first, *besides]

    async def _rejected(
        self, workspace_id: WorkspaceId, around: PersonRecord, since: int, until: int
    ) -> AsyncIterator[Finding]:
        """By the time that the event itself tells, where it can be read, else by its receipt."""
        async for kept, event in self._failed_events.shown(workspace_id, around.failed):
            at = _created_at(event)
            if since <= (kept.record.place.received_at_micros if at is None else at) <= until:
                yield replace(_of_failed(kept), person=around.person)


def _epoch(digits: str) -> bytes | None:
    """None when none is given."""
    try:
        return bytes.fromhex(digits) or None
    except ValueError:
        raise RequestInvalid(FieldViolation("epoch", "An epoch is given in hexadecimal digits.")) from None


def _created_at(event: ReceivedEvent) -> int | None:
    """Microseconds, as sent; None where that cannot be read."""
    match event.created_at:
        case WireTime(seconds=seconds, nanos=nanos):
            micros = unix_time.from_timestamp(seconds, nanos)
        case JsonTime(value=value) if value is not None:
            micros = unix_time.from_json(value)
        case _:
            return None
    return micros if isinstance(micros, int) else None


def _received(later: LocatedEvent | None) -> int | None:
    return later.event.received_at_micros if later is not None else None


def _with_outcome(place: Finding, outcome: Outcome | None) -> Finding:
    """Why, as the ledger has it. What a ledger calls a duplicate was one by R6: R7's change nothing in it."""
    if outcome is None:
        return place
    is_copy = place.kind is FindingKind.DUPLICATE
    return replace(
        place,
        reason=outcome.reason,
        drop_reason=outcome.drop_reason,
        identity=MatchedIdentity.PRODUCT if is_copy else None,
    )


def _of_failed(kept: KeptEvent) -> Finding:
    return Finding(
        kind=FindingKind.REJECTED,
        epoch=kept.record.epoch,
        first_sequence=kept.record.place.sequence,
        last_sequence=kept.record.place.sequence,
        reason=kept.record.reason,
        failed=kept,
    )


def _merged(around: PersonRecord) -> Iterator[Finding]:
    if around.merged_at_micros is not None:
        yield Finding(kind=FindingKind.MERGED, person=around.person, since_micros=around.merged_at_micros)


def _archived(around: PersonRecord) -> Iterator[Finding]:
    if around.archived_at_micros is not None:
        yield Finding(kind=FindingKind.ARCHIVED, person=around.person, since_micros=around.archived_at_micros)


def _expired(around: PersonRecord, at_micros: int) -> Iterator[Finding]:
    """What occurred then was received later, and so may be there still; or it went."""
    before = around.expired_before_micros
    if before is not None and at_micros < before:
        yield Finding(kind=FindingKind.EXPIRED, is_certain=False, person=around.person, since_micros=before)


def _possible(queue: QueueStretch, around: PersonRecord) -> Iterator[Finding]:
    original = around.events[0] if len(around.events) == 1 else None
    known = Known(
        is_present=False,
        rejected=None,
        erased_count=queue.gone.erased,
        expired_count=queue.gone.expired,
    )
    found = missing(queue.ledger, queue.first_sequence, queue.last_sequence, queue.present)
    for first, last, _ in islice(found, MAY_BE_MAX):
        traced = trace(queue.ledger, first, known)
        place = Finding(
            kind=traced.kind,
            is_certain=False,
            install=queue.install,
            epoch=queue.epoch,
            first_sequence=first,
            last_sequence=last,
            event=original if traced.kind is FindingKind.DUPLICATE else None,
            since_micros=queue.later_received_at_micros if traced.kind is FindingKind.OPEN else None,
            may_be=traced.may_be,
            person=around.person,
        )
        yield _with_outcome(place, traced.outcome)


def _never_seen(around: PersonRecord) -> Iterator[Finding]:
    """Of each device that the person uses: when it was last here and how far it has come."""
    nowhere = Finding(kind=FindingKind.NEVER_SEEN, person=around.person)
    if not around.queues:
        yield nowhere
    for queue in around.queues:
        yield replace(nowhere, install=queue.install, epoch=queue.epoch)
