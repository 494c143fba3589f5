"""What the store needs of a database, whichever it is.

`SqliteDatabase` is one file that one process writes; `PostgresDatabase` is a server
that several processes write at once. All else of the store is the same for both.
"""

from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.absence import Absence
from workevo_server.adapters.sql.facts import Facts
from workevo_server.domain.errors import WorkevoError
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.live_relay import LiveRelay

T = TypeVar("T")


LOCK_WAIT = timedelta(seconds=2)
"""One task writes for all, so that nobody's row may stop it for long. Longer than the second after which
PostgreSQL looks for a deadlock: that is to be found, as its transactions can run again at once."""

Reachable = Callable[[bool], Awaitable[object]]
"""Is told whether the store answers, whenever that may have changed."""


class TryAgain(Exception):
    """Another process changed what this transaction had read; run again, it sees what is there now."""


def is_ours(error: BaseException) -> bool:
    """Whether we ended a transaction ourselves, by a refusal or to run it again: its connection is sound."""
    return isinstance(error, WorkevoError | TryAgain)


class Database(Protocol):
    shares_transactions: bool
    """Whether jobs of several workspaces may be written in one transaction."""

    writes_apart: bool
    """Whether a transaction may run beside the writer's."""

    has_months: bool
    """Whether events lie in partitions by month of receipt, which can be dropped."""

    relay: LiveRelay
    """To the other processes that have this store open."""

    absence: Absence
    """What the log learns of a store that does not answer."""

    async def prepare(self, *, simulated_clock: bool | None) -> Facts:
        """Migrate, and read or make the facts of the store, before anything else. Raises StoreRefused."""

    def reading(self, workspace_id: WorkspaceId | None) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection to read one workspace with; the whole store with None.

        Raises Overloaded when all are busy, StoreUnavailable when reading fails.
        """

    async def transact(
        self,
        work: Callable[[Connection], T],
        workspace_id: WorkspaceId | None,
        *,
        lock_wait: timedelta = LOCK_WAIT,
        apart: bool = False,
    ) -> T:
        """Run `work` in a transaction that sees this workspace; the whole store with None.

        When this returns it is on disk. Only the writer calls it, one at a time but for
        those `apart`, which may take up to an hour where the database `writes_apart`.
        `lock_wait` is how long it waits for what another process holds.
        """

    async def drop_connection(self) -> None:
        """Give up the writing connection: one that failed is not trusted with the next transaction.

        One whose transaction we ended ourselves (`is_ours`) is, and keeps what it has in memory.
        """

    async def make_room(self, received_at_micros: Collection[int]) -> None:
        """See to it that events received at these times have a place."""

    def house_held(self) -> AbstractAsyncContextManager[bool]:
        """Whether no other process keeps house in this store, nor begins to within the context."""

    async def leave_nothing_deleted(self) -> bool:
        """Rid the files of what was deleted (R32); False when readers were in the way. Raises OSError."""

    def is_fatal(self, error: BaseException) -> bool:
        """Whether what is on disk is unknown after it, so that the process must end."""

    def is_passing(self, error: BaseException) -> bool:
        """Whether the same transaction may well succeed at once: two processes met (40001, 40P01)."""

    def is_held(self, error: BaseException) -> bool:
        """Whether another process holds a row for longer than this one waits for it (55P03)."""

    def is_unreachable(self, error: BaseException) -> bool:
        """Whether there is nobody to try again with now."""

    async def watch(self, changed: Callable[[], object], reachable: Reachable) -> None:
        """Until cancelled, say when another process changed keys or names, and whether the store answers."""

    async def keep_up(self) -> None:
        """What is to be done every few seconds, whoever of several processes does it."""

    def announce(self, connection: Connection) -> None:
        """Within a transaction: let the other processes know of it once it is committed."""

    async def close(self) -> None: ...
