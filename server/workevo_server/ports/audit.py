"""Who changed what of a workspace, and when. Kept for ever, so it never holds personal data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from workevo_server.domain.identifiers import WorkspaceId

OPERATOR = "operator"
"""Who changes things by the command line: whoever may write the data directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who makes a change, and when."""

    made_by: str
    """`OPERATOR`, or the prefix of the key that was used."""
    made_at_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    entry_no: int
    author: Author
    action: str
    """What was done, for example `setting.change`."""
    subject: str
    """To what: a setting's name, a key's prefix, an opaque id. Never a contact's own id."""
    old: str | None
    new: str | None


class AuditReader(Protocol):
    async def audit_entries(
        self, workspace_id: WorkspaceId, *, before_entry_no: int | None, count_max: int
    ) -> Sequence[AuditEntry]:
        """Newest first, those before `before_entry_no` where it is given."""
