"""Workspaces and their keys (R31)."""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.audit import Author


class KeyKind(enum.Enum):
    """What a key may do: sdk and browser are public and write; server reads and writes; admin manages;
    viewer and support are for people and open the console alone (`ports.sessions.Role`)."""

    SDK = "sdk"
    BROWSER = "browser"
    SERVER = "server"
    ADMIN = "admin"
    SUPPORT = "support"
    VIEWER = "viewer"


FIRST_KEYS = (KeyKind.SDK, KeyKind.BROWSER, KeyKind.SERVER, KeyKind.ADMIN)
"""What a new workspace has one of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls. The workspace comes from here and from nowhere else."""

    workspace_id: WorkspaceId
    kind: KeyKind
    key_prefix: str
    origins: frozenset[str] = frozenset()
    """Whose pages the key serves, as browsers tell them; of browser keys alone (R30)."""


class KeyRing(Protocol):
    def principal(self, key: str) -> Principal | None:
        """Who the key belongs to, or None; from memory, as it is asked before any body is parsed."""

    def settings(self, workspace_id: WorkspaceId) -> WorkspaceSettings:
        """What the workspace has set, from memory, as last made durable."""

    def identity_secrets(self, workspace_id: WorkspaceId) -> Sequence[bytes]:
        """Those in use, from memory, as last made durable (R19)."""


class OriginRing(Protocol):
    def knows_origin(self, origin: str) -> bool:
        """Whether any key serves pages of this origin; from memory. Which one is judged with the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceRecord:
    workspace_id: WorkspaceId
    app_id: str
    name: str
    created_at_micros: int
    settings: WorkspaceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    prefix: str
    """What lists show of a key."""
    kind: KeyKind
    created_at_micros: int
    revoked_at_micros: int | None
    origins: tuple[str, ...] = ()
    """Of a browser key: whose pages it serves (`domain.origins`)."""


class WorkspaceStore(Protocol):
    """Keeps workspaces and key hashes; every method returns after what it changed is durable.

    What is changed of a workspace is noted with its author in the same transaction.
    """

    async def create_workspace(
        self, workspace: WorkspaceRecord, keys: Mapping[str, KeyRecord], *, author: Author
    ) -> None:
        """Keep a new workspace with its keys, by their SHA-256 in hexadecimal."""

    async def workspaces(self) -> Sequence[WorkspaceRecord]:
        """All of them, oldest first."""

    async def update_settings(
        self,
        workspace_id: WorkspaceId,
        edit: Callable[[WorkspaceSettings], WorkspaceSettings],
        *,
        author: Author,
    ) -> WorkspaceSettings:
        """Change what is set now by `edit`, so that two who change at once lose nothing of each other.

        The settings returned apply to every upload judged after this returns. Raises NotFound.
        """

    async def add_key(
        self, workspace_id: WorkspaceId, key_hash: str, key: KeyRecord, *, author: Author
    ) -> None:
        """Keep one more key. Raises NotFound when there is no such workspace."""

    async def keys(self, workspace_id: WorkspaceId) -> Sequence[KeyRecord]:
        """All keys of the workspace, revoked ones included, oldest first."""

    async def revoke_key(self, workspace_id: WorkspaceId, prefix: str, *, author: Author) -> None:
        """From its return on the key opens nothing. Raises NotFound; revoking twice is harmless."""
