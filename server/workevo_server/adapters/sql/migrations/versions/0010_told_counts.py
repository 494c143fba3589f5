"""Counts that back ends tell of what their contacts did."""

import sqlalchemy as sa
from alembic import op

from workevo_server.adapters.sql.types import Whole

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "told_counts",
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("contact_no", Whole, nullable=False),
        sa.Column("definition_no", Whole, nullable=False),
        sa.Column("event_count", Whole, nullable=False),
        sa.Column("first_occurred_at", Whole, nullable=False),
        sa.Column("last_occurred_at", Whole, nullable=False),
        sa.PrimaryKeyConstraint("workspace_no", "contact_no", "definition_no"),
        sqlite_with_rowid=False,
    )
