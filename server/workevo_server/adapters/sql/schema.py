"""The tables, and why each lies as it does (decisions/0001-the-shape-of-the-store.md).

What one upload touches lies together however large the store is: events and
summaries are clustered by contact, ledgers by install. Public ids stand on one row
each; between tables go small numbers (`…_no`). Times are Unix microseconds UTC
unless the name says seconds.
"""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

store_facts = Table(
    "store_facts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
"""Facts about the whole store: its page-token secret, which clock it was made with, the receipt counter."""

workspaces = Table(
    "workspaces",
    metadata,
    Column("workspace_no", Integer, primary_key=True),
    Column("workspace_id", Text, nullable=False, unique=True),
    Column("app_id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("settings", JSON, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_no", Integer, primary_key=True),
    Column("workspace_no", Integer, nullable=False),
    Column("key_hash", Text, nullable=False, unique=True),
    Column("prefix", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("revoked_at", Integer),
)
"""Keys by their SHA-256; the key itself is shown once and kept nowhere (R31)."""

event_definitions = Table(
    "event_definitions",
    metadata,
    Column("definition_no", Integer, primary_key=True),
    Column("workspace_no", Integer, nullable=False),
    Column("name_key", LargeBinary, nullable=False),
    Column("name", LargeBinary, nullable=False),
    Column("description", Text, nullable=False, default=""),
    Column("created_at", Integer, nullable=False),
    Column("archived_at", Integer),
    Column("stored_count", Integer, nullable=False, default=0),
    Column("duplicate_count", Integer, nullable=False, default=0),
    Column("archived_count", Integer, nullable=False, default=0),
    Column("last_received_at", Integer, nullable=False),
    UniqueConstraint("workspace_no", "name_key", name="one_definition_per_name"),
)
"""Names as UTF-8 bytes: they may hold NUL, which SQL text functions and PostgreSQL do not keep (R1)."""

contacts = Table(
    "contacts",
    metadata,
    Column("contact_no", Integer, primary_key=True),
    Column("workspace_no", Integer, nullable=False),
    Column("contact_id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("id_kind", Text, nullable=False),
    Column("external_id", LargeBinary, nullable=False),
    Column("person_no", Integer),
    Column("merged_at", Integer),
    Column("attributes", Text, nullable=False, default="{}"),
    Column("first_install_no", Integer),
    Column("shared", Boolean, nullable=False, default=False),
    Column("created_at", Integer, nullable=False),
    UniqueConstraint("workspace_no", "id_kind", "external_id", name="one_contact_per_id"),
)
"""One row for each id a person was ever known by. A merge sets `person_no` and rewrites nothing (R16)."""

contacts_of_person = Index(
    "contacts_of_person",
    contacts.c.person_no,
    sqlite_where=contacts.c.person_no.is_not(None),
    postgresql_where=contacts.c.person_no.is_not(None),
)

events = Table(
    "events",
    metadata,
    Column("workspace_no", Integer, primary_key=True),
    Column("contact_no", Integer, primary_key=True),
    Column("created_at_seconds", Integer, primary_key=True),
    Column("definition_no", Integer, primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("occurred_at", Integer, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("received_at", Integer, nullable=False),
    Column("receipt_no", Integer, nullable=False),
    Column("clock_method", Text, nullable=False),
    Column("contact_kind", Text, nullable=False),
    Column("install_no", Integer),
    Column("epoch", LargeBinary),
    Column("sequence", Integer),
    Column("metadata", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""The key is R6's identity and the cluster at once; `ordinal` lets a copy in again after its window."""

timeline = Index(
    "timeline",
    events.c.workspace_no,
    events.c.contact_no,
    events.c.occurred_at,
    events.c.receipt_no,
)

summaries = Table(
    "summaries",
    metadata,
    Column("workspace_no", Integer, primary_key=True),
    Column("contact_no", Integer, primary_key=True),
    Column("definition_no", Integer, primary_key=True),
    Column("event_count", Integer, nullable=False),
    Column("first_occurred_at", Integer, nullable=False),
    Column("last_occurred_at", Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""R20, kept up in the transaction of its events."""

installs = Table(
    "installs",
    metadata,
    Column("install_no", Integer, primary_key=True),
    Column("workspace_no", Integer, nullable=False),
    Column("install_id", LargeBinary, nullable=False),
    Column("epoch", LargeBinary, nullable=False),
    Column("description", Text, nullable=False),
    Column("first_seen", Integer, nullable=False),
    Column("last_seen", Integer, nullable=False),
    UniqueConstraint("workspace_no", "install_id", name="one_install_per_id"),
    Index("installs_in_order", "workspace_no", "install_no"),
)
"""As last told: `epoch` of the last upload, `description` the rest (platform, versions, …) as JSON."""

ledgers = Table(
    "ledgers",
    metadata,
    Column("workspace_no", Integer, primary_key=True),
    Column("install_no", Integer, primary_key=True),
    Column("epoch", LargeBinary, primary_key=True),
    Column("started_at", Integer, nullable=False),
    Column("document", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""One row for each queue, rewritten by its uploads; see ledger_document.py."""

failed_events = Table(
    "failed_events",
    metadata,
    Column("failed_no", Integer, primary_key=True),
    Column("workspace_no", Integer, nullable=False),
    Column("install_no", Integer, nullable=False),
    Column("epoch", LargeBinary, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("field", LargeBinary, nullable=False),
    Column("message", Text, nullable=False),
    Column("received_at", Integer, nullable=False),
    Column("send_wall", Integer),
    Column("send_uptime_millis", Integer),
    Column("send_boot_id", LargeBinary),
    Column("event", LargeBinary, nullable=False),
    Index("failed_events_by_install", "workspace_no", "install_no", "epoch", "sequence"),
)
"""REJECTED events whole, as sent, with their upload's clocks (R13)."""

failed_event_usage = Table(
    "failed_event_usage",
    metadata,
    Column("workspace_no", Integer, primary_key=True),
    Column("install_no", Integer, primary_key=True),
    Column("kept_bytes", Integer, nullable=False),
    Column("kept_count", Integer, nullable=False),
    Column("unkept_count", Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""What R13's caps are held against; install 0 is the workspace as a whole."""
