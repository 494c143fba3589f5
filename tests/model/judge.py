"""The server's pure part over one immutable value: the product's own Ledger and `decide`.

A `Request` is an upload as it is on its way, a `Reply` its answer; both are values, so
that the network of the search can lose, repeat and delay them. `Judge.answer` is where
the rules of the server run, and where what every store must keep is checked.
"""

import enum
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from workevo_mobile.settlement import Answer, Result, SequenceRange
from workevo_mobile.settlement import Verdict as DeviceVerdict
from workevo_server.domain import limits
from workevo_server.domain.admission import Decision, DefinitionState, StoredCopy, StoreView, decide
from workevo_server.domain.erasure import Erasure
from workevo_server.domain.events import (
    ContactClaim,
    DroppedRange,
    DropReason,
    Install,
    ProductIdentity,
    ReceivedEvent,
)
from workevo_server.domain.identifiers import InstallId, NameKey, WorkspaceId
from workevo_server.domain.judging import JudgedUpload, judge_upload
from workevo_server.domain.ledger import Ledger, Outcome, OutcomeKind, Range
from workevo_server.domain.verdicts import EventVerdict, Verdict
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_testing.uploads import upload, wire_time


class Kind(enum.Enum):
    """What an event is like; of most kinds each event is another one, by its name."""

    GOOD = "good"
    TWIN = "twin"
    """All twins are one event by R6."""
    BAD = "bad"
    """REJECTED."""
    OLD = "old"
    """Its name is archived."""
    UNREADY = "unready"
    """As good as a good one, once the server can take it; until then RETRY."""
    GIANT = "giant"
    """No upload with it is taken."""


ARCHIVED_NAME = NameKey("old")
TWINS_NAME = "twin"


@dataclass(frozen=True, slots=True)
class Token:
    """One event that an app tracked: the body of its row."""

    number: int
    kind: Kind

    @property
    def body(self) -> bytes:
        return f"{self.number} {self.kind.value}".encode()

    @property
    def name(self) -> str:
        match self.kind:
            case Kind.BAD:
                return ""
            case Kind.OLD:
                return ARCHIVED_NAME
            case Kind.TWIN:
                return TWINS_NAME
            case _:
                return f"event {self.number}"


def token_of(body: bytes) -> Token:
    number, kind = body.decode().split(" ")
    return Token(int(number), Kind(kind))


@dataclass(frozen=True, slots=True)
class Request:
    """What is on the wire."""

    epoch: bytes
    events: tuple[tuple[int, Token], ...]
    """Sequence and event."""
    last_sequence: int
    applied_through: int
    dropped: tuple[tuple[int, int, str], ...] = ()


Copy = tuple[Token, bytes, int]
"""An event with the epoch and sequence under which it came."""

Written = tuple[tuple[Range, ...], int, int, tuple[tuple[Outcome, int], ...]]
"""A ledger as a value."""


@dataclass(frozen=True, slots=True)
class Books:
    """All that the server has."""

    ledgers: tuple[tuple[bytes, Written], ...] = ()
    stored: tuple[Copy, ...] = ()
    copies: frozenset[Copy] = frozenset()
    """Events that were answered DUPLICATE by R6."""
    archived: frozenset[Copy] = frozenset()
    failed: frozenset[Copy] = frozenset()

    def ledger(self, epoch: bytes, ledger_type: type[Ledger] = Ledger) -> Ledger:
        ranges, generated, applied_through, folded = dict(self.ledgers).get(epoch, ((), 0, 0, ()))
        return ledger_type(
            ranges=ranges, generated=generated, applied_through=applied_through, folded=dict(folded)
        )


def written(ledger: Ledger) -> Written:
    """Without `resent`, which stands outside the balance and would make no two states equal."""
    folded = tuple(sorted(ledger.folded.items(), key=repr))
    return ledger.known_ranges, ledger.generated, ledger.applied_through, folded


class Broken(Exception):
    """A promise that does not hold; the sentence says which."""


Decide = Callable[..., Decision]


