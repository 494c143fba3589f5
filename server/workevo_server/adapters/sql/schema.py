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
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    and_,
)

from workevo_server.adapters.sql.types import AnyText, JsonText, Whole

metadata = MetaData()

store_facts = Table(
    "store_facts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
"""Facts about the whole store: its secrets, which clock it was made with, the receipt counter."""

SCRUB_FACT = "scrub_due"
"""Kept until the next start, which then scrubs once more: a crash may come before a deletion's own scrub."""

workspaces = Table(
    "workspaces",
    metadata,
    Column("workspace_no", Whole, primary_key=True),
    Column("workspace_id", Text, nullable=False, unique=True),
    Column("app_id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", Whole, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("expired_before", Whole),
)
"""`expired_before`: no event received since then was ever deleted for its age (R32)."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_no", Whole, primary_key=True),
    Column("workspace_no", Whole, nullable=False),
    Column("key_hash", Text, nullable=False, unique=True),
    Column("prefix", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("created_at", Whole, nullable=False),
    Column("revoked_at", Whole),
    Column("origins", JSON, nullable=False, default=list, server_default="[]"),
)
"""Keys by their SHA-256; the key itself is shown once and kept nowhere (R31)."""

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("workspace_no", Whole, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("created_at", Whole, nullable=False),
    Column("expires_at", Whole, nullable=False),
    Index("sessions_by_end", "expires_at"),
)
"""Who is signed in to the console, and which links were followed, by the SHA-256 of their token;
`made_by` is the prefix of a key, with which the session ends, or the operator."""

event_definitions = Table(
    "event_definitions",
    metadata,
    Column("definition_no", Whole, primary_key=True),
    Column("workspace_no", Whole, nullable=False),
    Column("name_key", LargeBinary, nullable=False),
    Column("name", LargeBinary, nullable=False),
    Column("description", AnyText, nullable=False, default=""),
    Column("created_at", Whole, nullable=False),
    Column("archived_at", Whole),
    Column("stored_count", Whole, nullable=False, default=0),
    Column("duplicate_count", Whole, nullable=False, default=0),
    Column("archived_count", Whole, nullable=False, default=0),
    Column("last_received_at", Whole, nullable=False),
    Column("disabled", Boolean, nullable=False, default=False, server_default="0"),
    Column("seen_visitors", Boolean, nullable=False, default=False, server_default="0"),
    Column("seen_leads", Boolean, nullable=False, default=False, server_default="0"),
    Column("seen_users", Boolean, nullable=False, default=False, server_default="0"),
    Column("dropped_archived_count", Whole, nullable=False, default=0, server_default="0"),
    Column("dropped_disabled_count", Whole, nullable=False, default=0, server_default="0"),
    UniqueConstraint("workspace_no", "name_key", name="one_definition_per_name"),
    Index("definitions_in_order", "workspace_no", "definition_no"),
)
"""Names as UTF-8 bytes: they may hold NUL, which SQL text functions and PostgreSQL do not keep (R1).
`seen_…`: which kinds of contact were seen doing it (R24); `disabled` asks devices not to send it (R23)."""

definition_counts = Table(
    "definition_counts",
    MetaData(),
    Column("count_no", Whole, primary_key=True),
    Column("workspace_no", Whole, nullable=False),
    Column("definition_no", Whole, nullable=False),
    Column("stored_count", Whole, nullable=False),
    Column("duplicate_count", Whole, nullable=False),
    Column("archived_count", Whole, nullable=False),
    Column("dropped_archived_count", Whole, nullable=False),
    Column("dropped_disabled_count", Whole, nullable=False),
    Column("seen_visitors", Boolean, nullable=False),
    Column("seen_leads", Boolean, nullable=False),
    Column("seen_users", Boolean, nullable=False),
    Column("last_received_at", Whole, nullable=False),
)
"""On PostgreSQL alone: what uploads counted since a definition's counts were last rolled up. Whoever reads
a definition adds them."""

contacts = Table(
    "contacts",
    metadata,
    Column("contact_no", Whole, primary_key=True),
    Column("workspace_no", Whole, nullable=False),
    Column("contact_id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("id_kind", Text, nullable=False),
    Column("external_id", LargeBinary, nullable=False),
    Column("person_no", Whole),
    Column("merged_into_no", Whole),
    Column("merged_at", Whole),
    Column("first_contact_at", Whole),
    Column("email", LargeBinary),
    Column("attributes", Text, nullable=False, default="{}"),
    Column("first_install_no", Whole),
    Column("shared", Boolean, nullable=False, default=False),
    Column("created_at", Whole, nullable=False),
    UniqueConstraint("workspace_no", "id_kind", "external_id", name="one_contact_per_id"),
)
"""One row for each id a person was ever known by. A merge rewrites nothing (R16): it sets `merged_into_no`,
the one edge that a split takes away again, and `person_no`, where the edges lead to. `kind` is the whole
person's on the row that stands for the person. `email` is a user's, lower-cased."""

contacts_of_person = Index(
    "contacts_of_person",
    contacts.c.person_no,
    sqlite_where=contacts.c.person_no.is_not(None),
    postgresql_where=contacts.c.person_no.is_not(None),
)

contacts_by_kind = Index(
    "contacts_by_kind",
    contacts.c.workspace_no,
    contacts.c.kind,
    contacts.c.contact_no,
    sqlite_where=contacts.c.person_no.is_(None),
    postgresql_where=contacts.c.person_no.is_(None),
)

visitors_of_install = Index(
    "visitors_of_install",
    contacts.c.first_install_no,
    sqlite_where=and_(contacts.c.id_kind == "visitor", contacts.c.person_no.is_(None)),
    postgresql_where=and_(contacts.c.id_kind == "visitor", contacts.c.person_no.is_(None)),
)
"""For a device that asks to be forgotten (R31)."""

contact_words = Table(
    "contact_words",
    metadata,
    Column("workspace_no", Whole, primary_key=True),
    Column("word", LargeBinary, primary_key=True),
    Column("contact_no", Whole, primary_key=True),
    Index("words_of_contact", "contact_no"),
    sqlite_with_rowid=False,
)
"""The words of a contact's name, as they are looked for (domain/words.py); they go with the contact (R32)."""

one_user_per_email = Index(
    "one_user_per_email",
    contacts.c.workspace_no,
    contacts.c.email,
    unique=True,
    sqlite_where=contacts.c.email.is_not(None),
    postgresql_where=contacts.c.email.is_not(None),
)

merges = Table(
    "merges",
    metadata,
    Column("merge_no", Whole, primary_key=True),
    Column("workspace_no", Whole, nullable=False),
    Column("merge_id", Text, nullable=False, unique=True),
    Column("contact_no", Whole, nullable=False),
    Column("into_no", Whole, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("occurred_at", Whole, nullable=False),
    Column("split_at", Whole),
    Index("merges_of_contact", "contact_no"),
    Index("merges_into_contact", "into_no"),
)
"""Which person was merged into which and when: the history that R16 keeps, splits included."""

activities = Table(
    "activities",
    metadata,
    Column("workspace_no", Whole, primary_key=True),
    Column("contact_no", Whole, primary_key=True),
    Column("occurred_at", Whole, primary_key=True),
    Column("receipt_no", Whole, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("merge_no", Whole),
    sqlite_with_rowid=False,
)
"""What a timeline shows beside events (R21), in a timeline's order; a conversion goes with its merge."""

erased_ids = Table(
    "erased_ids",
    metadata,
    Column("workspace_no", Whole, primary_key=True),
    Column("id_hash", LargeBinary, primary_key=True),
    Column("erased_at", Whole, nullable=False),
    Column("suppressed", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
"""The ids of deleted contacts as keyed hashes, so that late uploads store nothing of them (R32)."""

identity_secrets = Table(
    "identity_secrets",
    metadata,
    Column("secret_no", Whole, primary_key=True),
    Column("workspace_no", Whole, nullable=False),
    Column("secret_id", Text, nullable=False, unique=True),
    Column("secret", LargeBinary),
    Column("created_at", Whole, nullable=False),
    Column("revoked_at", Whole),
)
"""Kept as they are, as HMAC needs them (R19); a revoked one is null and leaves its name alone."""

unverified_claims = Table(
    "unverified_claims",
    metadata,
    Column("workspace_no", Whole, primary_key=True),
    Column("user_id", LargeBinary, primary_key=True),
    Column("claim_count", Whole, nullable=False),
    Column("first_at", Whole, nullable=False),
    Column("last_at", Whole, nullable=False),
    sqlite_with_rowid=False,
)
"""Who claimed to be a user without a valid proof (R19); the empty id stands for all beyond the cap."""

events = Table(
    "events",
    metadata,
    Column("workspace_no", Whole, primary_key=True),
    Column("contact_no", Whole, primary_key=True),
    Column("created_at_seconds", Whole, primary_key=True),
    Column("definition_no", Whole, primary_key=True),
    Column("ordinal", Whole, primary_key=True),
    Column("occurred_at", Whole, nullable=False),
    Column("created_at", Whole, nullable=False),
    Column("received_at", Whole, nullable=False),
    Column("receipt_no", Whole, nullable=False),
    Column("clock_method", Text, nullable=False),
    Column("contact_kind", Text, nullable=False),
    Column("install_no", Whole),
    Column("epoch", LargeBinary),
    Column("sequence", Whole),
    Column("metadata", JsonText, nullable=False),
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

events_by_sequence = Index(
    "events_by_sequence",
    events.c.install_no,
    events.c.sequence,
    sqlite_where=events.c.install_no.is_not(None),
    postgresql_where=events.c.install_no.is_not(None),
)
"""Where an event of a device is. Without the epoch, which tells few apart and would double each entry."""

summaries = Table(
    "summaries",
    metadata,
    Column("workspace_no", Whole, primary_key=True),
    Column("contact_no", Whole, primary_key=True),
    Column("definition_no", Whole, primary_key=True),
    Column("event_count", Whole, nullable=False),
    Column("first_occurred_at", Whole, nullable=False),
    Column("last_occurred_at", Whole, nullable=False),
    Index("summaries_by_name", "workspace_no", "definition_no", "contact_no"),
    sqlite_with_rowid=False,
)
"""R20, kept up in the transaction of its events; by name, for those who look for who did it."""

events_of_name = Index(
    "events_of_name",
    events.c.workspace_no,
    events.c.definition_no,
    events.c.occurred_at,
    events.c.receipt_no,
)
"""For the latest occurrences of a name, whoever did it."""

event_volumes = Table(
    "event_volumes",
    metadata,
    Column("workspace_no", Whole, primary_key=True),
    Column("definition_no", Whole, primary_key=True),
    Column("dimension", Text, primary_key=True),
    Column("starts_at", Whole, primary_key=True),
    Column("value", LargeBinary, primary_key=True),
    Column("part", Whole, primary_key=True),
    Column("event_count", Whole, nullable=False),
    sqlite_with_rowid=False,
)
"""How many events of a name were stored of an hour, and of a day by platform, version and lateness;
`starts_at` in seconds. `part` keeps servers from waiting for each other's rows: readers add up."""

told_counts = Table(
    "told_counts",
    metadata,
    Column("workspace_no", Whole, primary_key=True),
    Column("contact_no", Whole, primary_key=True),
    Column("definition_no", Whole, primary_key=True),
    Column("event_count", Whole, nullable=False),
    Column("first_occurred_at", Whole, nullable=False),
    Column("last_occurred_at", Whole, nullable=False),
    Index("told_counts_by_name", "workspace_no", "definition_no", "contact_no"),
    sqlite_with_rowid=False,
)
"""What back ends told as a sum (R29), as they last told it; readers add it to the summaries. Apart from
those, as it is set and not added to, and no event stands behind it (decisions/0015-told-counts.md)."""

installs = Table(
    "installs",
    metadata,
    Column("install_no", Whole, primary_key=True),
    Column("workspace_no", Whole, nullable=False),
    Column("install_id", LargeBinary, nullable=False),
    Column("epoch", LargeBinary, nullable=False),
    Column("description", Text, nullable=False),
    Column("first_seen", Whole, nullable=False),
    Column("last_seen", Whole, nullable=False),
    Column("erased_at", Whole),
    UniqueConstraint("workspace_no", "install_id", name="one_install_per_id"),
    Index("installs_in_order", "workspace_no", "install_no"),
)
"""As last told: `epoch` of the last upload, `description` the rest (platform, versions, …) as JSON.
`erased_at`: somebody who used it was deleted then, so what it sends and names nobody is not kept (R32)."""

LEDGER_TOTALS = (
    "generated",
    "stored",
    "duplicate",
    "archived",
    "rejected",
    "dropped",
    "open",
    "resent",
    "trouble",
)

ledgers = Table(
    "ledgers",
    metadata,
    Column("workspace_no", Whole, primary_key=True),
    Column("install_no", Whole, primary_key=True),
    Column("epoch", LargeBinary, primary_key=True),
    Column("started_at", Whole, nullable=False),
    Column("document", Text, nullable=False),
    Column("erased_count", Whole, nullable=False, default=0, server_default="0"),
    Column("expired_count", Whole, nullable=False, default=0, server_default="0"),
    *(
        Column(f"{total}_count", Whole, nullable=False, default=0, server_default="0")
        for total in LEDGER_TOTALS
    ),
    Index("ledgers_by_trouble", "workspace_no", "trouble_count", "install_no"),
    sqlite_with_rowid=False,
)
"""One row for each queue, rewritten by its uploads; see ledger_document.py. Of what it calls stored,
`erased_count` went with deleted contacts and `expired_count` by age (R14, R32). The other counts are its
document's own, written with it, so that a workspace is summed up and its installs put in order without
reading documents; `trouble_count` is what is open or dropped."""

failed_events = Table(
    "failed_events",
    metadata,
    Column("failed_no", Whole, primary_key=True),
    Column("workspace_no", Whole, nullable=False),
    Column("install_no", Whole, nullable=False),
    Column("epoch", LargeBinary, nullable=False),
    Column("sequence", Whole, nullable=False),
    Column("reason", Text, nullable=False),
    Column("field", LargeBinary, nullable=False),
    Column("message", AnyText, nullable=False),
    Column("received_at", Whole, nullable=False),
    Column("send_wall", Whole),
    Column("send_uptime_millis", Whole),
    Column("send_boot_id", LargeBinary),
    Column("event", LargeBinary, nullable=False),
    Column("id_kind", Text),
    Column("external_id", LargeBinary),
    Column("verified", Boolean, nullable=False, default=False, server_default="0"),
    Column("name_key", LargeBinary),
    Column("settled", Boolean, nullable=False, default=True, server_default="1"),
    Index("failed_events_by_install", "workspace_no", "install_no", "epoch", "sequence"),
    Index("failed_events_in_order", "workspace_no", "received_at"),
    Index("failed_events_by_reason", "workspace_no", "reason", "received_at"),
    Index("failed_events_by_name", "workspace_no", "name_key", "received_at"),
    Index("failed_events_of_install", "workspace_no", "install_no", "received_at"),
)
"""REJECTED events whole, as sent, with their upload's clocks (R13). Who they name, where that can be told,
for deletions (R32); `verified`: with a valid proof of that (R19), which a replay keeps; `settled`: its
ledger has the rejection under its sequence, which a replay moves. Listed by receipt, whatever they are
narrowed by: SQLite ends each index with the row's own number."""

failed_events_by_contact = Index(
    "failed_events_by_contact",
    failed_events.c.workspace_no,
    failed_events.c.id_kind,
    failed_events.c.external_id,
    sqlite_where=failed_events.c.external_id.is_not(None),
    postgresql_where=failed_events.c.external_id.is_not(None),
)

failed_event_usage = Table(
    "failed_event_usage",
    metadata,
    Column("workspace_no", Whole, primary_key=True),
    Column("install_no", Whole, primary_key=True),
    Column("kept_bytes", Whole, nullable=False),
    Column("kept_count", Whole, nullable=False),
    Column("unkept_count", Whole, nullable=False),
    sqlite_with_rowid=False,
)
"""What R13's caps are held against; install 0 is the workspace as a whole."""

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("entry_no", Whole, primary_key=True),
    Column("workspace_no", Whole, nullable=False),
    Column("made_at", Whole, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", AnyText, nullable=False),
    Column("old_value", AnyText),
    Column("new_value", AnyText),
    Index("audit_in_order", "workspace_no", "entry_no"),
)
"""Who changed what of a workspace, and when. Only ever added to, which triggers see to; holds no personal
data, so that it can outlive every contact."""
