"""Identity secrets in the store and in the ring (R19); a `ports.secret_store.SecretStore`."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select, update

from workevo_server.adapters.sql.audit import note
from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.rings import MemoryKeyRing
from workevo_server.adapters.sql.schema import identity_secrets, unverified_claims, workspaces
from workevo_server.adapters.sql.workspaces import SqlWorkspaces, workspace_no_of
from workevo_server.domain import limits
from workevo_server.domain.errors import FieldViolation, NotFound, RequestInvalid
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.audit import Author
from workevo_server.ports.secret_store import IdentitySecret, UnverifiedUser


class SqlSecrets:
    def __init__(self, *, workspaces: SqlWorkspaces, database: Database, key_ring: MemoryKeyRing) -> None:
        self._workspaces = workspaces
        self._database = database
        self._key_ring = key_ring

    async def add_secret(
        self, workspace_id: WorkspaceId, secret: bytes, record: IdentitySecret, *, author: Author
    ) -> None:
        def change(connection: Connection) -> None:
            workspace_no = workspace_no_of(connection, workspace_id)
            in_use = connection.execute(
                select(func.count()).where(
                    identity_secrets.c.workspace_no == workspace_no, identity_secrets.c.revoked_at.is_(None)
                )
            ).scalar_one()
            if in_use >= limits.IDENTITY_SECRETS_MAX:
                most = limits.IDENTITY_SECRETS_MAX
                raise RequestInvalid(
                    FieldViolation("secret", f"A workspace has at most {most} secrets in use. Revoke one.")
                )
            connection.execute(
                insert(identity_secrets),
                {
                    "workspace_no": workspace_no,
                    "secret_id": record.secret_id,
                    "secret": secret,
                    "created_at": record.created_at_micros,
                },
            )
            note(connection, workspace_no, author, "secret.create", record.secret_id)

        await self._workspaces.durably(
            workspace_id, change, lambda _: self._key_ring.put_secret(workspace_id, record.secret_id, secret)
        )

    async def secrets(self, workspace_id: WorkspaceId) -> Sequence[IdentitySecret]:
        table = identity_secrets.c
        async with self._database.reading(workspace_id) as connection:
            rows = await connection.execute(
                select(table.secret_id, table.created_at, table.revoked_at)
                .join_from(identity_secrets, workspaces, table.workspace_no == workspaces.c.workspace_no)
                .where(workspaces.c.workspace_id == workspace_id)
                .order_by(table.secret_no)
            )
            return [
                IdentitySecret(secret_id=secret_id, created_at_micros=created, revoked_at_micros=revoked)
                for secret_id, created, revoked in rows
            ]

    async def revoke_secret(self, workspace_id: WorkspaceId, secret_id: str, *, author: Author) -> None:
        def change(connection: Connection) -> None:
            table = identity_secrets.c
            workspace_no = workspace_no_of(connection, workspace_id)
            mine = (table.workspace_no == workspace_no) & (table.secret_id == secret_id)
            if connection.execute(select(table.secret_no).where(mine)).first() is None:
                raise NotFound("secret")
            done = connection.execute(
                update(identity_secrets)
                .where(mine, table.revoked_at.is_(None))
                .values(revoked_at=author.made_at_micros, secret=None)
            )
            if done.rowcount:
                note(connection, workspace_no, author, "secret.revoke", secret_id)

        await self._workspaces.durably(
            workspace_id, change, lambda _: self._key_ring.drop_secret(workspace_id, secret_id)
        )

    async def unverified_users(self, workspace_id: WorkspaceId) -> Sequence[UnverifiedUser]:
        table = unverified_claims.c
        async with self._database.reading(workspace_id) as connection:
            rows = await connection.execute(
                select(table.user_id, table.claim_count, table.first_at, table.last_at)
                .join_from(unverified_claims, workspaces, table.workspace_no == workspaces.c.workspace_no)
                .where(workspaces.c.workspace_id == workspace_id)
                .order_by(table.claim_count.desc(), table.user_id)
            )
            return [
                UnverifiedUser(
                    user_id=user_id.decode(), claim_count=count, first_at_micros=first, last_at_micros=last
                )
                for user_id, count, first, last in rows
            ]
