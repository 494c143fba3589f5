"""What a PostgreSQL confirms is on its disk, whatever it was told elsewhere (R12)."""

import asyncio

import pytest
from sqlalchemy import Connection, text

from workevo_server.adapters.sql.store import SqlStore, StoreRefused
from workevo_server.services.workspaces import Workspaces
from workevo_testing.places import DatabasePlace, on_postgres
from workevo_testing.sinks import FixedClock, end_of_test

pytestmark = on_postgres

HEARS_SECONDS_MAX = 20


def committed_how(connection: Connection) -> str:
    return str(connection.execute(text("SHOW synchronous_commit")).scalar_one())


async def test_a_commit_waits_for_the_disk_whatever_the_database_was_told(place: DatabasePlace) -> None:
    place.execute(f"ALTER DATABASE {place.where.database} SET synchronous_commit = off")
    store = await SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test)
    try:
        made = await Workspaces(store=store.workspaces, clock=FixedClock()).create("acme")
        database = store._database
        ours = [
            await database.transact(committed_how, None),
            await database.transact(committed_how, made.workspace.workspace_id),
            await database.transact(committed_how, made.workspace.workspace_id, apart=True),
        ]
    finally:
        await store.close()

    assert ours == ["on", "on", "on"]
    assert place.rows("SHOW synchronous_commit") == [("off",)]  # The control: as anybody else's is.


async def test_a_server_that_forgets_at_a_power_cut_is_refused(place: DatabasePlace) -> None:
    place.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    try:
        await _until_fsync_is(place, "off")
        with pytest.raises(StoreRefused, match="fsync = on"):
            await SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test)
    finally:
        place.execute("ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()")
        await _until_fsync_is(place, "on")


async def _until_fsync_is(place: DatabasePlace, value: str) -> None:
    async with asyncio.timeout(HEARS_SECONDS_MAX):
        while True:
            if place.rows("SHOW fsync") == [(value,)]:
                return
            await asyncio.sleep(0.02)
