"""Which names of the catalogue a page shows, and in which order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workevo_server.domain import limits, naming
from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.catalogue import DefinitionFilter, EventDefinition
from workevo_server.services.catalogue import Catalogue

SHELF_NAMES_MAX = 1000
"""Sorted and searched at once: twice what a workspace may have in use unless it sets more (R10)."""
PAGE_NAMES = 50
SEARCH_CODE_POINTS_MAX = 255

STATES = {"": DefinitionFilter.ACTIVE, "archived": DefinitionFilter.ARCHIVED}
KINDS = {"": None, "users": ContactKind.USER, "visitors": ContactKind.VISITOR, "leads": ContactKind.LEAD}
ORDERS: Mapping[str, tuple[str, Callable[[EventDefinition], Any]]] = {
    "": ("Most first", lambda each: (-each.stored_count, each.definition_no)),
    "name": ("Name", lambda each: (naming.display_name(each.name).casefold(), each.definition_no)),
    "last": ("Last seen", lambda each: (-each.last_seen_micros, each.definition_no)),
    "new": ("Newest name", lambda each: -each.definition_no),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an address asks for; the words are those of the address, empty where it says nothing."""

    state: str = ""
    text: str = ""
    kind: str = ""
    order: str = ""
    shelf: str = ""
    """Where the names begin, by the service's token; empty for the first ones."""
    start: int = 0
    """How many of the shelf have been shown."""

    def address(self, **changed: str | int) -> Mapping[str, str | int]:
        """The query of an address that asks for this, with something else."""
        words = {"state": self.state, "q": self.text, "who": self.kind, "sort": self.order}
        return {**words, **changed}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    wanted: Wanted
    definitions: Sequence[EventDefinition]
    more: Mapping[str, str | int] | None
    """The query of the address that goes on; None at the end."""


def wanted_of(query: Mapping[str, str]) -> Wanted:
    """Raises RequestInvalid for words that no page of ours has in an address."""
    return Wanted(
        state=_one_of(STATES, query, "state"),
        text=query.get("q", "").strip()[:SEARCH_CODE_POINTS_MAX],
        kind=_one_of(KINDS, query, "who"),
        order=_one_of(ORDERS, query, "sort"),
        shelf=query.get("page", ""),
        start=_whole(query.get("from", "0")),
    )


async def list_names(catalogue: Catalogue, workspace_id: WorkspaceId, wanted: Wanted) -> Listing:
    """Some names of a shelf. Beyond `SHELF_NAMES_MAX` names the next shelf follows, sorted by itself.

    Raises PageTokenInvalid.
    """
    shelf, next_shelf = await _shelf(catalogue, workspace_id, wanted)
    found = sorted((each for each in shelf if _has(each, wanted.text)), key=ORDERS[wanted.order][1])
    end = wanted.start + PAGE_NAMES
    more = None
    if end < len(found):
        more = wanted.address(page=wanted.shelf, **{"from": end})
    elif next_shelf:
        more = wanted.address(page=next_shelf)
    return Listing(wanted=wanted, definitions=found[wanted.start : end], more=more)


async def _shelf(
    catalogue: Catalogue, workspace_id: WorkspaceId, wanted: Wanted
) -> tuple[list[EventDefinition], str]:
    found: list[EventDefinition] = []
    token = wanted.shelf
    for _ in range(SHELF_NAMES_MAX // limits.PAGE_SIZE_MAX):
        page = await catalogue.definitions(
            workspace_id,
            which=STATES[wanted.state],
            seen_kind=KINDS[wanted.kind],
            page_size=limits.PAGE_SIZE_MAX,
            page_token=token,
        )
        found += page.definitions
        token = page.next_page_token
        if not token:
            break
    return found, token


def _has(definition: EventDefinition, text: str) -> bool:
    """Whether the name has it, as sent or as shown, by whatever case (R1, R2)."""
    sought = naming.name_key(text)
    either = (definition.name, naming.display_name(definition.name))
    return any(sought in naming.name_key(name) for name in either)


def _one_of(known: Mapping[str, object], query: Mapping[str, str], field: str) -> str:
    word = query.get(field, "")
    if word not in known:
        raise RequestInvalid(FieldViolation(field, f"The address asks for an unknown {field}."))
    return word


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(SHELF_NAMES_MAX))):
        raise RequestInvalid(FieldViolation("from", "The address does not say where the list goes on."))
    return int(text)
