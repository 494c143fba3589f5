"""DeliveryService: what became of every event that devices generated."""

from dataclasses import dataclass

from workevo.insight.v1 import delivery_pb2 as wire
from workevo_server.domain.identifiers import InstallId
from workevo_server.ports.key_ring import KeyKind
from workevo_server.services.delivery import Delivery
from workevo_server.transport.grpc.delivery_codec import install_to_wire, ledger_to_wire
from workevo_server.transport.grpc.failed_events_servicer import FailedEventsServicer
from workevo_server.transport.grpc.fitting import fitting_page
from workevo_server.transport.grpc.wire_parse import parse_request
from workevo_server.transport.reception import Call, Method

SERVICE = wire.DESCRIPTOR.services_by_name["DeliveryService"].full_name
_BACK_ENDS = frozenset({KeyKind.SERVER, KeyKind.ADMIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryServicer:
    delivery: Delivery
    failed_events: FailedEventsServicer

    def methods(self) -> dict[str, Method]:
        return {
            **self.failed_events.methods(),
            "ListInstalls": Method(permitted=_BACK_ENDS, answer=self._list_installs),
            "GetLedger": Method(permitted=_BACK_ENDS, answer=self._get_ledger),
        }

    async def _list_installs(self, call: Call) -> bytes:
        wire_request = parse_request(wire.ListInstallsRequest, call.body)

        async def page(page_size: int) -> bytes:
            installs = await self.delivery.installs(
                call.principal.workspace_id, page_size=page_size, page_token=wire_request.page_token
            )
            return wire.ListInstallsResponse(
                installs=[install_to_wire(record) for record in installs.installs],
                next_page_token=installs.next_page_token,
            ).SerializeToString()

        return await fitting_page(page, page_size=wire_request.page_size)

    async def _get_ledger(self, call: Call) -> bytes:
        wire_request = parse_request(wire.GetLedgerRequest, call.body)
        page = await self.delivery.ledger(
            call.principal.workspace_id,
            InstallId(wire_request.install_id),
            page_token=wire_request.page_token,
        )
        return ledger_to_wire(page).SerializeToString()
