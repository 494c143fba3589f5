"""Workspaces and key hashes in the store, and the ring of keys in memory.

`SqlWorkspaces` is a `ports.key_ring.WorkspaceStore`, `MemoryKeyRing` a
`ports.key_ring.KeyRing`. One process owns the store, so what it changes it also
knows: the ring is updated right after the change is durable, and a revoked key
opens nothing from then on (R31).
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from workevo_server.adapters.sql.audit import note
from workevo_server.adapters.sql.database import reading
from workevo_server.adapters.sql.schema import api_keys, workspaces
from workevo_server.adapters.sql.writer import Writer
from workevo_server.domain.errors import NotFound
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.workspace import (
    IdentityVerification,
    KeyCharset,
    SameInstallTwins,
    WorkspaceSettings,
)
from workevo_server.ports.audit import Author
from workevo_server.ports.key_ring import KeyKind, KeyRecord, Principal, WorkspaceRecord

T = TypeVar("T")
_SECOND = timedelta(seconds=1)


def key_hash(key: str) -> str:
    """A key holds 256 random bits, so that one SHA-256 keeps it as safe as a slow hash would."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


class MemoryKeyRing:
    def __init__(self) -> None:
        self._principals: dict[str, Principal] = {}
        self._origins: frozenset[str] = frozenset()
        self._settings: dict[WorkspaceId, WorkspaceSettings] = {}
        self._secrets: dict[WorkspaceId, dict[str, bytes]] = {}

    def principal(self, key: str) -> Principal | None:
        return self._principals.get(key_hash(key))

    def settings(self, workspace_id: WorkspaceId) -> WorkspaceSettings:
        return self._settings[workspace_id]

    def identity_secrets(self, workspace_id: WorkspaceId) -> Sequence[bytes]:
        return tuple(self._secrets.get(workspace_id, {}).values())

    def put_secret(self, workspace_id: WorkspaceId, secret_id: str, secret: bytes) -> None:
        self._secrets.setdefault(workspace_id, {})[secret_id] = secret

    def drop_secret(self, workspace_id: WorkspaceId, secret_id: str) -> None:
        self._secrets.get(workspace_id, {}).pop(secret_id, None)

    def put_settings(self, workspace_id: WorkspaceId, settings: WorkspaceSettings) -> None:
        self._settings[workspace_id] = settings

    def knows_origin(self, origin: str) -> bool:
        return origin in self._origins

    def put_key(self, hashed: str, principal: Principal) -> None:
        self._principals[hashed] = principal
        self._origins |= principal.origins

    def drop_key(self, workspace_id: WorkspaceId, prefix: str) -> None:
        self._principals = {
            hashed: principal
            for hashed, principal in self._principals.items()
            if (principal.workspace_id, principal.key_prefix) != (workspace_id, prefix)
        }
        self._origins = frozenset().union(*(principal.origins for principal in self._principals.values()))


@dataclass(frozen=True, slots=True)
class _Change(Generic[T]):
    """A small job for the writer."""

    change: Callable[[Connection], T]
    weight: int = 1

    def run(self, connection: Connection) -> T:
        return self.change(connection)


