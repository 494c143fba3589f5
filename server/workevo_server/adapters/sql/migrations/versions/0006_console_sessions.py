"""Who is signed in to the console."""

import sqlalchemy as sa
from alembic import op

from workevo_server.adapters.sql.types import Whole

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "console_sessions",
        sa.Column("token_hash", sa.Text(), primary_key=True),
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("created_at", Whole, nullable=False),
        sa.Column("expires_at", Whole, nullable=False),
    )
    op.create_index("sessions_by_end", "console_sessions", ["expires_at"])
