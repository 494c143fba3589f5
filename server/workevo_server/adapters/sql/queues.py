"""The queues of installs, of which anybody with a public key can make any number: all of an install summed up
in the store, and the ledgers of some of them, in one statement, so that both are of one moment."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, RowMapping, case, column, func, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql import ledger_document
from workevo_server.adapters.sql.install_rows import SUMMED, install_of, summed_balance
from workevo_server.adapters.sql.schema import ledgers
from workevo_server.domain.ledger import Balance, Ledger
from workevo_server.ports.delivery import Gone, InstallRecord, QueuePlace

PLACE = column("place", Integer)
"""For conditions of `read_queues`: 1 is the install's newest queue."""
_table = ledgers.c


@dataclass(slots=True)
class Queues:
    """Of one install."""

    totals: Balance = field(default_factory=Balance)
    """Of all; without the reasons, which no column has."""
    count: int = 0
    rows: list[RowMapping] = field(default_factory=list)
    """Those that were asked for, newest first."""


async def read_queues(
    connection: AsyncConnection,
    rows: Sequence[Row[Any]],
    condition: ColumnElement[bool],
    *,
    count_max: int,
    document_characters_max: int | None = None,
) -> dict[int, Queues]:
    """By the `install_no` of rows of `installs`. Longer documents than `document_characters_max` are None."""
    found = {row.install_no: Queues() for row in rows}
    if not found:
        return found
    document: ColumnElement[Any] = _table.document
    if document_characters_max is not None:
        document = case((func.length(document) <= document_characters_max, document), else_=null())
    ranked = _ranked(rows[0].workspace_no, found)
    query = (
        select(ranked, _table.erased_count, _table.expired_count, document.label("document"))
        .join(
            ledgers,
            (_table.workspace_no == rows[0].workspace_no)
            & (_table.install_no == ranked.c.install_no)
            & (_table.epoch == ranked.c.epoch),
        )
        .where(condition)
        .order_by(ranked.c.install_no, PLACE)
        .limit(count_max)
    )
    for row in (await connection.execute(query)).mappings():
        queues = found[row["install_no"]]
        if not queues.rows:
            queues.totals, queues.count = summed_balance(row), row["queue_count"]
        queues.rows.append(row)
    return found


def _ranked(workspace_no: int, install_nos: Collection[int]) -> Any:
    install, newest_first = _table.install_no, (_table.started_at.desc(), _table.epoch.desc())
    return (
        select(
            _table.install_no,
            _table.epoch,
            _table.started_at,
            func.row_number().over(partition_by=install, order_by=newest_first).label(PLACE.name),
            func.count().over(partition_by=install).label("queue_count"),
            *(each.over(partition_by=install).label(name) for name, each in SUMMED.items()),
        )
        .where(_table.workspace_no == workspace_no, _table.install_no.in_(list(install_nos)))
        .subquery("ranked")
    )


def fitting(rows: Sequence[RowMapping], count_max: int, characters_max: int) -> Sequence[RowMapping]:
    """As many as are worth one answer: documents differ a thousandfold in length. One at least."""
    characters = 0
    for place, row in enumerate(rows[:count_max]):
        characters += len(row["document"])
        if place and characters > characters_max:
            return rows[:place]
    return rows[:count_max]


def install_record(row: Row[Any], queues: Queues, shown: Sequence[RowMapping]) -> InstallRecord:
    """A row of `installs` with some of its queues, given newest first."""
    read, older = list(_read(shown)), None
    if len(shown) < len(queues.rows):
        older = QueuePlace(started_at_micros=shown[-1]["started_at"], epoch=shown[-1]["epoch"])
    return InstallRecord(
        install_no=row.install_no,
        install=install_of(row),
        first_seen_micros=row.first_seen,
        last_seen_micros=row.last_seen,
        ledgers=[(epoch, ledger) for epoch, ledger, _ in reversed(read)],
        gone={epoch: gone for epoch, _, gone in read},
        totals=queues.totals,
        queue_count=queues.count,
        older=older,
    )


def _read(rows: Sequence[RowMapping]) -> Iterator[tuple[bytes, Ledger, Gone]]:
    for row in rows:
        if row["document"] is not None:
            gone = Gone(erased=row["erased_count"], expired=row["expired_count"])
            yield row["epoch"], ledger_document.decode(row["document"]), gone
