"""What deletions left of ids (R32), for those who ask about one id at a time."""

from sqlalchemy import Connection

from workevo_server.adapters.sql import statements
from workevo_server.domain.erasure import Erasure, id_hash
from workevo_server.domain.events import ContactClaim
from workevo_server.domain.identifiers import WorkspaceId


def find_erasure(
    connection: Connection,
    claim: ContactClaim,
    *,
    workspace_no: int,
    workspace_id: WorkspaceId,
    secret: bytes,
) -> Erasure | None:
    """When a contact of this id was deleted, last; None when none was."""
    hashed = id_hash(claim, workspace_id=workspace_id, secret=secret)
    found = connection.execute(
        statements.ERASURES, {"workspace_no": workspace_no, "id_hashes": [hashed]}
    ).one_or_none()
    if found is None:
        return None
    return Erasure(erased_at_micros=found.erased_at, suppressed=found.suppressed)