class SqlWorkspaces:
    def __init__(self, *, writer: Writer, reader: AsyncEngine, key_ring: MemoryKeyRing) -> None:
        self._writer = writer
        self._reader = reader
        self._key_ring = key_ring
        self._under_way: set[asyncio.Task[Any]] = set()

    async def load_key_ring(self) -> None:
        for workspace in await self.workspaces():
            self._key_ring.put_settings(workspace.workspace_id, workspace.settings)
        keys, owners = api_keys.c, workspaces.c
        async with reading(self._reader) as connection:
            rows = await connection.execute(
                select(keys.key_hash, keys.prefix, keys.kind, keys.origins, owners.workspace_id)
                .join_from(api_keys, workspaces, keys.workspace_no == owners.workspace_no)
                .where(keys.revoked_at.is_(None))
            )
            for hashed, prefix, kind, origins, workspace_id in rows:
                principal = _principal(WorkspaceId(workspace_id), KeyKind(kind), prefix, origins)
                self._key_ring.put_key(hashed, principal)

    async def durably(self, change: Callable[[Connection], T], then: Callable[[T], None]) -> T:
        """Write, then let the ring know: both or neither, though the caller goes away in between."""

        async def both() -> T:
            result = await self._writer.submit(_Change(change))
            then(result)
            return result

        task = asyncio.create_task(both())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def create_workspace(self, workspace: WorkspaceRecord, keys: Mapping[str, KeyRecord]) -> None:
        def change(connection: Connection) -> None:
            connection.execute(
                insert(workspaces),
                {
                    "workspace_id": workspace.workspace_id,
                    "app_id": workspace.app_id,
                    "name": workspace.name,
                    "created_at": workspace.created_at_micros,
                    "settings": settings_to_plain(workspace.settings),
                },
            )
            for hashed, key in keys.items():
                _insert_key(connection, workspace.workspace_id, hashed, key)

        def then(_: None) -> None:
            self._key_ring.put_settings(workspace.workspace_id, workspace.settings)
            for hashed, key in keys.items():
                self._key_ring.put_key(hashed, _principal_of(workspace.workspace_id, key))

        await self.durably(change, then)

    async def workspaces(self) -> Sequence[WorkspaceRecord]:
        async with reading(self._reader) as connection:
            rows = await connection.execute(select(workspaces).order_by(workspaces.c.workspace_no))
            return [
                WorkspaceRecord(
                    workspace_id=WorkspaceId(row.workspace_id),
                    app_id=row.app_id,
                    name=row.name,
                    created_at_micros=row.created_at,
                    settings=settings_from_plain(row.settings),
                )
                for row in rows
            ]

    async def update_settings(
        self,
        workspace_id: WorkspaceId,
        edit: Callable[[WorkspaceSettings], WorkspaceSettings],
        *,
        author: Author,
    ) -> WorkspaceSettings:
        def change(connection: Connection) -> WorkspaceSettings:
            workspace_no = workspace_no_of(connection, workspace_id)
            mine = workspaces.c.workspace_no == workspace_no
            found = settings_from_plain(
                connection.execute(select(workspaces.c.settings).where(mine)).scalar_one()
            )
            settings = edit(found)
            connection.execute(update(workspaces).where(mine).values(settings=settings_to_plain(settings)))
            before, after = settings_to_plain(found), settings_to_plain(settings)
            for key in after:
                if before[key] != after[key]:
                    old, new = str(before[key]), str(after[key])
                    note(connection, workspace_no, author, "setting.change", key, old=old, new=new)
            return settings

        return await self.durably(
            change, lambda settings: self._key_ring.put_settings(workspace_id, settings)
        )

    async def add_key(
        self, workspace_id: WorkspaceId, key_hash: str, key: KeyRecord, *, author: Author
    ) -> None:
        def change(connection: Connection) -> None:
            _insert_key(connection, workspace_id, key_hash, key)
            note(connection, workspace_no_of(connection, workspace_id), author, "key.create", key.prefix)

        await self.durably(
            change,
            lambda _: self._key_ring.put_key(key_hash, _principal_of(workspace_id, key)),
        )

    async def keys(self, workspace_id: WorkspaceId) -> Sequence[KeyRecord]:
        keys = api_keys.c
        async with reading(self._reader) as connection:
            rows = await connection.execute(
                select(keys.prefix, keys.kind, keys.created_at, keys.revoked_at, keys.origins)
                .join_from(api_keys, workspaces, keys.workspace_no == workspaces.c.workspace_no)
                .where(workspaces.c.workspace_id == workspace_id)
                .order_by(keys.key_no)
            )
            return [
                KeyRecord(
                    prefix=prefix,
                    kind=KeyKind(kind),
                    created_at_micros=created_at,
                    revoked_at_micros=revoked_at,
                    origins=tuple(origins),
                )
                for prefix, kind, created_at, revoked_at, origins in rows
            ]

    async def revoke_key(self, workspace_id: WorkspaceId, prefix: str, *, author: Author) -> None:
        def change(connection: Connection) -> None:
            no = workspace_no_of(connection, workspace_id)
            mine = (api_keys.c.workspace_no == no) & (api_keys.c.prefix == prefix)
            if connection.execute(select(api_keys.c.key_no).where(mine)).first() is None:
                raise NotFound("key")
            done = connection.execute(
                update(api_keys)
                .where(mine, api_keys.c.revoked_at.is_(None))
                .values(revoked_at=author.made_at_micros)
            )
            if done.rowcount:
                note(connection, no, author, "key.revoke", prefix)

        await self.durably(change, lambda _: self._key_ring.drop_key(workspace_id, prefix))


