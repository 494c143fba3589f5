"""People: first contacts, merges and their history, deletions, proofs of identity."""

import sqlalchemy as sa
from alembic import op

from workevo_server.adapters.sql.types import Whole

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _widen()
    _index()
    op.create_table(
        "merges",
        sa.Column("merge_no", Whole, nullable=False),
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("merge_id", sa.Text(), nullable=False),
        sa.Column("contact_no", Whole, nullable=False),
        sa.Column("into_no", Whole, nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("occurred_at", Whole, nullable=False),
        sa.Column("split_at", Whole, nullable=True),
        sa.PrimaryKeyConstraint("merge_no"),
        sa.UniqueConstraint("merge_id"),
    )
    if op.get_bind().dialect.name == "sqlite":  # No store on PostgreSQL is as old as this.
        # Log-ins of before have a history too, so that they can be split.
        op.execute(
            "INSERT INTO merges (workspace_no, merge_id, contact_no, into_no, made_by, occurred_at)"
            " SELECT workspace_no, lower(hex(randomblob(16))), contact_no, person_no, 'DEVICE', merged_at"
            " FROM contacts WHERE person_no IS NOT NULL"
        )
    op.create_index("merges_of_contact", "merges", ["contact_no"], unique=False)
    op.create_index("merges_into_contact", "merges", ["into_no"], unique=False)
    op.create_table(
        "activities",
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("contact_no", Whole, nullable=False),
        sa.Column("occurred_at", Whole, nullable=False),
        sa.Column("receipt_no", Whole, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("merge_no", Whole, nullable=True),
        sa.PrimaryKeyConstraint("workspace_no", "contact_no", "occurred_at", "receipt_no"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "erased_ids",
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("id_hash", sa.LargeBinary(), nullable=False),
        sa.Column("erased_at", Whole, nullable=False),
        sa.Column("suppressed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_no", "id_hash"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "identity_secrets",
        sa.Column("secret_no", Whole, nullable=False),
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("secret_id", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", Whole, nullable=False),
        sa.Column("revoked_at", Whole, nullable=True),
        sa.PrimaryKeyConstraint("secret_no"),
        sa.UniqueConstraint("secret_id"),
    )
    op.create_table(
        "unverified_claims",
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("user_id", sa.LargeBinary(), nullable=False),
        sa.Column("claim_count", Whole, nullable=False),
        sa.Column("first_at", Whole, nullable=False),
        sa.Column("last_at", Whole, nullable=False),
        sa.PrimaryKeyConstraint("workspace_no", "user_id"),
        sqlite_with_rowid=False,
    )


def _widen() -> None:
    op.add_column("contacts", sa.Column("merged_into_no", Whole, nullable=True))
    op.add_column("contacts", sa.Column("first_contact_at", Whole, nullable=True))
    op.add_column("contacts", sa.Column("email", sa.LargeBinary(), nullable=True))
    op.execute("UPDATE contacts SET merged_into_no = person_no")
    op.add_column("installs", sa.Column("erased_at", Whole, nullable=True))
    op.add_column("ledgers", sa.Column("erased_count", Whole, server_default="0", nullable=False))
    op.add_column("failed_events", sa.Column("id_kind", sa.Text(), nullable=True))
    op.add_column("failed_events", sa.Column("external_id", sa.LargeBinary(), nullable=True))
    op.add_column("failed_events", sa.Column("verified", sa.Boolean(), server_default="0", nullable=False))


def _index() -> None:
    op.create_index(
        "contacts_by_kind",
        "contacts",
        ["workspace_no", "kind", "contact_no"],
        unique=False,
        sqlite_where=sa.text("person_no IS NULL"),
        postgresql_where=sa.text("person_no IS NULL"),
    )
    op.create_index(
        "visitors_of_install",
        "contacts",
        ["first_install_no"],
        unique=False,
        sqlite_where=sa.text("id_kind = 'visitor' AND person_no IS NULL"),
        postgresql_where=sa.text("id_kind = 'visitor' AND person_no IS NULL"),
    )
    op.create_index(
        "one_user_per_email",
        "contacts",
        ["workspace_no", "email"],
        unique=True,
        sqlite_where=sa.text("email IS NOT NULL"),
        postgresql_where=sa.text("email IS NOT NULL"),
    )
    op.create_index(
        "failed_events_by_contact",
        "failed_events",
        ["workspace_no", "id_kind", "external_id"],
        unique=False,
        sqlite_where=sa.text("external_id IS NOT NULL"),
        postgresql_where=sa.text("external_id IS NOT NULL"),
    )
