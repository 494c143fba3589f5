"""Drops a month of events once every workspace that has events in it keeps none so old (R32).

    nobody writes into the month ─▶ count ─▶ nobody reads events ─▶ tally ─▶ drop ─▶ commit

No row is deleted one by one: they are tallied in their ledgers as expired (R14). Uploads
and readers go on while it is counted, which may take minutes. They wait for what comes
after, which does not; and where somebody reads for longer than they may be kept waiting,
the month stays until another time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from workevo_server.adapters.sql.error_codes import HELD, error_code
from workevo_server.adapters.sql.partitions import Month, bounds, known_months, table_of

LOCK_WAIT_MILLIS = 200  # All that comes to the events meanwhile waits behind it.
LOCK_TRIES = 5  # Of what was counted already; between them those who wait go ahead.
LOCK_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class DroppedMonth:
    events: int = 0
    is_put_off: bool = False
    """It may go, and somebody was using it."""


def drop_aged_month(connection: Connection, kept_from: Mapping[int, int | None]) -> DroppedMonth | None:
    """Drop the oldest month whose events no workspace keeps; None when there is none.

    `kept_from` says for each workspace_no from which receipt on it keeps events, in
    microseconds; None where it keeps all. Runs as the whole store's role.
    """
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT_MILLIS}ms'"))
    for month in sorted(known_months(connection)):
        _, end = bounds(month)
        going = [no for no, start in kept_from.items() if start is not None and start >= end]
        if going and _may_go(connection, month, going):
            return _drop(connection, month, going)
    return None


def _may_go(connection: Connection, month: Month, going: list[int]) -> bool:
    """Whether it holds events of these workspaces alone, if any: one look at an index for each other one."""
    found = connection.execute(text(_MAY_GO.format(table=table_of(month))), {"going": going})
    return bool(found.scalar_one())


def _drop(connection: Connection, month: Month, going: list[int]) -> DroppedMonth:
    """Counted once nothing can be written there; the rows of ledgers come last, as uploads hold them
    after they took hold of the events, so that neither waits for the other."""
    table, (_, end) = table_of(month), bounds(month)
    alone = f"LOCK TABLE ONLY events, ONLY {table} IN ACCESS EXCLUSIVE MODE"
    if not (
        _got(connection, f"LOCK TABLE ONLY {table} IN SHARE MODE")
        and _got(connection, alone, keep=False)  # Not after it was counted for nothing.
        and _may_go(connection, month, going)
    ):
        return DroppedMonth(is_put_off=True)
    connection.execute(text(_COUNT.format(table=table)))
    connection.execute(text("ANALYZE gone"))
    if not _got_at_last(connection, alone):
        return DroppedMonth(is_put_off=True)
    if not _got(connection, _TALLY, _EXPIRED_BEFORE.format(end=end), f"DROP TABLE {table}"):
        return DroppedMonth(is_put_off=True)
    count: int = connection.execute(text("SELECT COALESCE(sum(events), 0)::bigint FROM gone")).scalar_one()
    return DroppedMonth(events=count)


def _got_at_last(connection: Connection, lock: str) -> bool:
    for tries in range(LOCK_TRIES):
        if tries:
            connection.execute(text(f"SELECT pg_sleep({LOCK_PAUSE_SECONDS})"))
        if _got(connection, lock):
            return True
    return False


def _got(connection: Connection, *statements: str, keep: bool = True) -> bool:
    """Whether what these lock could be had, which is kept until the transaction ends unless not to `keep`."""
    savepoint = connection.begin_nested()
    try:
        for statement in statements:
            connection.execute(text(statement))
    except DBAPIError as error:
        savepoint.rollback()
        if error_code(error) != HELD:
            raise
        return False
    if keep:
        savepoint.commit()
    else:
        savepoint.rollback()
    return True


_MAY_GO = """SELECT NOT EXISTS (
    SELECT FROM workspaces AS w
    CROSS JOIN LATERAL (SELECT FROM {table} AS e WHERE e.workspace_no = w.workspace_no LIMIT 1) AS found
    WHERE w.workspace_no <> ALL(:going))"""
_COUNT = """CREATE TEMPORARY TABLE gone ON COMMIT DROP AS
    SELECT workspace_no, install_no, epoch, count(*) AS events FROM {table}
    GROUP BY workspace_no, install_no, epoch"""
_TALLY = """UPDATE ledgers AS l SET expired_count = l.expired_count + gone.events FROM gone
    WHERE (l.workspace_no, l.install_no, l.epoch) = (gone.workspace_no, gone.install_no, gone.epoch)"""
_EXPIRED_BEFORE = """UPDATE workspaces SET expired_before = GREATEST(COALESCE(expired_before, 0), {end})
    WHERE workspace_no IN (SELECT workspace_no FROM gone)"""
