"""What the console looks things up by: totals of ledgers, words of names, sequences of events."""

import sqlalchemy as sa
from alembic import op

from workevo_server.adapters.sql import ledger_document, metadata_document
from workevo_server.adapters.sql.types import Whole
from workevo_server.domain import words

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None

_TOTALS = ("generated", "stored", "duplicate", "archived", "rejected", "dropped", "open", "resent", "trouble")
_BATCH_ROWS = 1000


def upgrade() -> None:
    for total in _TOTALS:
        op.add_column("ledgers", sa.Column(f"{total}_count", Whole, server_default="0", nullable=False))
    _total_ledgers()
    op.create_index("ledgers_by_trouble", "ledgers", ["workspace_no", "trouble_count", "install_no"])
    op.create_table(
        "contact_words",
        sa.Column("workspace_no", Whole, nullable=False),
        sa.Column("word", sa.LargeBinary(), nullable=False),
        sa.Column("contact_no", Whole, nullable=False),
        sa.PrimaryKeyConstraint("workspace_no", "word", "contact_no"),
        sqlite_with_rowid=False,
    )
    _spell_names()
    op.create_index("words_of_contact", "contact_words", ["contact_no"])
    op.create_index("summaries_by_name", "summaries", ["workspace_no", "definition_no", "contact_no"])
    is_of_install = sa.text("install_no IS NOT NULL")
    op.create_index(
        "events_by_sequence",
        "events",
        ["install_no", "sequence"],
        sqlite_where=is_of_install,
        postgresql_where=is_of_install,
    )


def _total_ledgers() -> None:
    """Of what each document says; a store has as many as there are queues."""
    connection = op.get_bind()
    keys = ("workspace_no", "install_no", "epoch")
    table = sa.table("ledgers", *(sa.column(name) for name in (*keys, "document")))
    columns = [sa.column(f"{total}_count") for total in _TOTALS]
    change = (
        sa.update(sa.table("ledgers", *(sa.column(name) for name in keys), *columns))
        .where(*(sa.column(name) == sa.bindparam(f"of_{name}") for name in keys))
        .values({column.name: sa.bindparam(column.name) for column in columns})
    )
    totals = [
        {
            **{f"of_{name}": getattr(row, name) for name in keys},
            **ledger_document.totals(ledger_document.decode(row.document)),
        }
        for row in connection.execute(sa.select(table))
    ]
    for start in range(0, len(totals), _BATCH_ROWS):
        connection.execute(change, totals[start : start + _BATCH_ROWS])


def _spell_names() -> None:
    connection = op.get_bind()
    contacts = sa.table("contacts", *(sa.column(n) for n in ("workspace_no", "contact_no", "attributes")))
    written = sa.table("contact_words", *(sa.column(n) for n in ("workspace_no", "word", "contact_no")))
    rows = [
        {"workspace_no": row.workspace_no, "word": word, "contact_no": row.contact_no}
        for row in connection.execute(sa.select(contacts).where(contacts.c.attributes != "{}"))
        for word in words.words_of_contact(metadata_document.decode(row.attributes))
    ]
    for start in range(0, len(rows), _BATCH_ROWS):
        connection.execute(sa.insert(written), rows[start : start + _BATCH_ROWS])
