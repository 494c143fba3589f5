"""The catalogue in the store and the names in memory that devices are asked not to send.

`SqlCatalogue` is a `ports.catalogue.CatalogueReader` and `CatalogueStore`,
`MemoryNames` a `ports.catalogue.NamesRing`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select, true, update

from workevo_server.adapters.sql import statements
from workevo_server.adapters.sql.audit import note
from workevo_server.adapters.sql.catalogue_counts import SIGHT_OF_KIND
from workevo_server.adapters.sql.database import Database
from workevo_server.adapters.sql.definition_counts import definitions_query
from workevo_server.adapters.sql.locks import hold_names, is_shared
from workevo_server.adapters.sql.names_not_to_send import names_not_to_send
from workevo_server.adapters.sql.rings import MemoryNames
from workevo_server.adapters.sql.schema import event_definitions, workspaces
from workevo_server.adapters.sql.workspaces import SqlWorkspaces, workspace_no_of
from workevo_server.domain.errors import CatalogueFull, NotFound
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import NameKey, WorkspaceId
from workevo_server.ports.audit import Author
from workevo_server.ports.catalogue import (
    DefinitionFilter,
    DefinitionState,
    EventDefinition,
    NamesNotToSend,
)

_definitions = event_definitions.c
_WHICH = {
    DefinitionFilter.ACTIVE: _definitions.archived_at.is_(None),
    DefinitionFilter.ARCHIVED: _definitions.archived_at.is_not(None),
    DefinitionFilter.ALL: true(),
}


class SqlCatalogue:
    def __init__(self, *, workspaces: SqlWorkspaces, database: Database, names: MemoryNames) -> None:
        self._workspaces = workspaces
        self._database = database
        self._names = names

    async def definition(self, workspace_id: WorkspaceId, name_key: NameKey) -> EventDefinition | None:
        async with self._database.reading(workspace_id) as connection:
            definitions, _ = definitions_query(is_shared=is_shared(connection))
            query = definitions.join(
                workspaces, workspaces.c.workspace_no == _definitions.workspace_no
            ).where(workspaces.c.workspace_id == workspace_id, _definitions.name_key == name_key.encode())
            found = (await connection.execute(query)).one_or_none()
        return _definition(found) if found is not None else None

    async def definitions(
        self,
        workspace_id: WorkspaceId,
        *,
        which: DefinitionFilter,
        seen_kind: ContactKind | None,
        after_definition_no: int,
        count_max: int,
    ) -> Sequence[EventDefinition]:
        async with self._database.reading(workspace_id) as connection:
            definitions, columns = definitions_query(is_shared=is_shared(connection))
            query = (
                definitions.join(workspaces, workspaces.c.workspace_no == _definitions.workspace_no)
                .where(
                    workspaces.c.workspace_id == workspace_id,
                    _definitions.definition_no > after_definition_no,
                    _WHICH[which],
                )
                .order_by(_definitions.definition_no)
                .limit(count_max)
            )
            if seen_kind is not None:
                query = query.where(columns[SIGHT_OF_KIND[seen_kind]])
            return [_definition(row) for row in await connection.execute(query)]

    async def active_count(self, workspace_id: WorkspaceId) -> int:
        query = (
            select(func.count())
            .select_from(event_definitions)
            .join(workspaces, workspaces.c.workspace_no == _definitions.workspace_no)
            .where(workspaces.c.workspace_id == workspace_id, _definitions.archived_at.is_(None))
        )
        async with self._database.reading(workspace_id) as connection:
            count: int = (await connection.execute(query)).scalar_one()
        return count

    async def change_definition(
        self,
        workspace_id: WorkspaceId,
        name_key: NameKey,
        edit: Callable[[DefinitionState], DefinitionState],
        *,
        active_names_max: int,
        author: Author,
    ) -> None:
        def change(connection: Connection) -> NamesNotToSend:
            no = workspace_no_of(connection, workspace_id)
            hold_names(connection, no)
            row = _row(connection, no, name_key)
            before = _state(row)
            after = edit(before)
            is_back = before.archived_at_micros is not None and after.archived_at_micros is None
            if is_back and _active_count(connection, no) >= active_names_max:
                raise CatalogueFull
            connection.execute(
                update(event_definitions)
                .where(_definitions.definition_no == row.definition_no)
                .values(
                    description=after.description,
                    disabled=after.disabled,
                    archived_at=after.archived_at_micros,
                )
            )
            _note_changes(connection, no, author, row.name.decode(), before, after)
            return names_not_to_send(connection, no)

        await self._workspaces.durably(
            workspace_id, change, lambda names: self._names.put(workspace_id, names)
        )


def _row(connection: Connection, workspace_no: int, name_key: NameKey) -> Row[Any]:
    found = connection.execute(
        select(event_definitions).where(
            _definitions.workspace_no == workspace_no, _definitions.name_key == name_key.encode()
        )
    ).one_or_none()
    if found is None:
        raise NotFound("event definition")
    return found


def _active_count(connection: Connection, workspace_no: int) -> int:
    count: int = connection.execute(
        statements.ACTIVE_DEFINITION_COUNT, {"workspace_no": workspace_no}
    ).scalar_one()
    return count


def _state(row: Row[Any]) -> DefinitionState:
    return DefinitionState(
        description=row.description, disabled=row.disabled, archived_at_micros=row.archived_at
    )


def _note_changes(
    connection: Connection,
    workspace_no: int,
    author: Author,
    name: str,
    before: DefinitionState,
    after: DefinitionState,
) -> None:
    """A description is people's prose, so that it changed is noted and not what it says."""
    was_archived, is_archived = (state.archived_at_micros is not None for state in (before, after))
    if was_archived != is_archived:
        action = "event_definition.archive" if is_archived else "event_definition.unarchive"
        note(connection, workspace_no, author, action, name)
    if before.disabled != after.disabled:
        action = "event_definition.disable" if after.disabled else "event_definition.enable"
        note(connection, workspace_no, author, action, name)
    if before.description != after.description:
        note(connection, workspace_no, author, "event_definition.describe", name)


def _definition(row: Row[Any]) -> EventDefinition:
    return EventDefinition(
        definition_no=row.definition_no,
        name=row.name.decode(),
        description=row.description,
        archived_at_micros=row.archived_at,
        disabled=row.disabled,
        stored_count=row.stored_count,
        duplicate_count=row.duplicate_count,
        archived_count=row.archived_count,
        dropped_archived_count=row.dropped_archived_count,
        dropped_disabled_count=row.dropped_disabled_count,
        first_seen_micros=row.created_at,
        last_seen_micros=row.last_received_at,
        seen_kinds=tuple(kind for kind, column in SIGHT_OF_KIND.items() if getattr(row, column)),
    )
