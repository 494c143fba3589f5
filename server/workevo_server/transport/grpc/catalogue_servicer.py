"""EventCatalogueService: what events are called, who did them, which names are in use."""

from dataclasses import dataclass

from workevo.insight.v1 import catalogue_pb2 as wire
from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.naming import display_name
from workevo_server.ports.audit import Author
from workevo_server.ports.catalogue import DefinitionFilter, EventDefinition
from workevo_server.ports.key_ring import KeyKind
from workevo_server.services.catalogue import Catalogue
from workevo_server.transport.grpc.fitting import fitting_page
from workevo_server.transport.grpc.people_codec import kind_from_wire, kind_to_wire
from workevo_server.transport.grpc.time_codec import micros_to_wire
from workevo_server.transport.grpc.wire_parse import parse_request
from workevo_server.transport.receipt import Receipt
from workevo_server.transport.reception import Call, Method

SERVICE = wire.DESCRIPTOR.services_by_name["EventCatalogueService"].full_name
_BACK_ENDS = frozenset({KeyKind.SERVER, KeyKind.ADMIN})
_WHICH = {
    wire.EVENT_DEFINITION_STATE_UNSPECIFIED: DefinitionFilter.ACTIVE,
    wire.EVENT_DEFINITION_STATE_ACTIVE: DefinitionFilter.ACTIVE,
    wire.EVENT_DEFINITION_STATE_ARCHIVED: DefinitionFilter.ARCHIVED,
    wire.EVENT_DEFINITION_STATE_ALL: DefinitionFilter.ALL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueServicer:
    catalogue: Catalogue
    receipt: Receipt

    def methods(self) -> dict[str, Method]:
        return {
            "ListEventDefinitions": Method(permitted=_BACK_ENDS, answer=self._list),
            "GetEventDefinition": Method(permitted=_BACK_ENDS, answer=self._get),
            "UpdateEventDefinition": Method(permitted=_BACK_ENDS, answer=self._update),
            "ArchiveEventDefinition": Method(permitted=_BACK_ENDS, answer=self._archive),
            "UnarchiveEventDefinition": Method(permitted=_BACK_ENDS, answer=self._unarchive),
        }

    async def _list(self, call: Call) -> bytes:
        wire_request = parse_request(wire.ListEventDefinitionsRequest, call.body)
        which = _WHICH.get(wire_request.state)
        if which is None:
            raise RequestInvalid(FieldViolation("state", "This server knows no such state."))
        seen_kind = kind_from_wire(wire_request.seen_kind, field="seen_kind")

        async def page(page_size: int) -> bytes:
            found = await self.catalogue.definitions(
                call.principal.workspace_id,
                which=which,
                seen_kind=seen_kind,
                page_size=page_size,
                page_token=wire_request.page_token,
            )
            return wire.ListEventDefinitionsResponse(
                definitions=[_definition_to_wire(definition) for definition in found.definitions],
                next_page_token=found.next_page_token,
            ).SerializeToString()

        return await fitting_page(page, page_size=wire_request.page_size)

    async def _get(self, call: Call) -> bytes:
        wire_request = parse_request(wire.GetEventDefinitionRequest, call.body)
        found = await self.catalogue.definition(call.principal.workspace_id, wire_request.name)
        return wire.GetEventDefinitionResponse(definition=_definition_to_wire(found)).SerializeToString()

    async def _update(self, call: Call) -> bytes:
        wire_request = parse_request(wire.UpdateEventDefinitionRequest, call.body)
        changed = await self.catalogue.update(
            call.principal.workspace_id,
            wire_request.name,
            description=wire_request.description if wire_request.HasField("description") else None,
            disabled=wire_request.disabled if wire_request.HasField("disabled") else None,
            author=self._author(call),
        )
        return wire.UpdateEventDefinitionResponse(definition=_definition_to_wire(changed)).SerializeToString()

    async def _archive(self, call: Call) -> bytes:
        name = parse_request(wire.ArchiveEventDefinitionRequest, call.body).name
        changed = await self.catalogue.archive(call.principal.workspace_id, name, author=self._author(call))
        return wire.ArchiveEventDefinitionResponse(
            definition=_definition_to_wire(changed)
        ).SerializeToString()

    async def _unarchive(self, call: Call) -> bytes:
        name = parse_request(wire.UnarchiveEventDefinitionRequest, call.body).name
        changed = await self.catalogue.unarchive(call.principal.workspace_id, name, author=self._author(call))
        return wire.UnarchiveEventDefinitionResponse(
            definition=_definition_to_wire(changed)
        ).SerializeToString()

    def _author(self, call: Call) -> Author:
        return Author(made_by=call.principal.key_prefix, made_at_micros=self.receipt(call.metadata))


def _definition_to_wire(definition: EventDefinition) -> wire.EventDefinition:
    archived_at = definition.archived_at_micros
    return wire.EventDefinition(
        name=definition.name,
        display_name=display_name(definition.name),
        description=definition.description,
        archived_at=micros_to_wire(archived_at) if archived_at is not None else None,
        disabled=definition.disabled,
        stored_count=definition.stored_count,
        duplicate_count=definition.duplicate_count,
        archived_count=definition.archived_count,
        dropped_archived_count=definition.dropped_archived_count,
        dropped_disabled_count=definition.dropped_disabled_count,
        first_seen_at=micros_to_wire(definition.first_seen_micros),
        last_seen_at=micros_to_wire(definition.last_seen_micros),
        seen_kinds=[kind_to_wire(kind) for kind in definition.seen_kinds],
    )
