"""Whether a store adds up: what SQLite says of the file, and what our own counts say of each other.

Reads one snapshot and changes nothing, so that it may run beside a server. A summary
counts what expired too (decisions/0005-retention.md), and a volume what was deleted too,
so where events may have gone they may say more than there is, and never less.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import URL, Connection, func, select, text

from workevo_server.adapters.sql import ledger_document, metadata_document
from workevo_server.adapters.sql.failed_events import ROW_OVERHEAD_BYTES, WHOLE_WORKSPACE
from workevo_server.adapters.sql.migrate import StoreRefused
from workevo_server.adapters.sql.postgres_address import engine
from workevo_server.adapters.sql.schema import contact_words, contacts, events, ledgers
from workevo_server.adapters.sql.sqlite_database import looking_engine
from workevo_server.domain import limits
from workevo_server.domain.words import words_of_contact

CONNECT_SECONDS_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    events: int
    problems: tuple[str, ...]
    """A sentence each; empty when the store is sound."""


def inspect(where: Path | URL) -> Report:
    """Read the whole store once; takes some seconds a million events. Raises StoreRefused."""
    return asyncio.run(_inspect_server(where)) if isinstance(where, URL) else _inspect_file(where)


def _inspect_file(path: Path) -> Report:
    file = looking_engine(path)
    try:
        with file.connect() as connection:
            connection.exec_driver_sql("BEGIN")  # Else each query would see a state of its own.
            return _read(connection)
    finally:
        file.dispose()


async def _inspect_server(url: URL) -> Report:
    from workevo_server.adapters.sql.postgres_database import UNREACHABLE, why_unusable  # In an extra.

    pool = engine(
        url,
        settings={"application_name": "workevo check"},
        deadlines={"timeout": CONNECT_SECONDS_MAX},
        isolation_level="REPEATABLE READ",
    )
    try:
        async with pool.connect() as connection:
            return await connection.run_sync(_read)
    except UNREACHABLE as error:
        raise StoreRefused(why_unusable(error)) from None
    finally:
        await pool.dispose()


def _read(connection: Connection) -> Report:
    found = [
        *_damage(connection),
        *_miscounts(connection),
        *_ledger_miscounts(connection),
        *_misspelled(connection),
    ]
    count = connection.execute(select(func.count()).select_from(events)).scalar_one()
    return Report(events=count, problems=tuple(found))


def _damage(connection: Connection) -> Iterator[str]:
    if connection.dialect.name != "sqlite":
        return  # PostgreSQL checks each page as it reads it, and has amcheck for more.
    for (line,) in connection.execute(text("PRAGMA integrity_check")):
        if line != "ok":
            yield f"SQLite finds the file damaged: {line}."


_BY_CONTACT = """SELECT workspace_no, contact_no, definition_no, count(*) AS event_count,
    min(occurred_at) AS first_occurred_at, max(occurred_at) AS last_occurred_at
    FROM events GROUP BY workspace_no, contact_no, definition_no"""

_DAY_SECONDS = 86_400
_DAY_MICROS, _HOUR_MICROS = _DAY_SECONDS * 1_000_000, 3_600_000_000
_IN_TIME_MICROS = limits.HOURS_COUNTED_FOR // timedelta(microseconds=1)
_STORED_BY_DAY = f"""SELECT workspace_no, definition_no, count(*) AS stored,
    (occurred_at - (occurred_at % {_DAY_MICROS} + {_DAY_MICROS}) % {_DAY_MICROS}) / 1000000 AS starts_at
    FROM events GROUP BY 1, 2, 4"""  # noqa: S608 - constants alone.
_COUNTED_BY_DAY = """SELECT workspace_no, definition_no, starts_at, sum(event_count) AS counted
    FROM event_volumes WHERE dimension = 'lateness' GROUP BY 1, 2, 3"""
_STORED_BY_HOUR = f"""SELECT workspace_no, definition_no, count(*) AS stored,
    (occurred_at - (occurred_at % {_HOUR_MICROS} + {_HOUR_MICROS}) % {_HOUR_MICROS}) / 1000000 AS starts_at
    FROM events WHERE received_at - occurred_at <= {_IN_TIME_MICROS} GROUP BY 1, 2, 4"""  # noqa: S608 - as above.
_COUNTED_BY_HOUR = """SELECT workspace_no, definition_no, starts_at, sum(event_count) AS counted
    FROM event_volumes WHERE dimension = 'hour' GROUP BY 1, 2, 3"""
_WHERE_ALL_IS_THERE = """JOIN workspaces AS w USING (workspace_no)
    LEFT JOIN (SELECT workspace_no, count(*) AS erased FROM erased_ids GROUP BY 1) AS g USING (workspace_no)
    WHERE w.expired_before IS NULL AND g.erased IS NULL"""

_LESS_BYTES = f"-length(event) - {ROW_OVERHEAD_BYTES}"

# NOT EXISTS and not NOT IN: PostgreSQL reads the whole list for each event where it is too long to hash.
_COUNTS = {
    "summaries that differ from their events": f"""SELECT count(*) FROM ({_BY_CONTACT}) AS e
        LEFT JOIN summaries AS s USING (workspace_no, contact_no, definition_no)
        LEFT JOIN workspaces AS w USING (workspace_no)
        WHERE s.event_count IS NULL OR (w.expired_before IS NULL
        AND (s.event_count <> e.event_count OR s.first_occurred_at <> e.first_occurred_at
            OR s.last_occurred_at <> e.last_occurred_at))
        OR s.event_count < e.event_count OR s.first_occurred_at > e.first_occurred_at
        OR s.last_occurred_at < e.last_occurred_at""",  # noqa: S608 - constants alone.
    "summaries without events": f"""SELECT count(*) FROM summaries
        LEFT JOIN ({_BY_CONTACT}) AS e USING (workspace_no, contact_no, definition_no)
        JOIN workspaces AS w USING (workspace_no)
        WHERE e.event_count IS NULL AND w.expired_before IS NULL""",  # noqa: S608 - constants alone.
    "days of a name with more events than they count": f"""SELECT count(*) FROM ({_STORED_BY_DAY}) AS e
        LEFT JOIN ({_COUNTED_BY_DAY}) AS v USING (workspace_no, definition_no, starts_at)
        WHERE v.counted IS NULL OR v.counted < e.stored""",  # noqa: S608 - constants alone.
    "days of a name that count more events than there are": f"""SELECT count(*) FROM ({_COUNTED_BY_DAY}) AS v
        LEFT JOIN ({_STORED_BY_DAY}) AS e USING (workspace_no, definition_no, starts_at)
        {_WHERE_ALL_IS_THERE} AND (e.stored IS NULL OR e.stored < v.counted)""",  # noqa: S608 - constants alone.
    "days of a name that count differently by platform, version and lateness": """SELECT count(*)
        FROM (SELECT sum(CASE WHEN dimension = 'lateness' THEN event_count ELSE 0 END) AS late,
            sum(CASE WHEN dimension = 'platform' THEN event_count ELSE 0 END) AS platforms,
            sum(CASE WHEN dimension = 'app_version' THEN event_count ELSE 0 END) AS versions
            FROM event_volumes WHERE dimension <> 'hour'
            GROUP BY workspace_no, definition_no, starts_at) AS v
        WHERE late <> platforms OR late <> versions""",
    "hours of a name with more events than they count": f"""SELECT count(*) FROM ({_STORED_BY_HOUR}) AS e
        LEFT JOIN ({_COUNTED_BY_HOUR}) AS v USING (workspace_no, definition_no, starts_at)
        WHERE v.counted IS NULL OR v.counted < e.stored""",  # noqa: S608 - constants alone.
    "hours of a name that count more events than there are": f"""SELECT count(*)
        FROM ({_COUNTED_BY_HOUR}) AS v
        LEFT JOIN ({_STORED_BY_HOUR}) AS e USING (workspace_no, definition_no, starts_at)
        {_WHERE_ALL_IS_THERE} AND (e.stored IS NULL OR e.stored < v.counted)""",  # noqa: S608 - constants alone.
    "days of a name whose hours count more than the day": f"""SELECT count(*)
        FROM (SELECT sum(CASE WHEN dimension = 'hour' THEN event_count ELSE 0 END) AS hours,
            sum(CASE WHEN dimension = 'lateness' THEN event_count ELSE 0 END) AS late
            FROM event_volumes GROUP BY workspace_no, definition_no,
            starts_at - (starts_at % {_DAY_SECONDS} + {_DAY_SECONDS}) % {_DAY_SECONDS}) AS v
        WHERE hours > late""",  # noqa: S608 - constants alone.
    "sequences stored more than once": """SELECT count(*) FROM (SELECT 1 FROM events
        WHERE install_no IS NOT NULL GROUP BY install_no, epoch, sequence HAVING count(*) > 1) AS doubles""",
    "events of no contact": """SELECT count(*) FROM events AS e
        WHERE NOT EXISTS (SELECT 1 FROM contacts AS c WHERE c.contact_no = e.contact_no)""",
    "told counts of no contact": """SELECT count(*) FROM told_counts AS t
        WHERE NOT EXISTS (SELECT 1 FROM contacts AS c WHERE c.contact_no = t.contact_no)""",
    "told counts of no name": """SELECT count(*) FROM told_counts AS t
        WHERE NOT EXISTS (SELECT 1 FROM event_definitions AS d WHERE d.definition_no = t.definition_no)""",
    "told counts that nobody can have told": """SELECT count(*) FROM told_counts
        WHERE event_count < 1 OR first_occurred_at > last_occurred_at""",
    "counts of failed events that differ from those that are kept": f"""SELECT count(*)
        FROM (SELECT sum(kept_count) AS more, sum(kept_bytes) AS more_bytes FROM (
            SELECT workspace_no, install_no, kept_count, kept_bytes FROM failed_event_usage
            UNION ALL SELECT workspace_no, {WHOLE_WORKSPACE}, -1, {_LESS_BYTES} FROM failed_events
            UNION ALL SELECT workspace_no, install_no, -1, {_LESS_BYTES} FROM failed_events
                WHERE install_no <> {WHOLE_WORKSPACE}) AS kept
        GROUP BY workspace_no, install_no) AS used WHERE more <> 0 OR more_bytes <> 0""",  # noqa: S608
    "events of no name": """SELECT count(*) FROM events AS e
        WHERE NOT EXISTS (SELECT 1 FROM event_definitions AS d WHERE d.definition_no = e.definition_no)""",
}


def _miscounts(connection: Connection) -> Iterator[str]:
    for what, query in _COUNTS.items():
        count = connection.execute(text(query)).scalar_one()
        if count:
            yield f"{count} {what}."


def _ledger_miscounts(connection: Connection) -> Iterator[str]:
    """R14: what a ledger calls stored is there, or went with a deleted contact, or by age."""
    key = (events.c.install_no, events.c.epoch)
    present = {
        (install_no, epoch): count
        for install_no, epoch, count in connection.execute(select(*key, func.count()).group_by(*key))
    }
    wrong = miscounted = 0
    for row in connection.execute(select(ledgers)):
        ledger = ledger_document.decode(row.document)
        stored = ledger.balance().stored
        there = present.get((row.install_no, row.epoch), 0)
        wrong += stored != there + row.erased_count + row.expired_count
        totals = ledger_document.totals(ledger)
        miscounted += totals != {name: getattr(row, name) for name in totals}
    if wrong:
        yield f"{wrong} ledgers whose stored count differs from the events of their queue."
    if miscounted:
        yield f"{miscounted} ledgers whose totals differ from their document."


def _misspelled(connection: Connection) -> Iterator[str]:
    """By what words people are found, and what they are called."""
    spelled: dict[int, set[bytes]] = defaultdict(set)
    for contact_no, word in connection.execute(select(contact_words.c.contact_no, contact_words.c.word)):
        spelled[contact_no].add(word)
    wrong = 0
    for contact_no, attributes in connection.execute(
        select(contacts.c.contact_no, contacts.c.attributes).where(contacts.c.attributes != "{}")
    ):
        wrong += set(words_of_contact(metadata_document.decode(attributes))) != spelled.pop(contact_no, set())
    if wrong + len(spelled):
        yield f"{wrong + len(spelled)} contacts that are not found by the words of their name."
