"""Calls that come with the wrong key, to the wrong place or with too much around them (R31)."""

from typing import Any

import grpc
import pytest

from workevo.insight.v1 import catalogue_pb2, delivery_pb2, delivery_pb2_grpc, people_pb2, people_pb2_grpc
from workevo.tracking.v1 import tracking_pb2, tracking_pb2_grpc
from workevo_server.domain import limits
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import (
    CALL_SECONDS_MAX,
    UPLOAD_METHOD,
    Metadata,
    Phone,
    Refusal,
    bearer,
    call_bytes,
    event,
    refusal,
)

PEOPLE = "/workevo.insight.v1.PeopleService"
DELIVERY = "/workevo.insight.v1.DeliveryService"
CATALOGUE = "/workevo.insight.v1.EventCatalogueService"
TRACKING = "/workevo.tracking.v1.TrackingService"
DEVICE_METHODS = [f"{TRACKING}/UploadEvents", f"{TRACKING}/Identify", f"{TRACKING}/Forget"]
BACK_END_METHODS = [
    f"{PEOPLE}/ConvertContact",
    f"{PEOPLE}/DeleteContact",
    f"{PEOPLE}/GetContact",
    f"{PEOPLE}/GetEventSummary",
    f"{PEOPLE}/ListActivities",
    f"{PEOPLE}/ListContacts",
    f"{PEOPLE}/ListMerges",
    f"{PEOPLE}/MergeContacts",
    f"{PEOPLE}/RecordConversation",
    f"{PEOPLE}/SplitContact",
    f"{DELIVERY}/ListInstalls",
    f"{DELIVERY}/GetLedger",
    f"{DELIVERY}/ListFailedEvents",
    f"{DELIVERY}/ReplayFailedEvents",
    f"{CATALOGUE}/ArchiveEventDefinition",
    f"{CATALOGUE}/GetEventDefinition",
    f"{CATALOGUE}/ListEventDefinitions",
    f"{CATALOGUE}/UnarchiveEventDefinition",
    f"{CATALOGUE}/UpdateEventDefinition",
]


def _refused(channel: grpc.Channel, method: str, metadata: Metadata, body: bytes = b"") -> Refusal:
    with pytest.raises(grpc.RpcError) as caught:
        call_bytes(channel, method, body, metadata)
    return refusal(caught.value)


def test_the_methods_tested_here_are_all_there_are() -> None:
    descriptors = [
        tracking_pb2.DESCRIPTOR.services_by_name["TrackingService"],
        people_pb2.DESCRIPTOR.services_by_name["PeopleService"],
        delivery_pb2.DESCRIPTOR.services_by_name["DeliveryService"],
        catalogue_pb2.DESCRIPTOR.services_by_name["EventCatalogueService"],
    ]
    named = {f"/{each.full_name}/{method.name}" for each in descriptors for method in each.methods}

    assert named == {*DEVICE_METHODS, *BACK_END_METHODS}


WRONG_KEYS: dict[str, Metadata] = {
    "no key": (),
    "an unknown key": bearer("wk_sdk_unknown"),
    "an empty key": bearer(""),
    "another scheme": (("authorization", "Basic abc"),),
    "a key without a scheme": (("authorization", "wk_sdk_unknown"),),
    "two spaces": (("authorization", "Bearer  x"),),
    "a key in another header": (("x-api-key", "wk_sdk_unknown"),),
}


@pytest.mark.parametrize("metadata", WRONG_KEYS.values(), ids=WRONG_KEYS)
@pytest.mark.parametrize("method", [*DEVICE_METHODS, *BACK_END_METHODS])
def test_without_a_known_key_every_method_is_closed(
    channel: grpc.Channel, method: str, metadata: Metadata
) -> None:
    refused = _refused(channel, method, metadata, b"\xff\xff")  # Judged before the body, which is malformed.

    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "KEY_UNKNOWN")


def test_two_authorization_headers_open_nothing_even_when_both_are_right(phone: Phone) -> None:
    refused = _refused(phone.channel, UPLOAD_METHOD, bearer(phone.key) * 2)

    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "KEY_UNKNOWN")


@pytest.mark.parametrize(
    ("kind", "methods"),
    [
        ("sdk_key", BACK_END_METHODS),
        ("browser_key", [*DEVICE_METHODS, *BACK_END_METHODS]),
        ("server_key", DEVICE_METHODS),
        ("admin_key", DEVICE_METHODS),
    ],
)
def test_a_key_opens_only_what_its_kind_may(
    channel: grpc.Channel, server: ServerProcess, kind: str, methods: list[str]
) -> None:
    key = getattr(server.keys, kind)

    for method in methods:
        refused = _refused(channel, method, bearer(key), b"\xff\xff")
        assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "KEY_NOT_PERMITTED"), (
            method
        )


