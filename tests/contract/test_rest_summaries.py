"""`POST /events/summaries` (R29): counts told over REST, read over REST and gRPC, by whoever may."""

import itertools
import json

import grpc
import pytest

from workevo.insight.v1 import people_pb2, people_pb2_grpc
from workevo_testing.http_calls import HttpAnswer, Json
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import Keys, ServerProcess
from workevo_testing.wire_calls import bearer

_numbers = itertools.count()
BOUGHT: Json = {"event_name": "bought", "count": 7, "first": 1000, "last": 5000}


@pytest.fixture(scope="module")
def keys(server: ServerProcess) -> Keys:
    return server.create_workspace("Summaries")


@pytest.fixture
def rest(server: ServerProcess, keys: Keys) -> Rest:
    return Rest(address=server.http_address, key=keys.server_key)


@pytest.fixture
def user_id(rest: Rest) -> str:
    user_id = f"told {next(_numbers)}"
    rest.make_user(user_id, email=f"{user_id.replace(' ', '.')}@example.org")
    return user_id


def tell(rest: Rest, told: object, **named: object) -> HttpAnswer:
    return rest.post("/events/summaries", event_summaries=told, **named)


def verdict(answer: HttpAnswer) -> str:
    assert (answer.status, answer.body, answer.headers["content-length"]) == (202, b"", "0")
    return answer.headers["workevo-verdict"]


def counts(rest: Rest, user_id: str) -> dict[str, int]:
    summary = rest.get("/events", type="user", user_id=user_id, summary="true").json
    return {each["name"]: each["count"] for each in summary["events"]}


def test_a_count_is_read_over_rest_and_over_grpc(
    rest: Rest, user_id: str, channel: grpc.Channel, keys: Keys
) -> None:
    rest.event("bought", user_id=user_id, created_at=9000)

    assert verdict(tell(rest, BOUGHT, user_id=user_id)) == "ACCEPTED"

    assert rest.get("/events", type="user", user_id=user_id, summary="true").json["events"] == [
        {
            "name": "bought",
            "first": "1970-01-01T00:16:40.000+00:00",
            "last": "1970-01-01T02:30:00.000+00:00",
            "count": 8,
            "description": None,
        }
    ]
    assert len(rest.events(user_id)) == 1, "a count is no event"
    answer = people_pb2_grpc.PeopleServiceStub(channel).GetEventSummary(
        people_pb2.GetEventSummaryRequest(user_id=user_id), metadata=bearer(keys.server_key), timeout=10
    )
    (summary,) = answer.summaries
    assert (summary.name, summary.display_name, summary.count) == ("bought", "Bought", 8)
    assert (summary.first_occurred_at.seconds, summary.last_occurred_at.seconds) == (1000, 9000)


def test_a_retry_changes_nothing_and_another_count_sets_it_anew(rest: Rest, user_id: str) -> None:
    assert [verdict(tell(rest, BOUGHT, user_id=user_id)) for _ in range(2)] == ["ACCEPTED", "DUPLICATE"]
    assert counts(rest, user_id) == {"bought": 7}
    assert verdict(tell(rest, BOUGHT | {"count": 8}, user_id=user_id)) == "ACCEPTED"
    assert counts(rest, user_id) == {"bought": 8}
    assert verdict(tell(rest, BOUGHT | {"count": 0}, user_id=user_id)) == "ACCEPTED"
    assert counts(rest, user_id) == {}


def test_an_object_is_taken_and_a_list_too_and_a_slash_at_the_end(rest: Rest, user_id: str) -> None:
    told = {"user_id": user_id, "event_summaries": [BOUGHT, BOUGHT | {"event_name": "sold", "count": 2.0}]}

    assert verdict(rest.call("POST", "/events/summaries/", json.dumps(told).encode())) == "ACCEPTED"

    assert counts(rest, user_id) == {"bought": 7, "sold": 2}


