"""Whom a text may mean: by words of the name, by the beginning of an e-mail address or an id."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.known_world import chunks
from workevo_server.adapters.sql.prefixes import begins_with
from workevo_server.adapters.sql.schema import contact_words, contacts
from workevo_server.domain import limits, words

_ROWS_MAX = limits.SEARCH_MATCHES_MAX + 1  # One more, to know that there are more.
_table, _words = contacts.c, contact_words.c


@dataclass(frozen=True, slots=True)
class Matches:
    person_nos: Sequence[int]
    """Newest first."""
    is_partial: bool


async def find_matches(connection: AsyncConnection, workspace_no: int, text: str) -> Matches:
    """Persons any of whose contacts matches (R16), of each kind of match no more than the cap."""
    found, is_partial = await _by_words(connection, workspace_no, words.words_of(text))
    for query in (*_by_ids(workspace_no, text), *_by_address(workspace_no, text)):
        nos = (await connection.execute(query.limit(_ROWS_MAX))).scalars().all()
        is_partial |= len(nos) == _ROWS_MAX
        found.update(nos[: limits.SEARCH_MATCHES_MAX])
    persons: set[int] = set()
    for chunk in chunks(found):
        person_no = func.coalesce(_table.person_no, _table.contact_no)
        persons.update(
            (await connection.execute(select(person_no).where(_table.contact_no.in_(chunk)))).scalars()
        )
    return Matches(sorted(persons, reverse=True), is_partial)


def _by_ids(workspace_no: int, text: str) -> list[Select[Any]]:
    """Ids are compared exactly, addresses are kept in lower case."""
    mine = select(_table.contact_no).where(_table.workspace_no == workspace_no)
    return [
        *(
            mine.where(_table.id_kind == kind, begins_with(_table.external_id, text)).order_by(
                _table.external_id
            )
            for kind in ("user", "visitor")
        ),
        mine.where(begins_with(_table.email, text.lower())).order_by(_table.email),
    ]


def _by_address(workspace_no: int, text: str) -> list[Select[Any]]:
    """Of those who have one among their attributes alone."""
    start = words.start_of_address(text)
    return [_begun(workspace_no, start)] if start else []


def _begun(workspace_no: int, start: bytes) -> Select[Any]:
    return (
        select(_words.contact_no)
        .where(_words.workspace_no == workspace_no, begins_with(_words.word, start))
        .order_by(_words.word, _words.contact_no)
    )


async def _by_words(
    connection: AsyncConnection, workspace_no: int, wanted: Sequence[bytes]
) -> tuple[set[int], bool]:
    """Contacts whose name has a word that begins so, for each: read by the word that fewest have."""
    if not wanted:
        return set(), False
    found = []
    for word in wanted:
        query = _begun(workspace_no, word).limit(_ROWS_MAX)
        found.append((await connection.execute(query)).scalars().all())
    fewest = min(found, key=len)
    some = set(fewest[: limits.SEARCH_MATCHES_MAX])
    if len(wanted) > 1:
        some = await _with_all(connection, some, wanted)
    return some, len(fewest) == _ROWS_MAX


async def _with_all(
    connection: AsyncConnection, contact_nos: Collection[int], wanted: Sequence[bytes]
) -> set[int]:
    spelled: dict[int, list[bytes]] = defaultdict(list)
    for chunk in chunks(contact_nos):
        query = select(_words.contact_no, _words.word).where(_words.contact_no.in_(chunk))
        for contact_no, word in await connection.execute(query):
            spelled[contact_no].append(word)
    return {
        no
        for no, spelling in spelled.items()
        if all(any(word.startswith(start) for word in spelling) for start in wanted)
    }
