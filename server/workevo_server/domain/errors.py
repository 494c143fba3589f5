"""Why a whole call is refused.

WorkevoError
├── UnknownKey            no key, two keys, or one that is not (or no longer) known
├── KeyNotPermitted       a known key, of a kind that may not do this
├── RequestInvalid        the request as a whole is wrong; says which fields
├── RequestMalformed      the bytes are no such message
├── PageTokenInvalid      a page token that is forged, foreign or of another query
├── NotFound              an id unknown in this workspace
├── MergeRefused          two contacts that may not become one (R16)
├── ContactSuppressed     an id whose deletion asked that nothing more be taken of it (R32)
├── CatalogueFull         as many event names in use as may be (R10)
├── UploadTooLarge        over the limits of R9; the client sends half
├── Overloaded            full; come back after `retry_after`
└── StoreUnavailable      the store cannot take or give anything now; come back

One event's refusal is no error but data: `verdicts.Refusal`. Each channel maps this
tree in one table and a test holds table and tree together.
"""

from dataclasses import dataclass
from datetime import timedelta


class WorkevoError(Exception):
    """A refusal with a public sentence; the sentence never quotes what was sent."""

    sentence: str = "The call was refused."

    def __str__(self) -> str:
        return self.sentence


class UnknownKey(WorkevoError):
    sentence = (
        "Send one key of this workspace as metadata 'authorization: Bearer <key>'. "
        "The key is missing, unknown or revoked."
    )


class KeyNotPermitted(WorkevoError):
    sentence = "This kind of key may not call this method."


@dataclass(frozen=True, slots=True)
class FieldViolation:
    field: str
    """Path of the field in the request, for example `install.epoch`."""
    sentence: str


class RequestInvalid(WorkevoError):
    def __init__(self, *violations: FieldViolation) -> None:
        super().__init__(violations)
        self.violations = violations
        self.sentence = " ".join(violation.sentence for violation in violations)


class RequestMalformed(WorkevoError):
    sentence = "The request is malformed: its bytes are no message of this method."


class PageTokenInvalid(WorkevoError):
    sentence = "The page_token was not given out for this list. Start again without one."


class NotFound(WorkevoError):
    def __init__(self, what: str, *, within: str = "workspace", hint: str = "") -> None:
        """`hint` is a sentence that says where to look."""
        super().__init__(what)
        self.sentence = " ".join(filter(None, (f"There is no such {what} in this {within}.", hint)))


class MergeRefused(WorkevoError):
    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class ContactSuppressed(WorkevoError):
    sentence = (
        "A contact of this id was deleted, and the deletion asked to take nothing more of it. "
        "Give the person another id, or leave it deleted (R32)."
    )


class CatalogueFull(WorkevoError):
    sentence = (
        "The workspace has as many event names in use as it may. Archive one that is not needed, "
        "or raise event_names_max."
    )


class UploadTooLarge(WorkevoError):
    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Overloaded(WorkevoError):
    sentence = "The server is busy. Come back after the delay given."

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class StoreUnavailable(WorkevoError):
    sentence = "The store cannot be reached or written now. Nothing of this call was promised; send it again."

    def __init__(self, retry_after: timedelta = timedelta(seconds=2)) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after
