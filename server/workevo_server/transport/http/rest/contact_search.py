"""Contacts over REST, listed and searched (R29)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import UNSET
from starlette.responses import Response

from workevo_server.domain.errors import PageTokenInvalid
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import ContactId, WorkspaceId
from workevo_server.domain.limits import SEARCH_STRETCH_ROWS
from workevo_server.ports.people import Contact, ContactFilter, ContactFinder, ContactRef
from workevo_server.services.people import People
from workevo_server.transport.http.guard import HttpCall
from workevo_server.transport.http.rest import contact_codec as codec
from workevo_server.transport.http.rest import shapes
from workevo_server.transport.http.rest.contact_query import Query, query_from
from workevo_server.transport.http.rest.lists import pages, size_of
from workevo_server.transport.http.rest.operations import Operation, json_answer
from workevo_server.transport.http.rest.requests import body_of, query_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactSearchApi:
    people: People
    finder: ContactFinder

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="GET",
                path="/contacts",
                operation_id="listContacts",
                summary="Contacts in the order first seen.",
                tag="Contacts",
                answer=self._list,
                query=shapes.ContactQuery,
                result=shapes.ContactList,
            ),
            Operation(
                method="POST",
                path="/contacts/search",
                operation_id="searchContacts",
                summary="Contacts by id, external_id, email and role, as far as few are looked through.",
                tag="Contacts",
                answer=self._search,
                body=shapes.ContactSearch,
                result=shapes.ContactList,
            ),
        ]

    async def _list(self, call: HttpCall) -> Response:
        query = query_of(call, shapes.ContactQuery)
        wanted = ContactFilter(
            kinds=(codec.kind_of_role(query.role),) if query.role is not UNSET else (),
            email=codec.email_ref(query.email).email if query.email is not UNSET else None,
        )
        size, after = size_of(query.per_page), query.starting_after or ""
        page = await self.people.contacts(
            call.principal.workspace_id, wanted, page_size=size, page_token=after
        )
        return _answer(call, size, after, page.contacts, page.next_page_token)

    async def _search(self, call: HttpCall) -> Response:
        told = body_of(call, shapes.ContactSearch)
        paging = told.pagination or shapes.Paging()
        size, after = size_of(paging.per_page), paging.starting_after or ""
        query, workspace_id = query_from(told.query), call.principal.workspace_id
        query = query.with_ids(await self._ids_now(workspace_id, query.ids()))
        names = query.names()
        if names is None:
            found, token = await self._listed(workspace_id, query, size, after)
            return _answer(call, size, after, found, token)
        named = await self._named(workspace_id, query, names)
        page, token = _page_of(named, size, after)
        return _answer(call, size, after, page, token, total_count=len(named))

    async def _ids_now(self, workspace_id: WorkspaceId, ids: Iterable[str]) -> dict[str, str]:
        """By each of our ids the one of the person that it is by now (R16)."""
        refs = {each: codec.ref_of_id(each) for each in ids if codec.is_id(each)}
        known = {each: await self.finder.contact(workspace_id, ref) for each, ref in refs.items()}
        return {each: contact.contact_id for each, contact in known.items() if contact is not None}

    async def _named(
        self, workspace_id: WorkspaceId, query: Query, names: Iterable[ContactRef]
    ) -> list[Contact]:
        """The few that ids and addresses can mean, in the order first seen; an external_id is a user's, or a
        lead's."""
        known = [await self.finder.contact(workspace_id, ref) for ref in names]
        wanted = {each.contact_id: each for each in known if each is not None and query.holds(each)}
        return sorted(wanted.values(), key=lambda each: (each.created_at_micros, each.contact_id))

    async def _listed(
        self, workspace_id: WorkspaceId, query: Query, size: int, after: str
    ) -> tuple[list[Contact], str]:
        """A page without those that are left out. It may be short, and end before the list does."""
        wanted = ContactFilter(kinds=tuple(kind for kind in ContactKind if kind in query.kinds()))
        found: list[Contact] = []
        seen_count = 0
        while wanted.kinds and not found and seen_count < SEARCH_STRETCH_ROWS:
            page = await self.people.contacts(workspace_id, wanted, page_size=size, page_token=after)
            found = [each for each in page.contacts if query.holds(each)]
            seen_count, after = seen_count + size, page.next_page_token
            if not after:
                break
        return found, after if wanted.kinds else ""


def _page_of(named: list[Contact], size: int, after: str) -> tuple[list[Contact], str]:
    """Beyond the contact of an id, which is where the page before ended. Raises PageTokenInvalid."""
    ids = [each.contact_id for each in named]
    if after and after not in ids:
        raise PageTokenInvalid
    first = ids.index(ContactId(after)) + 1 if after else 0
    page = named[first : first + size]
    return page, page[-1].contact_id if first + size < len(named) else ""


def _answer(
    call: HttpCall,
    size: int,
    after: str,
    found: Sequence[Contact],
    token: str,
    *,
    total_count: int | None = None,
) -> Response:
    """How many there are is told where it is known at once: of named ones, and where all are on a page."""
    if total_count is None and not after and not token:
        total_count = len(found)
    return json_answer(
        shapes.ContactList(
            data=[codec.contact_to_json(contact, call.principal.workspace_id) for contact in found],
            pages=pages(size, token),
            total_count=UNSET if total_count is None else total_count,
        )
    )