class Judge:
    """`decides` and `ledger_type` are the product's own, unless a fault is planted."""

    def __init__(
        self,
        *,
        decides: Decide = decide,
        ledger_type: type[Ledger] = Ledger,
        settings: WorkspaceSettings = WorkspaceSettings(),  # noqa: B008  # Frozen.
    ) -> None:
        self._decide = decides
        self._ledger_type = ledger_type
        self._settings = settings

    def answer(self, books: Books, request: Request, *, is_ready: bool) -> tuple[Books, Answer]:
        """What the server keeps and says. Raises Broken where the books no longer balance."""
        put_off = [not is_ready and token.kind is Kind.UNREADY for _, token in request.events]
        taken = [index for index, later in enumerate(put_off) if not later]
        judged = self._judged(request, taken)
        ledger = books.ledger(request.epoch, self._ledger_type)
        before = _outcomes(ledger)
        decision = self._decide(judged, ledger=ledger, view=_View(books, request.epoch))
        after = _written_down(books, request, decision)
        _check_outcomes(before, _outcomes(ledger))
        _check_balance(after, request.epoch, ledger)
        _check_stored_once(after)
        _check_told(request, ledger)
        return after, _answer(request, taken, decision.verdicts, ledger)

    def _judged(self, request: Request, taken: Sequence[int]) -> JudgedUpload:
        events = [_received(index, *request.events[index]) for index in taken]
        dropped = [
            DroppedRange(first_sequence=a, last_sequence=b, reason=DropReason(reason))
            for a, b, reason in request.dropped
        ]
        sent = upload(
            WorkspaceId("w"),
            events,
            install=Install(install_id=InstallId("phone"), epoch=request.epoch),
            last_sequence=request.last_sequence,
            applied_through=request.applied_through,
            dropped=dropped,
        )
        return judge_upload(sent, self._settings)


def _received(index: int, sequence: int, token: Token) -> ReceivedEvent:
    return ReceivedEvent(
        index=index,
        sequence=sequence,
        raw=token.body,
        name=token.name,
        contact=ContactClaim(visitor_id="v"),
        created_at=wire_time(100),
    )


class _View:
    """What `decide` asks of a store."""

    def __init__(self, books: Books, epoch: bytes) -> None:
        self._books = books
        self._epoch = epoch

    def person(self, contact: ContactClaim) -> Hashable:
        return contact

    def knows(self, contact: ContactClaim) -> bool:  # noqa: ARG002 - devices make who they name.
        return True

    def copies(self, identity: ProductIdentity) -> Sequence[StoredCopy]:
        return [
            StoredCopy(received_at_micros=1_000_000 * 1_000_000, same_install=True)
            for token, _, _ in self._books.stored
            if token.name == identity.name_key
        ]

    def definition(self, name_key: NameKey) -> DefinitionState | None:
        if name_key == ARCHIVED_NAME:
            return DefinitionState(archived=True)
        known = {token.name for token, _, _ in self._books.stored}
        return DefinitionState(archived=False) if name_key in known else None

    def active_definition_count(self) -> int:
        return len({token.name for token, _, _ in self._books.stored})

    def erasure(self, contact: ContactClaim) -> Erasure | None:
        """Nobody is deleted here, and nothing grows old."""

    def first_contact(self, contact: ContactClaim) -> int | None: ...

    def workspace_saw_a_deletion(self) -> bool:
        return False

    def install_saw_a_deletion(self) -> bool:
        return False

    def expired_before(self) -> int | None: ...

    def failed(self, sequence: int) -> Sequence[bytes]:
        place = self._epoch, sequence
        return [token.body for token, *of in self._books.failed if tuple(of) == place]


_view_is_one: type[StoreView] = _View


def _written_down(books: Books, request: Request, decision: Decision) -> Books:
    tokens = [token for _, token in request.events]

    def copies(found: Sequence[tuple[int, int]]) -> frozenset[Copy]:
        return frozenset((tokens[index], request.epoch, sequence) for index, sequence in found)

    ledgers = dict(books.ledgers) | {request.epoch: written(decision.ledger)}
    stored = [(tokens[event.index], request.epoch, event.sequence) for event in decision.stored]
    return Books(
        ledgers=tuple(sorted(ledgers.items(), key=lambda item: item[0])),
        stored=tuple(sorted((*books.stored, *stored), key=lambda copy: (copy[0].number, copy[1], copy[2]))),
        copies=books.copies | copies([(event.index, event.sequence) for event in decision.duplicates]),
        archived=books.archived | copies([(event.index, event.sequence) for event in decision.archived]),
        failed=books.failed
        | copies([(event.received.index, event.received.sequence) for event in decision.failed]),
    )


