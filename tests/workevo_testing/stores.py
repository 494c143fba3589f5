"""A store that is open for as long as a test needs it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from workevo_server.adapters.sql.store import SqlStore
from workevo_testing.places import Place
from workevo_testing.sinks import end_of_test


@asynccontextmanager
async def opened_store(
    place: Place, fatal: Callable[[BaseException], None] = end_of_test
) -> AsyncIterator[SqlStore]:
    """As a server of its own has it: another one of the same place is another server's."""
    store = await SqlStore.open(place.where, simulated_clock=False, fatal=fatal)
    try:
        yield store
    finally:
        await store.close()
