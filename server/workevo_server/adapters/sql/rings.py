"""What a server keeps in memory of all workspaces: keys, settings, secrets, and names not to send.

`MemoryKeyRing` is a `ports.key_ring.KeyRing`, `MemoryNames` a `ports.catalogue.NamesRing`.
What this process changes it also knows: a ring is updated right after the change is
durable, and a revoked key opens nothing from then on (R31). What another process
changes on the same store is read anew when it says so.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.names_not_to_send import names_by_workspace
from workevo_server.adapters.sql.schema import api_keys, identity_secrets, workspaces
from workevo_server.adapters.sql.settings_document import settings_from_plain
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.catalogue import NamesNotToSend
from workevo_server.ports.key_ring import KeyKind, KeyRecord, Principal


def key_hash(key: str) -> str:
    """A key holds 256 random bits, so that one SHA-256 keeps it as safe as a slow hash would."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


class MemoryKeyRing:
    def __init__(self) -> None:
        self.changes = 0
        """How often this process has changed it: what was read of the store before is older than that."""
        self._principals: dict[str, Principal] = {}
        self._origins: frozenset[str] = frozenset()
        self._settings: dict[WorkspaceId, WorkspaceSettings] = {}
        self._secrets: dict[WorkspaceId, dict[str, bytes]] = {}

    def become(self, other: "MemoryKeyRing") -> None:
        """Know what the other one knows, and nothing else."""
        self._principals = other._principals  # noqa: SLF001 - one of its own kind.
        self._origins = other._origins  # noqa: SLF001
        self._settings = other._settings  # noqa: SLF001
        self._secrets = other._secrets  # noqa: SLF001

    def principal(self, key: str) -> Principal | None:
        return self._principals.get(key_hash(key))

    def settings(self, workspace_id: WorkspaceId) -> WorkspaceSettings:
        return self._settings[workspace_id]

    def identity_secrets(self, workspace_id: WorkspaceId) -> Sequence[bytes]:
        return tuple(self._secrets.get(workspace_id, {}).values())

    def put_secret(self, workspace_id: WorkspaceId, secret_id: str, secret: bytes) -> None:
        self.changes += 1
        self._secrets.setdefault(workspace_id, {})[secret_id] = secret

    def drop_secret(self, workspace_id: WorkspaceId, secret_id: str) -> None:
        self.changes += 1
        self._secrets.get(workspace_id, {}).pop(secret_id, None)

    def put_settings(self, workspace_id: WorkspaceId, settings: WorkspaceSettings) -> None:
        self.changes += 1
        self._settings[workspace_id] = settings

    def knows_origin(self, origin: str) -> bool:
        return origin in self._origins

    def put_key(self, hashed: str, principal: Principal) -> None:
        self.changes += 1
        self._principals[hashed] = principal
        self._origins |= principal.origins

    def drop_key(self, workspace_id: WorkspaceId, prefix: str) -> None:
        self.changes += 1
        self._principals = {
            hashed: principal
            for hashed, principal in self._principals.items()
            if (principal.workspace_id, principal.key_prefix) != (workspace_id, prefix)
        }
        self._origins = frozenset().union(*(principal.origins for principal in self._principals.values()))


class MemoryNames:
    def __init__(self) -> None:
        self.changes = 0
        """As of `MemoryKeyRing`."""
        self._names: dict[WorkspaceId, NamesNotToSend] = {}

    def become(self, other: "MemoryNames") -> None:
        """Know what the other one knows, and nothing else."""
        self._names = other._names  # noqa: SLF001 - one of its own kind.

    def names_not_to_send(self, workspace_id: WorkspaceId) -> NamesNotToSend:
        return self._names.get(workspace_id, NamesNotToSend())

    def put(self, workspace_id: WorkspaceId, names: NamesNotToSend) -> None:
        self.changes += 1
        self._names[workspace_id] = names


R = TypeVar("R", MemoryKeyRing, MemoryNames)


async def load_rings(database: Database, key_ring: MemoryKeyRing, names: MemoryNames) -> None:
    """Read both anew from the store, keys first. Raises StoreUnavailable, and leaves what it could not read.

    What this process changes while it reads stands: a key that was revoked then would open again.
    """
    await _until_unchanged(database, key_ring, MemoryKeyRing, _read_key_ring)
    await _until_unchanged(database, names, MemoryNames, _read_names)


async def _until_unchanged(
    database: Database, ring: R, empty: Callable[[], R], read: Callable[[AsyncConnection, R], Awaitable[None]]
) -> None:
    while True:
        seen, anew = ring.changes, empty()
        async with database.reading(None) as connection:
            await read(connection, anew)
        if ring.changes == seen:
            ring.become(anew)
            return


async def _read_key_ring(connection: AsyncConnection, ring: MemoryKeyRing) -> None:
    """Settings last: each statement sees what is committed by then, and no key may be without them."""
    await _read_keys(connection, ring)
    await _read_secrets(connection, ring)
    for row in await connection.execute(select(workspaces.c.workspace_id, workspaces.c.settings)):
        ring.put_settings(WorkspaceId(row.workspace_id), settings_from_plain(row.settings))


async def _read_names(connection: AsyncConnection, names: MemoryNames) -> None:
    found = await connection.run_sync(names_by_workspace)
    for no, workspace_id in await connection.execute(
        select(workspaces.c.workspace_no, workspaces.c.workspace_id)
    ):
        if no in found:
            names.put(WorkspaceId(workspace_id), found[no])


async def _read_keys(connection: AsyncConnection, ring: MemoryKeyRing) -> None:
    keys = api_keys.c
    for row in await connection.execute(
        select(keys.key_hash, *KEY_COLUMNS, workspaces.c.workspace_id)
        .join_from(api_keys, workspaces, keys.workspace_no == workspaces.c.workspace_no)
        .where(keys.revoked_at.is_(None))
    ):
        ring.put_key(row.key_hash, principal_of(WorkspaceId(row.workspace_id), key_record(row)))


async def _read_secrets(connection: AsyncConnection, ring: MemoryKeyRing) -> None:
    table = identity_secrets.c
    for workspace_id, secret_id, secret in await connection.execute(
        select(workspaces.c.workspace_id, table.secret_id, table.secret)
        .join_from(identity_secrets, workspaces, table.workspace_no == workspaces.c.workspace_no)
        .where(table.revoked_at.is_(None))
        .order_by(table.secret_no)
    ):
        ring.put_secret(WorkspaceId(workspace_id), secret_id, secret)


KEY_COLUMNS = (
    api_keys.c.prefix,
    api_keys.c.kind,
    api_keys.c.created_at,
    api_keys.c.revoked_at,
    api_keys.c.origins,
)


def key_record(row: Any) -> KeyRecord:
    """Of a row with `KEY_COLUMNS`."""
    return KeyRecord(
        prefix=row.prefix,
        kind=KeyKind(row.kind),
        created_at_micros=row.created_at,
        revoked_at_micros=row.revoked_at,
        origins=tuple(row.origins),
    )


def principal_of(workspace_id: WorkspaceId, key: KeyRecord) -> Principal:
    return Principal(
        workspace_id=workspace_id, kind=key.kind, key_prefix=key.prefix, origins=frozenset(key.origins)
    )
