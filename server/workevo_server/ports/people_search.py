"""Looking for people by a text, by what they are and by what they did."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import NameKey, WorkspaceId
from workevo_server.ports.people import Contact


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleFilter:
    """All that is given has to hold."""

    text: str = ""
    """Words of the name, each by its beginning, or the beginning of an e-mail address, a user id or a
    visitor id; of any contact that is the person (R16)."""
    kind: ContactKind | None = None
    event_name: NameKey | None = None
    """Who did it at least once, counts that back ends told included, as far as the person's profile shows
    it (R17); archived, nobody did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRow:
    """A person as a list shows it."""

    contact: Contact
    event_count: int
    """Of all events that the profile shows, and counts that back ends told (R17, R20, R29)."""
    last_occurred_at_micros: int | None
    """Of those the last; None when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleStretch:
    people: Sequence[PersonRow]
    """Newest first, by the newest of the person's contacts that was found."""
    next_place: int | None
    """Beyond which the next stretch lies; None when there is none. A stretch may be short, even empty, and
    have a next one: no more than `limits.SEARCH_STRETCH_ROWS` are looked through at once."""
    is_partial: bool = False
    """More than `limits.SEARCH_MATCHES_MAX` begin with the text; only so many, in the order of what
    begins with it, were looked at."""


class PeopleSearcher(Protocol):
    async def find_people(
        self, workspace_id: WorkspaceId, narrowed: PeopleFilter, *, beyond: int | None, count_max: int
    ) -> PeopleStretch:
        """Persons beyond a place, each once, however many contacts it is."""
