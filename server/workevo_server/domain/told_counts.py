"""Counts that a back end tells: how often a contact did something, and when first and last (R20, R29).

What happened before a business sent its events here can only be told as a sum. A told
count is no event: it stands beside what was stored, and telling it again sets it anew, so
that a call which is sent twice changes nothing. Judged as events are, in R11's order, and
all of a call or nothing: what is mended is told again as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from workevo_server.domain import contacts, metadata, naming, timestamps
from workevo_server.domain.admission import EVENT_NAME_LIMIT, StoreView
from workevo_server.domain.erasure import CONTACT_ERASED
from workevo_server.domain.events import ContactClaim, JsonTime
from workevo_server.domain.identifiers import NameKey, WorkspaceId
from workevo_server.domain.limits import TOLD_COUNT_MAX
from workevo_server.domain.verdicts import Reason, Refusal, Verdict
from workevo_server.domain.workspace import WorkspaceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldCount:
    """As a back end's JSON had it; only that the name is a string is known."""

    name: str
    count: object
    first: JsonTime
    last: JsonTime


@dataclass(frozen=True, slots=True, kw_only=True)
class CountsCall:
    """Translated and not judged. The contact may be named as an event names it (R18)."""

    workspace_id: WorkspaceId
    contact: ContactClaim
    counts: tuple[ToldCount, ...]
    received_at_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCount:
    name: str
    """Trimmed (R1)."""
    name_key: NameKey
    event_count: int
    """0 takes back what was told before."""
    first_occurred_at_micros: int
    last_occurred_at_micros: int
    is_placed: bool
    """Whether it was told when the first occurred; else some may be of any time (R32)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCounts:
    workspace_id: WorkspaceId
    contact: ContactClaim
    counts: tuple[JudgedCount, ...]
    """One for each name: of two for one name the last is what was told."""
    received_at_micros: int
    settings: WorkspaceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class CountsAnswer:
    verdict: Verdict
    """ACCEPTED when anything changed, DUPLICATE when all was known, ARCHIVED when no name is in use (R23)."""
    refusal: Refusal | None = None
    """Of a REJECTED call, of which nothing is kept."""
    index: int | None = None
    """Which of its counts is at fault; None when that is the call as a whole."""


def judge_counts(call: CountsCall, settings: WorkspaceSettings) -> JudgedCounts | CountsAnswer:
    """What can be said without a store; an answer when that is enough to refuse the call."""
    judged: dict[NameKey, JudgedCount] = {}
    for index, told in enumerate(call.counts):
        count = _judge(told, settings, received_at_micros=call.received_at_micros)
        if isinstance(count, Refusal):
            return rejected(count, index=index)
        judged[count.name_key] = count
    return JudgedCounts(
        workspace_id=call.workspace_id,
        contact=call.contact,
        counts=tuple(judged.values()),
        received_at_micros=call.received_at_micros,
        settings=settings,
    )


def decide_counts(
    judged: JudgedCounts, claim: ContactClaim, view: StoreView
) -> Sequence[JudgedCount] | Refusal:
    """Those to keep, archived names left out, or why none is. `claim` is whom the call means."""
    erasure = view.erasure(claim)
    if erasure is not None and any(erasure.covers(_earliest(count)) for count in judged.counts):
        return CONTACT_ERASED
    if not judged.settings.create_unknown_users and not view.knows(claim):
        return contacts.CONTACT_UNKNOWN
    kept = [count for count in judged.counts if not _is_archived(count, view)]
    new_count = sum(1 for count in kept if count.event_count and view.definition(count.name_key) is None)
    if new_count and view.active_definition_count() + new_count > judged.settings.event_names_max:
        return EVENT_NAME_LIMIT
    return kept


def rejected(refusal: Refusal, *, index: int | None = None) -> CountsAnswer:
    return CountsAnswer(verdict=Verdict.REJECTED, refusal=refusal, index=index)


def _earliest(count: JudgedCount) -> int | None:
    return count.first_occurred_at_micros if count.is_placed else None


def _is_archived(count: JudgedCount, view: StoreView) -> bool:
    definition = view.definition(count.name_key)
    return definition is not None and definition.archived


def _judge(told: ToldCount, settings: WorkspaceSettings, *, received_at_micros: int) -> JudgedCount | Refusal:
    name = naming.judge_name(told.name, charset=settings.key_charset)
    if isinstance(name, Refusal):
        return name
    event_count = metadata.whole_number(told.count)
    if event_count is None or not 0 <= event_count <= TOLD_COUNT_MAX:
        return _COUNT_INVALID
    last = _moment("last", told.last, received_at_micros)
    if isinstance(last, Refusal):
        return last
    # A first that is not told is the last: nothing says that there was an earlier one.
    first = last if told.first.value is None else _moment("first", told.first, received_at_micros)
    if isinstance(first, Refusal):
        return first
    if first > last:
        return _OUT_OF_ORDER
    return JudgedCount(
        name=name,
        name_key=naming.name_key(name),
        event_count=event_count,
        first_occurred_at_micros=first,
        last_occurred_at_micros=last,
        is_placed=told.first.value is not None,
    )


def _moment(field: str, time: JsonTime, received_at_micros: int) -> int | Refusal:
    """By R3, whose sentence speaks of created_at."""
    moment = timestamps.created_at_of(time, received_at_micros=received_at_micros)
    if isinstance(moment, Refusal):
        message = moment.message.replace("created_at", field)
        return Refusal(reason=moment.reason, field=field, message=message)
    return moment


_COUNT_INVALID = Refusal(
    reason=Reason.EVENT_MALFORMED,
    field="count",
    message=f"A count is an integer from 0, which takes it back, to {TOLD_COUNT_MAX}.",
)
_OUT_OF_ORDER = Refusal(
    reason=Reason.CREATED_AT_INVALID, field="last", message="The last occurrence is not before the first."
)
