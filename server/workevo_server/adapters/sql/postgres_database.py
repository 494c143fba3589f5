"""A PostgreSQL server that several processes write at once.

Everything is done as a role that sees one workspace at a time (tenant_wall.py), but
for what concerns the whole store, which the URL's own role does.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import URL, Connection, bindparam, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from workevo_server.adapters.sql import statements
from workevo_server.adapters.sql.absence import Absence
from workevo_server.adapters.sql.copy_marks import refuse_unfinished_copy
from workevo_server.adapters.sql.database import LOCK_WAIT, Reachable, is_ours
from workevo_server.adapters.sql.definition_counts import roll_up_counts
from workevo_server.adapters.sql.error_codes import HELD, NO_MONTH, error_code
from workevo_server.adapters.sql.facts import Facts, read_or_make_facts
from workevo_server.adapters.sql.migrate import StoreRefused
from workevo_server.adapters.sql.notify_relay import NotifyRelay
from workevo_server.adapters.sql.partitions import (
    Month,
    add_months,
    analyze_young_months,
    bounds,
    known_months,
    month_of,
    months_ahead,
)
from workevo_server.adapters.sql.postgres_address import connect, engine
from workevo_server.adapters.sql.preparation import (
    PREPARE_SECONDS_MAX,
    SCHEMA_LOCK,
    prepare,
    show_presence,
)
from workevo_server.adapters.sql.tenant_wall import APP_ROLE, ENTER, build_wall
from workevo_server.domain.errors import Overloaded, StoreUnavailable
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.clock import Clock
from workevo_server.ports.live_relay import LiveRelay

READERS_MAX = 8
PATIENT_MAX = 4  # One shows that we are there, one that we keep house: two work.
READER_WAIT_SECONDS = 10.0
READERS_BUSY_RETRY = timedelta(seconds=2)
CONNECT_SECONDS_MAX = 5
STATEMENT_SECONDS_MAX = 25  # Shorter than a call's own deadline, so that its caller gets an answer.
LOCK_WAIT_SECONDS_MAX = 5
IDLE_SECONDS_MAX = 30  # A server that hangs within a transaction lets its locks go.
WATCH_EVERY_SECONDS = 1.0

_HOUSE_LOCK = 0x57_45_56_48  # Held by the one server that keeps house.
_CHANNEL = "workevo_changes"
_PASSING = frozenset({"40001", "40P01", "23505", NO_MONTH})
"""Serialization failure, deadlock, a unique key that another made first, a month that another dropped."""
_ENTER_AND_WAIT = ENTER.add_columns(func.set_config("lock_timeout", bindparam("lock_wait"), True))  # noqa: FBT003
_MILLISECOND = timedelta(milliseconds=1)
_NO_WORKSPACE = 0  # Numbers start at 1.
UNREACHABLE = (DBAPIError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)

T = TypeVar("T")


class PostgresDatabase:
    """A `database.Database` on a server. `url` is a `postgresql+asyncpg://` one."""

    shares_transactions = False
    writes_apart = True
    has_months = True

    def __init__(self, url: URL, *, clock: Clock) -> None:
        self._relay = NotifyRelay()
        self.relay: LiveRelay = self._relay
        self.absence = Absence()
        self._url = url
        self._clock = clock
        self._owner = _engine(url, size=2)
        self._readers = _engine(url, size=READERS_MAX, role=APP_ROLE)
        self._writer = _engine(url, size=1, role=APP_ROLE)
        self._patient = _engine(url, size=PATIENT_MAX, seconds=PREPARE_SECONDS_MAX)
        """For what takes its time: to migrate, to erase, to drop a month; and to show that we are there."""
        self._presence: AsyncConnection | None = None
        self._revision = ""
        """Of the store's schema, as this process writes it."""
        self._workspace_nos: dict[WorkspaceId, int] = {}
        self._months: set[Month] = set()

    async def prepare(self, *, simulated_clock: bool | None) -> Facts:
        def work(connection: Connection) -> Facts:
            refuse_unfinished_copy(connection)
            facts = read_or_make_facts(connection, simulated_clock=simulated_clock)
            add_months(connection, months_ahead(self._clock.now_micros()))
            build_wall(connection)
            self._months.update(known_months(connection))
            return facts

        try:
            self._presence = await self._patient.connect()
            facts, self._revision = await prepare(self._presence, work)
        except UNREACHABLE as error:
            raise StoreRefused(why_unusable(error)) from None
        return facts

    @asynccontextmanager
    async def reading(self, workspace_id: WorkspaceId | None) -> AsyncIterator[AsyncConnection]:
        pool = self._owner if workspace_id is None else self._readers
        try:
            no = await self._workspace_no(workspace_id)
            async with pool.connect() as connection, _given_up_when_cancelled(connection):
                await connection.execute(ENTER, {"workspace_no": str(no)})
                yield connection
        except PoolTimeout:
            raise Overloaded(READERS_BUSY_RETRY) from None
        except UNREACHABLE as error:
            raise StoreUnavailable from error

    async def transact(
        self,
        work: Callable[[Connection], T],
        workspace_id: WorkspaceId | None,
        *,
        lock_wait: timedelta = LOCK_WAIT,
        apart: bool = False,
    ) -> T:
        pool = self._patient if apart else self._owner if workspace_id is None else self._writer
        no = await self._workspace_no(workspace_id)
        async with _connected(pool) as connection, _given_up_when_it_fails(connection):
            if apart and workspace_id is not None:
                await connection.execute(text(f"SET LOCAL ROLE {APP_ROLE}"))
            await connection.execute(
                _ENTER_AND_WAIT, {"workspace_no": str(no), "lock_wait": f"{lock_wait // _MILLISECOND}ms"}
            )
            result = await self._run(connection, work)
            await connection.commit()
        return result

    async def _run(self, connection: AsyncConnection, work: Callable[[Connection], T]) -> T:
        try:
            return await connection.run_sync(work)
        except DBAPIError as error:
            if error_code(error) == NO_MONTH:
                self._months.clear()  # So that the next try asks which are there.
            raise

    async def drop_connection(self) -> None:
        """A transaction that failed has given its connection up already."""

    async def _workspace_no(self, workspace_id: WorkspaceId | None) -> int:
        """Of a workspace, which never changes; of none that the store knows, one that nothing is in."""
        if workspace_id is None:
            return _NO_WORKSPACE
        if workspace_id not in self._workspace_nos:
            async with self._owner.connect() as connection:
                found = await connection.execute(statements.WORKSPACE_NO, {"workspace_id": workspace_id})
                no: int | None = found.scalar()
            if no is None:
                return _NO_WORKSPACE
            self._workspace_nos[workspace_id] = no
        return self._workspace_nos[workspace_id]

    async def make_room(self, received_at_micros: Collection[int]) -> None:
        """Months are made ahead at start and in time; another is met only on a simulated clock."""
        missing = {month_of(micros) for micros in received_at_micros} - self._months
        if missing:
            await self._add_months(missing)

    async def keep_up(self) -> None:
        """Make months ahead of need, and add up what uploads counted of definitions meanwhile."""
        await self.make_room([start for start, _ in map(bounds, months_ahead(self._clock.now_micros()))])
        async with self._owner.begin() as connection:
            await connection.run_sync(roll_up_counts)
            self._months = set(await connection.run_sync(lambda each: list(known_months(each))))
        async with self._owner.begin() as connection:
            await connection.run_sync(analyze_young_months)

    async def _add_months(self, months: Collection[Month]) -> None:
        def add(connection: Connection) -> None:
            connection.execute(select(func.pg_advisory_xact_lock(SCHEMA_LOCK)))
            add_months(connection, months)

        async with self._owner.begin() as connection:
            await connection.run_sync(add)
        self._months.update(months)

    @asynccontextmanager
    async def house_held(self) -> AsyncIterator[bool]:
        """On a connection of its own, by a lock that goes with it."""
        async with self._patient.connect() as connection:
            try:
                taken = await connection.execute(select(func.pg_try_advisory_lock(_HOUSE_LOCK)))
                await connection.commit()
                yield bool(taken.scalar_one())
            finally:
                await asyncio.shield(connection.invalidate())

    async def leave_nothing_deleted(self) -> bool:
        """PostgreSQL's own vacuum takes deleted rows away (decisions/0012-postgresql.md)."""
        return True

    def is_fatal(self, error: BaseException) -> bool:  # noqa: ARG002
        """A server that cannot keep what it wrote ends by itself, and recovers by starting again."""
        return False

    def is_passing(self, error: BaseException) -> bool:
        return error_code(error) in _PASSING

    def is_held(self, error: BaseException) -> bool:
        return error_code(error) == HELD

    def announce(self, connection: Connection) -> None:
        connection.execute(select(func.pg_notify(_CHANNEL, "")))

    def is_unreachable(self, error: BaseException) -> bool:
        """It did not answer, or is starting or ending (classes 08 and 57)."""
        if isinstance(error, DBAPIError):
            code = error_code(error) or ""
            return error.connection_invalidated or code.startswith(("08", "57P"))
        return isinstance(error, OSError | TimeoutError | asyncpg.PostgresError | asyncpg.InterfaceError)

    async def watch(self, changed: Callable[[], object], reachable: Reachable) -> None:
        """Listens on a connection of its own, and asks every second whether somebody is there."""
        while True:
            try:
                await self._listen(changed, reachable)
            except UNREACHABLE as error:
                self.absence.begin(error)
                await reachable(False)  # noqa: FBT003 - what it says.
            await asyncio.sleep(WATCH_EVERY_SECONDS)

    async def _listen(self, changed: Callable[[], object], reachable: Reachable) -> None:
        """Until it fails. What happened while nobody listened is taken for a change."""
        connection = await connect(
            self._url,
            settings={"synchronous_commit": "off"},  # It writes nothing that is kept.
            timeout=CONNECT_SECONDS_MAX,
            command_timeout=CONNECT_SECONDS_MAX,
        )
        try:
            await show_presence(connection, self._revision)
            await self._relay.open(connection)
            await connection.add_listener(_CHANNEL, lambda *_: changed())
            changed()
            while True:
                await connection.fetchval("SELECT 1")
                self.absence.end()
                await reachable(True)  # noqa: FBT003 - what it says.
                await self._relay.pass_on(connection, seconds=WATCH_EVERY_SECONDS)
        finally:
            self._relay.close()
            connection.terminate()

    async def close(self) -> None:
        if self._presence is not None:
            await self._presence.invalidate()  # At once, though nobody answers there any more.
            await self._presence.close()
        for pool in (self._readers, self._writer, self._owner, self._patient):
            await pool.dispose()


