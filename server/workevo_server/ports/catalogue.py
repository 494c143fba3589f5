"""The catalogue of event names: what they are called, who did them, which are in use (R10, R22 to R24)."""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import NameKey, WorkspaceId
from workevo_server.ports.audit import Author


class DefinitionFilter(enum.Enum):
    ACTIVE = "active"
    ARCHIVED = "archived"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDefinition:
    definition_no: int
    """Order in which the store first saw it."""
    name: str
    """As first seen (R1)."""
    description: str
    archived_at_micros: int | None
    disabled: bool
    """Whether devices are asked not to send it."""
    stored_count: int
    duplicate_count: int
    archived_count: int
    dropped_archived_count: int
    dropped_disabled_count: int
    first_seen_micros: int
    last_seen_micros: int
    seen_kinds: tuple[ContactKind, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesNotToSend:
    """What `client_config` names (R23), at most `limits.CONFIG_NAMES_MAX` in all, in one order always."""

    archived: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionState:
    """What can be changed of a definition."""

    description: str
    disabled: bool
    archived_at_micros: int | None


class CatalogueReader(Protocol):
    async def definition(self, workspace_id: WorkspaceId, name_key: NameKey) -> EventDefinition | None:
        """None when no event of the name was ever stored."""

    async def definitions(
        self,
        workspace_id: WorkspaceId,
        *,
        which: DefinitionFilter,
        seen_kind: ContactKind | None,
        after_definition_no: int,
        count_max: int,
    ) -> Sequence[EventDefinition]:
        """In the order in which they were first seen, those behind `after_definition_no`."""

    async def active_count(self, workspace_id: WorkspaceId) -> int:
        """How many names are in use: what R10 limits."""


class CatalogueStore(Protocol):
    async def change_definition(
        self,
        workspace_id: WorkspaceId,
        name_key: NameKey,
        edit: Callable[[DefinitionState], DefinitionState],
        *,
        active_names_max: int,
        author: Author,
    ) -> None:
        """Change what is kept now by `edit`; returns after it is durable, noted, and told by `NamesRing`.

        Every upload that is judged by the store from then on is judged by it. Raises
        NotFound, and CatalogueFull when it would bring back one name too many (R10).
        """


class NamesRing(Protocol):
    def names_not_to_send(self, workspace_id: WorkspaceId) -> NamesNotToSend:
        """From memory, as last made durable."""
