"""Who is signed in to the console, in which role and until when (R31)."""

import enum
from dataclasses import dataclass
from typing import Protocol

from workevo_server.domain.identifiers import WorkspaceId


class Role(enum.Enum):
    """What somebody may do in the console, named as the kinds of key; each may do what those before may."""

    VIEWER = "viewer"
    """Reads."""
    SUPPORT = "support"
    """Describes and archives events, and replays failed ones."""
    ADMIN = "admin"
    """Manages keys, settings and secrets."""

    def may(self, needed: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Purpose(enum.Enum):
    """Of a token that is kept."""

    SESSION = "session"
    LINK = "link"
    """It was followed, and opens nothing any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    workspace_id: WorkspaceId
    workspace_name: str
    role: Role
    made_by: str
    """The prefix of the key that was signed in with, or `audit.OPERATOR`; the author of what it changes."""
    created_at_micros: int
    expires_at_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    workspace_id: WorkspaceId
    role: Role
    made_by: str
    created_at_micros: int
    expires_at_micros: int


class SessionStore(Protocol):
    """Sessions by the SHA-256 of their token in hexadecimal. Every method returns after it is durable."""

    async def add_session(self, token_hash: str, session: NewSession) -> None:
        """Keep one, and forget those that have ended. Raises NotFound when there is no such workspace."""

    async def session(self, token_hash: str, *, now_micros: int) -> Session | None:
        """None when it has ended, was signed out of, or its key was revoked; a link is no session."""

    async def follow_link(
        self, link_hash: str, token_hash: str, session: NewSession, *, link_expires_at_micros: int
    ) -> bool:
        """Keep a session that a link opens. False when it was followed before, or names no workspace."""

    async def end_session(self, token_hash: str) -> None:
        """Sign out. Harmless when there is none."""
