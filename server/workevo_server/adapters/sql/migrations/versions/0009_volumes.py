"""How much of each event there was, counted from what is stored; and an index for the latest of a name."""

import json
from collections import Counter
from typing import Any

import sqlalchemy as sa
from alembic import op

from workevo_server.adapters.sql.types import Whole
from workevo_server.domain import limits

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_KEY = ("workspace_no", "definition_no", "dimension", "starts_at", "value", "part")
_BATCH_ROWS = 1000
_DAY = "occurred_at / 1000000 - (occurred_at / 1000000) % 86400"
_HOUR = "occurred_at / 1000000 - (occurred_at / 1000000) % 3600"
_HOURS_COUNTED_FOR_MICROS = 40 * 86_400 * 1_000_000
_LATENESS = (10, 60, 600, 3600, 6 * 3600, 86_400, 7 * 86_400)


def upgrade() -> None:
    op.create_table(
        "event_volumes",
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("definition_no", Whole, nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("starts_at", Whole, nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("part", Whole, nullable=False),
        sa.Column("event_count", Whole, nullable=False),
        sa.PrimaryKeyConstraint(*_KEY),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "events_of_name", "events", ["workspace_no", "definition_no", "occurred_at", "receipt_no"]
    )
    in_time = f"received_at - occurred_at <= {_HOURS_COUNTED_FOR_MICROS}"
    _count("hour", _HOUR, where=in_time)
    _count("day", _DAY)
    for bucket in range(len(_LATENESS) + 1):
        _count("lateness", _DAY, value=str(bucket), where=_late(bucket))
    _count_by_install()


def _count(dimension: str, starts_at: str, *, value: str = "", where: str = "1 = 1") -> None:
    op.get_bind().execute(
        sa.text(
            "INSERT INTO event_volumes "  # noqa: S608 - constants alone.
            f"SELECT workspace_no, definition_no, '{dimension}', {starts_at}, :value, 0, count(*) "
            f"FROM events WHERE {where} GROUP BY workspace_no, definition_no, {starts_at}"
        ).bindparams(sa.bindparam("value", value.encode(), type_=sa.LargeBinary))
    )


def _late(bucket: int) -> str:
    late = "(received_at - occurred_at)"
    at_least = f"{late} >= {_LATENESS[bucket - 1] * 1_000_000}" if bucket else "1 = 1"
    below = f"{late} < {_LATENESS[bucket] * 1_000_000}" if bucket < len(_LATENESS) else "1 = 1"
    return f"{at_least} AND {below}"


def _count_by_install() -> None:
    """By what each install last told of itself, as nothing else is known of the time before."""
    connection = op.get_bind()
    told = {
        row.install_no: json.loads(row.description)
        for row in connection.execute(sa.text("SELECT install_no, description FROM installs"))
    }
    counts: Counter[tuple[Any, ...]] = Counter()
    for row in connection.execute(
        sa.text(
            f"SELECT workspace_no, definition_no, {_DAY} AS starts_at, install_no, count(*) AS event_count "  # noqa: S608
            f"FROM events GROUP BY workspace_no, definition_no, {_DAY}, install_no"
        )
    ):
        for dimension in ("platform", "app_version"):
            value = told.get(row.install_no, {}).get(dimension, "")[: limits.FACET_CODE_POINTS_MAX]
            key = (row.workspace_no, row.definition_no, dimension, row.starts_at, value.encode(), 0)
            counts[key] += row.event_count
    rows = [dict(zip(_KEY, key, strict=True)) | {"event_count": count} for key, count in counts.items()]
    written = sa.table("event_volumes", *(sa.column(name) for name in (*_KEY, "event_count")))
    for start in range(0, len(rows), _BATCH_ROWS):
        connection.execute(sa.insert(written), rows[start : start + _BATCH_ROWS])
