"""Keeping and reading who changed what; a `ports.audit.AuditReader`."""

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.schema import audit_entries, workspaces
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.audit import AuditEntry, Author


def note(
    connection: Connection,
    workspace_no: int,
    author: Author,
    action: str,
    subject: str,
    *,
    old: str | None = None,
    new: str | None = None,
) -> None:
    """Say in the transaction of a change who made it. No argument may hold personal data."""
    connection.execute(
        insert(audit_entries),
        {
            "workspace_no": workspace_no,
            "made_at": author.made_at_micros,
            "made_by": author.made_by,
            "action": action,
            "subject": subject,
            "old_value": old,
            "new_value": new,
        },
    )


class SqlAudit:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def audit_entries(
        self, workspace_id: WorkspaceId, *, before_entry_no: int | None, count_max: int
    ) -> Sequence[AuditEntry]:
        entries = audit_entries.c
        query = (
            select(audit_entries)
            .join(workspaces, workspaces.c.workspace_no == entries.workspace_no)
            .where(workspaces.c.workspace_id == workspace_id)
            .order_by(entries.entry_no.desc())
            .limit(count_max)
        )
        if before_entry_no is not None:
            query = query.where(entries.entry_no < before_entry_no)
        async with self._database.reading(workspace_id) as connection:
            return [
                AuditEntry(
                    entry_no=row.entry_no,
                    author=Author(made_by=row.made_by, made_at_micros=row.made_at),
                    action=row.action,
                    subject=row.subject,
                    old=row.old_value,
                    new=row.new_value,
                )
                for row in await connection.execute(query)
            ]
