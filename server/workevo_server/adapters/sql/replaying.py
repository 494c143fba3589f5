"""Failed events judged again (R13): everything that changes by it, in one transaction.

failed_events ─▶ decide_again ─┬─ events, summaries, counts (as an upload's)
                               ├─ ledger: rejected becomes the new outcome
                               └─ the row goes, or has its new reason
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from workevo_server.adapters.sql.audit import note
from workevo_server.adapters.sql.failed_events import WHOLE_WORKSPACE
from workevo_server.adapters.sql.known_world import UploadView
from workevo_server.adapters.sql.locks import hold_installs
from workevo_server.adapters.sql.schema import failed_events, installs
from workevo_server.adapters.sql.upload_batch import UploadBatch, new_id
from workevo_server.adapters.sql.volume_counts import KnownValues
from workevo_server.adapters.sql.workspaces import workspace_no_of
from workevo_server.domain.admission import Decision
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.ledger import FOLDED, Ledger, Outcome, OutcomeKind
from workevo_server.domain.replaying import decide_again
from workevo_server.domain.verdicts import Reason, Verdict
from workevo_server.ports.audit import Author
from workevo_server.ports.failed_events import Rejudged, Replayed

_LEAVES = frozenset({Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.ARCHIVED})


@dataclass(frozen=True, slots=True)
class ReplayJob:
    workspace_id: WorkspaceId
    events: Sequence[Rejudged]
    author: Author
    erasure_secret: bytes
    known_values: KnownValues

    @property
    def weight(self) -> int:
        return max(1, len(self.events))

    @property
    def receipts_micros(self) -> Collection[int]:
        """Each its own (R13). What else was received then may have gone by age, and its month with it."""
        return {event.judged.upload.received_at_micros for event in self.events}

    @property
    def may_share(self) -> bool:
        return False

    def run(self, connection: Connection) -> list[Replayed]:
        workspace_no = workspace_no_of(connection, self.workspace_id)
        batch = ReplayBatch(
            connection, new_id=new_id, erasure_secret=self.erasure_secret, known_values=self.known_values
        )
        replayed = batch.replay(workspace_no, self.events)
        if replayed:
            note(connection, workspace_no, self.author, "failed_events.replay", str(len(replayed)))
        return replayed


class ReplayBatch(UploadBatch):
    """Writes what is taken as an upload's is written."""

    def replay(self, workspace_no: int, events: Sequence[Rejudged]) -> list[Replayed]:
        """Those that are still kept, in the order given.

        Read twice: for what to hold, and once that is held, as another server may have replayed them, or
        given them up, while this one waited.
        """
        seen = self._kept(workspace_no, events, hold=False)
        hold_installs(self._connection, {row.install_no for row, _ in seen})
        numbered = [(workspace_no, event.judged) for _, event in seen]
        self._load_ledgers(
            numbered,
            {
                (workspace_no, install.install_id.encode()): row.install_no
                for row, event in seen
                if (install := event.judged.upload.install) is not None
            },
        )
        self._world.load(numbered)
        kept = self._kept(workspace_no, events, hold=True)
        leaving: list[int] = []
        replayed = [self._replay_one(row, event, leaving) for row, event in kept]
        if kept:
            self._failed.delete(workspace_no, failed_events.c.failed_no.in_(leaving))
            self._write()
        return replayed

    def _kept(
        self, workspace_no: int, events: Sequence[Rejudged], *, hold: bool
    ) -> Sequence[tuple[Row[Any], Rejudged]]:
        """Each with its row; a number that was given to another event since names nobody."""
        rows = self._rows(workspace_no, [event.place.failed_no for event in events], hold=hold)
        return [
            (row, event)
            for event in events
            if (row := rows.get(event.place.failed_no)) is not None
            and (row.received_at, row.sequence) == (event.place.received_at_micros, event.place.sequence)
        ]

    def _rows(self, workspace_no: int, failed_nos: Sequence[int], *, hold: bool) -> dict[int, Row[Any]]:
        table = failed_events.c
        query = (
            select(
                table.failed_no,
                table.workspace_no,
                table.install_no,
                table.epoch,
                table.sequence,
                table.received_at,
                table.reason,
                table.settled,
                installs.c.erased_at,
            )
            .outerjoin(installs, installs.c.install_no == table.install_no)
            .where(table.workspace_no == workspace_no, table.failed_no.in_(failed_nos))
            .order_by(table.failed_no)
        )
        if hold:
            query = query.with_for_update(of=failed_events)
        rows: Sequence[Any] = self._connection.execute(query).all()
        return {row.failed_no: row for row in rows}

    def _replay_one(self, row: Row[Any], event: Rejudged, leaving: list[int]) -> Replayed:
        """Adds to `leaving` what is not kept as a failed event any more."""
        install_no = row.install_no or None  # WHOLE_WORKSPACE for what a back end sent.
        install_is_marked = row.erased_at is not None
        view = UploadView(self._world, row.workspace_no, install_no, install_is_marked=install_is_marked)
        decision, outcome = decide_again(event.judged, view)
        (verdict,) = decision.verdicts
        settled = self._move(row, outcome)
        self._keep(row.workspace_no, install_no, event.judged, decision)
        if decision.stored and not settled:
            # Its sequence belongs to another event, so it stands outside its queue's balance.
            self._events[-1] |= {"install_no": None, "epoch": None, "sequence": None}
        if verdict.verdict in _LEAVES or not all(failed.kept for failed in decision.failed):
            leaving.append(row.failed_no)
        elif decision.failed:
            self._say_why(row, decision)
        return Replayed(place=event.place, verdict=verdict)

    def _move(self, row: Row[Any], outcome: Outcome) -> bool:
        """Give the sequence its new outcome; False when the ledger has another event's under it, or none."""
        if row.install_no == WHOLE_WORKSPACE:
            return False
        ledger = self._ledgers[row.workspace_no, row.install_no, row.epoch]
        before = Outcome(OutcomeKind.REJECTED, reason=Reason(row.reason))
        if not (row.settled and _has(ledger, row.sequence, before)):
            return False
        if outcome.kind is not OutcomeKind.OPEN:
            ledger.move(row.sequence, before, outcome)
        return True

    def _say_why(self, row: Row[Any], decision: Decision) -> None:
        (failed,) = decision.failed
        self._connection.execute(
            update(failed_events)
            .where(failed_events.c.failed_no == row.failed_no)
            .values(
                reason=failed.refusal.reason.value,
                field=failed.refusal.field.encode(),
                message=failed.refusal.message,
                name_key=failed.name_key.encode() if failed.name_key is not None else None,
            )
        )


def _has(ledger: Ledger, sequence: int, outcome: Outcome) -> bool:
    found = ledger.outcome_of(sequence)
    return found == outcome or (found == FOLDED and ledger.folded[outcome] > 0)
