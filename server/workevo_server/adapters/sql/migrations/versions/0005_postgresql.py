"""What several servers on one PostgreSQL need beside the tables that both databases have."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COUNTS = (
    "stored_count",
    "duplicate_count",
    "archived_count",
    "dropped_archived_count",
    "dropped_disabled_count",
    "last_received_at",
)


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("CREATE SEQUENCE receipt_blocks")
    op.create_table(
        "definition_counts",
        sa.Column("count_no", sa.BigInteger(), primary_key=True),
        sa.Column("workspace_no", sa.BigInteger(), nullable=False),
        sa.Column("definition_no", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        *(
            sa.Column(name, sa.Boolean(), nullable=False)
            for name in ("seen_visitors", "seen_leads", "seen_users")
        ),
    )
    op.create_index("counts_of_definition", "definition_counts", ["workspace_no", "definition_no"])