def _engine(
    url: URL, *, size: int, role: str | None = None, seconds: int = STATEMENT_SECONDS_MAX
) -> AsyncEngine:
    settings = {
        "application_name": "workevo",
        "synchronous_commit": "on",  # Whatever the server's default is: committed is on disk (R12).
        "statement_timeout": f"{seconds}s",
        "lock_timeout": f"{LOCK_WAIT_SECONDS_MAX}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS_MAX}s",
        "jit": "off",  # Compiling a plan costs more than any of our statements.
    }
    if role is not None:
        settings["role"] = role
    return engine(
        url,
        settings=settings,
        deadlines={
            "timeout": CONNECT_SECONDS_MAX,
            "command_timeout": seconds + CONNECT_SECONDS_MAX,
        },
        pool_size=size,
        max_overflow=0,
        pool_timeout=READER_WAIT_SECONDS,
    )


@asynccontextmanager
async def _connected(pool: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Raises Overloaded when all are busy."""
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(pool.connect())
        except PoolTimeout:
            raise Overloaded(READERS_BUSY_RETRY) from None
        yield connection


@asynccontextmanager
async def _given_up_when_cancelled(connection: AsyncConnection) -> AsyncIterator[None]:
    """A caller that went away may leave a transaction open, and with it the workspace that it entered."""
    try:
        yield
    except asyncio.CancelledError:
        await asyncio.shield(connection.invalidate())
        raise


@asynccontextmanager
async def _given_up_when_it_fails(connection: AsyncConnection) -> AsyncIterator[None]:
    try:
        yield
    except BaseException as error:
        if not is_ours(error):  # Else its transaction is rolled back as it goes back to where it came from.
            await asyncio.shield(connection.invalidate())
        raise


def why_unusable(error: BaseException) -> str:
    """And what to look at: the address, where nobody let us in; the server's log, where it did."""
    code = error_code(error)
    was_let_in = code is not None and not code.startswith(_BEFORE_THE_DOOR)
    advice = (
        "The server answers, so its log says more; does this role own the database?"
        if was_let_in
        else "Check --store, and see whether the server runs and what its log says."
    )
    return f"PostgreSQL cannot be used as the store: {told(error)} {advice}"


_BEFORE_THE_DOOR = ("08", "28", "3D", "53300", "57P")
"""No connection, no such role or password, no such database, too many connections, starting or ending."""


def told(error: BaseException) -> str:
    """What the server or the driver says, without the URL, which holds a password."""
    original: Any = error.orig if isinstance(error, DBAPIError) else error
    said = str(original).splitlines()[0].rpartition(">: ")[2] if str(original) else type(original).__name__
    return said if said.endswith(".") else f"{said}."
