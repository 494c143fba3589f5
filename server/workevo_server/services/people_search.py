"""Finding people: by name, e-mail address or id, by kind, by an event they did."""

from collections.abc import Sequence
from dataclasses import dataclass

from workevo_server.domain import limits, naming
from workevo_server.domain import page_token as tokens
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.people_search import PeopleFilter, PeopleSearcher, PersonRow
from workevo_server.services.pages import page_size_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PeoplePage:
    people: Sequence[PersonRow]
    """Newest first. May be short, even empty, and not the last: go on while there is a token."""
    next_page_token: str
    is_partial: bool
    """Whether so many begin with the text that not all were looked at: ask for a longer one."""


class PeopleSearch:
    def __init__(self, *, searcher: PeopleSearcher, page_token_secret: bytes) -> None:
        self._searcher = searcher
        self._secret = page_token_secret

    async def find(
        self,
        workspace_id: WorkspaceId,
        *,
        text: str = "",
        kind: ContactKind | None = None,
        event_name: str = "",
        page_size: int,
        page_token: str,
    ) -> PeoplePage:
        """A page of persons; of an empty text, no kind and no event name all of them.

        Raises PageTokenInvalid for a token of another list.
        """
        size = page_size_of(page_size)
        scope = f"people {workspace_id} {text!r} {kind} {event_name!r}"
        beyond = (
            tokens.decode(page_token, scope=scope, secret=self._secret, length=1)[0] if page_token else None
        )
        name_key = naming.comparable_key(event_name) if event_name else None
        if (event_name and name_key is None) or len(text) > limits.SEARCH_TEXT_CODE_POINTS_MAX:
            return PeoplePage(
                people=(), next_page_token="", is_partial=False
            )  # Nothing stored is such a one.
        narrowed = PeopleFilter(text=text.strip(), kind=kind, event_name=name_key)
        found = await self._searcher.find_people(workspace_id, narrowed, beyond=beyond, count_max=size)
        return PeoplePage(
            people=found.people,
            next_page_token=(
                tokens.encode([found.next_place], scope=scope, secret=self._secret)
                if found.next_place is not None
                else ""
            ),
            is_partial=found.is_partial,
        )
