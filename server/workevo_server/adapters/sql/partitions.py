"""The events of PostgreSQL lie in partitions of a month of receipt, made ahead of need.

How old ones go is said in aged_months.py.
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from workevo_server.adapters.sql.tenant_wall import build_wall

_SECOND_MICROS = 1_000_000
MONTHS_AHEAD = 3

Month = tuple[int, int]
"""Year and month, UTC."""


def month_of(micros: int) -> Month:
    moment = datetime.fromtimestamp(micros // _SECOND_MICROS, UTC)
    return moment.year, moment.month


def months_ahead(now_micros: int) -> list[Month]:
    """The month that is, and those that come next."""
    year, month = month_of(now_micros)
    first = year * 12 + month - 1
    return [(at // 12, at % 12 + 1) for at in range(first, first + MONTHS_AHEAD + 1)]


def known_months(connection: Connection) -> Iterator[Month]:
    for (name,) in connection.execute(
        text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass")
    ):
        _, year, month = name.strip('"').rsplit("_", 2)
        yield int(year), int(month)


def add_months(connection: Connection, months: Collection[Month]) -> None:
    """Make those that are missing, and let servers in. The caller holds the schema's lock."""
    if make_months(connection, months):
        build_wall(connection)


def make_months(connection: Connection, months: Collection[Month]) -> bool:
    """Made apart and then attached, as that stops no upload meanwhile. Whether any was missing."""
    missing = set(months) - set(known_months(connection))
    for month in sorted(missing):
        table, (start, end) = table_of(month), bounds(month)
        connection.execute(
            text(f"CREATE TABLE {table} (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        )
        connection.execute(
            text(f"ALTER TABLE events ATTACH PARTITION {table} FOR VALUES FROM ({start}) TO ({end})")
        )
    return bool(missing)


def table_of(month: Month) -> str:
    return f"events_{month[0]:04}_{month[1]:02}"


def bounds(month: Month) -> tuple[int, int]:
    """Microseconds: the first of the month, and the first of the next."""
    year, number = month
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    first, last = (int(datetime(*each, 1, tzinfo=UTC).timestamp()) for each in (month, following))
    return first * _SECOND_MICROS, last * _SECOND_MICROS


def analyze_young_months(connection: Connection) -> None:
    """Let the planner know a month that has begun, before PostgreSQL does so by itself a minute later.

    Of a table that it knows nothing of it takes any index for as good as another, and an upload of a person
    with many events then reads all of them.
    """
    for (table,) in connection.execute(text(_YOUNG), {"bytes": _YOUNG_BYTES_MIN}).all():
        connection.execute(text(f"ANALYZE {table}"))


_YOUNG_BYTES_MIN = 128 * 1024  # Some hundred events: enough to tell what repeats from what does not.
_YOUNG = """SELECT c.oid::regclass::text FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid
    WHERE inhparent = 'events'::regclass AND c.reltuples < 0
    AND pg_relation_size(c.oid) >= :bytes"""