def test_a_contact_is_named_by_each_id_that_an_event_may_name(rest: Rest, user_id: str) -> None:
    contact = rest.get(f"/contacts/find_by_external_id/{user_id.replace(' ', '%20')}").json
    for count, named in enumerate(
        ({"user_id": user_id}, {"id": contact["id"]}, {"email": contact["email"].upper()}), start=1
    ):
        assert verdict(tell(rest, BOUGHT | {"count": count}, **named)) == "ACCEPTED"
        assert counts(rest, user_id) == {"bought": count}


def test_an_unknown_user_is_not_found(rest: Rest, server: ServerProcess) -> None:
    """R18."""
    for named in ({"user_id": "nobody"}, {"email": "nobody@example.org"}, {"id": "nobody"}):
        answer = tell(rest, BOUGHT, **named)
        assert (answer.status, answer.error["code"]) == (404, "not_found")
        assert "User Not Found" in answer.error["message"]
        assert answer.headers["workevo-reason"] == "CONTACT_UNKNOWN"

    keys = server.create_workspace("Making users")
    server.set("Making users", create_unknown_users="yes")
    making = Rest(address=server.http_address, key=keys.server_key)
    assert verdict(tell(making, BOUGHT, user_id="nobody")) == "ACCEPTED"
    assert counts(making, "nobody") == {"bought": 7}


def test_an_archived_name_is_answered_as_an_event_s(rest: Rest, user_id: str) -> None:
    """R23."""
    tell(rest, BOUGHT | {"event_name": "old"}, user_id=user_id)
    assert rest.send("PUT", "/event_definitions", name="old", archived=True).status == 200

    assert verdict(tell(rest, BOUGHT | {"event_name": "old", "count": 9}, user_id=user_id)) == "ARCHIVED"

    assert rest.send("PUT", "/event_definitions", name="old", archived=False).status == 200
    assert counts(rest, user_id) == {"old": 7}


def test_the_name_that_is_one_too_many_is_422(server: ServerProcess) -> None:
    """R10."""
    keys = server.create_workspace("Few names told")
    server.set("Few names told", create_unknown_users="yes", event_names_max=1)
    rest = Rest(address=server.http_address, key=keys.server_key)

    assert verdict(tell(rest, BOUGHT, user_id="u")) == "ACCEPTED"
    answer = tell(rest, [BOUGHT, BOUGHT | {"event_name": "sold"}], user_id="u")

    assert (answer.status, answer.headers["workevo-reason"]) == (422, "EVENT_NAME_LIMIT")
    assert answer.error["code"] == "unprocessable_entity"


def test_a_deleted_contact_takes_its_counts_along(rest: Rest, user_id: str) -> None:
    """R32. With the same user made again nothing of before comes back, nor is it taken again."""
    tell(rest, BOUGHT, user_id=user_id)
    contact = rest.get(f"/contacts/find_by_external_id/{user_id.replace(' ', '%20')}").json
    assert rest.call("DELETE", f"/contacts/{contact['id']}").status == 200
    rest.make_user(user_id)

    answer = tell(rest, BOUGHT, user_id=user_id)

    assert (answer.status, answer.headers["workevo-reason"]) == (422, "CONTACT_ERASED")
    assert counts(rest, user_id) == {}


@pytest.mark.parametrize("kind", ["sdk_key", "browser_key"])
def test_a_public_key_may_not(server: ServerProcess, keys: Keys, kind: str) -> None:
    answer = tell(Rest(address=server.http_address, key=getattr(keys, kind)), BOUGHT, user_id="u")

    assert (answer.status, answer.error["code"]) == (403, "forbidden")


def test_another_workspace_is_told_nothing(rest: Rest, server: ServerProcess, user_id: str) -> None:
    contact = rest.get(f"/contacts/find_by_external_id/{user_id.replace(' ', '%20')}").json
    stranger = Rest(address=server.http_address, key=server.create_workspace("Stranger to told").server_key)

    for named in ({"id": contact["id"]}, {"user_id": user_id}, {"email": contact["email"]}):
        assert tell(stranger, BOUGHT, **named).status == 404
    assert counts(rest, user_id) == {}
