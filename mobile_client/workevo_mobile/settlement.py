"""What an answer means for the queued events (R11, R14). Pure.

Only events of the answered upload are touched, each by its own verdict;
`settled_through` and gaps never delete anything.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from workevo_mobile import limits
from workevo_mobile.client_config import ClientConfig
from workevo_mobile.drop_reason import DropReason
from workevo_mobile.failures import server_delay
from workevo_mobile.lifecycle import Turn
from workevo_mobile.policy import Call, Row


class Verdict(enum.Enum):
    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"
    ARCHIVED = "ARCHIVED"
    REJECTED = "REJECTED"
    RETRY = "RETRY"
    UNKNOWN = "UNKNOWN"
    """Of a later release: `retriable` alone is obeyed."""
    MISSING = "MISSING"
    """None was given, which no server does: the answer is not to be believed."""


EPOCH_FORKED = "EPOCH_FORKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The answer to the event at `index`, or to a log-in."""

    index: int = 0
    sequence: int = 0
    """0 when the server could not read it."""
    verdict: Verdict
    reason: str = ""
    field: str = ""
    message: str = ""
    retriable: bool = False
    retry_delay: timedelta | None = None


_PLAINLY_ACCEPTED = Result(verdict=Verdict.ACCEPTED)
_SETTLING = (Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.ARCHIVED)  # The server has it, or wants none.


@dataclass(frozen=True, slots=True, order=True)
class SequenceRange:
    """From first to last, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    results: tuple[Result, ...] = ()
    accepted_count: int = 0
    gaps: tuple[SequenceRange, ...] = ()
    next_upload_delay: timedelta | None = None
    config: ClientConfig | None = None
    """What the workspace asks now; None when the device knows it already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burial:
    """A row that goes to the dead letters; with `drop` the server is told, as it has no outcome for it."""

    row: Row
    reason: str
    field: str = ""
    message: str = ""
    drop: DropReason | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A row that stays and is not sent before."""

    row: Row
    delay: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """All that one answer changes in the queue, in one transaction."""

    epoch: bytes
    done: tuple[Row, ...] = ()
    buried: tuple[Burial, ...] = ()
    held: tuple[Hold, ...] = ()
    forked: tuple[Row, ...] = ()
    """To be moved into a new epoch (R14a)."""
    told_drops: tuple[int, ...] = ()
    """Ids of the dropped ranges that the server has now been told."""
    sent: tuple[Row, ...] = ()
    gaps: tuple[SequenceRange, ...] = ()
    """What the server has no outcome for. Those of `sent` are no news: this very answer settles them."""
    quiet: timedelta | None = None
    """No upload before, when the server wants it so."""
    config: ClientConfig | None = None
    """To be obeyed from now on."""
    is_answer: bool = True
    """Not what the device decided by itself."""
    config_confirmed: bool = False
    """The server was told the version that the device has, and had no other."""


def settle_upload(
    call: Call, answer: Answer, *, told_drops: Sequence[int] = (), told_config: str = ""
) -> Settlement | None:
    """Sort the sent events by verdict; None when the answer does not add up and nothing may be settled."""
    results = _results_by_index(call, answer)
    if results is None:
        return None
    done: list[Row] = []
    buried: list[Burial] = []
    held: list[Hold] = []
    forked: list[Row] = []
    for index, row in enumerate(call.rows):
        result = results.get(index, _PLAINLY_ACCEPTED)
        turn = _turn(result)
        if turn is Turn.DELAYED:
            held.append(Hold(row, hold_delay(result.retry_delay)))
        elif turn is Turn.FORKED:
            forked.append(row)
        elif turn is Turn.REFUSED:
            buried.append(_burial(row, result))
        else:
            done.append(row)
    return Settlement(
        epoch=call.epoch,
        done=tuple(done),
        buried=tuple(buried),
        held=tuple(held),
        forked=tuple(forked),
        told_drops=tuple(told_drops),
        sent=call.rows,
        gaps=answer.gaps,
        quiet=server_delay(answer.next_upload_delay),
        config=answer.config,
        config_confirmed=told_config != "" and answer.config is None,
    )


def settle_identify(call: Call, result: Result) -> Settlement | None:
    """As `settle_upload`, for a log-in; RETRY holds nothing else back."""
    (row,) = call.rows
    if result.verdict is Verdict.MISSING:
        return None
    turn = _turn(result)
    if turn is Turn.SETTLED:
        return Settlement(epoch=call.epoch, done=(row,))
    if turn is Turn.REFUSED:
        return Settlement(epoch=call.epoch, buried=(_burial(row, result),))
    return Settlement(epoch=call.epoch, held=(Hold(row, hold_delay(result.retry_delay)),))


def quarantined(row: Row) -> Settlement:
    """For the one row that the server refuses in every call."""
    return _given_up(row, DropReason.QUARANTINED)


def corrupted(row: Row) -> Settlement:
    """For a row that cannot be read back."""
    return _given_up(row, DropReason.CORRUPT)


def _given_up(row: Row, reason: DropReason) -> Settlement:
    return Settlement(
        epoch=row.epoch, is_answer=False, buried=(Burial(row=row, reason=reason.value, drop=reason),)
    )


def _results_by_index(call: Call, answer: Answer) -> dict[int, Result] | None:
    results = {result.index: result for result in answer.results}
    if len(results) != len(answer.results):
        return None
    if not all(_is_credible(result, call.rows) for result in answer.results):
        return None
    others = sum(result.verdict is not Verdict.ACCEPTED for result in answer.results)
    return results if answer.accepted_count + others == len(call.rows) else None


def _is_credible(result: Result, rows: Sequence[Row]) -> bool:
    if result.verdict is Verdict.MISSING or not 0 <= result.index < len(rows):
        return False
    unread = result.sequence == 0 and result.verdict is Verdict.REJECTED
    return unread or result.sequence == rows[result.index].sequence


def _turn(result: Result) -> Turn:
    """What becomes of an event that was answered so. `retriable` is obeyed whatever the verdict."""
    if result.retriable or result.verdict is Verdict.RETRY:
        return Turn.FORKED if result.reason == EPOCH_FORKED else Turn.DELAYED
    return Turn.SETTLED if result.verdict in _SETTLING else Turn.REFUSED


def _burial(row: Row, result: Result) -> Burial:
    reason = result.reason or result.verdict.value
    return Burial(row=row, reason=reason, field=result.field, message=result.message)


def hold_delay(asked: timedelta | None) -> timedelta:
    delay = server_delay(asked)
    return limits.RETRY_DELAY_DEFAULT if delay is None else max(delay, limits.RETRY_DELAY_MIN)


def unfillable(
    gaps: Sequence[SequenceRange], *, last_sequence: int, known: Sequence[SequenceRange]
) -> list[SequenceRange]:
    """The parts of the gaps up to `last_sequence` that nothing in `known` explains: lost on the device."""
    lost: list[SequenceRange] = []
    for gap in gaps:
        first, last = max(gap.first, 1), min(gap.last, last_sequence)
        for explained in sorted(known):
            if explained.last < first or explained.first > last:
                continue
            if first < explained.first:
                lost.append(SequenceRange(first, explained.first - 1))
            first = max(first, explained.last + 1)
        if first <= last:
            lost.append(SequenceRange(first, last))
    return lost
