"""The states of a queued event and every turn between them: what `settlement` decides by, and what is drawn.

The state diagram in the README of the mobile client is `diagram()`; a test holds the two equal.
"""

import enum
from dataclasses import dataclass

from workevo_mobile.drop_reason import DropReason


class State(enum.Enum):
    APP = "[*]"
    """Not the queue's yet, or no more."""
    WAITING = "Waiting"
    SENT = "Sent"
    """No state in the file: a row that was sent looks like one that was not."""
    HELD = "Held"
    DEAD_LETTER = "DeadLetter"
    DROPPED = "Dropped"
    """A range of sequences that the server is told of."""


@dataclass(frozen=True, slots=True)
class Way:
    sources: tuple[State, ...]
    target: State
    words: str


class Turn(enum.Enum):
    COMMITTED = Way((State.APP,), State.WAITING, "track, with row and sequence in one commit")
    UNWANTED = Way((State.APP,), State.DROPPED, "track, where client_config names it")
    DUE = Way((State.WAITING,), State.SENT, "due, nothing holds it back")
    UNANSWERED = Way((State.SENT,), State.WAITING, "no answer, call refused, answer does not add up")
    DELAYED = Way((State.SENT,), State.HELD, "RETRY, or unknown and retriable")
    RELEASED = Way((State.HELD,), State.WAITING, "its delay is over")
    FORKED = Way((State.SENT,), State.WAITING, "RETRY because EPOCH_FORKED, with a new epoch and sequence")
    SETTLED = Way((State.SENT,), State.APP, "ACCEPTED, DUPLICATE, ARCHIVED")
    REFUSED = Way((State.SENT,), State.DEAD_LETTER, "REJECTED, or unknown and final")
    GIVEN_UP = Way((State.WAITING, State.HELD), State.DROPPED, "at a cap, or the person opts out")
    UNSENDABLE = Way((State.SENT,), State.DROPPED, "alone, and refused in every call, a dead letter too")
    UNREADABLE = Way((State.WAITING, State.HELD), State.DROPPED, "damaged, a dead letter too")
    TOLD = Way((State.DROPPED,), State.APP, "an answered upload has carried it")
    FORGOTTEN = Way((State.DEAD_LETTER,), State.APP, "cleared, or gave way to newer ones")


DROPS: dict[DropReason, Turn] = {
    DropReason.QUEUE_FULL: Turn.GIVEN_UP,
    DropReason.EXPIRED: Turn.GIVEN_UP,
    DropReason.OPTED_OUT: Turn.GIVEN_UP,
    DropReason.CORRUPT: Turn.UNREADABLE,
    DropReason.QUARANTINED: Turn.UNSENDABLE,
    DropReason.ARCHIVED: Turn.UNWANTED,
    DropReason.DISABLED: Turn.UNWANTED,
}


def diagram() -> str:
    """In Mermaid's words; with the reasons of R14 where an event is dropped."""
    lines = ["stateDiagram-v2"]
    for turn in Turn:
        way = turn.value
        reasons = ", ".join(reason.value for reason, why in DROPS.items() if why is turn)
        words = f"{way.words} ({reasons})" if reasons else way.words
        lines += [f"    {source.value} --> {way.target.value}: {words}" for source in way.sources]
    return "\n".join(lines)
