"""Which sequences of a person's devices lie around a time: between what it did before, and what after."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.known_world import chunks
from workevo_server.adapters.sql.person import Person
from workevo_server.adapters.sql.queues import install_record, read_queues
from workevo_server.adapters.sql.schema import events, installs, ledgers
from workevo_server.adapters.sql.timeline import UNION_MAX
from workevo_server.domain import limits
from workevo_server.ports.delivery import Gone, InstallRecord
from workevo_server.ports.whereabouts import QueueStretch

NEIGHBOURS_MAX = 50  # Events of the person on each side: enough to meet each device in use.
_table = events.c
_COLUMNS = (_table.install_no, _table.epoch, _table.sequence, _table.received_at, _table.occurred_at)
_Queue = tuple[int, bytes]


@dataclass(slots=True)
class _Bounds:
    after: int = 0
    """The last sequence of before the time."""
    before: int | None = None
    """The first one of after it, and when that was received."""
    received_at: int | None = None


@dataclass(slots=True)
class _Queues:
    bounds: dict[_Queue, _Bounds] = field(default_factory=dict)

    def of(self, row: Row[Any]) -> _Bounds:
        return self.bounds.setdefault((row.install_no, row.epoch), _Bounds())


async def read_stretches(
    connection: AsyncConnection, person: Person, since: int, until: int
) -> Sequence[QueueStretch]:
    """Of the installs that the person used nearest to the time, at most `limits.FOUND_INSTALLS_MAX`."""
    queues = _Queues()
    for row in await _neighbours(connection, person, _table.occurred_at < since, newest_first=True):
        bounds = queues.of(row)
        bounds.after = max(bounds.after, row.sequence)
    for row in await _neighbours(connection, person, _table.occurred_at > until, newest_first=False):
        bounds = queues.of(row)
        if row.sequence > bounds.after and (bounds.before is None or row.sequence < bounds.before):
            bounds.before, bounds.received_at = row.sequence, row.received_at
    between = _table.occurred_at.between(since, until)
    for row in await _neighbours(connection, person, between, newest_first=True):
        queues.of(row)
    records = await _installs(connection, queues.bounds)
    return [
        await _stretch(connection, records[install_no], epoch, bounds)
        for (install_no, epoch), bounds in queues.bounds.items()
        if install_no in records and epoch in dict(records[install_no].ledgers)
    ]


async def _neighbours(
    connection: AsyncConnection, person: Person, span: ColumnElement[bool], *, newest_first: bool
) -> Sequence[Row[Any]]:
    """Each contact from its own place in the index of the timeline."""
    order = _table.occurred_at.desc() if newest_first else _table.occurred_at
    found: list[Any] = []
    for chunk in chunks(person.with_events, UNION_MAX):
        pages = [
            select(
                select(*_COLUMNS)
                .where(_table.workspace_no == person.workspace_no, _table.contact_no == contact_no, span)
                .order_by(order)
                .limit(NEIGHBOURS_MAX)
                .subquery()
            )
            for contact_no in chunk
        ]
        found.extend(row for row in await connection.execute(union_all(*pages)) if row.install_no is not None)
    return sorted(found, key=lambda row: row.occurred_at, reverse=newest_first)[:NEIGHBOURS_MAX]


async def _installs(connection: AsyncConnection, wanted: Collection[_Queue]) -> dict[int, InstallRecord]:
    """With the ledgers of the queues that are wanted of each."""
    rows = (
        await connection.execute(
            select(installs)
            .where(installs.c.install_no.in_({install_no for install_no, _ in wanted}))
            .order_by(installs.c.last_seen.desc())
            .limit(limits.FOUND_INSTALLS_MAX)
        )
    ).all()
    which = tuple_(ledgers.c.install_no, ledgers.c.epoch).in_(list(wanted))
    found = await read_queues(connection, rows, which, count_max=len(wanted))
    return {
        row.install_no: install_record(row, found[row.install_no], found[row.install_no].rows) for row in rows
    }


async def _stretch(
    connection: AsyncConnection, install: InstallRecord, epoch: bytes, bounds: _Bounds
) -> QueueStretch:
    ledger = dict(install.ledgers)[epoch]
    last = bounds.before - 1 if bounds.before is not None else ledger.generated
    first = max(bounds.after + 1, last - limits.STRETCH_SEQUENCES_MAX + 1)
    present = await connection.execute(
        select(_table.sequence).where(
            _table.install_no == install.install_no,
            _table.epoch == epoch,
            _table.sequence.between(first, last),
        )
    )
    return QueueStretch(
        install=install,
        epoch=epoch,
        ledger=ledger,
        gone=install.gone.get(epoch, Gone()),
        first_sequence=first,
        last_sequence=last,
        present=frozenset(present.scalars()),
        later_received_at_micros=bounds.received_at,
    )
