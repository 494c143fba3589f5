"""Live events of several processes on one PostgreSQL: told to each other, and never in anybody's way."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import grpc
import pytest

from workevo_server.adapters.sql.notify_relay import WAITING_MAX, NotifyRelay
from workevo_server.adapters.sql.store import SqlStore
from workevo_testing.console import Visit
from workevo_testing.places import Place, on_postgres
from workevo_testing.postgres import PostgresCluster
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import ServerProcess
from workevo_testing.sinks import end_of_test
from workevo_testing.wire_calls import Phone, event

pytestmark = pytest.mark.timeout(120)
SOON_SECONDS = 10.0


@asynccontextmanager
async def watching(place: Place) -> AsyncIterator[tuple[SqlStore, list[str], list[str]]]:
    """A store that is watched; what it hears, and how often it may have missed something."""
    heard: list[str] = []
    missed: list[str] = []
    store = await SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test)
    store.relay.listen(heard.append, lambda: missed.append("missed"))

    async def reachable(_: bool) -> None: ...

    task = asyncio.create_task(store.watch(reachable))
    try:
        await until(lambda: bool(missed) and store.relay.say("ready"))
        yield store, heard, missed
    finally:
        task.cancel()
        await asyncio.wait([task])
        await store.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        while not holds():  # noqa: ASYNC110 - what is waited for is in another process.
            await asyncio.sleep(0.02)


@on_postgres
async def test_what_one_process_says_all_hear_in_order(place: Place) -> None:
    async with watching(place) as (one, _, _), watching(place) as (_, heard, _):
        for number in range(50):
            assert one.relay.say(f"message {number}")

        await until(lambda: "message 49" in heard)

        assert [each for each in heard if each.startswith("message")] == [
            f"message {number}" for number in range(50)
        ]


async def test_a_store_that_is_not_there_is_told_nothing_and_nobody_waits() -> None:
    relay = NotifyRelay()

    assert not relay.say("to nobody")


async def test_what_waits_is_bounded() -> None:
    relay = NotifyRelay()
    relay._is_open = True

    assert [relay.say("x") for _ in range(WAITING_MAX + 1)] == [True] * WAITING_MAX + [False]


@on_postgres
async def test_after_a_connection_broke_it_is_said_that_something_may_have_been_missed(place: Place) -> None:
    async with watching(place) as (one, heard, missed):
        before = len(missed)
        await asyncio.to_thread(place.execute, _END_ALL_OTHERS)

        await until(lambda: len(missed) >= before + 2)
        await until(lambda: one.relay.say("again"))
        await until(lambda: "again" in heard)


_END_ALL_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


# Workers -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresCluster) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("pool")
    with ServerProcess(directory, flags=["--workers", "2"], store=postgres.make_database()) as server:
        yield server


class Watcher:
    """Asks on a connection of its own each time, so that now one worker answers and now the other."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.visit = Visit(server.http_address)
        assert self.visit.sign_in(server.keys.admin_key).status == 303

    def look(self, times: int = 1) -> str:
        return "".join(self.visit.get("/console/live/rows?after=0").body.decode() for _ in range(times))

    def sees_everywhere(self, name: str) -> bool:
        """In every one of so many looks that both workers were surely asked."""
        return all(name in self.look() for _ in range(LOOKS))

    def phones(self) -> list[Phone]:
        """So many connections that both workers have one."""
        return [
            Phone(grpc.insecure_channel(self.server.grpc_address, OWN_CONNECTION), self.server.keys.sdk_key)
            for _ in range(LOOKS)
        ]


LOOKS = 20
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


def soon(holds: Callable[[], bool]) -> bool:
    ends_at = time.monotonic() + SOON_SECONDS
    while time.monotonic() < ends_at:
        if holds():
            return True
        time.sleep(0.2)
    return False


def test_whichever_worker_answers_every_worker_shows_it(pool: ServerProcess) -> None:
    watcher = Watcher(pool)
    watcher.look(LOOKS)
    for number, phone in enumerate(watcher.phones()):
        phone.upload([event(1, name=f"of phone {number:02}")])

    for number in range(LOOKS):
        assert soon(lambda: watcher.sees_everywhere(f"Of phone {number:02}")), number  # noqa: B023 - asked at once.


def test_who_is_deleted_by_one_worker_is_shown_by_none(pool: ServerProcess) -> None:
    watcher = Watcher(pool)
    watcher.look(LOOKS)
    watcher.phones()[0].upload([event(1, name="their secret", user_id="ada")])
    assert soon(lambda: watcher.sees_everywhere("Their secret"))
    rest = Rest(address=pool.http_address, key=pool.keys.server_key)
    contact = rest.get("/contacts/find_by_external_id/ada").json["id"]

    assert rest.call("DELETE", f"/contacts/{contact}").status == 200

    assert soon(lambda: "Their secret" not in watcher.look(LOOKS))
