"""Workspaces, their keys and settings in the store.

`SqlWorkspaces` is a `ports.key_ring.WorkspaceStore`; the ring is told of a change right
after it is durable (rings.py).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql import statements
from workevo_server.adapters.sql.audit import note
from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.rings import KEY_COLUMNS, MemoryKeyRing, key_record, principal_of
from workevo_server.adapters.sql.schema import api_keys, workspaces
from workevo_server.adapters.sql.settings_document import settings_from_plain, settings_to_plain
from workevo_server.adapters.sql.writer import Change, Writer
from workevo_server.domain.errors import NotFound
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.workspace import (
    WorkspaceSettings,
)
from workevo_server.ports.audit import Author
from workevo_server.ports.key_ring import KeyRecord, WorkspaceRecord
from workevo_server.services.finishing import Finishing

T = TypeVar("T")


class SqlWorkspaces:
    def __init__(self, *, writer: Writer, database: Database, key_ring: MemoryKeyRing) -> None:
        self._writer = writer
        self._database = database
        self._key_ring = key_ring
        self._finishing = Finishing()

    async def durably(
        self,
        workspace_id: WorkspaceId | None,
        change: Callable[[Connection], T],
        then: Callable[[T], None],
    ) -> T:
        """Write, then let the ring know: both or neither, though the caller goes away in between.

        The rings of other processes on the same store are told once it is committed.
        """

        def run(connection: Connection) -> T:
            result = change(connection)
            self._database.announce(connection)
            return result

        async def both() -> T:
            result = await self._writer.submit(Change(workspace_id, run))
            then(result)
            return result

        return await self._finishing.finish(both())

    async def create_workspace(
        self, workspace: WorkspaceRecord, keys: Mapping[str, KeyRecord], *, author: Author
    ) -> None:
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
            workspace_no = workspace_no_of(connection, workspace.workspace_id)
            note(connection, workspace_no, author, "workspace.create", workspace.workspace_id)
            for hashed, key in keys.items():
                _insert_key(connection, workspace.workspace_id, hashed, key)
                note(connection, workspace_no, author, "key.create", key.prefix)

        def then(_: None) -> None:
            self._key_ring.put_settings(workspace.workspace_id, workspace.settings)
            for hashed, key in keys.items():
                self._key_ring.put_key(hashed, principal_of(workspace.workspace_id, key))

        await self.durably(None, change, then)

    async def workspaces(self) -> Sequence[WorkspaceRecord]:
        async with self._database.reading(None) as connection:
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
                connection.execute(select(workspaces.c.settings).where(mine).with_for_update()).scalar_one()
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
            workspace_id, change, lambda settings: self._key_ring.put_settings(workspace_id, settings)
        )

    async def add_key(
        self, workspace_id: WorkspaceId, key_hash: str, key: KeyRecord, *, author: Author
    ) -> None:
        def change(connection: Connection) -> None:
            _insert_key(connection, workspace_id, key_hash, key)
            note(connection, workspace_no_of(connection, workspace_id), author, "key.create", key.prefix)

        await self.durably(
            workspace_id,
            change,
            lambda _: self._key_ring.put_key(key_hash, principal_of(workspace_id, key)),
        )

    async def keys(self, workspace_id: WorkspaceId) -> Sequence[KeyRecord]:
        keys = api_keys.c
        async with self._database.reading(workspace_id) as connection:
            rows = await connection.execute(
                select(*KEY_COLUMNS)
                .join_from(api_keys, workspaces, keys.workspace_no == workspaces.c.workspace_no)
                .where(workspaces.c.workspace_id == workspace_id)
                .order_by(keys.key_no)
            )
            return [key_record(row) for row in rows]

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

        await self.durably(workspace_id, change, lambda _: self._key_ring.drop_key(workspace_id, prefix))


def workspace_no_of(connection: Connection, workspace_id: WorkspaceId) -> int:
    """Raises NotFound."""
    found: int | None = connection.execute(statements.WORKSPACE_NO, {"workspace_id": workspace_id}).scalar()
    if found is None:
        raise NotFound("workspace", within="store")
    return found


async def read_workspace_no(connection: AsyncConnection, workspace_id: WorkspaceId) -> int:
    """Beside the writer. Raises NotFound."""
    return await connection.run_sync(workspace_no_of, workspace_id)


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
