"""Definitions, ledgers and failed events over REST (R13, R14, R22, R23)."""

import base64
import json
import time

import grpc
import pytest

from workevo_testing.console import signed_in_to
from workevo_testing.http_calls import Json
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import Keys, ServerProcess
from workevo_testing.wire_calls import Phone, event


@pytest.fixture
def keys(server: ServerProcess, request: pytest.FixtureRequest) -> Keys:
    """Each test has a workspace of its own."""
    name = request.node.name
    made = server.create_workspace(name)
    server.set(name, create_unknown_users="yes")
    return made


@pytest.fixture
def rest(server: ServerProcess, keys: Keys) -> Rest:
    return Rest(address=server.http_address, key=keys.server_key)


def definition(rest: Rest, name: str) -> Json:
    (found,) = rest.get("/event_definitions", name=name).json["data"]
    only: Json = found
    return only


def test_a_definition_is_described_archived_and_brought_back(rest: Rest) -> None:
    rest.event("invited-friend", user_id="u", created_at=1)

    described = rest.send("PUT", "/event_definitions", name="INVITED-FRIEND", description="A friend").json
    assert (described["name"], described["display_name"]) == ("invited-friend", "Invited friend")
    assert (described["description"], described["stored_count"]) == ("A friend", 1)
    assert described["seen_kinds"] == ["user"]

    assert rest.send("PUT", "/event_definitions", name="invited-friend", archived=True).json["archived_at"]
    assert rest.event("invited-friend", user_id="u", created_at=2).headers["workevo-verdict"] == "ARCHIVED"
    assert rest.get("/event_definitions").json["data"] == []
    assert len(rest.get("/event_definitions", state="archived").json["data"]) == 1
    assert definition(rest, "invited-friend")["archived_count"] == 1

    changed = rest.send(
        "PUT", "/event_definitions", name="invited-friend", archived=False, disabled=True
    ).json
    assert (changed["archived_at"], changed["disabled"]) == (None, True)


def test_a_summary_tells_the_description(rest: Rest) -> None:
    rest.event("a", user_id="u", created_at=1)
    rest.send("PUT", "/event_definitions", name="a", description="The first letter")

    (summed,) = rest.get("/events", type="user", user_id="u", summary="true").json["events"]

    assert summed["description"] == "The first letter"


def test_a_name_one_too_many_is_not_brought_back(rest: Rest, server: ServerProcess, keys: Keys) -> None:
    """R10."""
    rest.event("a", user_id="u")
    rest.send("PUT", "/event_definitions", name="a", archived=True)
    server.set(keys.workspace_id, event_names_max=1)
    rest.event("b", user_id="u")

    answer = rest.send("PUT", "/event_definitions", name="a", archived=False)

    assert (answer.status, answer.error["code"]) == (422, "unprocessable_entity")


def test_definitions_come_in_pages(rest: Rest) -> None:
    rest.batch([{"event_name": f"n{number}", "user_id": "u"} for number in range(5)])

    first = rest.get("/event_definitions", per_page=3).json
    rest_of_it = rest.get(
        "/event_definitions", per_page=3, starting_after=first["pages"]["next"]["starting_after"]
    ).json

    assert [each["name"] for each in first["data"] + rest_of_it["data"]] == [f"n{n}" for n in range(5)]
    assert rest_of_it["pages"]["next"] is None


def test_an_unknown_name_is_not_found(rest: Rest) -> None:
    for answer in (
        rest.get("/event_definitions", name="never"),
        rest.send("PUT", "/event_definitions", name="never", archived=True),
    ):
        assert (answer.status, answer.error["code"]) == (404, "not_found")


def test_an_install_s_ledger_adds_up(rest: Rest, channel: grpc.Channel, keys: Keys) -> None:
    phone = Phone(channel, keys.sdk_key)
    phone.upload([event(1), event(2, name=""), event(4)], last_sequence=5)

    (install,) = rest.get("/installs").json["data"]
    ledger = rest.get("/ledger", install_id=phone.install.install_id).json

    balance = install["balance"]
    assert install["install_id"] == ledger["install_id"] == phone.install.install_id
    parts = ("stored", "duplicate", "archived", "rejected", "dropped", "open")
    assert (balance["generated"], [balance[part] for part in parts]) == (5, [2, 0, 0, 1, 0, 2])
    assert ledger["balance"] == balance
    assert balance["rejected_by_reason"] == {"NAME_INVALID": 1}
    (epoch,) = ledger["epochs"]
    assert epoch["epoch"] == phone.install.epoch.hex()
    assert [(each["first_sequence"], each["outcome"], each["reason"]) for each in epoch["ranges"]] == [
        (1, "STORED", None),
        (2, "REJECTED", "NAME_INVALID"),
        (3, "OPEN", None),
        (4, "STORED", None),
        (5, "OPEN", None),
    ]
    unknown = rest.get("/ledger", install_id="nobody's")
    assert (unknown.status, unknown.error["code"]) == (404, "not_found")


