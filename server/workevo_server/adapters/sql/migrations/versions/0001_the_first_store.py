"""The first store."""

import sqlalchemy as sa
from alembic import op

from workevo_server.adapters.sql.types import JsonText, Whole

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _events_key() -> list[str]:
    """PostgreSQL wants what it partitions by in every unique key."""
    key = ["workspace_no", "contact_no", "created_at_seconds", "definition_no", "ordinal"]
    return [*key, "received_at"] if op.get_bind().dialect.name == "postgresql" else key


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_no", Whole, nullable=False),
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_at", Whole, nullable=False),
        sa.Column("revoked_at", Whole, nullable=True),
        sa.PrimaryKeyConstraint("key_no"),
        sa.UniqueConstraint("key_hash"),
    )
    op.create_table(
        "contacts",
        sa.Column("contact_no", Whole, nullable=False),
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("contact_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id_kind", sa.Text(), nullable=False),
        sa.Column("external_id", sa.LargeBinary(), nullable=False),
        sa.Column("person_no", Whole, nullable=True),
        sa.Column("merged_at", Whole, nullable=True),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("first_install_no", Whole, nullable=True),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("created_at", Whole, nullable=False),
        sa.PrimaryKeyConstraint("contact_no"),
        sa.UniqueConstraint("contact_id"),
        sa.UniqueConstraint("workspace_no", "id_kind", "external_id", name="one_contact_per_id"),
    )
    op.create_index(
        "contacts_of_person",
        "contacts",
        ["person_no"],
        unique=False,
        sqlite_where=sa.text("person_no IS NOT NULL"),
        postgresql_where=sa.text("person_no IS NOT NULL"),
    )
    op.create_table(
        "event_definitions",
        sa.Column("definition_no", Whole, nullable=False),
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("name_key", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", Whole, nullable=False),
        sa.Column("archived_at", Whole, nullable=True),
        sa.Column("stored_count", Whole, nullable=False),
        sa.Column("duplicate_count", Whole, nullable=False),
        sa.Column("archived_count", Whole, nullable=False),
        sa.Column("last_received_at", Whole, nullable=False),
        sa.PrimaryKeyConstraint("definition_no"),
        sa.UniqueConstraint("workspace_no", "name_key", name="one_definition_per_name"),
    )
    op.create_table(
        "events",
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("contact_no", Whole, nullable=False),
        sa.Column("created_at_seconds", Whole, nullable=False),
        sa.Column("definition_no", Whole, nullable=False),
        sa.Column("ordinal", Whole, nullable=False),
        sa.Column("occurred_at", Whole, nullable=False),
        sa.Column("created_at", Whole, nullable=False),
        sa.Column("received_at", Whole, nullable=False),
        sa.Column("receipt_no", Whole, nullable=False),
        sa.Column("clock_method", sa.Text(), nullable=False),
        sa.Column("contact_kind", sa.Text(), nullable=False),
        sa.Column("install_no", Whole, nullable=True),
        sa.Column("epoch", sa.LargeBinary(), nullable=True),
        sa.Column("sequence", Whole, nullable=True),
        sa.Column("metadata", JsonText, nullable=False),
        sa.PrimaryKeyConstraint(*_events_key()),
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (received_at)",
    )
    op.create_index(
        "timeline", "events", ["workspace_no", "contact_no", "occurred_at", "receipt_no"], unique=False
    )
    op.create_table(
        "failed_event_usage",
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("install_no", Whole, nullable=False),
        sa.Column("kept_bytes", Whole, nullable=False),
        sa.Column("kept_count", Whole, nullable=False),
        sa.Column("unkept_count", Whole, nullable=False),
        sa.PrimaryKeyConstraint("workspace_no", "install_no"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "failed_events",
        sa.Column("failed_no", Whole, nullable=False),
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("install_no", Whole, nullable=False),
        sa.Column("epoch", sa.LargeBinary(), nullable=False),
        sa.Column("sequence", Whole, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("field", sa.LargeBinary(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("received_at", Whole, nullable=False),
        sa.Column("send_wall", Whole, nullable=True),
        sa.Column("send_uptime_millis", Whole, nullable=True),
        sa.Column("send_boot_id", sa.LargeBinary(), nullable=True),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("failed_no"),
    )
    op.create_index(
        "failed_events_by_install",
        "failed_events",
        ["workspace_no", "install_no", "epoch", "sequence"],
        unique=False,
    )
    op.create_table(
        "installs",
        sa.Column("install_no", Whole, nullable=False),
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("install_id", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", sa.LargeBinary(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("first_seen", Whole, nullable=False),
        sa.Column("last_seen", Whole, nullable=False),
        sa.PrimaryKeyConstraint("install_no"),
        sa.UniqueConstraint("workspace_no", "install_id", name="one_install_per_id"),
    )
    op.create_index("installs_in_order", "installs", ["workspace_no", "install_no"], unique=False)
    op.create_table(
        "ledgers",
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("install_no", Whole, nullable=False),
        sa.Column("epoch", sa.LargeBinary(), nullable=False),
        sa.Column("started_at", Whole, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_no", "install_no", "epoch"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "store_facts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "summaries",
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("contact_no", Whole, nullable=False),
        sa.Column("definition_no", Whole, nullable=False),
        sa.Column("event_count", Whole, nullable=False),
        sa.Column("first_occurred_at", Whole, nullable=False),
        sa.Column("last_occurred_at", Whole, nullable=False),
        sa.PrimaryKeyConstraint("workspace_no", "contact_no", "definition_no"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "workspaces",
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", Whole, nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_no"),
        sa.UniqueConstraint("app_id"),
        sa.UniqueConstraint("workspace_id"),
    )