def _answer(
    request: Request, taken: Sequence[int], verdicts: Sequence[EventVerdict], ledger: Ledger
) -> Answer:
    given = {verdict.index: verdict for verdict in verdicts}
    results = [
        _result(given[index]) if index in given else _put_off(index, sequence)
        for index, (sequence, _) in enumerate(request.events)
    ]
    assert len(given) == len(taken)
    others = tuple(result for result in results if result.verdict is not DeviceVerdict.ACCEPTED)
    return Answer(
        results=others,
        accepted_count=len(results) - len(others),
        gaps=tuple(SequenceRange(a, b) for a, b in islice(ledger.gaps(), limits.ANSWER_GAPS_MAX)),
    )


def _result(verdict: EventVerdict) -> Result:
    return Result(
        index=verdict.index,
        sequence=verdict.sequence,
        verdict=DeviceVerdict(verdict.verdict.value),
        reason=verdict.refusal.reason.value if verdict.refusal else "",
        retriable=verdict.verdict is Verdict.RETRY,
        retry_delay=verdict.retry_delay,
    )


def _put_off(index: int, sequence: int) -> Result:
    delay = timedelta(seconds=1)
    return Result(
        index=index,
        sequence=sequence,
        verdict=DeviceVerdict.RETRY,
        reason="IDENTITY_UNVERIFIED",
        retriable=True,
        retry_delay=delay,
    )


# What must hold whenever the server has answered ----------------------------


def _outcomes(ledger: Ledger) -> dict[int, Outcome]:
    return {n: outcome for a, b, outcome in ledger.ranges() for n in range(a, b + 1)}


_MAY_CHANGE = {OutcomeKind.OPEN, OutcomeKind.DROPPED}


def _check_outcomes(before: dict[int, Outcome], after: dict[int, Outcome]) -> None:
    """R7, R14: a settled sequence keeps its outcome; a dropped one may be settled; folding forgets which."""
    for sequence, was in before.items():
        now = after.get(sequence)
        if now is None or (now.kind is OutcomeKind.OPEN and was.kind is not OutcomeKind.OPEN):
            raise Broken(f"sequence {sequence} had an outcome and has none any more")
        if now != was and was.kind not in _MAY_CHANGE and now.kind is not OutcomeKind.FOLDED:
            raise Broken(f"sequence {sequence} has a second outcome: {was.kind.value}, then {now.kind.value}")


def _check_balance(books: Books, epoch: bytes, ledger: Ledger) -> None:
    """R14, each side counted by itself: by the ledger, and by what is in the books."""
    balance = ledger.balance()
    parts = (
        balance.stored,
        balance.duplicate,
        balance.archived,
        balance.rejected,
        balance.dropped,
        balance.open,
    )
    if balance.generated != sum(parts):
        raise Broken(
            f"the balance does not hold: {balance.generated} generated, but {balance.stored} stored"
            f" + {balance.duplicate} duplicate + {balance.archived} archived + {balance.rejected} rejected"
            f" + {balance.dropped} dropped + {balance.open} open"
        )
    kept = (("stored", balance.stored, books.stored), ("archived", balance.archived, books.archived))
    for word, count, copies in kept:
        found = sum(1 for _, of, _ in copies if of == epoch)
        if found != count:
            raise Broken(f"the ledger has {count} {word}, the store {found}")


def _check_stored_once(books: Books) -> None:
    names = [token.name for token, _, _ in books.stored]
    for name in names:
        if names.count(name) > 1:
            raise Broken(f"{name} is stored twice")


def _check_told(request: Request, ledger: Ledger) -> None:
    """What the device confesses is never open again."""
    for first, last, _ in request.dropped:
        for sequence in range(first, last + 1):
            if ledger.outcome_of(sequence).kind is OutcomeKind.OPEN:
                raise Broken(f"sequence {sequence} was confessed as dropped and is open")
