"""Event definitions over REST (R22, R23)."""

from dataclasses import dataclass

from msgspec import UNSET
from starlette.responses import Response

from workevo_server.domain.naming import display_name
from workevo_server.ports.audit import Author
from workevo_server.ports.catalogue import DefinitionFilter, EventDefinition
from workevo_server.services.catalogue import Catalogue
from workevo_server.transport.http.guard import HttpCall
from workevo_server.transport.http.rest import delivery_shapes as shapes
from workevo_server.transport.http.rest.contact_codec import kind_of_role, role_of
from workevo_server.transport.http.rest.lists import pages, size_of
from workevo_server.transport.http.rest.operations import Operation, json_answer
from workevo_server.transport.http.rest.requests import body_of, query_of, well_formed
from workevo_server.transport.http.rest.times import optional_seconds_of, seconds_of
from workevo_server.transport.receipt import Receipt

_TAG = "Event definitions"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueApi:
    catalogue: Catalogue
    receipt: Receipt

    def operations(self) -> list[Operation]:
        return [
            Operation(
                operation_id="listEventDefinitions",
                method="GET",
                path="/event_definitions",
                summary="What events are called, how many there are and who does them.",
                tag=_TAG,
                answer=self._list,
                query=shapes.DefinitionQuery,
                result=shapes.DefinitionList,
                refusals=(404,),
            ),
            Operation(
                operation_id="updateEventDefinition",
                method="PUT",
                path="/event_definitions",
                summary="Describe a name, archive it or bring it back, or switch it off on devices.",
                tag=_TAG,
                answer=self._update,
                body=shapes.DefinitionChange,
                result=shapes.EventDefinition,
                refusals=(404, 422),
            ),
        ]

    async def _list(self, call: HttpCall) -> Response:
        query = query_of(call, shapes.DefinitionQuery)
        workspace_id, size = call.principal.workspace_id, size_of(query.per_page)
        if query.name is not UNSET:
            found = await self.catalogue.definition(workspace_id, well_formed("name", query.name))
            return json_answer(shapes.DefinitionList(data=[_definition(found)], pages=pages(size, "")))
        page = await self.catalogue.definitions(
            workspace_id,
            which=DefinitionFilter.ACTIVE if query.state is UNSET else DefinitionFilter(query.state),
            seen_kind=None if query.seen_kind is UNSET else kind_of_role(query.seen_kind),
            page_size=size,
            page_token=query.starting_after or "",
        )
        data = [_definition(definition) for definition in page.definitions]
        return json_answer(shapes.DefinitionList(data=data, pages=pages(size, page.next_page_token)))

    async def _update(self, call: HttpCall) -> Response:
        told, workspace_id = body_of(call, shapes.DefinitionChange), call.principal.workspace_id
        author = Author(made_by=call.principal.key_prefix, made_at_micros=self.receipt(call.headers))
        found = await self.catalogue.definition(workspace_id, told.name)
        if told.archived is not None:
            change = self.catalogue.archive if told.archived else self.catalogue.unarchive
            found = await change(workspace_id, told.name, author=author)
        if told.description is not None or told.disabled is not None:
            found = await self.catalogue.update(
                workspace_id, told.name, description=told.description, disabled=told.disabled, author=author
            )
        return json_answer(_definition(found))


def _definition(found: EventDefinition) -> shapes.EventDefinition:
    return shapes.EventDefinition(
        name=found.name,
        display_name=display_name(found.name),
        description=found.description,
        archived_at=optional_seconds_of(found.archived_at_micros),
        disabled=found.disabled,
        stored_count=found.stored_count,
        duplicate_count=found.duplicate_count,
        archived_count=found.archived_count,
        dropped_archived_count=found.dropped_archived_count,
        dropped_disabled_count=found.dropped_disabled_count,
        first_seen_at=seconds_of(found.first_seen_micros),
        last_seen_at=seconds_of(found.last_seen_micros),
        seen_kinds=[role_of(kind) for kind in found.seen_kinds],
    )
