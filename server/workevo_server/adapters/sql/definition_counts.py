"""What uploads count of definitions on PostgreSQL, added up aside (R6, R23, R24).

An upload adds rows of its own to `definition_counts`, so that no two wait for the row of
a name that both hold; every few seconds they are rolled up into the definitions. Whoever
reads a definition adds what is not rolled up yet, in one statement, so that it counts
nothing twice.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, cast, false, func, literal, or_, select, text

from workevo_server.adapters.sql import statements
from workevo_server.adapters.sql.schema import definition_counts, event_definitions
from workevo_server.adapters.sql.types import Whole, greatest, least
from workevo_server.domain.limits import SEQUENCE_MAX

ROWS_MAX = 20_000  # Of one roll-up: some tens of milliseconds.
_ROLL_UP_LOCK = 0x57_45_52_55

_COUNTS, _SIGHTS = statements.DEFINITION_COUNTS, statements.DEFINITION_SIGHTS


def definitions_query(*, is_shared: bool) -> tuple[Select[Any], Mapping[str, ColumnElement[Any]]]:
    """All definitions up to date, and their columns by name for narrowing it."""
    plain = {column.name: column for column in event_definitions.c}
    if not is_shared:
        return select(event_definitions), plain
    counted = definition_counts.c
    sums = (
        select(
            *(cast(func.sum(counted[name]), Whole).label(name) for name in _COUNTS),
            *(func.bool_or(counted[name]).label(name) for name in _SIGHTS),
            func.max(counted.last_received_at).label("last_received_at"),
        )
        .where(
            counted.workspace_no == event_definitions.c.workspace_no,
            counted.definition_no == event_definitions.c.definition_no,
        )
        .lateral("counted")
    )
    columns: dict[str, ColumnElement[Any]] = dict(plain)
    for name in _COUNTS:
        columns[name] = least(plain[name] + func.coalesce(sums.c[name], 0), SEQUENCE_MAX)
    for name in _SIGHTS:
        columns[name] = or_(plain[name], func.coalesce(sums.c[name], false()))
    columns["last_received_at"] = greatest(
        plain["last_received_at"], func.coalesce(sums.c.last_received_at, 0)
    )
    query = select(*(column.label(name) for name, column in columns.items())).select_from(
        event_definitions.outerjoin(sums, literal(True))  # noqa: FBT003 - ON TRUE.
    )
    return query, columns


def roll_up_counts(connection: Connection) -> None:
    """As the whole store's role; does nothing while another process does it."""
    if connection.execute(select(func.pg_try_advisory_xact_lock(_ROLL_UP_LOCK))).scalar_one():
        connection.execute(text(_ROLL_UP))


_ROLL_UP = f"""WITH gone AS (
    DELETE FROM definition_counts WHERE count_no IN (
        SELECT count_no FROM definition_counts ORDER BY count_no LIMIT {ROWS_MAX}
    ) RETURNING *
), sums AS (
    SELECT definition_no, max(last_received_at) AS last_received_at,
        {", ".join(f"sum({name}) AS {name}" for name in _COUNTS)},
        {", ".join(f"bool_or({name}) AS {name}" for name in _SIGHTS)}
    FROM gone GROUP BY definition_no
)
UPDATE event_definitions AS d SET
    {", ".join(f"{name} = LEAST(d.{name} + s.{name}, {SEQUENCE_MAX})" for name in _COUNTS)},
    {", ".join(f"{name} = d.{name} OR s.{name}" for name in _SIGHTS)},
    last_received_at = GREATEST(d.last_received_at, s.last_received_at)
FROM sums AS s WHERE d.definition_no = s.definition_no"""  # noqa: S608 - constants alone.
