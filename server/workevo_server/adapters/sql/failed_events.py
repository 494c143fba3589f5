"""REJECTED events kept whole, within R13's caps; beyond them only counted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from workevo_server.adapters.sql import statements
from workevo_server.adapters.sql.counted_deletes import delete_counted
from workevo_server.adapters.sql.known_world import external_id, id_kind
from workevo_server.adapters.sql.schema import failed_events
from workevo_server.domain import limits
from workevo_server.domain.admission import FailedEvent
from workevo_server.domain.events import Upload

WHOLE_WORKSPACE = 0
"""The install_no under which a workspace's usage as a whole stands, and what its back ends sent."""

ROW_OVERHEAD_BYTES = 128  # What a row costs beside its event; a flood of empty events must count too.


@dataclass(slots=True)
class _Usage:
    kept_bytes: int = 0
    kept_count: int = 0
    unkept_count: int = 0


class FailedEventsWriter:
    """Gathers the failed events that one transaction adds and deletes, and writes their usage."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[dict[str, Any]] = []
        self._usage: dict[tuple[int, int], _Usage] = {}
        self._gone: list[tuple[int, int, int, int]] = []
        """workspace_no, install_no, how many, and their bytes."""

    def add(
        self,
        workspace_no: int,
        install_no: int | None,
        upload: Upload,
        failed: Sequence[FailedEvent],
        *,
        bytes_max: int,
    ) -> None:
        if not failed:
            return
        usages = self._usages(workspace_no, install_no)
        for event in failed:
            size = len(event.received.raw) + ROW_OVERHEAD_BYTES
            is_kept = event.kept and _fits(usages, size, bytes_max)
            for usage in usages:
                usage.kept_bytes += size * is_kept
                usage.kept_count += is_kept
                usage.unkept_count += not is_kept
            if is_kept:
                self._rows.append(_row(workspace_no, install_no or WHOLE_WORKSPACE, upload, event))

    def kept(self, workspace_no: int, install_no: int | None, epoch: bytes, sequence: int) -> Sequence[bytes]:
        """The events kept under one sequence, as sent: those of before and those gathered here.

        Asked for only where a good event comes under a sequence that was refused.
        """
        place = {
            "workspace_no": workspace_no,
            "install_no": install_no,
            "epoch": epoch,
            "sequence": sequence,
        }
        stored = self._connection.execute(statements.FAILED_EVENTS_OF_SEQUENCE, place).scalars()
        return [*stored, *(row["event"] for row in self._rows if place.items() <= row.items())]

    def _usages(self, workspace_no: int, install_no: int | None) -> list[_Usage]:
        """Of the workspace, and of the install where there is one."""
        nos = {WHOLE_WORKSPACE: None, install_no or WHOLE_WORKSPACE: None}
        return [self._used(workspace_no, no) for no in nos]

    def _used(self, workspace_no: int, install_no: int) -> _Usage:
        key = workspace_no, install_no
        if key not in self._usage:
            place = {"workspace_no": workspace_no, "install_no": install_no}
            self._connection.execute(statements.START_FAILED_EVENT_USAGE, place)
            row = self._connection.execute(statements.FAILED_EVENT_USAGE, place).one()
            self._usage[key] = _Usage(*row)
        return self._usage[key]

    def delete(self, workspace_no: int, condition: ColumnElement[bool]) -> Counter[int]:
        """Delete those of a workspace, by number; how many this transaction deleted of each install_no.

        They take no more room from `write` on. What another server deleted meanwhile gave its room back
        there.
        """
        table = failed_events.c
        held = (
            select(table.failed_no)
            .where(table.workspace_no == workspace_no, condition)
            .order_by(table.failed_no)
            .with_for_update()
            .cte("held")
        )
        gone = delete_counted(
            self._connection,
            failed_events,
            table.failed_no.in_(select(held.c.failed_no)),
            table.install_no,
            size=func.length(table.event) + ROW_OVERHEAD_BYTES,
        )
        self._gone += [(workspace_no, install_no, count, size) for install_no, count, size in gone]
        return Counter({install_no: count for install_no, count, _ in gone})

    def _give_back(self) -> None:
        """Room for the next ones."""
        for workspace_no, install_no, count, size in sorted(self._gone):
            for usage in self._usages(workspace_no, install_no):
                usage.kept_bytes -= size
                usage.kept_count -= count

    def write(self) -> None:
        self._give_back()
        if self._rows:
            self._connection.execute(statements.NEW_FAILED_EVENT, self._rows)
        if not self._usage:
            return
        self._connection.execute(
            statements.KEEP_FAILED_EVENT_USAGE,
            [
                {
                    "workspace_no": workspace_no,
                    "install_no": install_no,
                    "kept_bytes": usage.kept_bytes,
                    "kept_count": usage.kept_count,
                    "unkept_count": usage.unkept_count,
                }
                for (workspace_no, install_no), usage in self._usage.items()
            ],
        )


def _fits(usages: Sequence[_Usage], size: int, bytes_max: int) -> bool:
    whole, *install = usages
    share = bytes_max * limits.FAILED_EVENTS_INSTALL_SHARE
    return whole.kept_bytes + size <= bytes_max and all(each.kept_bytes + size <= share for each in install)


def _row(workspace_no: int, install_no: int, upload: Upload, event: FailedEvent) -> dict[str, Any]:
    clock, install = upload.send_clock, upload.install
    return {
        "workspace_no": workspace_no,
        "install_no": install_no,
        "epoch": install.epoch if install is not None else b"",
        "sequence": event.received.sequence if install is not None else 0,
        "reason": event.refusal.reason.value,
        "field": event.refusal.field.encode(),
        "message": event.refusal.message,
        "received_at": upload.received_at_micros,
        "send_wall": clock.wall_micros,
        "send_uptime_millis": clock.uptime_millis,
        "send_boot_id": clock.boot_id.encode() if clock.boot_id is not None else None,
        "event": event.received.raw,
        "id_kind": id_kind(event.claim) if event.claim is not None else None,
        "external_id": external_id(event.claim) if event.claim is not None else None,
        "verified": event.verified,
        "name_key": event.name_key.encode() if event.name_key is not None else None,
        "settled": event.settled,
    }
