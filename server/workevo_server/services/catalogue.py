"""What events are called and which names are in use (R10, R22 to R24)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from workevo_server.domain import limits, naming
from workevo_server.domain import page_token as tokens
from workevo_server.domain.errors import FieldViolation, NotFound, RequestInvalid
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import NameKey, WorkspaceId
from workevo_server.ports.audit import Author
from workevo_server.ports.catalogue import (
    CatalogueReader,
    CatalogueStore,
    DefinitionFilter,
    DefinitionState,
    EventDefinition,
)
from workevo_server.ports.key_ring import KeyRing
from workevo_server.services.pages import page_size_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionPage:
    definitions: Sequence[EventDefinition]
    """In the order in which their names were first seen."""
    next_page_token: str
    """Empty on the last page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesInUse:
    """Against R10."""

    count: int
    count_max: int

    @property
    def is_full(self) -> bool:
        return self.count >= self.count_max


class Catalogue:
    def __init__(
        self,
        *,
        reader: CatalogueReader,
        store: CatalogueStore,
        key_ring: KeyRing,
        page_token_secret: bytes,
    ) -> None:
        self._reader = reader
        self._store = store
        self._key_ring = key_ring
        self._secret = page_token_secret

    async def definitions(
        self,
        workspace_id: WorkspaceId,
        *,
        which: DefinitionFilter,
        seen_kind: ContactKind | None,
        page_size: int,
        page_token: str,
    ) -> DefinitionPage:
        """A page. Raises PageTokenInvalid for a token of another list."""
        size = page_size_of(page_size)
        scope = f"definitions {which.value} {seen_kind.value if seen_kind else 'ANY'} {workspace_id}"
        after = 0
        if page_token:
            (after,) = tokens.decode(page_token, scope=scope, secret=self._secret, length=1)
        found = await self._reader.definitions(
            workspace_id, which=which, seen_kind=seen_kind, after_definition_no=after, count_max=size + 1
        )
        page, more = found[:size], len(found) > size
        return DefinitionPage(
            definitions=page,
            next_page_token=(
                tokens.encode([page[-1].definition_no], scope=scope, secret=self._secret) if more else ""
            ),
        )

    async def definition(self, workspace_id: WorkspaceId, name: str) -> EventDefinition:
        """Raises NotFound, RequestInvalid."""
        found = await self._reader.definition(workspace_id, _name_key(name))
        if found is None:
            raise NotFound("event definition")
        return found

    async def names_in_use(self, workspace_id: WorkspaceId) -> NamesInUse:
        return NamesInUse(
            count=await self._reader.active_count(workspace_id),
            count_max=self._key_ring.settings(workspace_id).event_names_max,
        )

    async def update(
        self,
        workspace_id: WorkspaceId,
        name: str,
        *,
        description: str | None,
        disabled: bool | None,
        author: Author,
    ) -> EventDefinition:
        """Change what is given. Raises NotFound, RequestInvalid."""
        if description is not None and not naming.is_well_formed(description):
            raise _wrong("description", "description is a text of Unicode characters.")
        if description is not None and len(description) > limits.DESCRIPTION_CODE_POINTS_MAX:
            most = limits.DESCRIPTION_CODE_POINTS_MAX
            raise _wrong("description", f"A description has at most {most:,} code points.")

        def edit(state: DefinitionState) -> DefinitionState:
            return replace(
                state,
                description=state.description if description is None else description,
                disabled=state.disabled if disabled is None else disabled,
            )

        return await self._change(workspace_id, name, edit, author)

    async def archive(self, workspace_id: WorkspaceId, name: str, *, author: Author) -> EventDefinition:
        """Take the name out of use (R23). Raises NotFound, RequestInvalid; twice is harmless."""

        def edit(state: DefinitionState) -> DefinitionState:
            since = state.archived_at_micros
            return replace(state, archived_at_micros=author.made_at_micros if since is None else since)

        return await self._change(workspace_id, name, edit, author)

    async def unarchive(self, workspace_id: WorkspaceId, name: str, *, author: Author) -> EventDefinition:
        """Take the name back into use with its events. Raises NotFound, RequestInvalid, CatalogueFull."""
        return await self._change(
            workspace_id, name, lambda state: replace(state, archived_at_micros=None), author
        )

    async def _change(
        self,
        workspace_id: WorkspaceId,
        name: str,
        edit: Callable[[DefinitionState], DefinitionState],
        author: Author,
    ) -> EventDefinition:
        await self._store.change_definition(
            workspace_id,
            _name_key(name),
            edit,
            active_names_max=self._key_ring.settings(workspace_id).event_names_max,
            author=author,
        )
        return await self.definition(workspace_id, name)


def _name_key(name: str) -> NameKey:
    """Raises RequestInvalid for what no event can be called; normalising takes the square of a length."""
    if not 1 <= len(name.strip()) <= limits.NAME_CODE_POINTS_MAX:
        raise _wrong("name", f"name is 1 to {limits.NAME_CODE_POINTS_MAX} code points.")
    return naming.name_key(name)


def _wrong(field: str, sentence: str) -> RequestInvalid:
    return RequestInvalid(FieldViolation(field, sentence))
