"""Contacts over REST (R16, R29, R32)."""

import itertools
import time
from urllib.parse import quote

import grpc
import pytest

from workevo.insight.v1 import people_pb2, people_pb2_grpc
from workevo.tracking.v1 import event_pb2, tracking_pb2, tracking_pb2_grpc, verdict_pb2
from workevo_testing.http_calls import Json
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import Keys, ServerProcess
from workevo_testing.wire_calls import Phone, bearer, event

_numbers = itertools.count()


@pytest.fixture(scope="module")
def keys(server: ServerProcess) -> Keys:
    return server.create_workspace("People over REST")


@pytest.fixture
def rest(server: ServerProcess, keys: Keys) -> Rest:
    return Rest(address=server.http_address, key=keys.server_key)


@pytest.fixture
def user_id() -> str:
    return f"rest contact {next(_numbers)}"


def visitor(channel: grpc.Channel, keys: Keys, visitor_id: str) -> None:
    """One that a phone made by an event of its own."""
    Phone(channel, keys.sdk_key).upload([event(1, user_id=None, visitor_id=visitor_id, name="opened")])


def test_a_user_is_made_found_and_told_in_words_that_clients_know(rest: Rest, user_id: str) -> None:
    made = rest.make_user(
        user_id,
        email=f"Ada.{next(_numbers)}@Example.org",
        name="Ada",
        custom_attributes={"plan": "team", "seats": 3, "renewed_at": 1_700_000_000},
    )

    assert abs(made.pop("created_at") - time.time()) < 60
    contact_id = made["id"]
    assert rest.get(f"/contacts/{contact_id}").json["id"] == contact_id
    assert rest.get(f"/contacts/find_by_external_id/{quote(user_id)}").json["id"] == contact_id
    assert made.pop("email").startswith("ada.")
    assert made.pop("workspace_id").startswith("ws_")
    assert made == {
        "type": "contact",
        "id": contact_id,
        "external_id": user_id,
        "role": "user",
        "name": "Ada",
        "phone": None,
        "visitor_ids": [],
        "custom_attributes": {"plan": "team", "seats": 3, "renewed_at": 1_700_000_000},
    }


def test_each_external_id_finds_its_own_slashes_and_all(rest: Rest, user_id: str) -> None:
    ids = [f"{user_id}{tail}" for tail in ("", "/", "//", "/b", "%2F", "?", " ", "/.")]
    made = {each: rest.make_user(each)["id"] for each in ids}

    for each in ids:
        path = f"/contacts/find_by_external_id/{quote(each, safe='')}"
        assert rest.get(path).json["id"] == made[each], path
        assert rest.get(f"{path}/").json["id"] == made[each], path


def test_a_user_of_an_address_alone_is_found_by_it(rest: Rest) -> None:
    address = f"alone.{next(_numbers)}@example.org"

    made = rest.post("/contacts", role="user", email=address.upper()).json

    assert (made["external_id"], made["email"]) == (address, address)
    assert rest.event("a", email=address).status == 202


def test_who_is_there_already_is_a_conflict(rest: Rest, user_id: str) -> None:
    made = rest.make_user(user_id, email=f"{next(_numbers)}@example.org")

    for again in ({"external_id": user_id}, {"external_id": f"{user_id} too", "email": made["email"]}):
        answer = rest.post("/contacts", role="user", **again)
        assert (answer.status, answer.error["code"]) == (409, "conflict")
        assert made["id"] in answer.error["message"]


def test_an_update_adds_to_what_is_known(rest: Rest, user_id: str) -> None:
    made = rest.make_user(user_id, custom_attributes={"plan": "team"})
    address = f"{next(_numbers)}@example.org"

    changed = rest.send(
        "PUT",
        f"/contacts/{made['id']}",
        name="Grace",
        email=address,
        custom_attributes={"PLAN": "solo", "seats": 1},
    ).json

    assert (changed["name"], changed["email"]) == ("Grace", address)
    assert changed["custom_attributes"] == {"PLAN": "solo", "seats": 1}
    refused = rest.send("PUT", f"/contacts/{made['id']}", external_id="another")
    assert (refused.status, refused.error["field"]) == (409, "external_id")


