"""Events over REST (R29): one answer for new, duplicate and archived ones, pages, batches, who may call."""

import base64
import gzip
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest

from workevo.insight.v1 import catalogue_pb2, catalogue_pb2_grpc
from workevo_testing.http_calls import HttpAnswer, Json, request
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import Keys, ServerProcess
from workevo_testing.wire_calls import BackEnd, Phone, bearer, event

_numbers = itertools.count()


@pytest.fixture(scope="module")
def keys(server: ServerProcess) -> Keys:
    keys = server.create_workspace("Rest")
    server.set("Rest", create_unknown_users="yes")
    return keys


@pytest.fixture
def rest(server: ServerProcess, keys: Keys) -> Rest:
    return Rest(address=server.http_address, key=keys.server_key)


@pytest.fixture
def user_id() -> str:
    return f"rest user {next(_numbers)}"


def verdict(answer: HttpAnswer) -> str:
    assert answer.body == b""
    assert answer.headers["content-length"] == "0"
    assert answer.status == 202
    return answer.headers["workevo-verdict"]


# One event


def test_new_duplicate_and_archived_are_answered_alike_and_a_header_says_which(
    rest: Rest, user_id: str, channel: grpc.Channel, keys: Keys
) -> None:
    sent: Json = {"user_id": user_id, "created_at": 1000}

    assert verdict(rest.event("to be archived", **sent)) == "ACCEPTED"
    again = rest.event("TO BE ARCHIVED", **sent)
    assert (verdict(again), again.headers["workevo-identity"]) == ("DUPLICATE", "PRODUCT")

    catalogue_pb2_grpc.EventCatalogueServiceStub(channel).ArchiveEventDefinition(
        catalogue_pb2.ArchiveEventDefinitionRequest(name="to be archived"),
        metadata=bearer(keys.server_key),
        timeout=10,
    )
    assert verdict(rest.event("to be archived", user_id=user_id, created_at=2000)) == "ARCHIVED"


def test_the_same_event_over_grpc_and_rest_is_one(
    rest: Rest, user_id: str, channel: grpc.Channel, keys: Keys
) -> None:
    phone = Phone(channel, keys.sdk_key)
    phone.upload([event(1, name="bought", user_id=user_id, created_at={"seconds": 1_700_000_000})])

    assert verdict(rest.event("bought", user_id=user_id, created_at=1_700_000_000)) == "DUPLICATE"
    assert verdict(rest.event("bought", user_id=user_id, created_at=1_700_000_001)) == "ACCEPTED"
    answer = phone.upload([event(2, name="bought", user_id=user_id, created_at={"seconds": 1_700_000_001})])
    assert answer.accepted_count == 0
    assert len(BackEnd(channel, keys.server_key).activities(user_id)) == 2


def test_a_dropped_key_is_told_in_a_header(rest: Rest, user_id: str) -> None:
    answer = rest.event("a", user_id=user_id, metadata=dict.fromkeys("abcdef", 1))

    assert (verdict(answer), answer.headers["workevo-warnings"]) == ("ACCEPTED", "METADATA_KEYS_DROPPED")


def test_an_id_that_is_a_number_is_its_digits(rest: Rest) -> None:
    number = 7_000_000 + next(_numbers)

    rest.event("a", user_id=number)

    assert len(rest.events(str(number))) == 1


def test_an_unknown_user_is_not_found_where_events_make_nobody(server: ServerProcess) -> None:
    """R18."""
    keys = server.create_workspace("Strict about users")
    rest = Rest(address=server.http_address, key=keys.server_key)

    for named in ({"user_id": "nobody"}, {"email": "nobody@example.org"}, {"id": "nobody"}):
        answer = rest.event("a", **named)
        assert (answer.status, answer.error["code"]) == (404, "not_found")
        assert "User Not Found" in answer.error["message"]
    listed = rest.get("/events", user_id="nobody", type="user")
    assert (listed.status, listed.error["code"]) == (404, "not_found")


def test_a_rejected_event_is_422_with_its_field_and_reason(rest: Rest, user_id: str) -> None:
    answer = rest.event("a", user_id=user_id, metadata={"price": {"amount": 1, "currency": "xxy"}})

    assert (answer.status, answer.error["code"], answer.error["field"]) == (
        422,
        "unprocessable_entity",
        "price",
    )
    assert answer.headers["workevo-verdict"] == "REJECTED"
    assert answer.headers["workevo-reason"] == "METADATA_VALUE_INVALID"


def test_the_name_that_is_one_too_many_is_422(server: ServerProcess) -> None:
    """R10."""
    keys = server.create_workspace("Few names")
    server.set("Few names", create_unknown_users="yes", event_names_max=1)
    rest = Rest(address=server.http_address, key=keys.server_key)

    assert verdict(rest.event("first", user_id="u")) == "ACCEPTED"
    answer = rest.event("second", user_id="u")

    assert (answer.status, answer.headers["workevo-reason"]) == (422, "EVENT_NAME_LIMIT")
    assert answer.error["field"] == "event_name"