def settings_to_plain(settings: WorkspaceSettings) -> dict[str, Any]:
    return {
        "key_charset": settings.key_charset.value,
        "metadata_keys_max": settings.metadata_keys_max,
        "product_identity_window_seconds": settings.product_identity_window // _SECOND,
        "same_install_twins": settings.same_install_twins.value,
        "event_names_max": settings.event_names_max,
        "identity_verification": settings.identity_verification.value,
        "create_unknown_users": settings.create_unknown_users,
        "failed_events_age_seconds": settings.failed_events_age // _SECOND,
        "failed_events_bytes_max": settings.failed_events_bytes_max,
        "event_retention_seconds": (settings.event_retention or timedelta()) // _SECOND,
        "flush_event_count": settings.flush_event_count,
        "flush_interval_seconds": settings.flush_interval // _SECOND,
        "rest_rate_limit": settings.rest_rate_limit,
    }


def settings_from_plain(kept: Mapping[str, Any]) -> WorkspaceSettings:
    """What a release of before did not know has its default."""
    plain = settings_to_plain(WorkspaceSettings()) | dict(kept)
    return WorkspaceSettings(
        key_charset=KeyCharset(plain["key_charset"]),
        metadata_keys_max=plain["metadata_keys_max"],
        product_identity_window=timedelta(seconds=plain["product_identity_window_seconds"]),
        same_install_twins=SameInstallTwins(plain["same_install_twins"]),
        event_names_max=plain["event_names_max"],
        identity_verification=IdentityVerification(plain["identity_verification"]),
        create_unknown_users=plain["create_unknown_users"],
        failed_events_age=timedelta(seconds=plain["failed_events_age_seconds"]),
        failed_events_bytes_max=plain["failed_events_bytes_max"],
        event_retention=timedelta(seconds=plain["event_retention_seconds"]) or None,
        flush_event_count=plain["flush_event_count"],
        flush_interval=timedelta(seconds=plain["flush_interval_seconds"]),
        rest_rate_limit=plain["rest_rate_limit"],
    )


def _principal(workspace_id: WorkspaceId, kind: KeyKind, prefix: str, origins: Sequence[str]) -> Principal:
    return Principal(workspace_id=workspace_id, kind=kind, key_prefix=prefix, origins=frozenset(origins))


def _principal_of(workspace_id: WorkspaceId, key: KeyRecord) -> Principal:
    return _principal(workspace_id, key.kind, key.prefix, key.origins)


def workspace_no_of(connection: Connection, workspace_id: WorkspaceId) -> int:
    found: int | None = connection.execute(
        select(workspaces.c.workspace_no).where(workspaces.c.workspace_id == workspace_id)
    ).scalar()
    if found is None:
        raise NotFound("workspace", within="store")
    return found


def _insert_key(connection: Connection, workspace_id: WorkspaceId, hashed: str, key: KeyRecord) -> None:
    connection.execute(
        insert(api_keys),
        {
            "workspace_no": workspace_no_of(connection, workspace_id),
            "key_hash": hashed,
            "prefix": key.prefix,
            "kind": key.kind.value,
            "created_at": key.created_at_micros,
            "revoked_at": key.revoked_at_micros,
            "origins": list(key.origins),
        },
    )
