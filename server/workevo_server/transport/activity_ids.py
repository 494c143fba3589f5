"""What an activity is called outside: the same on every door, and nothing that tells how many there are."""

import hashlib

from workevo_server.domain.identifiers import WorkspaceId

_ID_BYTES = 16


def activity_id(receipt_no: int, workspace_id: WorkspaceId) -> str:
    """The number itself counts the receipts of all workspaces, which is nobody's to see."""
    named = f"{workspace_id}/{receipt_no}".encode()
    return hashlib.blake2b(named, digest_size=_ID_BYTES).hexdigest()