def identify(channel: grpc.Channel, keys: Keys, user_id: str, **attributes: str) -> None:
    """As a phone tells that its visitor has logged in, or what it has heard of the user since."""
    request = tracking_pb2.IdentifyRequest(
        install=Phone(channel, keys.sdk_key).install,
        visitor_id=f"{user_id} v",
        user_id=user_id,
        attributes=[event_pb2.MetadataEntry(key=key, text=text) for key, text in attributes.items()],
    )
    answer = tracking_pb2_grpc.TrackingServiceStub(channel).Identify(
        request, metadata=bearer(keys.sdk_key), timeout=20
    )
    assert answer.verdict == verdict_pb2.VERDICT_ACCEPTED


def test_an_address_that_a_back_end_changed_is_not_put_back_by_a_phone_that_says_something_else(
    rest: Rest, user_id: str, channel: grpc.Channel, keys: Keys
) -> None:
    old, new, newest = (f"{which}.{next(_numbers)}@example.org" for which in ("old", "new", "newest"))
    identify(channel, keys, user_id, email=old)
    contact_id = rest.get(f"/contacts/find_by_external_id/{quote(user_id)}").json["id"]

    assert rest.send("PUT", f"/contacts/{contact_id}", email=new).json["email"] == new
    identify(channel, keys, user_id, name="A")

    known = rest.get(f"/contacts/{contact_id}").json
    assert (known["email"], known["name"], known["custom_attributes"]) == (new, "A", {})
    assert rest.event("a", email=new).status == 202
    assert rest.event("a", email=old).status == 404
    profile = people_pb2_grpc.PeopleServiceStub(channel).GetContact(
        people_pb2.GetContactRequest(user_id=user_id), metadata=bearer(keys.server_key), timeout=20
    )
    told = profile.contact.attributes
    assert (profile.contact.email, [(each.key, each.text) for each in told]) == (
        new,
        [("email", new), ("name", "A")],
    )

    identify(channel, keys, user_id, email=newest.upper())  # Control: one that says so is heard.
    assert rest.get(f"/contacts/{contact_id}").json["email"] == newest


def test_an_address_among_a_user_s_attributes_is_its_address(rest: Rest, user_id: str) -> None:
    """As of a phone's log-in: what is shown as its e-mail is what an event may name it by."""
    one, two, three = (f"{number}.{next(_numbers)}@example.org" for number in ("one", "two", "three"))
    made = rest.make_user(user_id, custom_attributes={"email": two, "Email": one.upper()})
    assert (made["email"], rest.event("a", email=one).status) == (one, 202)

    changed = rest.send("PUT", f"/contacts/{made['id']}", custom_attributes={"email": two}).json
    assert (changed["email"], rest.event("a", email=two).status) == (two, 202)
    both = rest.send("PUT", f"/contacts/{made['id']}", email=three, custom_attributes={"email": one}).json
    assert (both["email"], rest.event("a", email=three).status) == (three, 202)
    rest.send("PUT", f"/contacts/{made['id']}", custom_attributes={"email": "none"})
    assert rest.get(f"/contacts/{made['id']}").json["email"] == three


def test_an_attribute_that_breaks_its_type_is_refused_with_its_key(rest: Rest, user_id: str) -> None:
    answer = rest.post("/contacts", external_id=user_id, custom_attributes={"nested": {"a": {"b": 1}}})

    assert (answer.status, answer.error["field"]) == (400, "nested")


BAD = {"custom_attributes": {"plan": {"a": 1}}}


def test_a_contact_that_was_refused_was_not_made(rest: Rest, user_id: str) -> None:
    """So that the mended request is no conflict, and none that fails again leaves one more behind."""

    def count_of_leads() -> int:
        return len(rest.get("/contacts", role="lead", per_page=150).json["data"])

    leads = count_of_leads()
    for role in ("user", "lead"):
        refused = rest.post("/contacts", role=role, external_id=user_id, **BAD)
        assert (refused.status, refused.error["field"]) == (400, "plan")
    assert rest.post("/contacts", role="lead", **BAD).status == 400
    assert rest.post("/contacts", role="lead", email="no address").status == 400

    assert rest.get(f"/contacts/find_by_external_id/{quote(user_id)}").status == 404
    assert rest.get("/visitors", user_id=user_id).status == 404
    assert count_of_leads() == leads
    made = rest.make_user(user_id, email=f"{next(_numbers)}@example.org", name="Ada")
    assert (made["name"], made["external_id"]) == ("Ada", user_id)


