"""A person's life as a back end tells and reads it over gRPC, from the first contact to the deletion."""

import uuid
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from workevo.insight.v1 import people_pb2 as wire
from workevo.insight.v1 import people_pb2_grpc
from workevo.tracking.v1 import tracking_pb2, tracking_pb2_grpc, verdict_pb2
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import CALL_SECONDS_MAX, Phone, bearer, event, refusal

Ask = Callable[..., Any]


@pytest.fixture
def ask(channel: grpc.Channel, server: ServerProcess) -> Ask:
    stub = people_pb2_grpc.PeopleServiceStub(channel)

    def asked(method: str, request: Any) -> Any:
        call = getattr(stub, method)
        return call(request, metadata=bearer(server.keys.server_key), timeout=CALL_SECONDS_MAX)

    return asked


@pytest.fixture
def visitor(phone: Phone) -> str:
    """Somebody logged off who did two things."""
    visitor_id = uuid.uuid4().hex
    events = [event(number, user_id=None, visitor_id=visitor_id, name=f"did-{number}") for number in (1, 2)]
    assert phone.upload(events).accepted_count == 2
    return visitor_id


def summary(ask: Ask, **contact: Any) -> dict[str, int]:
    answer = ask("GetEventSummary", wire.GetEventSummaryRequest(**contact))
    return {each.name: each.count for each in answer.summaries}


def activities(ask: Ask, **contact: Any) -> list[str]:
    """Newest first; what each was."""
    page = ask("ListActivities", wire.ListActivitiesRequest(**contact))
    return [activity.WhichOneof("activity") for activity in page.activities]


def test_a_visitor_becomes_a_lead_and_then_a_user(ask: Ask, visitor: str) -> None:
    user_id, email = uuid.uuid4().hex, f"{uuid.uuid4().hex}@Example.org"

    lead = ask(
        "ConvertContact", wire.ConvertContactRequest(visitor_id=visitor, first_contact=wire.FirstContact())
    )
    assert lead.contact.kind == wire.CONTACT_KIND_LEAD
    assert lead.contact.HasField("first_contact_at")
    user = ask("ConvertContact", wire.ConvertContactRequest(visitor_id=visitor, user_id=user_id, email=email))

    assert user.contact.kind == wire.CONTACT_KIND_USER
    assert (user.contact.user_id, user.contact.email) == (user_id, email.lower())
    assert list(user.contact.visitor_ids) == [visitor]
    assert summary(ask, user_id=user_id) == {"did-1": 1, "did-2": 1}
    assert {"event", "first_contact", "conversion"} <= set(activities(ask, user_id=user_id))
    found = ask("ListContacts", wire.ListContactsRequest(email=email.upper())).contacts
    assert [contact.user_id for contact in found] == [user_id]
    got = ask("GetContact", wire.GetContactRequest(visitor_id=visitor))
    assert got.contact.contact_id == user.contact.contact_id


def test_a_conversation_makes_a_lead_and_stands_on_the_timeline(ask: Ask, visitor: str) -> None:
    told = wire.RecordConversationRequest(
        visitor_id=visitor, conversation_id="c-1", title="Where is my lamp?"
    )

    assert ask("RecordConversation", told).contact.kind == wire.CONTACT_KIND_LEAD
    ask("RecordConversation", told)

    assert activities(ask, visitor_id=visitor).count("conversation") == 1


def test_a_merge_is_previewed_made_and_undone(ask: Ask, visitor: str, phone: Phone) -> None:
    user_id = uuid.uuid4().hex
    assert phone.upload([event(3, user_id=user_id, name="did-3")]).accepted_count == 1
    preview = wire.MergeContactsRequest(visitor_id=visitor, into_user_id=user_id, validate_only=True)

    seen = ask("MergeContacts", preview)
    assert (seen.event_count, seen.event_name_count, seen.merge_id) == (2, 2, "")
    assert summary(ask, user_id=user_id) == {"did-3": 1}
    made = ask("MergeContacts", wire.MergeContactsRequest(visitor_id=visitor, into_user_id=user_id))
    assert summary(ask, user_id=user_id) == {"did-1": 1, "did-2": 1, "did-3": 1}
    ask("SplitContact", wire.SplitContactRequest(merge_id=made.merge_id))

    assert summary(ask, user_id=user_id) == {"did-3": 1}
    assert summary(ask, visitor_id=visitor) == {"did-1": 1, "did-2": 1}
    (merge,) = ask("ListMerges", wire.ListMergesRequest(user_id=user_id)).merges
    assert (merge.merge_id, merge.visitor_id) == (made.merge_id, visitor)
    assert merge.HasField("split_at")


def test_two_users_are_not_merged_and_the_sentence_says_why(ask: Ask, phone: Phone) -> None:
    one, two = uuid.uuid4().hex, uuid.uuid4().hex
    assert phone.upload([event(1, user_id=one), event(2, user_id=two)]).accepted_count == 2

    with pytest.raises(grpc.RpcError) as caught:
        ask("MergeContacts", wire.MergeContactsRequest(user_id=one, into_user_id=two))

    assert "two users are two people" in refusal(caught.value).sentence


def test_a_deleted_contact_is_gone_and_what_comes_late_is_refused(
    ask: Ask, phone: Phone, visitor: str, server: ServerProcess
) -> None:
    receipt = ask("DeleteContact", wire.DeleteContactRequest(visitor_id=visitor))
    assert (receipt.contact_count, receipt.event_count) == (1, 2)

    with pytest.raises(grpc.RpcError) as caught:
        ask("GetContact", wire.GetContactRequest(visitor_id=visitor))
    late = phone.upload([event(3, user_id=None, visitor_id=visitor)])

    assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND
    (result,) = late.results
    assert result.reason == verdict_pb2.REASON_CONTACT_ERASED
    assert visitor not in server.log


def test_a_phone_that_is_forgotten_takes_its_visitor_along_and_no_user(
    ask: Ask, phone: Phone, visitor: str, channel: grpc.Channel, server: ServerProcess
) -> None:
    user_id = uuid.uuid4().hex
    assert phone.upload([event(3, user_id=user_id, name="did-3")]).accepted_count == 1
    forget = tracking_pb2_grpc.TrackingServiceStub(channel).Forget

    forgotten = forget(
        tracking_pb2.ForgetRequest(install=phone.install),
        metadata=bearer(server.keys.sdk_key),
        timeout=CALL_SECONDS_MAX,
    )

    assert forgotten.event_count == 2
    assert summary(ask, user_id=user_id) == {"did-3": 1}
    with pytest.raises(grpc.RpcError) as caught:
        ask("GetContact", wire.GetContactRequest(visitor_id=visitor))
    assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND


def test_who_deleted_a_contact_is_told_by_the_audit(ask: Ask, server: ServerProcess, visitor: str) -> None:
    contact_id = ask("GetContact", wire.GetContactRequest(visitor_id=visitor)).contact.contact_id
    ask("DeleteContact", wire.DeleteContactRequest(visitor_id=visitor))

    told = server.audit(server.keys.workspace_id)

    (deletion,) = [entry for entry in told if entry["subject"] == contact_id]
    assert deletion["action"] == "contact.delete"
    assert server.keys.server_key.startswith(deletion["made_by"])
