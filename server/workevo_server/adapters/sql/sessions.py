"""Who is signed in to the console; a `ports.sessions.SessionStore`."""

from dataclasses import replace

from sqlalchemy import Connection, delete, exists, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert

from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.schema import api_keys, console_sessions, workspaces
from workevo_server.adapters.sql.workspaces import workspace_no_of
from workevo_server.adapters.sql.writer import Change, Writer
from workevo_server.domain.errors import NotFound
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.audit import OPERATOR
from workevo_server.ports.sessions import NewSession, Purpose, Role, Session


class SqlSessions:
    """Written and read across workspaces: which one a token belongs to is what is asked here."""

    def __init__(self, *, writer: Writer, database: Database) -> None:
        self._writer = writer
        self._database = database

    async def add_session(self, token_hash: str, session: NewSession) -> None:
        def change(connection: Connection) -> None:
            _forget_ended(connection, session.created_at_micros)
            _keep(connection, token_hash, Purpose.SESSION, session)

        await self._writer.submit(Change(None, change))

    async def session(self, token_hash: str, *, now_micros: int) -> Session | None:
        table = console_sessions.c
        key_opens = exists().where(
            api_keys.c.workspace_no == table.workspace_no,
            api_keys.c.prefix == table.made_by,
            api_keys.c.revoked_at.is_(None),
        )
        query = (
            select(console_sessions, workspaces.c.workspace_id, workspaces.c.name)
            .join_from(console_sessions, workspaces, table.workspace_no == workspaces.c.workspace_no)
            .where(
                table.token_hash == token_hash,
                table.purpose == Purpose.SESSION.value,
                table.expires_at > now_micros,
                or_(table.made_by == OPERATOR, key_opens),
            )
        )
        async with self._database.reading(None) as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        return Session(
            workspace_id=WorkspaceId(row.workspace_id),
            workspace_name=row.name,
            role=Role(row.role),
            made_by=row.made_by,
            created_at_micros=row.created_at,
            expires_at_micros=row.expires_at,
        )

    async def follow_link(
        self, link_hash: str, token_hash: str, session: NewSession, *, link_expires_at_micros: int
    ) -> bool:
        followed = replace(session, expires_at_micros=link_expires_at_micros)

        def change(connection: Connection) -> bool:
            _forget_ended(connection, session.created_at_micros)
            try:
                if not _keep(connection, link_hash, Purpose.LINK, followed):
                    return False
            except NotFound:
                return False
            _keep(connection, token_hash, Purpose.SESSION, session)
            return True

        return await self._writer.submit(Change(None, change))

    async def end_session(self, token_hash: str) -> None:
        def change(connection: Connection) -> None:
            connection.execute(delete(console_sessions).where(console_sessions.c.token_hash == token_hash))

        await self._writer.submit(Change(None, change))


def _forget_ended(connection: Connection, now_micros: int) -> None:
    connection.execute(delete(console_sessions).where(console_sessions.c.expires_at <= now_micros))


def _keep(connection: Connection, token_hash: str, purpose: Purpose, session: NewSession) -> bool:
    """False when the token is kept already. Raises NotFound when there is no such workspace."""
    kept = connection.execute(
        upsert(console_sessions).on_conflict_do_nothing(),
        {
            "token_hash": token_hash,
            "workspace_no": workspace_no_of(connection, session.workspace_id),
            "purpose": purpose.value,
            "role": session.role.value,
            "made_by": session.made_by,
            "created_at": session.created_at_micros,
            "expires_at": session.expires_at_micros,
        },
    )
    return kept.rowcount == 1