def test_a_lead_whose_conversion_was_refused_is_a_lead_still(rest: Rest, user_id: str) -> None:
    other = rest.make_user(f"{user_id} too", email=f"{next(_numbers)}@example.org")
    lead = rest.post("/contacts", role="lead").json
    become = {"role": "user", "external_id": user_id, "name": "Ada"}

    for wrong, field in ((BAD, "plan"), ({"email": other["email"]}, "email"), ({"email": "a"}, "email")):
        refused = rest.send("PUT", f"/contacts/{lead['id']}", **become, **wrong)
        assert (refused.status, refused.error["field"]) == (400, field)
        still = rest.get(f"/contacts/{lead['id']}").json
        assert (still["role"], still["id"], still["name"]) == ("lead", lead["id"], None)

    user = rest.send("PUT", f"/contacts/{lead['id']}", **become).json
    assert (user["role"], user["external_id"], user["name"]) == ("user", user_id, "Ada")


def test_a_lead_becomes_a_user_by_its_role(rest: Rest, user_id: str) -> None:
    lead = rest.post("/contacts", role="lead", email="lead@example.org", name="Someone").json
    assert (lead["role"], lead["email"], lead["name"]) == ("lead", "lead@example.org", "Someone")
    rest.event("asked", id=lead["id"], created_at=1)

    user = rest.send("PUT", f"/contacts/{lead['id']}", role="user", external_id=user_id).json

    assert (user["role"], user["external_id"], user["visitor_ids"]) == (
        "user",
        user_id,
        [lead["external_id"]],
    )
    assert [each["event_name"] for each in rest.events(user_id)] == ["asked"]


def test_a_visitor_is_converted_to_a_user_and_to_a_lead(
    rest: Rest, user_id: str, channel: grpc.Channel, keys: Keys
) -> None:
    for number in (1, 2):
        visitor(channel, keys, f"{user_id} v{number}")

    user = rest.post(
        "/visitors/convert",
        type="user",
        visitor={"user_id": f"{user_id} v1"},
        user={"user_id": user_id, "email": f"{next(_numbers)}@example.org"},
    ).json
    lead = rest.post("/visitors/convert", type="lead", visitor={"user_id": f"{user_id} v2"}).json

    assert (user["role"], user["visitor_ids"]) == ("user", [f"{user_id} v1"])
    assert len(rest.events(user_id)) == 1
    assert lead["role"] == "lead"
    assert rest.get("/visitors", user_id=f"{user_id} v2").json["id"] == lead["id"]
    unknown = rest.post("/visitors/convert", type="lead", visitor={"user_id": "nobody"})
    assert (unknown.status, unknown.error["code"]) == (404, "not_found")


def test_a_lead_is_merged_into_a_user_and_two_users_are_not(rest: Rest, user_id: str) -> None:
    lead = rest.post("/contacts", role="lead").json
    rest.event("asked", id=lead["id"], created_at=1)
    user = rest.make_user(user_id)

    merged = rest.post("/contacts/merge", **{"from": lead["id"], "into": user["id"]}).json
    other = rest.make_user(f"{user_id} too")
    refused = rest.post("/contacts/merge", **{"from": other["id"], "into": user["id"]})

    assert merged["id"] == user["id"]
    assert rest.get(f"/contacts/{lead['id']}").json["id"] == user["id"]
    assert [each["event_name"] for each in rest.events(user_id)] == ["asked"]
    assert (refused.status, refused.error["code"]) == (409, "conflict")


def search(rest: Rest, **query: object) -> list[str]:
    answer = rest.post("/contacts/search", query=query)
    assert answer.status == 200, answer.body
    return [each["id"] for each in answer.json["data"]]


def condition(field: str, value: str) -> Json:
    return {"field": field, "operator": "=", "value": value}


def test_contacts_are_searched_by_what_names_them(rest: Rest, user_id: str) -> None:
    address = f"search.{next(_numbers)}@example.org"
    user = rest.make_user(user_id, email=address)
    lead = rest.post("/contacts", role="lead", external_id=f"{user_id} lead").json

    assert search(rest, **condition("email", address.upper())) == [user["id"]]
    assert search(rest, **condition("external_id", user_id)) == [user["id"]]
    assert search(rest, **condition("external_id", f"{user_id} lead")) == [lead["id"]]
    assert search(rest, **condition("id", lead["id"])) == [lead["id"]]
    assert lead["id"] in search(rest, **condition("role", "lead"))
    both = [condition("email", address), condition("role", "user")]
    assert search(rest, operator="AND", value=both) == [user["id"]]
    neither = [condition("email", address), condition("role", "lead")]
    assert search(rest, operator="AND", value=neither) == []
    assert search(rest, operator="AND", value=[condition("id", lead["id"]), condition("role", "user")]) == []