def test_what_was_refused_over_rest_is_listed_whole_and_replayed(
    rest: Rest, server: ServerProcess, keys: Keys
) -> None:
    server.set(keys.workspace_id, key_charset="strict")
    sent = {"event_name": "completed.order", "user_id": "u", "created_at": 7}
    assert rest.post("/events", **sent).headers["workevo-reason"] == "NAME_INVALID"

    page = rest.get("/failed_events").json
    (failed,) = page["data"]
    assert (failed["reason"], failed["event_name"], failed["install_id"]) == (
        "NAME_INVALID",
        "completed.order",
        None,
    )
    assert json.loads(base64.b64decode(failed["event"])) == sent
    assert page["counts_by_reason"] == {"NAME_INVALID": 1}
    (still,) = rest.post("/failed_events/replay", id=failed["id"]).json["results"]
    assert (still["verdict"], still["reason"]) == ("REJECTED", "NAME_INVALID")

    server.set(keys.workspace_id, key_charset="any")
    (done,) = rest.post("/failed_events/replay", reason="NAME_INVALID").json["results"]

    assert (done["id"], done["verdict"]) == (failed["id"], "ACCEPTED")
    assert rest.get("/failed_events").json["data"] == []
    assert [each["created_at"] for each in rest.events("u")] == [7]


def test_failed_events_are_narrowed_by_all_that_is_given(
    rest: Rest, channel: grpc.Channel, keys: Keys
) -> None:
    phone = Phone(channel, keys.sdk_key)
    phone.upload([event(1, name="a", user_id="")])
    rest.event("a", user_id="u", created_at="yesterday")

    def count(**query: object) -> int:
        return len(rest.get("/failed_events", **query).json["data"])

    assert count() == count(event_name="A") == 2
    assert count(install_id=phone.install.install_id) == count(reason="CONTACT_INVALID") == 1
    assert count(received_before=1) == count(event_name="b") == 0
    assert count(received_from=1, reason="CREATED_AT_INVALID") == 1
    refused = rest.get("/failed_events", reason="BAD_LUCK")
    assert (refused.status, refused.error["field"]) == (400, "reason")
    assert rest.post("/failed_events/replay", id="nothing").status == 404


def tell_what_is_refused(rest: Rest, contact_id: str, secret: str) -> int:
    """Events of anna's, by each of her ids and by none that can be read; how many."""
    count, later = 0, int(time.time()) + 60
    for named in ({"user_id": "anna"}, {"id": contact_id}, {"email": "anna@example.org"}):
        for wrong in ({"metadata": secret}, {"event_name": [secret]}, {"created_at": 1, "metadata": secret}):
            assert (
                rest.post("/events", **{"event_name": "bought", "created_at": later} | named | wrong).status
                == 400
            )
            count += 1
    of_nobody = [
        {"event_name": "bought", "user_id": ["anna"], "metadata": {"card": secret}},
        {"event_name": "bought", "user_id": "anna", "metadata": {"card": secret * 9000}},
    ]
    lines = "\n".join([f"anna {secret}", *map(json.dumps, of_nobody)]).encode()
    answer = rest.call("POST", "/events/batch", lines, content_type="application/x-ndjson")
    reasons = [each["reason"] for each in answer.json["results"]]
    assert reasons == ["EVENT_MALFORMED", "EVENT_MALFORMED", "EVENT_TOO_LARGE"]
    return count + len(reasons)


def failed_as_sent(rest: Rest) -> list[str]:
    listed = rest.get("/failed_events", per_page=50).json["data"]
    return [base64.b64decode(each["event"]).decode() for each in listed]


@pytest.mark.parametrize("suppress", ["true", "false"])
def test_a_deletion_leaves_nothing_of_somebody_s_malformed_events(
    rest: Rest, server: ServerProcess, keys: Keys, suppress: str
) -> None:
    """R32: by whichever id they named her, before it and after, whatever else was wrong with them."""
    anna = rest.make_user("anna", email="anna@example.org")["id"]
    rest.make_user("ben", email="ben@example.org")
    count = tell_what_is_refused(rest, anna, "CANARY")
    assert sum("CANARY" in each for each in failed_as_sent(rest)) == count
    for named in ({"user_id": "ben"}, {"email": "ben@example.org"}, {"user_id": None}):
        rest.post("/events", event_name="bought", created_at="never", metadata={}, **named)

    rest.call("DELETE", f"/contacts/{anna}?suppress={suppress}")

    others = failed_as_sent(rest)  # Ben's, and one that names nobody and was read, so that it is nobody's.
    assert len(others) == 3
    assert not any("anna" in each or anna in each for each in others)
    visit = signed_in_to(server, keys, "admin")
    assert "EVENT_MALFORMED" not in visit.get("/console/delivery/rejected").body.decode()

    tell_what_is_refused(rest, anna, "LATE")

    late = [json.loads(each) for each in failed_as_sent(rest) if each not in others]
    assert [each["user_id"] for each in late] == ([] if suppress == "true" else ["anna", "anna"])
    assert all(each["created_at"] > 1 for each in late)
    assert rest.post("/events", event_name="bought", user_id="ben", metadata="his").status == 400
    assert sum('"his"' in each for each in failed_as_sent(rest)) == 1
