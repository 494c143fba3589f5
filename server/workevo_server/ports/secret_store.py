"""Identity secrets of a workspace, and who claimed to be a user without their proof (R19)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.audit import Author


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySecret:
    """What a workspace and its own back end share, for proofs of identity (R19)."""

    secret_id: str
    """What lists show of it."""
    created_at_micros: int
    revoked_at_micros: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedUser:
    """Who claimed to be a user without a valid proof."""

    user_id: str
    """Empty for all those together that were too many to be kept apart."""
    claim_count: int
    first_at_micros: int
    last_at_micros: int


class SecretStore(Protocol):
    """Every method that changes something returns after the change is durable, noted with its author."""

    async def add_secret(
        self, workspace_id: WorkspaceId, secret: bytes, record: IdentitySecret, *, author: Author
    ) -> None:
        """Keep one more identity secret, recoverably: HMAC needs it. Raises NotFound, RequestInvalid."""

    async def secrets(self, workspace_id: WorkspaceId) -> Sequence[IdentitySecret]:
        """All of the workspace, revoked ones included, oldest first."""

    async def revoke_secret(self, workspace_id: WorkspaceId, secret_id: str, *, author: Author) -> None:
        """From its return on it proves nothing, and is not kept. Raises NotFound; twice is harmless."""

    async def unverified_users(self, workspace_id: WorkspaceId) -> Sequence[UnverifiedUser]:
        """Who would be, or is, refused where proofs are enforced, most claims first."""
