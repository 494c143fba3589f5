"""What is stored and kept of one sequence in queues of an install, by statements whose number does not
grow with the queues."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.failed_event_store import failed_record, failed_rows
from workevo_server.adapters.sql.located_events import located, of_keys
from workevo_server.adapters.sql.schema import events, failed_events
from workevo_server.adapters.sql.timeline import EVENT_KEY
from workevo_server.domain import limits
from workevo_server.domain.ledger import Ledger
from workevo_server.domain.whereabouts import earlier_settled, later_settled
from workevo_server.ports.delivery import Gone, InstallRecord
from workevo_server.ports.failed_events import FailedRecord
from workevo_server.ports.whereabouts import LocatedEvent, QueueRecord

NEIGHBOURS_LOOKED_AT = 20  # Sequences on each side that may be stored.
_table = events.c


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Sequences of a queue of which the first that is stored is looked for."""

    epoch: bytes
    itself: Sequence[int]
    before: Sequence[int]
    after: Sequence[int]

    @classmethod
    def of(cls, epoch: bytes, ledger: Ledger, sequence: int) -> "_Wanted":
        return cls(
            epoch=epoch,
            itself=[sequence],
            before=earlier_settled(ledger, sequence, NEIGHBOURS_LOOKED_AT),
            after=later_settled(ledger, sequence, NEIGHBOURS_LOOKED_AT),
        )


async def read_sequence(
    connection: AsyncConnection, workspace_no: int, install: InstallRecord, sequence: int
) -> Sequence[QueueRecord]:
    """Of each queue whose ledger the record has. It was read before: what came since is among the events."""
    wanted = [_Wanted.of(epoch, ledger, sequence) for epoch, ledger in install.ledgers]
    if not wanted:
        return []
    stored = await _stored(connection, workspace_no, install.install_no, wanted)
    failed = await _failed(connection, workspace_no, install, sequence)
    return [
        QueueRecord(
            install=install,
            epoch=epoch,
            ledger=ledger,
            gone=install.gone.get(epoch, Gone()),
            event=_first(stored, epoch, each.itself),
            failed=failed[epoch],
            before=_first(stored, epoch, each.before),
            after=_first(stored, epoch, each.after),
        )
        for (epoch, ledger), each in zip(install.ledgers, wanted, strict=True)
    ]


_Stored = dict[tuple[bytes, int], LocatedEvent]


def _first(stored: _Stored, epoch: bytes, sequences: Sequence[int]) -> LocatedEvent | None:
    return next((stored[epoch, each] for each in sequences if (epoch, each) in stored), None)


async def _stored(
    connection: AsyncConnection, workspace_no: int, install_no: int, wanted: Sequence[_Wanted]
) -> _Stored:
    """Those that are shown alone: for each person the store is asked again."""
    found = union_all(*(_keys(workspace_no, install_no, each) for each in wanted)).subquery()
    rows = {(row.epoch, row.sequence): row for row in await connection.execute(of_keys(found))}
    nearest: dict[tuple[bytes, int], Row[Any]] = {}
    for each in wanted:
        for sequences in (each.itself, each.before, each.after):
            places = ((each.epoch, sequence) for sequence in sequences)
            place = next((place for place in places if place in rows), None)
            if place is not None:
                nearest[place] = rows[place]
    return {
        (one.event.epoch, one.event.sequence): one
        for one in await located(connection, list(nearest.values()))
    }


def _keys(workspace_no: int, install_no: int, wanted: _Wanted) -> Select[Any]:
    return select(*EVENT_KEY).where(
        # Plus nothing, so that not all of the workspace are gone through for several sequences.
        _table.workspace_no + 0 == workspace_no,
        _table.install_no == install_no,
        _table.epoch == wanted.epoch,
        _table.sequence.in_([*wanted.itself, *wanted.before, *wanted.after]),
    )


async def _failed(
    connection: AsyncConnection, workspace_no: int, install: InstallRecord, sequence: int
) -> dict[bytes, list[FailedRecord]]:
    """By epoch. The one that settled the sequence comes first, whatever was kept besides."""
    table = failed_events.c
    found: dict[bytes, list[FailedRecord]] = defaultdict(list)
    rows = await connection.execute(
        failed_rows()
        .where(
            table.workspace_no == workspace_no,
            table.install_no == install.install_no,
            table.epoch.in_([epoch for epoch, _ in install.ledgers]),
            table.sequence == sequence,
        )
        .order_by(table.settled.desc(), table.failed_no)
        .limit(limits.FOUND_QUEUES_MAX + limits.FOUND_EVENTS_MAX)
    )
    for row in rows:
        found[row.epoch].append(failed_record(row))
    return found