def test_a_revoked_key_opens_nothing_from_then_on(phone: Phone, server: ServerProcess) -> None:
    workspace = server.keys.workspace_id
    made = str(server.administer("key.create", {"workspace": workspace, "kind": "sdk"})["key"])
    mine = Phone(phone.channel, made)
    assert mine.upload([event(1)]).accepted_count == 1

    server.revoke(workspace, made)

    assert _refused(phone.channel, UPLOAD_METHOD, bearer(made)).reason == "KEY_UNKNOWN"
    assert phone.upload([event(1)]).accepted_count == 1


def test_ids_of_another_workspace_are_not_found(
    channel: grpc.Channel, phone: Phone, server: ServerProcess
) -> None:
    other = server.create_workspace("Other")
    phone.upload([event(1, user_id="only-here")])

    with pytest.raises(grpc.RpcError) as caught:
        people_pb2_grpc.PeopleServiceStub(channel).GetEventSummary(
            people_pb2.GetEventSummaryRequest(user_id="only-here"),
            metadata=bearer(other.server_key),
            timeout=CALL_SECONDS_MAX,
        )

    assert refusal(caught.value).reason == "NOT_FOUND"


@pytest.mark.parametrize("method", BACK_END_METHODS)
@pytest.mark.parametrize("body", [b"\xff\xff", b"\x1a\x7f", b"\x7b" * 200])
def test_a_malformed_question_is_refused_with_its_reason(
    channel: grpc.Channel, server: ServerProcess, method: str, body: bytes
) -> None:
    refused = _refused(channel, method, bearer(server.keys.server_key), body)

    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED")


@pytest.mark.parametrize("method", [f"{PEOPLE}/GetEventSummary", f"{PEOPLE}/ListActivities"])
def test_a_question_about_nobody_is_refused(
    channel: grpc.Channel, server: ServerProcess, method: str
) -> None:
    refused = _refused(channel, method, bearer(server.keys.server_key))

    assert (refused.reason, refused.fields) == ("REQUEST_INVALID", ("contact",))


@pytest.mark.parametrize("token", ["x", "\0", "ä" * 1000, "A" * 43, "A" * 60_000])
def test_a_page_token_that_nobody_gave_out_is_refused(
    channel: grpc.Channel, phone: Phone, server: ServerProcess, token: str
) -> None:
    phone.upload([event(1, user_id="paged")])
    request = people_pb2.ListActivitiesRequest(user_id="paged", page_token=token)

    refused = _refused(
        channel, f"{PEOPLE}/ListActivities", bearer(server.keys.server_key), request.SerializeToString()
    )

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.reason in {"PAGE_TOKEN_INVALID", "REQUEST_INVALID"}


@pytest.mark.parametrize(
    "method", [f"{TRACKING}/Nothing", "/nobody/Nothing", "/x", f"{TRACKING}/uploadevents"]
)
def test_an_unknown_method_is_unimplemented(
    channel: grpc.Channel, server: ServerProcess, method: str
) -> None:
    assert _refused(channel, method, bearer(server.keys.sdk_key)).code is grpc.StatusCode.UNIMPLEMENTED


def test_huge_metadata_is_refused_and_the_connection_lives(phone: Phone) -> None:
    refused = _refused(phone.channel, UPLOAD_METHOD, (*bearer(phone.key), ("x-large", "x" * 20_000)))

    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert phone.upload([event(1)]).accepted_count == 1


def test_binary_and_odd_metadata_beside_the_key_do_no_harm(phone: Phone) -> None:
    odd = (("trace-bin", b"\x00\xff\xfe"), ("x-empty", ""), ("x-many", "1"), ("x-many", "2"))

    call: Any = phone.channel.unary_unary(UPLOAD_METHOD)
    answer = call(
        phone.request([event(1)]).SerializeToString(),
        metadata=(*bearer(phone.key), *odd),
        timeout=CALL_SECONDS_MAX,
    )

    assert tracking_pb2.UploadEventsResponse.FromString(answer).accepted_count == 1


@pytest.mark.parametrize("page_size", [-(2**31), -1, 0, 1, 2**31 - 1])
def test_any_page_size_is_answered_with_a_page(
    channel: grpc.Channel, phone: Phone, server: ServerProcess, page_size: int
) -> None:
    phone.upload([event(1)])

    answer = delivery_pb2_grpc.DeliveryServiceStub(channel).ListInstalls(
        delivery_pb2.ListInstallsRequest(page_size=page_size),
        metadata=bearer(server.keys.server_key),
        timeout=CALL_SECONDS_MAX,
    )

    assert 1 <= len(answer.installs) <= limits.PAGE_SIZE_MAX


def test_a_wrong_install_is_told_field_by_field(phone: Phone) -> None:
    wrong = tracking_pb2.UploadEventsRequest(
        install=tracking_pb2.Install(install_id="i" * 256, epoch=b"short"),
        last_sequence=-1,
        applied_through=2**60,
    )

    with pytest.raises(grpc.RpcError) as caught:
        tracking_pb2_grpc.TrackingServiceStub(phone.channel).UploadEvents(
            wrong, metadata=bearer(phone.key), timeout=CALL_SECONDS_MAX
        )

    refused = refusal(caught.value)
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refused.fields) == {"install.install_id", "install.epoch", "last_sequence", "applied_through"}
