"""What a server keeps in memory of its keys is never older than what it has done itself (R31)."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.rings import MemoryKeyRing, MemoryNames, load_rings
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.catalogue import NamesNotToSend
from workevo_testing.people import Town, open_town, operator
from workevo_testing.places import Place
from workevo_testing.sinks import catalogue_of
from workevo_testing.uploads import good_event, upload, user


class SlowlyRead:
    """The database, with something that happens when keys have been read and nobody knows which yet."""

    def __init__(self, database: Any, then: Any) -> None:
        self._database = database
        self._then = then
        self.reads = 0

    @asynccontextmanager
    async def reading(self, workspace_id: WorkspaceId | None) -> AsyncIterator[AsyncConnection]:
        async with self._database.reading(workspace_id) as connection:
            yield connection
        self.reads += 1
        if self.reads == 1:
            await self._then()


async def test_a_key_that_is_revoked_while_keys_are_read_anew_opens_nothing(place: Place) -> None:
    async with open_town(place) as town:
        made = await town.workspaces.create("other")
        of = made.workspace.workspace_id
        (kind, key), *_ = made.keys.items()
        ring, names = MemoryKeyRing(), MemoryNames()
        await load_rings(town.store._database, ring, names)
        assert ring.principal(key) is not None
        prefix = next(each.prefix for each in await town.workspaces.keys(of) if each.kind is kind)

        async def revoke() -> None:
            await town.workspaces.revoke_key(of, prefix)
            ring.drop_key(of, prefix)

        slowly: Any = SlowlyRead(town.store._database, revoke)
        await load_rings(slowly, ring, names)

        assert ring.principal(key) is None
        assert slowly.reads == 3  # Keys, keys again, names.


async def test_a_key_that_is_made_while_keys_are_read_anew_opens(place: Place) -> None:
    async with open_town(place) as town:
        ring, names = MemoryKeyRing(), MemoryNames()
        made: list[str] = []

        async def make() -> None:
            created = await town.workspaces.create("late")
            made.extend(created.keys.values())
            ring.changes += 1  # As putting them there would have done.

        slowly: Any = SlowlyRead(town.store._database, make)
        await load_rings(slowly, ring, names)

        assert all(ring.principal(key) is not None for key in made)


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is asked of any database meanwhile."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def test_reading_anew_takes_no_more_statements_of_many_workspaces_and_keys_come_first(
    place: Place,
) -> None:
    """R31: each archive or setting anywhere has every server read; a revoked key must not wait for names."""
    async with open_town(place) as town:
        with statements() as of_one:
            await load_rings(town.store._database, MemoryKeyRing(), MemoryNames())
        made = [(await town.workspaces.create(f"workspace {number}")).workspace for number in range(7)]
        for workspace in made:
            await archive_a_name(town, workspace.workspace_id)
        with statements() as of_eight:
            names = MemoryNames()
            await load_rings(town.store._database, MemoryKeyRing(), names)

        assert len(of_eight) == len(of_one)
        (keys, *_), (definitions, *_) = (
            [at for at, statement in enumerate(of_eight) if table in statement]
            for table in ("api_keys", "event_definitions")
        )
        assert keys < definitions
        assert names.names_not_to_send(made[0].workspace_id).archived == ("old",)
        assert names.names_not_to_send(town.workspace_id) == NamesNotToSend()


async def archive_a_name(town: Town, workspace_id: WorkspaceId) -> None:
    sent = upload(workspace_id, [good_event(0, 1, user("u1"), "old", 1)])
    await town.store.sink.append(judge_upload(sent, WorkspaceSettings()))
    await catalogue_of(town.store).archive(workspace_id, "old", author=operator())
