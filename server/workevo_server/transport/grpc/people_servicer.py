"""PeopleService: what back ends ask about people."""

from dataclasses import dataclass

from workevo.insight.v1 import people_pb2 as wire
from workevo_server.ports.key_ring import KeyKind
from workevo_server.services.people import People
from workevo_server.transport.grpc.contacts_servicer import ContactsServicer
from workevo_server.transport.grpc.fitting import fitting_page
from workevo_server.transport.grpc.people_codec import (
    activity_to_wire,
    contact_filter_from_wire,
    contact_ref_from_wire,
    contact_to_wire,
    merge_to_wire,
    summary_to_wire,
)
from workevo_server.transport.grpc.wire_parse import parse_request
from workevo_server.transport.reception import Call, Method

SERVICE = wire.DESCRIPTOR.services_by_name["PeopleService"].full_name
_BACK_ENDS = frozenset({KeyKind.SERVER, KeyKind.ADMIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleServicer:
    people: People
    contacts: ContactsServicer

    def methods(self) -> dict[str, Method]:
        return {
            **self.contacts.methods(),
            "GetContact": Method(permitted=_BACK_ENDS, answer=self._get_contact),
            "ListContacts": Method(permitted=_BACK_ENDS, answer=self._list_contacts),
            "ListMerges": Method(permitted=_BACK_ENDS, answer=self._list_merges),
            "GetEventSummary": Method(permitted=_BACK_ENDS, answer=self._get_event_summary),
            "ListActivities": Method(permitted=_BACK_ENDS, answer=self._list_activities),
        }

    async def _get_contact(self, call: Call) -> bytes:
        ref = contact_ref_from_wire(parse_request(wire.GetContactRequest, call.body))
        contact = await self.people.contact(call.principal.workspace_id, ref)
        return wire.GetContactResponse(contact=contact_to_wire(contact)).SerializeToString()

    async def _list_contacts(self, call: Call) -> bytes:
        wire_request = parse_request(wire.ListContactsRequest, call.body)
        narrowed = contact_filter_from_wire(wire_request)

        async def page(page_size: int) -> bytes:
            found = await self.people.contacts(
                call.principal.workspace_id,
                narrowed,
                page_size=page_size,
                page_token=wire_request.page_token,
            )
            return wire.ListContactsResponse(
                contacts=[contact_to_wire(contact) for contact in found.contacts],
                next_page_token=found.next_page_token,
            ).SerializeToString()

        return await fitting_page(page, page_size=wire_request.page_size)

    async def _list_merges(self, call: Call) -> bytes:
        wire_request = parse_request(wire.ListMergesRequest, call.body)
        ref = contact_ref_from_wire(wire_request)
        found = await self.people.merges(
            call.principal.workspace_id,
            ref,
            page_size=wire_request.page_size,
            page_token=wire_request.page_token,
        )
        return wire.ListMergesResponse(
            merges=[merge_to_wire(merge) for merge in found.merges], next_page_token=found.next_page_token
        ).SerializeToString()

    async def _get_event_summary(self, call: Call) -> bytes:
        wire_request = parse_request(wire.GetEventSummaryRequest, call.body)
        ref = contact_ref_from_wire(wire_request)
        contact, summaries = await self.people.event_summary(call.principal.workspace_id, ref)
        return wire.GetEventSummaryResponse(
            contact=contact_to_wire(contact), summaries=[summary_to_wire(summary) for summary in summaries]
        ).SerializeToString()

    async def _list_activities(self, call: Call) -> bytes:
        wire_request = parse_request(wire.ListActivitiesRequest, call.body)
        ref = contact_ref_from_wire(wire_request)
        workspace_id = call.principal.workspace_id

        async def page(page_size: int) -> bytes:
            activities = await self.people.activities(
                workspace_id, ref, page_size=page_size, page_token=wire_request.page_token
            )
            return wire.ListActivitiesResponse(
                contact=contact_to_wire(activities.contact),
                activities=[
                    activity_to_wire(entry, workspace_id=workspace_id) for entry in activities.entries
                ],
                next_page_token=activities.next_page_token,
            ).SerializeToString()

        return await fitting_page(page, page_size=wire_request.page_size)
