"""What a server keeps in memory of its keys is never older than what it has done itself (R31)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.rings import MemoryKeyRing, MemoryNames, load_rings
from workevo_server.domain.identifiers import WorkspaceId
from workevo_testing.people import open_town
from workevo_testing.places import Place


class SlowlyRead:
    """The database, with something that happens when it has been read and nobody knows what yet."""

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
        assert slowly.reads == 2


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