# Pages


def all_pages(rest: Rest, user_id: str, **query: Any) -> Iterator[Json]:
    """Following `pages.next`, which names the host that was asked."""
    answer = rest.get("/events", type="user", user_id=user_id, **query)
    while True:
        assert answer.status == 200
        page: Json = answer.json
        yield page
        link = page["pages"]["next"]
        if link is None:
            return
        parts = urlsplit(link)
        assert (parts.scheme, parts.netloc) == ("http", rest.address)
        answer = rest.call("GET", f"{parts.path}?{parts.query}")


def test_pages_join_without_gap_or_repeat_though_many_share_a_millisecond(rest: Rest, user_id: str) -> None:
    rest.batch([{"event_name": f"n{n}", "user_id": user_id, "created_at": 1000 + n // 4} for n in range(11)])

    pages = list(all_pages(rest, user_id, per_page=3))

    assert [len(page["events"]) for page in pages] == [3, 3, 3, 2]
    names = [each["event_name"] for page in pages for each in page["events"]]
    assert names == [f"n{n}" for n in reversed(range(11))]


def test_an_event_of_a_list_has_the_names_that_clients_know(rest: Rest, user_id: str) -> None:
    rest.event("bought", user_id=user_id, created_at=1000, metadata={"plan": "team"})

    (page,) = all_pages(rest, user_id)

    (listed,) = page["events"]
    assert listed.pop("id")
    assert listed.pop("intercom_user_id")
    assert listed == {
        "type": "event",
        "event_name": "bought",
        "created_at": 1000,
        "user_id": user_id,
        "email": None,
        "metadata": {"plan": "team"},
    }
    assert page["type"] == "event.list"


def test_cursors_in_milliseconds_cut_where_they_say(rest: Rest, user_id: str) -> None:
    rest.batch([{"event_name": "a", "user_id": user_id, "created_at": second} for second in (1, 2, 3)])

    def seconds(**query: int) -> list[int]:
        return [each["created_at"] for each in rest.events(user_id, **query)]

    assert seconds(before=3000) == [2, 1]
    assert seconds(since=2000) == [3, 2]
    assert seconds(before=3000, since=2000) == [2]
    assert seconds(since=2000, per_page=1) == [3]


def test_the_link_to_what_comes_later_finds_just_that(rest: Rest, user_id: str) -> None:
    rest.event("a", user_id=user_id, created_at=1)
    (page,) = all_pages(rest, user_id)
    since = urlsplit(page["pages"]["since"])
    rest.event("b", user_id=user_id, created_at=2)

    later = rest.call("GET", f"{since.path}?{since.query}").json["events"]

    assert [each["event_name"] for each in later] == ["b"]
    assert parse_qs(since.query)["since"] == ["1001"]


def test_a_cursor_of_another_list_is_refused(rest: Rest, user_id: str) -> None:
    rest.batch([{"event_name": "a", "user_id": user_id, "created_at": second} for second in (1, 2)])
    page = next(all_pages(rest, user_id, per_page=1))
    cursor = parse_qs(urlsplit(page["pages"]["next"]).query)["cursor"][0]
    rest.event("a", user_id=f"{user_id} too")

    answer = rest.get("/events", type="user", user_id=f"{user_id} too", cursor=cursor)

    assert (answer.status, answer.error["code"], answer.error["field"]) == (400, "parameter_invalid", "page")


def test_a_summary_counts_by_name(rest: Rest, user_id: str) -> None:
    rest.batch(
        [
            {"event_name": "invited-friend", "user_id": user_id, "created_at": second}
            for second in (1000, 3000)
        ]
    )

    answer = rest.get("/events", type="user", user_id=user_id, summary="true").json

    assert answer["type"] == "event.summary"
    assert answer["user_id"] == user_id
    assert answer["events"] == [
        {
            "name": "invited-friend",
            "first": "1970-01-01T00:16:40.000+00:00",
            "last": "1970-01-01T00:50:00.000+00:00",
            "count": 2,
            "description": None,
        }
    ]


# Batches


def test_each_event_of_a_batch_has_a_verdict_and_costs_its_neighbours_nothing(
    rest: Rest, user_id: str
) -> None:
    good = {"event_name": "a", "user_id": user_id, "created_at": 1}

    answer = rest.call(
        "POST",
        "/events/batch",
        f'{{"events": [{json.dumps(good)}, {{"event_name": 7}}, {json.dumps(good)}, 3, nonsense]}}'.encode(),
    )

    assert (answer.status, answer.json["accepted_count"]) == (200, 1)
    results = answer.json["results"]
    assert [(each["index"], each["verdict"], each["reason"]) for each in results] == [
        (0, "ACCEPTED", None),
        (1, "REJECTED", "EVENT_MALFORMED"),
        (2, "DUPLICATE", None),
        (3, "REJECTED", "EVENT_MALFORMED"),
        (4, "REJECTED", "EVENT_MALFORMED"),
    ]
    assert results[1]["field"] == "event_name"
    assert not any(each["retriable"] for each in results)


def test_a_batch_comes_as_lines_too_and_compressed(rest: Rest, user_id: str) -> None:
    lines = [json.dumps({"event_name": f"n{n}", "user_id": user_id}) for n in range(3)]
    body = gzip.compress(("\n".join([lines[0], "", lines[1], "{broken", lines[2]]) + "\n").encode())

    answer = rest.call(
        "POST",
        "/events/batch",
        body,
        content_type="application/x-ndjson; charset=utf-8",
        headers={"Content-Encoding": "gzip"},
    )

    assert [each["verdict"] for each in answer.json["results"]] == [
        "ACCEPTED",
        "ACCEPTED",
        "REJECTED",
        "ACCEPTED",
    ]


@pytest.mark.parametrize("as_lines", [False, True])
def test_a_batch_has_500_events_and_not_one_more(rest: Rest, user_id: str, as_lines: bool) -> None:
    events = [json.dumps({"event_name": "a", "user_id": user_id, "created_at": n}) for n in range(501)]

    def send(count: int) -> HttpAnswer:
        if as_lines:
            body, content_type = "\n".join(events[:count]), "application/x-ndjson"
        else:
            body, content_type = f'{{"events": [{",".join(events[:count])}]}}', "application/json"
        return rest.call("POST", "/events/batch", body.encode(), content_type=content_type)

    assert len(send(500).json["results"]) == 500
    refused = send(501)
    assert (refused.status, refused.error["code"]) == (413, "content_too_large")


# Around every call


def test_every_authenticated_answer_tells_what_is_left_to_the_workspace(rest: Rest, user_id: str) -> None:
    answers = [
        rest.event("a", user_id=user_id),
        rest.get("/events"),
        rest.call("POST", "/events", b"nonsense"),
    ]

    for answer in answers:
        assert answer.headers["x-ratelimit-limit"] == "10000"
        assert 0 <= int(answer.headers["x-ratelimit-remaining"]) < 10_000
        assert 0 < int(answer.headers["x-ratelimit-reset"]) - time.time() <= 10
        assert answer.headers["x-request-id"]


def test_over_its_limit_a_workspace_is_told_when_to_come_back_and_another_is_not(
    server: ServerProcess, rest: Rest
) -> None:
    keys = server.create_workspace("Eager")
    server.set("Eager", rest_rate_limit=2)
    eager = Rest(address=server.http_address, key=keys.server_key)

    answers = [eager.get("/events") for _ in range(5)]

    refused = answers[-1]
    assert [answer.status for answer in answers].count(429) >= 1
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert refused.error["message"] == "Exceeded rate limit of 2 in 10_seconds."
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert rest.get("/events").status == 400


@pytest.mark.parametrize("kind", ["sdk_key", "browser_key"])
def test_a_public_key_may_not(server: ServerProcess, keys: Keys, kind: str) -> None:
    answer = Rest(address=server.http_address, key=getattr(keys, kind)).event("a", user_id="u")

    assert (answer.status, answer.error["code"]) == (403, "forbidden")


def test_a_key_sees_its_own_workspace_and_no_other(server: ServerProcess, rest: Rest, user_id: str) -> None:
    rest.event("a", user_id=user_id)
    contact_id = rest.events(user_id)[0]["intercom_user_id"]
    stranger = Rest(address=server.http_address, key=server.create_workspace("Stranger").server_key)

    for named in ({"user_id": user_id}, {"intercom_user_id": contact_id}):
        assert stranger.get("/events", type="user", **named).status == 404
    assert stranger.event("a", id=contact_id).status == 404


def test_a_version_is_echoed_whatever_it_is(rest: Rest) -> None:
    for version in ("2.14", "Unstable"):
        answer = rest.call("GET", "/events", headers={"Intercom-Version": version})
        assert answer.headers["intercom-version"] == version


def test_an_idempotency_key_is_taken(rest: Rest, user_id: str) -> None:
    body = json.dumps({"event_name": "a", "user_id": user_id, "created_at": 1}).encode()
    headers = {"Idempotency-Key": "once"}

    assert verdict(rest.call("POST", "/events", body, headers=headers)) == "ACCEPTED"
    assert verdict(rest.call("POST", "/events", body, headers=headers)) == "DUPLICATE"


def test_basic_with_the_key_as_user_name_does_as_bearer_does(server: ServerProcess, keys: Keys) -> None:
    basic = base64.b64encode(f"{keys.server_key}:".encode()).decode()
    answer = request(server.http_address, "GET", "/events/", headers={"Authorization": f"Basic {basic}"})

    assert answer.status == 400
    assert answer.error["field"] == "user_id"
