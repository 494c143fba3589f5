"""Identity secrets of a workspace, for the operator (R19)."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.audit import OPERATOR, Author
from workevo_server.ports.clock import Clock
from workevo_server.ports.secret_store import IdentitySecret, SecretStore, UnverifiedUser

SECRET_BYTES = 32
SECRET_ID_BYTES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    secret_id: str
    secret: str
    """The key of the HMAC is this text as UTF-8. Shown now and never again."""


class IdentitySecrets:
    """Several may be in use at once: make one, roll it out, revoke the old one."""

    def __init__(
        self,
        *,
        store: SecretStore,
        clock: Clock,
        random_text: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random_text = random_text

    async def create(self, workspace_id: WorkspaceId, *, made_by: str = OPERATOR) -> NewSecret:
        """Make one more. Raises RequestInvalid when the workspace has as many as it may."""
        secret = f"wk_secret_{self._random_text(SECRET_BYTES)}"
        author = self._author(made_by)
        record = IdentitySecret(
            secret_id=f"secret_{self._random_text(SECRET_ID_BYTES)}",
            created_at_micros=author.made_at_micros,
            revoked_at_micros=None,
        )
        await self._store.add_secret(workspace_id, secret.encode(), record, author=author)
        return NewSecret(secret_id=record.secret_id, secret=secret)

    async def list(self, workspace_id: WorkspaceId) -> Sequence[IdentitySecret]:
        """All of them by name, revoked ones included, oldest first."""
        return await self._store.secrets(workspace_id)

    async def revoke(self, workspace_id: WorkspaceId, secret_id: str, *, made_by: str = OPERATOR) -> None:
        """From its return on it proves nothing. Raises NotFound; revoking twice is harmless."""
        await self._store.revoke_secret(workspace_id, secret_id, author=self._author(made_by))

    async def report(self, workspace_id: WorkspaceId) -> Sequence[UnverifiedUser]:
        """Who claimed to be a user without a valid proof since proofs are reported or enforced."""
        return await self._store.unverified_users(workspace_id)

    def _author(self, made_by: str) -> Author:
        return Author(made_by=made_by, made_at_micros=self._clock.now_micros())
