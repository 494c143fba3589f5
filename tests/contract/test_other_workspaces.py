"""R31: whatever another workspace has is not found, by whichever method or operation it is asked for.

Each request is made twice: with a key of another workspace, and as the control with the
key of its own, which finds what the first did not.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import grpc
import pytest
from google.protobuf.message import Message

from workevo.insight.v1 import catalogue_pb2, delivery_pb2, delivery_pb2_grpc, people_pb2, people_pb2_grpc
from workevo_testing.http_calls import request
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import Keys, ServerProcess
from workevo_testing.wire_calls import CALL_SECONDS_MAX, Phone, bearer, call_bytes, event, refusal

USER, OTHER_USER, VISITOR, NAME = "theirs", "also theirs", "a visitor of theirs", "opened by them"
SERVICES = [
    people_pb2.DESCRIPTOR.services_by_name["PeopleService"],
    delivery_pb2.DESCRIPTOR.services_by_name["DeliveryService"],
    catalogue_pb2.DESCRIPTOR.services_by_name["EventCatalogueService"],
]
METHODS = {method.name: f"/{each.full_name}/{method.name}" for each in SERVICES for method in each.methods}


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """What a workspace has, by the names under which it can be asked for."""

    keys: Keys
    contact_id: str
    visitor_contact_id: str
    install_id: str
    failed_event_id: str
    merge_id: str

    @property
    def words(self) -> list[str]:
        """None of them stands in an answer to somebody else."""
        ids = [self.contact_id, self.visitor_contact_id, self.install_id, self.failed_event_id]
        return [*ids, self.merge_id, NAME]


@pytest.fixture
def theirs(server: ServerProcess, channel: grpc.Channel) -> Theirs:
    keys = server.create_workspace(f"Theirs {uuid.uuid4().hex}")
    phone = Phone(channel, keys.sdk_key)
    phone.upload(
        [
            event(1, user_id=USER, name=NAME),
            event(2, user_id=OTHER_USER, name=NAME),
            event(3, user_id="", visitor_id=VISITOR, name=NAME),
            event(4, user_id="", visitor_id="merged", name=NAME),
            event(5, user_id=USER, name=""),
        ]
    )
    own: dict[str, Any] = {"metadata": bearer(keys.server_key), "timeout": CALL_SECONDS_MAX}
    people = people_pb2_grpc.PeopleServiceStub(channel)
    delivery = delivery_pb2_grpc.DeliveryServiceStub(channel)
    merged = people.MergeContacts(
        people_pb2.MergeContactsRequest(visitor_id="merged", into_user_id=USER), **own
    )
    visitor = people.GetContact(people_pb2.GetContactRequest(visitor_id=VISITOR), **own).contact
    (failed,) = delivery.ListFailedEvents(delivery_pb2.ListFailedEventsRequest(), **own).failed_events
    return Theirs(
        keys=keys,
        contact_id=merged.contact.contact_id,
        visitor_contact_id=visitor.contact_id,
        install_id=phone.install.install_id,
        failed_event_id=failed.failed_event_id,
        merge_id=merged.merge_id,
    )


@pytest.fixture(scope="module")
def stranger(server: ServerProcess) -> Keys:
    return server.create_workspace(f"Strangers {uuid.uuid4().hex}")


ASKED: dict[str, Callable[[Theirs], Message]] = {
    "ArchiveEventDefinition": lambda _: catalogue_pb2.ArchiveEventDefinitionRequest(name=NAME),
    "ConvertContact": lambda it: people_pb2.ConvertContactRequest(
        contact_id=it.visitor_contact_id, first_contact=people_pb2.FirstContact()
    ),
    "DeleteContact": lambda it: people_pb2.DeleteContactRequest(contact_id=it.contact_id),
    "GetContact": lambda it: people_pb2.GetContactRequest(contact_id=it.contact_id),
    "GetEventDefinition": lambda _: catalogue_pb2.GetEventDefinitionRequest(name=NAME),
    "GetEventSummary": lambda it: people_pb2.GetEventSummaryRequest(contact_id=it.contact_id),
    "GetLedger": lambda it: delivery_pb2.GetLedgerRequest(install_id=it.install_id),
    "ListActivities": lambda it: people_pb2.ListActivitiesRequest(contact_id=it.contact_id),
    "ListContacts": lambda _: people_pb2.ListContactsRequest(user_id=USER),
    "ListEventDefinitions": lambda _: catalogue_pb2.ListEventDefinitionsRequest(),
    "ListFailedEvents": lambda it: delivery_pb2.ListFailedEventsRequest(
        filter=delivery_pb2.FailedEventFilter(install_id=it.install_id)
    ),
    "ListInstalls": lambda _: delivery_pb2.ListInstallsRequest(),
    "ListMerges": lambda it: people_pb2.ListMergesRequest(contact_id=it.contact_id),
    "MergeContacts": lambda it: people_pb2.MergeContactsRequest(
        contact_id=it.visitor_contact_id, into_contact_id=it.contact_id
    ),
    "RecordConversation": lambda it: people_pb2.RecordConversationRequest(
        contact_id=it.contact_id, conversation_id="1"
    ),
    "ReplayFailedEvents": lambda it: delivery_pb2.ReplayFailedEventsRequest(
        failed_event_id=it.failed_event_id
    ),
    "SplitContact": lambda it: people_pb2.SplitContactRequest(merge_id=it.merge_id),
    "UnarchiveEventDefinition": lambda _: catalogue_pb2.UnarchiveEventDefinitionRequest(name=NAME),
    "UpdateEventDefinition": lambda _: catalogue_pb2.UpdateEventDefinitionRequest(name=NAME, description="x"),
}


def test_the_methods_asked_here_are_all_that_back_ends_have() -> None:
    assert set(ASKED) == set(METHODS)


@pytest.mark.parametrize("method", ASKED)
def test_no_method_finds_what_another_workspace_has(
    channel: grpc.Channel, theirs: Theirs, stranger: Keys, method: str
) -> None:
    asked = ASKED[method](theirs).SerializeToString()

    try:
        found = call_bytes(channel, METHODS[method], asked, bearer(stranger.server_key))
    except grpc.RpcError as error:
        refused = refusal(error)
        found = b"" if refused.reason == "NOT_FOUND" else repr(refused).encode()

    assert found == b""
    assert call_bytes(channel, METHODS[method], asked, bearer(theirs.keys.server_key)) != b""


Operation = tuple[str, str, dict[str, Any]]
OPERATIONS: dict[str, Callable[[Theirs], Operation]] = {
    "createEvent": lambda it: ("POST", "/events", {"event_name": "x", "id": it.contact_id}),
    "createEvents": lambda it: (
        "POST",
        "/events/batch",
        {"events": [{"event_name": "x", "id": it.contact_id}]},
    ),
    "createEventSummaries": lambda it: (
        "POST",
        "/events/summaries",
        {"id": it.contact_id, "event_summaries": {"event_name": "x", "count": 1}},
    ),
    "createContact": lambda _: ("POST", "/contacts", {"external_id": OTHER_USER}),
    "convertVisitor": lambda _: (
        "POST",
        "/visitors/convert",
        {"type": "lead", "visitor": {"user_id": VISITOR}},
    ),
    "deleteContact": lambda it: ("DELETE", f"/contacts/{it.contact_id}", {}),
    "findContactByExternalId": lambda _: ("GET", f"/contacts/find_by_external_id/{USER}", {}),
    "getContact": lambda it: ("GET", f"/contacts/{it.contact_id}", {}),
    "getLedger": lambda it: ("GET", f"/ledger?install_id={it.install_id}", {}),
    "getVisitor": lambda _: ("GET", f"/visitors?user_id={quote(VISITOR)}", {}),
    "listContacts": lambda _: ("GET", "/contacts", {}),
    "listEventDefinitions": lambda _: ("GET", f"/event_definitions?{urlencode({'name': NAME})}", {}),
    "listEvents": lambda it: ("GET", f"/events?type=user&intercom_user_id={it.contact_id}", {}),
    "listFailedEvents": lambda _: ("GET", "/failed_events", {}),
    "listInstalls": lambda _: ("GET", "/installs", {}),
    "mergeContacts": lambda it: (
        "POST",
        "/contacts/merge",
        {"from": it.visitor_contact_id, "into": it.contact_id},
    ),
    "replayFailedEvents": lambda it: ("POST", "/failed_events/replay", {"id": it.failed_event_id}),
    "searchContacts": lambda _: (
        "POST",
        "/contacts/search",
        {"query": {"field": "external_id", "operator": "=", "value": USER}},
    ),
    "updateContact": lambda it: ("PUT", f"/contacts/{it.contact_id}", {"name": "x"}),
    "updateEventDefinition": lambda _: ("PUT", "/event_definitions", {"name": NAME, "description": "x"}),
}


def test_the_operations_asked_here_are_all_that_are_described(server: ServerProcess) -> None:
    paths = request(server.http_address, "GET", "/openapi.json").json["paths"]
    described = {operation["operationId"] for methods in paths.values() for operation in methods.values()}

    assert set(OPERATIONS) == described


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_operation_finds_what_another_workspace_has(
    server: ServerProcess, theirs: Theirs, stranger: Keys, operation: str
) -> None:
    method, path, members = OPERATIONS[operation](theirs)

    answered = Rest(address=server.http_address, key=stranger.server_key).send(method, path, **members)

    if answered.status != 404:
        assert answered.status < 300
        assert not [word for word in theirs.words if word in answered.body.decode()]
    own = Rest(address=server.http_address, key=theirs.keys.server_key).send(method, path, **members)
    assert own.status < 300 or own.status == 409
