"""How servers begin on one PostgreSQL, and that none is migrated beneath another that writes it."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from workevo_server.adapters.sql import migrate, postgres_database, preparation
from workevo_server.adapters.sql.migrate import StoreRefused
from workevo_server.adapters.sql.store import SqlStore
from workevo_testing.places import DatabasePlace, Place, on_postgres
from workevo_testing.sinks import end_of_test
from workevo_testing.stores import opened_store

pytestmark = on_postgres

_NEXT = """revision = "next"
down_revision = "{head}"
def upgrade() -> None:
    pass
"""


def revision(place: Place) -> str:
    ((found,),) = place.rows("SELECT version_num FROM alembic_version")
    return str(found)


async def test_a_server_waits_for_another_that_migrates_however_long_that_takes(
    place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_database, "LOCK_WAIT_SECONDS_MAX", 0.05)
    waiting = (
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted"
        " AND datname = current_database() AND clock_timestamp() - query_start > interval '0.2 s'"
    )
    async with place.held(f"SELECT pg_advisory_xact_lock({preparation.SCHEMA_LOCK})"):
        opening = asyncio.create_task(SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test))
        async with asyncio.timeout(10):
            while place.rows(waiting) != [(1,)]:
                assert not opening.done(), opening.result()
                await asyncio.sleep(0.02)
    await (await opening).close()


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Makes this version one that knows a schema beyond the one given."""

    def become(head: str) -> None:
        migrations = tmp_path / "migrations"
        shutil.copytree(migrate.MIGRATIONS, migrations)
        (migrations / "versions" / "next.py").write_text(_NEXT.format(head=head))
        monkeypatch.setattr(migrate, "MIGRATIONS", migrations)

    return become


async def test_a_store_is_not_migrated_beneath_a_server_that_has_it_open(
    place: Place, newer: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """R14: the older code would go on writing ledgers without what the newer one keeps of them."""
    async with opened_store(place):
        head = revision(place)
        newer(head)
        with monkeypatch.context() as now:
            now.setattr(preparation, "LEAVING_SECONDS_MAX", 0.05)
            with pytest.raises(StoreRefused, match="Stop all servers that run on this store"):
                await SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test)
        assert revision(place) == head
    async with opened_store(place), opened_store(place):
        assert revision(place) == "next"


async def test_a_server_whose_store_was_migrated_while_it_could_not_be_seen_ends(place: Place) -> None:
    ended: list[BaseException] = []
    async with opened_store(place, ended.append) as store:
        serving = asyncio.Event()

        async def note(is_serving: bool) -> None:
            if is_serving:
                serving.set()

        watching = asyncio.create_task(store.watch(note))
        await asyncio.wait_for(serving.wait(), 10)
        place.execute(
            "UPDATE alembic_version SET version_num = 'newer'",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        with pytest.raises(ExceptionGroup):
            await asyncio.wait_for(watching, 20)
    assert [type(error) for error in ended] == [preparation.StoreMigrated]
