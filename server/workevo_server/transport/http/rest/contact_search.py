"""Contacts over REST, listed and searched (R29)."""

from dataclasses import dataclass, replace

from msgspec import UNSET
from starlette.responses import Response

from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.people import Contact, ContactFilter, ContactFinder
from workevo_server.services.people import People
from workevo_server.transport.http.guard import HttpCall
from workevo_server.transport.http.rest import contact_codec as codec
from workevo_server.transport.http.rest import shapes
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
                summary="Contacts by id, external_id, email and role.",
                tag="Contacts",
                answer=self._search,
                body=shapes.ContactSearch,
                result=shapes.ContactList,
            ),
        ]

    async def _list(self, call: HttpCall) -> Response:
        query = query_of(call, shapes.ContactQuery)
        wanted = ContactFilter(
            kind=codec.kind_of_role(query.role) if query.role is not UNSET else None,
            email=codec.email_ref(query.email).email if query.email is not UNSET else None,
        )
        size = size_of(query.per_page)
        return await self._page(call, wanted, size, query.starting_after or "")

    async def _search(self, call: HttpCall) -> Response:
        told = body_of(call, shapes.ContactSearch)
        paging = told.pagination or shapes.Paging()
        size, conditions = size_of(paging.per_page), dict(codec.filters_of(told.query))
        wanted = codec.narrowed(conditions)
        if "id" in conditions or "external_id" in conditions:
            found = await self._named(call.principal.workspace_id, conditions, wanted)
            return _list_answer(found, call.principal.workspace_id, size, "")
        return await self._page(call, wanted, size, paging.starting_after or "")

    async def _named(
        self, workspace_id: WorkspaceId, conditions: dict[str, object], wanted: ContactFilter
    ) -> list[Contact]:
        """The few that an id can mean: an external_id is a user's, or a lead's."""
        found: list[Contact] = []
        if "external_id" in conditions:
            external_id = codec.text_value(conditions["external_id"])
            codec.user_ref(external_id)
            for narrowed in (
                replace(wanted, user_id=external_id),
                replace(wanted, visitor_id=external_id),
            ):
                page = await self.people.contacts(workspace_id, narrowed, page_size=2, page_token="")
                found += [each for each in page.contacts if each not in found]
        if "id" not in conditions:
            return found
        known = await self.finder.contact(workspace_id, codec.ref_of_id(codec.text_value(conditions["id"])))
        if known is None or ("external_id" in conditions and known not in found):
            return []
        is_wanted = wanted.kind in {None, known.kind} and wanted.email in {None, known.email}
        return [known] if is_wanted else []

    async def _page(self, call: HttpCall, wanted: ContactFilter, size: int, after: str) -> Response:
        page = await self.people.contacts(
            call.principal.workspace_id, wanted, page_size=size, page_token=after
        )
        return _list_answer(list(page.contacts), call.principal.workspace_id, size, page.next_page_token)


def _list_answer(found: list[Contact], workspace_id: WorkspaceId, size: int, token: str) -> Response:
    data = [codec.contact_to_json(contact, workspace_id) for contact in found]
    return json_answer(shapes.ContactList(data=data, pages=pages(size, token)))
