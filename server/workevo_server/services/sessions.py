"""Signing in to the console, by a key of a person's own or by a link that works once (R31)."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from workevo_server.domain import page_token
from workevo_server.domain.errors import KeyNotPermitted, PageTokenInvalid, UnknownKey
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.audit import OPERATOR
from workevo_server.ports.clock import Clock
from workevo_server.ports.key_ring import KeyKind, KeyRing
from workevo_server.ports.sessions import NewSession, Role, Session, SessionStore

TOKEN_BYTES = 32
SESSION_LASTS = timedelta(hours=12)
LINK_LASTS = timedelta(minutes=15)
_SEPARATOR = "."  # In no id of a workspace, and in no seal.
ROLES = {KeyKind.VIEWER: Role.VIEWER, KeyKind.SUPPORT: Role.SUPPORT, KeyKind.ADMIN: Role.ADMIN}
"""The kinds of key that sign in; the others are for programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    token: str
    """What the browser keeps; it opens the session, and is kept nowhere here."""
    lasts: timedelta


class Sessions:
    """`random_text(bytes)` gives URL-safe text from that many random bytes."""

    def __init__(
        self,
        *,
        store: SessionStore,
        key_ring: KeyRing,
        link_secret: bytes,
        clock: Clock,
        random_text: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        self._store = store
        self._key_ring = key_ring
        self._link_secret = link_secret
        self._clock = clock
        self._random_text = random_text

    async def sign_in(self, key: str) -> SignedIn:
        """With a key of a person. Raises UnknownKey, and KeyNotPermitted for a key of a program."""
        principal = self._key_ring.principal(key)
        if principal is None:
            raise UnknownKey
        if principal.kind not in ROLES:
            raise KeyNotPermitted
        token = self._random_text(TOKEN_BYTES)
        session = self._new(
            principal.workspace_id, ROLES[principal.kind], principal.key_prefix, lasts=SESSION_LASTS
        )
        await self._store.add_session(_hash(token), session)
        return SignedIn(token=token, lasts=SESSION_LASTS)

    def make_link(self, workspace_id: WorkspaceId) -> str:
        """The token of a link that signs an operator in as admin, once and soon.

        Sealed and not kept, so that a server that starts writes nothing for a link that nobody follows.
        """
        expires_at = self._clock.now_micros() + _micros(LINK_LASTS)
        chance = int.from_bytes(hashlib.sha256(self._random_text(TOKEN_BYTES).encode()).digest()[:7])
        sealed = page_token.encode([expires_at, chance], scope=_scope(workspace_id), secret=self._link_secret)
        return f"{workspace_id}{_SEPARATOR}{sealed}"

    async def follow_link(self, link_token: str) -> SignedIn | None:
        """None when the link was followed before, is too old, or was never given out."""
        named, _, sealed = link_token.rpartition(_SEPARATOR)
        workspace_id = WorkspaceId(named)
        try:
            expires_at, _ = page_token.decode(
                sealed, scope=_scope(workspace_id), secret=self._link_secret, length=2
            )
        except PageTokenInvalid:
            return None
        session = self._new(workspace_id, Role.ADMIN, OPERATOR, lasts=SESSION_LASTS)
        if session.created_at_micros >= expires_at:
            return None
        token = self._random_text(TOKEN_BYTES)
        opened = await self._store.follow_link(
            _hash(link_token), _hash(token), session, link_expires_at_micros=expires_at
        )
        return SignedIn(token=token, lasts=SESSION_LASTS) if opened else None

    async def session(self, token: str) -> Session | None:
        """Who has this token; None when nobody (any more)."""
        return await self._store.session(_hash(token), now_micros=self._clock.now_micros())

    async def sign_out(self, token: str) -> None:
        """From its return on the token opens nothing."""
        await self._store.end_session(_hash(token))

    def _new(self, workspace_id: WorkspaceId, role: Role, made_by: str, *, lasts: timedelta) -> NewSession:
        now = self._clock.now_micros()
        return NewSession(
            workspace_id=workspace_id,
            role=role,
            made_by=made_by,
            created_at_micros=now,
            expires_at_micros=now + _micros(lasts),
        )


def _scope(workspace_id: WorkspaceId) -> str:
    return f"console link {workspace_id}"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _micros(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
