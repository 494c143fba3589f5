"""How a server begins on a PostgreSQL that others may be using, and shows them that it is there.

    one connection:  schema's lock ─▶ presence, shared ─▶ migrate, if presence is ours alone ─▶ commit
                                           └─ held until the connection is closed

Whoever would migrate the store finds by that lock whether anybody is left who would go
on writing it as it was (decisions/0012-postgresql.md).
"""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.error_codes import HELD, error_code
from workevo_server.adapters.sql.migrate import StoreRefused, upgrade

PREPARE_SECONDS_MAX = 3600  # A migration of a large store.
SCHEMA_LOCK = 0x57_45_56_4F  # Held while one of several servers that start at once migrates.
PRESENCE_LOCK = 0x57_45_56_50  # Held, shared, by each process that has the store open.
LEAVING_SECONDS_MAX = 5  # Who has ended a moment ago may still be there for PostgreSQL.

T = TypeVar("T")

_REVISION = "SELECT version_num FROM alembic_version"


class StoreMigrated(Exception):
    """Another version has migrated the store while this process could not show that it uses it."""


async def prepare(connection: AsyncConnection, work: Callable[[Connection], T]) -> tuple[T, str]:
    """Run `work` on the store as this version has it, in one transaction; the revision, too, that it has.

    The process is known to be there until the connection is closed. It may take as long
    as a migration does, of another server too. Raises StoreRefused.
    """

    def prepared(sync: Connection) -> tuple[T, str]:
        _wait_for(sync, SCHEMA_LOCK)
        sync.execute(select(func.pg_advisory_lock_shared(PRESENCE_LOCK)))
        upgrade(sync, before_change=lambda: _be_alone(sync))
        return work(sync), sync.execute(text(_REVISION)).scalar_one()

    await refuse_what_forgets(connection)
    await connection.rollback()
    async with connection.begin():
        return await connection.run_sync(prepared)


async def show_presence(connection: Any, revision: str) -> None:
    """By a connection of the driver's, as long as it is open. Raises StoreMigrated, TimeoutError."""
    await connection.execute(f"SELECT pg_advisory_lock_shared({PRESENCE_LOCK})")
    if await connection.fetchval(_REVISION) != revision:
        raise StoreMigrated


async def refuse_what_forgets(connection: AsyncConnection) -> None:
    """A server told not to wait for its disk would lose what we answered for (R12)."""
    if (await connection.execute(text("SHOW fsync"))).scalar() == "off":
        raise StoreRefused(
            "This PostgreSQL runs with fsync = off and would lose what it confirmed at a power cut. "
            "Set fsync = on in its configuration."
        )


def _wait_for(connection: Connection, lock: int) -> None:
    """For as long as a migration takes; whatever comes then waits no longer than it does elsewhere."""
    connection.execute(text(f"SET LOCAL statement_timeout = '{PREPARE_SECONDS_MAX}s'"))
    before = connection.execute(text("SHOW lock_timeout")).scalar_one()
    connection.execute(text(f"SET LOCAL lock_timeout = '{PREPARE_SECONDS_MAX}s'"))
    connection.execute(select(func.pg_advisory_xact_lock(lock)))
    connection.execute(text(f"SET LOCAL lock_timeout = '{before}'"))


def _be_alone(connection: Connection) -> None:
    """Until the end of the transaction. Raises StoreRefused."""
    try:
        with connection.begin_nested():
            connection.execute(text(f"SET LOCAL lock_timeout = '{LEAVING_SECONDS_MAX}s'"))
            connection.execute(select(func.pg_advisory_xact_lock(PRESENCE_LOCK)))
    except DBAPIError as error:
        if error_code(error) != HELD:
            raise
        raise StoreRefused(
            "This version of Workevo keeps the store in another shape, and servers of an older one are using "
            "it. Stop all servers that run on this store, then start this one: it migrates the store."
        ) from None
