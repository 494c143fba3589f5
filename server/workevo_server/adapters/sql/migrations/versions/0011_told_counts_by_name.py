"""Counts that back ends tell, by name: for those who look for who did it."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "told_counts_by_name", "told_counts", ["workspace_no", "definition_no", "contact_no"], unique=False
    )
