"""A server follows what others change on its store, also after it could not for a while (R31)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from workevo_server.adapters.sql.store import SqlStore
from workevo_server.ports.key_ring import KeyKind
from workevo_server.services.workspaces import Workspaces
from workevo_testing.places import Place, on_postgres
from workevo_testing.sinks import FixedClock
from workevo_testing.stores import opened_store

pytestmark = on_postgres


async def note(_serving: bool) -> None:
    pass


@asynccontextmanager
async def watching(store: SqlStore) -> AsyncIterator[None]:
    task = asyncio.create_task(store.watch(note))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until_known(store: SqlStore, key: str, *, known: bool) -> None:
    async with asyncio.timeout(10):
        while (store.key_ring.principal(key) is not None) != known:  # noqa: ASYNC110 - another process.
            await asyncio.sleep(0.01)


async def test_a_revoked_key_is_refused_though_reading_keys_anew_failed_the_first_time(place: Place) -> None:
    """R31: nobody says it again, so who heard it and could not read must try until it can."""
    pooled = "datname = current_database() AND application_name = 'workevo'"
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(opened_store(place))
        workspaces = Workspaces(store=other.workspaces, clock=FixedClock())
        made = await workspaces.create("acme")
        key = made.keys[KeyKind.SDK]
        ((others,),) = place.rows(f"SELECT array_agg(pid) FROM pg_stat_activity WHERE {pooled}")
        one = await stack.enter_async_context(opened_store(place))
        await stack.enter_async_context(watching(one))
        await until_known(one, (await workspaces.create("sign of life")).keys[KeyKind.SDK], known=True)
        principal = other.key_ring.principal(key)
        assert principal is not None

        place.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {pooled}"
            f" AND pid <> ALL(ARRAY{others})"
        )
        await workspaces.revoke_key(made.workspace.workspace_id, principal.key_prefix)

        await until_known(one, key, known=False)


async def test_a_server_that_follows_its_store_no_more_ends(place: Place) -> None:
    """Its keys would grow old unnoticed: as without its writer, it must start again."""
    ended: list[BaseException] = []

    async def fail(_serving: bool) -> None:
        raise ZeroDivisionError

    async with opened_store(place, ended.append) as store:
        with pytest.raises(ExceptionGroup):
            await store.watch(fail)
    assert [type(error) for error in ended] == [ZeroDivisionError]