def test_conditions_are_joined_negated_and_given_as_lists(server: ServerProcess) -> None:
    """Whoever is named is looked up, by whatever operators; whoever a role means is listed without some."""
    rest = Rest(address=server.http_address, key=server.create_workspace("Four people").server_key)
    ada, ben, cem = (
        rest.make_user(each, email=f"{each}@Example.org")["id"] for each in ("ada", "ben", "cem")
    )
    lead = rest.post("/contacts", role="lead", external_id="dora", email="Dora@example.org").json["id"]
    merged = rest.post("/contacts", role="lead", external_id="old ben").json["id"]
    rest.post("/contacts/merge", **{"from": merged, "into": ben})

    def found(field: str, operator: str, value: object) -> list[str]:
        return search(rest, field=field, operator=operator, value=value)

    def joined(operator: str, *conditions: Json) -> list[str]:
        return search(rest, operator=operator, value=list(conditions))

    def one(field: str, operator: str, value: object) -> Json:
        return {"field": field, "operator": operator, "value": value}

    assert found("email", "IN", ["CEM@example.org", "ada@example.org", "nobody@example.org"]) == [ada, cem]
    assert found("external_id", "IN", ["dora", "old ben", "ben"]) == [ben, lead]
    assert found("id", "IN", [merged, cem, "0", "no id"]) == [ben, cem]
    assert found("id", "=", merged) == [ben]
    assert found("id", "!=", merged) == [ada, cem, lead]
    assert found("role", "!=", "lead") == [ada, ben, cem]
    assert found("role", "IN", ["lead", "visitor"]) == [lead]
    assert found("role", "NIN", ["lead", "visitor"]) == [ada, ben, cem]
    assert found("email", "NIN", ["ada@example.org", "dora@example.org"]) == [ben, cem]
    assert found("email", "!~", "D") == [ben, cem]
    assert joined("OR", one("email", "=", "ada@example.org"), one("external_id", "=", "dora")) == [ada, lead]
    assert joined("OR", one("role", "=", "lead"), one("role", "=", "user")) == [ada, ben, cem, lead]
    assert joined("AND", one("role", "=", "user"), one("external_id", "!=", "ben")) == [ada, cem]
    assert joined("AND", one("role", "=", "user"), one("role", "=", "lead")) == []
    among = one("external_id", "IN", ["ada", "ben", "dora"])
    assert joined("AND", among, one("email", "~", "A@EXAMPLE")) == [ada, lead]
    either = {"operator": "OR", "value": [one("role", "=", "lead"), one("email", "!~", "ada")]}
    assert joined("AND", among, either) == [ben, lead]


def test_a_search_that_names_its_contacts_comes_in_pages_and_says_how_many(server: ServerProcess) -> None:
    rest = Rest(address=server.http_address, key=server.create_workspace("Five people").server_key)
    made = [rest.make_user(f"u{number}")["id"] for number in range(5)]
    named = {"field": "external_id", "operator": "IN", "value": ["u1", "u4", "u0", "u3", "u2"]}

    pages: list[Json] = []
    paging: Json | None = {"per_page": 2}
    while paging:
        pages.append(rest.post("/contacts/search", query=named, pagination=paging).json)
        paging = pages[-1]["pages"]["next"]

    assert [[each["id"] for each in page["data"]] for page in pages] == [made[:2], made[2:4], made[4:]]
    assert [page["total_count"] for page in pages] == [5, 5, 5]
    elsewhere = rest.post("/contacts/search", query=named, pagination={"starting_after": "nobody"})
    assert (elsewhere.status, elsewhere.error["code"]) == (400, "parameter_invalid")
    assert rest.get("/contacts").json["total_count"] == 5
    assert "total_count" not in rest.get("/contacts", per_page=2).json  # It would have to be counted.
    left_out = {"field": "external_id", "operator": "NIN", "value": ["u0", "u1", "u2", "u3"]}
    page = rest.post("/contacts/search", query=left_out, pagination={"per_page": 1}).json
    assert [each["id"] for each in page["data"]] == [made[4]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"field": "signed_up_at", "operator": "=", "value": "x"}, "query.field"),
        ({"field": "email", "operator": ">", "value": "x"}, "query.operator"),
        ({"field": "email", "operator": "~", "value": "x"}, "query.operator"),
        ({"field": "role", "operator": "~", "value": "user"}, "query.operator"),
        ({"field": "email", "operator": "IN", "value": "x"}, "query.value"),
        ({"field": "email", "operator": "NIN", "value": []}, "query.value"),
        ({"field": "external_id", "operator": "IN", "value": [str(n) for n in range(51)]}, "query.value"),
        ({"operator": "OR", "value": []}, "query.value"),
        (
            {"operator": "OR", "value": [{"field": "email", "operator": "=", "value": "x"}] * 16},
            "query.value",
        ),
        (
            {
                "operator": "OR",
                "value": [
                    {"field": "email", "operator": "=", "value": "x"},
                    {"field": "role", "operator": "=", "value": "user"},
                ],
            },
            "query.operator",
        ),
        (
            {"operator": "AND", "value": [{"operator": "AND", "value": [{"operator": "AND", "value": []}]}]},
            "query.value",
        ),
        ({"operator": "AND", "value": [{"field": "name", "operator": "=", "value": "x"}]}, "query.value"),
        ({"field": "email", "operator": "!=", "value": None}, "query.value"),
        ({"field": "email", "operator": "=", "value": 7}, "query.value"),
        ({"field": "role", "operator": "=", "value": "king"}, "query.value"),
        ({"operator": "AND", "value": "x"}, "query.value"),
        ({"operator": "AND", "value": [7]}, "query.value"),
        ({"operator": "="}, "query.field"),
    ],
)
def test_what_cannot_be_searched_by_is_told(rest: Rest, query: Json, field: str) -> None:
    answer = rest.post("/contacts/search", query=query)

    assert (answer.status, answer.error["code"], answer.error["field"]) == (400, "parameter_invalid", field)


