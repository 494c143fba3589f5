"""The catalogue's kinds and switches, finding failed events, what expired, and who changed what."""

import sqlalchemy as sa
from alembic import op

from workevo_server.adapters.sql.types import Whole

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KINDS = {"seen_visitors": "VISITOR", "seen_leads": "LEAD", "seen_users": "USER"}


def upgrade() -> None:
    _widen_definitions()
    _widen_failed_events()
    op.add_column("ledgers", sa.Column("expired_count", Whole, server_default="0", nullable=False))
    op.add_column("workspaces", sa.Column("expired_before", Whole, nullable=True))
    op.create_table(
        "audit_entries",
        sa.Column("entry_no", Whole, nullable=False),
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("made_at", Whole, nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("old_value", sa.Text(), nullable=True),
        sa.Column("new_value", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("entry_no"),
    )
    op.create_index("audit_in_order", "audit_entries", ["workspace_no", "entry_no"], unique=False)
    _allow_no_change_of_the_audit()


def _allow_no_change_of_the_audit() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_allows_no_{change.lower()} BEFORE {change} ON audit_entries"
                " BEGIN SELECT RAISE(ABORT, 'audit_entries is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'audit_entries is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_allows_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
    )


def _widen_definitions() -> None:
    for column in ("disabled", *_KINDS):
        op.add_column(
            "event_definitions", sa.Column(column, sa.Boolean(), server_default="0", nullable=False)
        )
    for column in ("dropped_archived_count", "dropped_disabled_count"):
        op.add_column("event_definitions", sa.Column(column, Whole, server_default="0", nullable=False))
    for column, kind in _KINDS.items():
        op.execute(
            sa.text(
                f"UPDATE event_definitions SET {column} = TRUE WHERE definition_no IN"  # noqa: S608 - constants.
                " (SELECT DISTINCT definition_no FROM events WHERE contact_kind = :kind)"
            ).bindparams(kind=kind)
        )
    op.create_index(
        "definitions_in_order", "event_definitions", ["workspace_no", "definition_no"], unique=False
    )


def _widen_failed_events() -> None:
    op.add_column("failed_events", sa.Column("name_key", sa.LargeBinary(), nullable=True))
    op.add_column("failed_events", sa.Column("settled", sa.Boolean(), server_default="1", nullable=False))
    op.execute("UPDATE failed_events SET settled = FALSE WHERE reason = 'SEQUENCE_INVALID'")
    for name, *columns in (
        ("failed_events_in_order",),
        ("failed_events_by_reason", "reason"),
        ("failed_events_by_name", "name_key"),
        ("failed_events_of_install", "install_no"),
    ):
        op.create_index(name, "failed_events", ["workspace_no", *columns, "received_at"], unique=False)
