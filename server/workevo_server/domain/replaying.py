"""Judging a rejected event again once the cause is mended (R13).

As of its own receipt, with the clocks of its upload and the identity that was verified
then, by today's settings. R7 is skipped: the sequence has an outcome, which is what a
replay moves. Copies (R6) are looked for around that receipt, before it and after it.
"""

from dataclasses import dataclass

from workevo_server.domain.admission import Decision, StoreView, decide
from workevo_server.domain.events import ClockReading, Install, ReceivedEvent, Upload
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.judging import JudgedUpload, judge
from workevo_server.domain.ledger import Ledger, Outcome
from workevo_server.domain.workspace import WorkspaceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudging:
    """A rejected event as it was received."""

    workspace_id: WorkspaceId
    install: Install | None
    """Its id and the epoch; what else it told is not asked. None when a back end sent it."""
    received_at_micros: int
    send_clock: ClockReading
    verified: bool
    received: ReceivedEvent


def rejudge(failed: Rejudging, settings: WorkspaceSettings) -> JudgedUpload:
    """As an upload of this event alone, received when it was; `decide_again` is the second step."""
    user_id = failed.received.contact.user_id
    upload = Upload(
        workspace_id=failed.workspace_id,
        upload_id="",
        install=failed.install,
        received_at_micros=failed.received_at_micros,
        send_clock=failed.send_clock,
        events=(failed.received,),
    )
    proven = frozenset({user_id} if failed.verified and user_id is not None else ())
    candidate = judge(failed.received, upload=upload, settings=settings, proven=proven)
    return JudgedUpload(upload=upload, settings=settings, candidates=(candidate,))


def decide_again(judged: JudgedUpload, view: StoreView) -> tuple[Decision, Outcome]:
    """What becomes of it, and the outcome that its sequence has from now on; OPEN when none is new."""
    queue_of_its_own = Ledger()
    decision = decide(judged, ledger=queue_of_its_own, view=view)
    return decision, queue_of_its_own.outcome_of(judged.candidates[0].received.sequence)
