"""How much of each event there was, counted from what is stored; and an index for the latest of a name."""

import json
from collections import Counter
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

from workevo_server.adapters.sql.types import Whole
from workevo_server.adapters.sql.volume_counts import KnownValues
from workevo_server.domain.volumes import counted, moment_of

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_KEY = ("workspace_no", "definition_no", "dimension", "starts_at", "value")
_READ_ROWS = 10_000
_BATCH_ROWS = 1000


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
        sa.PrimaryKeyConstraint(*_KEY, "part"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "events_of_name", "events", ["workspace_no", "definition_no", "occurred_at", "receipt_no"]
    )
    _count_stored()


def _count_stored() -> None:
    """Name by name, so that no more is held than one has; by what each install last told of itself,
    as nothing else is known of the time before."""
    connection = op.get_bind()
    told = {no: json.loads(text) for no, text in connection.execute(sa.text(_INSTALLS))}
    known = KnownValues()
    events = connection.execute(sa.text(_EVENTS), execution_options={"yield_per": _READ_ROWS})
    for of_name, rows in groupby(events, key=lambda row: (row.workspace_no, row.definition_no)):
        sums: Counter[tuple[Any, ...]] = Counter()
        for row in rows:
            install = told.get(row.install_no, {})
            moment = moment_of(row.occurred_at, row.received_at)
            for each in counted(
                moment, platform=install.get("platform", ""), app_version=install.get("app_version", "")
            ):
                value = known.admitted(row.workspace_no, each).encode(errors="replace")
                sums[*of_name, each.dimension, each.starts_at_seconds, value] += 1
        _write(connection, sums)


def _write(connection: sa.Connection, sums: Counter[tuple[Any, ...]]) -> None:
    rows = [dict(zip(_KEY, key, strict=True)) | {"part": 0, "event_count": sums[key]} for key in sums]
    written = sa.table("event_volumes", *(sa.column(name) for name in (*_KEY, "part", "event_count")))
    for start in range(0, len(rows), _BATCH_ROWS):
        connection.execute(sa.insert(written), rows[start : start + _BATCH_ROWS])


_INSTALLS = "SELECT install_no, description FROM installs"
_EVENTS = """SELECT workspace_no, definition_no, install_no, occurred_at, received_at
    FROM events ORDER BY workspace_no, definition_no"""
