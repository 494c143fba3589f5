"""Where judged uploads go. The only way into the store for what devices and back ends tell."""

from dataclasses import dataclass
from typing import Protocol

from workevo_server.domain.identification import Identification, IdentifyAnswer
from workevo_server.domain.judging import JudgedUpload
from workevo_server.domain.requests import ForgetCall
from workevo_server.domain.told_counts import CountsAnswer, JudgedCounts
from workevo_server.domain.verdicts import EventVerdict
from workevo_server.ports.contact_store import ErasureReceipt


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadAnswer:
    verdicts: tuple[EventVerdict, ...]
    """One for each event, in order of index."""
    settled_through: int
    """No sequence at or below it is open (R14)."""
    gaps: tuple[tuple[int, int], ...]
    """Open ranges, ends included, lowest first, at most `limits.ANSWER_GAPS_MAX`."""


class EventSink(Protocol):
    async def append(self, upload: JudgedUpload) -> UploadAnswer:
        """Keep everything the answer asserts durably before returning it (R12).

        Events, failed events, ledger and counts change together or not at all.
        The caller answers the device right after, so returning early would lose
        data on a crash; that is why there is no fire-and-forget variant. Being
        cancelled does not undo what was handed over.

        Raises StoreUnavailable or Overloaded; then nothing is promised, but it
        may have been kept all the same, and the same sequences are sent again.
        """

    async def tell_counts(self, told: JudgedCounts) -> CountsAnswer:
        """Set what a back end tells of one contact, all or nothing, durably before returning (R29).

        Repeating is harmless. Raises as `append`.
        """

    async def identify(self, identification: Identification) -> IdentifyAnswer:
        """Keep the alias of R16 durably before returning; repeating is harmless. Raises as `append`."""

    async def forget(self, call: ForgetCall) -> ErasureReceipt:
        """R31: erase the install and the visitors that are its alone; nothing for one that is unknown.

        When this returns no file of the store holds anything of it. Raises as `append`.
        """