def test_lists_and_searches_join_their_pages_without_gap_or_repeat(server: ServerProcess) -> None:
    keys = server.create_workspace("Seven people")
    rest = Rest(address=server.http_address, key=keys.server_key)
    made = [rest.make_user(f"u{number}")["id"] for number in range(7)]

    listed: list[str] = []
    searched: list[str] = []
    after: Json = {}
    while True:
        page = rest.get("/contacts", per_page=3, **after).json
        listed += [each["id"] for each in page["data"]]
        if page["pages"]["next"] is None:
            break
        after = {"starting_after": page["pages"]["next"]["starting_after"]}
    paging: Json | None = {"per_page": 3}
    while paging:
        page = rest.post("/contacts/search", query=condition("role", "user"), pagination=paging).json
        searched += [each["id"] for each in page["data"]]
        paging = page["pages"]["next"]

    assert listed == searched == made
    assert [each["id"] for each in rest.get("/contacts", role="lead").json["data"]] == []


def test_a_deleted_contact_is_gone_with_its_events(rest: Rest, user_id: str) -> None:
    made = rest.make_user(user_id)
    rest.event("a", user_id=user_id, created_at=1)

    gone = rest.call("DELETE", f"/contacts/{made['id']}").json

    assert gone == {"type": "contact", "id": made["id"], "external_id": user_id, "deleted": True}
    assert rest.get(f"/contacts/{made['id']}").status == 404
    assert rest.call("DELETE", f"/contacts/{made['id']}").status == 404
    erased = rest.event("a", user_id=user_id, created_at=1)
    assert (erased.status, erased.headers["workevo-reason"]) == (422, "CONTACT_ERASED")


@pytest.mark.parametrize("contact_id", ["0", "%00", "a%20b", "%F0%9F%98%80", "%ED%A0%80", "'--"])
def test_what_is_no_id_is_nobody_s(rest: Rest, contact_id: str) -> None:
    answer = rest.get(f"/contacts/{contact_id}")

    assert (answer.status, answer.error["code"]) == (404, "not_found")


def test_a_key_changes_nobody_of_another_workspace(rest: Rest, user_id: str, server: ServerProcess) -> None:
    made = rest.make_user(user_id)
    stranger = Rest(address=server.http_address, key=server.create_workspace("Strangers").server_key)
    mine = stranger.make_user("mine")

    answers = [
        stranger.get(f"/contacts/{made['id']}"),
        stranger.send("PUT", f"/contacts/{made['id']}", name="Mallory"),
        stranger.call("DELETE", f"/contacts/{made['id']}"),
        stranger.post("/contacts/merge", **{"from": mine["id"], "into": made["id"]}),
        stranger.post("/contacts/merge", **{"from": made["id"], "into": mine["id"]}),
        stranger.post("/visitors/convert", type="lead", visitor={"id": made["id"]}),
    ]

    assert [answer.status for answer in answers] == [404] * 6
    assert rest.get(f"/contacts/{made['id']}").json["name"] is None
