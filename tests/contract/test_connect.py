"""The mobile contract over the Connect protocol: the same methods, answers and refusals as over gRPC."""

import gzip
import json
import random
import socket
import uuid
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from workevo.tracking.v1 import verdict_pb2
from workevo.tracking.v1.tracking_pb2 import (
    ForgetRequest,
    ForgetResponse,
    IdentifyRequest,
    IdentifyResponse,
    UploadEventsRequest,
    UploadEventsResponse,
)
from workevo_server.domain.errors import Overloaded
from workevo_server.transport.grpc.status import ANSWERS
from workevo_server.transport.http.connect.status import HTTP_STATUSES, refusal_response
from workevo_testing.connect_calls import JSON, PROTO, SERVICE, Answered, ConnectClient, decoded, encoded
from workevo_testing.server_process import ServerProcess, prefix_of
from workevo_testing.wire_calls import BackEnd, Phone, as_event_field, event, install

MIB = 1024 * 1024


@pytest.fixture
def client(server: ServerProcess) -> ConnectClient:
    return ConnectClient(server.http_address, server.keys.sdk_key)


def upload(**fields: Any) -> UploadEventsRequest:
    return UploadEventsRequest(install=install(), **fields)


@pytest.mark.parametrize("kind", [JSON, PROTO])
def test_what_is_uploaded_is_answered_and_read_back(
    client: ConnectClient, back_end: BackEnd, kind: str
) -> None:
    user_id = uuid.uuid4().hex
    good, bad = event(1, user_id=user_id, name="read a\0back"), event(2, user_id=user_id, name="")

    answer = client.upload(upload(events=[good, bad], last_sequence=2), kind=kind)

    assert (answer.accepted_count, answer.settled_through) == (1, 2)
    assert [result.reason for result in answer.results] == [verdict_pb2.REASON_NAME_INVALID]
    assert answer.client_config.version
    assert [activity.event.name for activity in back_end.activities(user_id)] == ["read a\0back"]


def test_the_same_event_over_grpc_and_both_encodings_is_one_event(
    client: ConnectClient, phone: Phone, back_end: BackEnd
) -> None:
    user_id = uuid.uuid4().hex
    request = UploadEventsRequest(install=phone.install, events=[event(1, user_id=user_id)], last_sequence=1)

    first = phone.upload(request.events, last_sequence=1)
    again = [client.upload(request, kind=kind).results[0] for kind in (JSON, PROTO)]

    assert first.accepted_count == 1
    assert {result.identity for result in again} == {verdict_pb2.MATCHED_IDENTITY_TRANSPORT}
    assert len(back_end.activities(user_id)) == 1


@pytest.mark.parametrize("kind", [JSON, PROTO])
def test_one_event_that_does_not_parse_costs_its_neighbours_nothing(client: ConnectClient, kind: str) -> None:
    whole = upload(events=[event(1), event(3)], last_sequence=3)
    if kind == JSON:
        told = json.loads(encoded(whole, JSON))
        told["events"].insert(1, {"sequence": "2", "name": ["no", "text"]})
        body = json.dumps(told).encode()
    else:
        parts = [as_event_field(part.SerializeToString()) for part in whole.events]
        parts.insert(1, as_event_field(b"\x08\x02\x12\x05ab"))
        del whole.events[:]
        body = whole.SerializeToString() + b"".join(parts)

    answered = client.call("UploadEvents", body, kind=kind)

    answer = decoded(UploadEventsResponse(), answered.body, kind)
    assert answer.accepted_count == 2
    (result,) = answer.results
    assert (result.index, result.sequence) == (1, 2)
    assert result.reason == verdict_pb2.REASON_EVENT_MALFORMED


@pytest.mark.parametrize("kind", [JSON, PROTO])
def test_log_ins_and_forgetting_are_answered_too(client: ConnectClient, kind: str) -> None:
    phone = install()
    client.upload(
        UploadEventsRequest(install=phone, events=[event(1, visitor_id="v-" + phone.install_id)]), kind=kind
    )
    log_in = IdentifyRequest(
        install=phone, visitor_id="v-" + phone.install_id, user_id="u-" + phone.install_id
    )
    log_in.identify_clock.wall_time.seconds = log_in.send_clock.wall_time.seconds = 1_700_000_000

    identified = client.call("Identify", encoded(log_in, kind), kind=kind)
    forgotten = client.call("Forget", encoded(ForgetRequest(install=phone), kind), kind=kind)

    assert decoded(IdentifyResponse(), identified.body, kind).verdict == verdict_pb2.VERDICT_ACCEPTED
    assert forgotten.status == 200
    assert decoded(ForgetResponse(), forgotten.body, kind) == ForgetResponse()


# Who may call ----------------------------------------------------------------


def test_a_browser_key_writes_and_the_other_kinds_do_not(server: ServerProcess) -> None:
    statuses = {
        kind: ConnectClient(server.http_address, getattr(server.keys, f"{kind}_key"))
        .call("UploadEvents", encoded(upload(), JSON))
        .status
        for kind in ("sdk", "browser", "server", "admin")
    }

    assert statuses == {"sdk": 200, "browser": 200, "server": 403, "admin": 403}


def test_a_browser_key_reads_nothing_over_grpc(server: ServerProcess, channel: Any) -> None:
    with pytest.raises(Exception, match="may not call"):
        BackEnd(channel, server.keys.browser_key).ledger("any")


def test_the_key_is_judged_before_the_body_has_come(server: ServerProcess) -> None:
    host, _, port = server.http_address.partition(":")
    head = (
        f"POST {SERVICE}/UploadEvents HTTP/1.1\r\nhost: test\r\nauthorization: Bearer nobody\r\n"
        f"content-type: {JSON}\r\ncontent-length: 1000\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode())
        answer = b""
        while b"}" not in answer:
            answer += connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b'"code": "unauthenticated"' in answer


def test_a_refusal_tells_code_sentence_and_reason(client: ConnectClient) -> None:
    refused = ConnectClient(client.address, "nobody").call("UploadEvents", b"")

    assert (refused.status, refused.code, refused.reason) == (401, "unauthenticated", "KEY_UNKNOWN")
    assert "key" in refused.json["message"]


# Pages (R30) -----------------------------------------------------------------

PAGE = "https://shop.example"


def make_browser_key(server: ServerProcess, *origins: str) -> str:
    asked = {"workspace": server.keys.workspace_id, "kind": "browser", "origins": [*origins]}
    return str(server.administer("key.create", asked)["key"])


def test_a_page_of_an_origin_of_the_key_may_ask_send_and_read(server: ServerProcess) -> None:
    page = {"origin": PAGE}
    client = ConnectClient(server.http_address, make_browser_key(server, PAGE))

    asked = client.call("UploadEvents", b"", verb="OPTIONS", headers=page)
    sent = client.call("UploadEvents", encoded(upload(), JSON), headers=page)
    refused = ConnectClient(server.http_address, "nobody").call("UploadEvents", b"", headers=page)

    assert asked.status == 204
    assert asked.headers["access-control-allow-methods"] == "POST"
    assert {"authorization", "content-type"} <= set(asked.headers["access-control-allow-headers"].split(", "))
    assert (sent.status, refused.status) == (200, 401)
    for answered in (asked, sent, refused):
        assert answered.headers["access-control-allow-origin"] == PAGE
        assert answered.headers["vary"] == "Origin"


def test_a_page_of_another_origin_is_refused_and_may_read_nothing(server: ServerProcess) -> None:
    page = {"origin": "https://thief.example"}
    for key in (make_browser_key(server, PAGE), make_browser_key(server)):
        client = ConnectClient(server.http_address, key)

        asked = client.call("UploadEvents", b"", verb="OPTIONS", headers=page)
        sent = client.call("UploadEvents", encoded(upload(), JSON), headers=page)

        assert (sent.status, sent.reason) == (403, "ORIGIN_NOT_ALLOWED")
        for answered in (asked, sent):
            assert not [name for name in answered.headers if name.startswith("access-control")]


def test_an_origin_of_one_key_does_not_open_another(server: ServerProcess) -> None:
    other = "https://other.example"
    make_browser_key(server, other)
    client = ConnectClient(server.http_address, make_browser_key(server, PAGE))

    sent = client.call("UploadEvents", encoded(upload(), JSON), headers={"origin": other})

    assert (sent.status, sent.reason) == (403, "ORIGIN_NOT_ALLOWED")


def test_origins_are_listed_and_end_with_their_key(server: ServerProcess) -> None:
    origin = "https://brief.example"
    key = make_browser_key(server, origin)
    listed = server.administer("key.list", {"workspace": server.keys.workspace_id})["keys"]
    assert [each["prefix"] for each in listed if each["origins"] == [origin]] == [prefix_of(key)]
    client = ConnectClient(server.http_address, key)

    def may_ask() -> bool:
        asked = client.call("UploadEvents", b"", verb="OPTIONS", headers={"origin": origin})
        return "access-control-allow-origin" in asked.headers

    assert may_ask()
    server.revoke(server.keys.workspace_id, key)
    assert not may_ask()


def test_origins_outlive_a_restart(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        key = make_browser_key(server, PAGE, "HTTP://localhost:3000/")
        server.restart()
        client = ConnectClient(server.http_address, key)

        sent = {
            origin: client.call("UploadEvents", encoded(upload(), JSON), headers={"origin": origin}).status
            for origin in (PAGE, "http://localhost:3000", "http://localhost:3001")
        }

    assert list(sent.values()) == [200, 200, 403]


@pytest.mark.parametrize(
    ("kind", "origin"), [("browser", "*"), ("browser", "https://a.example/page"), ("sdk", PAGE)]
)
def test_an_origin_that_is_none_or_of_another_kind_of_key_is_refused(
    server: ServerProcess, kind: str, origin: str
) -> None:
    with pytest.raises(Exception, match="returned non-zero exit status 2"):
        server.command("key", "create", server.keys.workspace_id, kind, "--origin", origin)


# Bad requests ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/plain", "application/grpc", "application/json; charset=latin-1", ""])
def test_another_content_type_is_told_which_ones_do(client: ConnectClient, kind: str) -> None:
    answered = client.call("UploadEvents", b"{}", kind=kind)

    assert answered.status == 415
    assert set(answered.headers["accept-post"].split(", ")) == {JSON, PROTO}


def test_the_one_parameter_that_changes_nothing_is_allowed(client: ConnectClient) -> None:
    assert (
        client.call("UploadEvents", encoded(upload(), JSON), kind="Application/JSON; charset=UTF-8").status
        == 200
    )


def test_another_verb_and_another_method_are_refused(client: ConnectClient) -> None:
    assert client.call("UploadEvents", b"", verb="GET").status == 405
    assert client.call("DropEvents", b"{}").status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"connect-timeout-ms": "soon"},
        {"connect-timeout-ms": "-1"},
        {"connect-timeout-ms": "12345678901"},
        {"connect-timeout-ms": "²"},
        {"connect-protocol-version": "2"},
    ],
    ids=str,
)
def test_a_header_that_says_nothing_known_is_an_invalid_argument(
    client: ConnectClient, headers: dict[str, str]
) -> None:
    refused = client.call("UploadEvents", encoded(upload(), JSON), headers=headers)

    assert (refused.status, refused.code, refused.reason) == (400, "invalid_argument", "REQUEST_INVALID")


def test_a_call_ends_at_its_own_deadline(client: ConnectClient) -> None:
    refused = client.call("UploadEvents", encoded(upload(), JSON), headers={"connect-timeout-ms": "0"})

    assert (refused.status, refused.code, refused.reason) == (504, "deadline_exceeded", "DEADLINE_PASSED")
    assert refused.headers["retry-after"] == "5"
    assert client.upload(upload(), kind=JSON, headers={"connect-timeout-ms": "9999999999"}) is not None


@pytest.mark.parametrize("kind", [JSON, PROTO])
def test_gzip_is_taken_and_another_encoding_is_not(client: ConnectClient, kind: str) -> None:
    body = encoded(upload(events=[event(1)]), kind)

    taken = client.call("UploadEvents", gzip.compress(body), kind=kind, headers={"content-encoding": "gzip"})
    refused = client.call("UploadEvents", body, kind=kind, headers={"content-encoding": "br"})

    assert taken.status == 200
    assert (refused.status, refused.code, refused.reason) == (501, "unimplemented", "ENCODING_UNKNOWN")


@pytest.mark.parametrize("kind", [JSON, PROTO])
@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"x" * (MIB + 1), "identity"),
        (gzip.compress(b"x" * 100 * MIB), "gzip"),
        (b'{"events": [' + b"{}," * 500 + b"{}]}", "identity"),
    ],
    ids=["large", "bomb", "many"],
)
def test_what_is_too_large_is_told_to_halve(
    client: ConnectClient, kind: str, body: bytes, encoding: str
) -> None:
    if kind == PROTO and body.startswith(b"{"):
        body = as_event_field(b"") * 501
    refused = client.call("UploadEvents", body, kind=kind, headers={"content-encoding": encoding})

    assert (refused.status, refused.code, refused.reason) == (429, "resource_exhausted", "UPLOAD_TOO_LARGE")
    assert refused.retry_millis is None
    assert "retry-after" not in refused.headers


@pytest.mark.parametrize("kind", [JSON, PROTO])
@pytest.mark.parametrize(
    ("body", "encoding"), [(b"\xff", "identity"), (gzip.compress(b"{}" * 99)[:-5], "gzip")], ids=["no", "cut"]
)
def test_what_cannot_be_read_at_all_is_malformed(
    client: ConnectClient, kind: str, body: bytes, encoding: str
) -> None:
    refused = client.call("UploadEvents", body, kind=kind, headers={"content-encoding": encoding})

    assert (refused.status, refused.code, refused.reason) == (400, "invalid_argument", "REQUEST_MALFORMED")


def test_an_upload_that_is_wrong_as_a_whole_names_its_fields(client: ConnectClient) -> None:
    refused = client.call("UploadEvents", b"{}")

    assert refused.reason == "REQUEST_INVALID"
    assert {detail["type"] for detail in refused.json["details"]} == {
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
    }


# The table -------------------------------------------------------------------


def test_every_refusal_of_the_tree_has_its_http_status() -> None:
    assert {answer.code for answer in ANSWERS.values()} == set(HTTP_STATUSES)


def test_who_should_come_back_is_told_when_in_both_ways() -> None:
    response = refusal_response(Overloaded(retry_after=timedelta(milliseconds=2500)))
    told = Answered(response.status_code, dict(response.headers), bytes(response.body))

    assert (told.status, told.code, told.reason) == (429, "resource_exhausted", "OVERLOADED")
    assert (told.retry_millis, told.headers["retry-after"]) == (2500, "3")


# Hostile bodies ---------------------------------------------------------------


@pytest.mark.parametrize("kind", [JSON, PROTO])
def test_bodies_that_were_damaged_at_random_are_refused_or_judged_and_never_a_fault_of_ours(
    client: ConnectClient, kind: str
) -> None:
    chance = random.Random(11)
    body = encoded(upload(events=[event(1, metadata=[{"key": "k", "text": "v"}]), event(2)]), kind)

    statuses = Counter(
        client.call("UploadEvents", damaged(body, chance), kind=kind).status for _ in range(300)
    )

    assert set(statuses) <= {200, 400, 429}
    assert min(statuses[200], statuses[400]) > 10
    assert client.call("UploadEvents", body, kind=kind).status == 200


def damaged(body: bytes, chance: random.Random) -> bytes:
    """With a few bytes changed, taken out, or put in."""
    damaged = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(damaged))
        piece = chance.choice([b"", bytes([chance.randrange(256)]), b'"', b"[", b"}", b"\\ud800", b"1e999"])
        damaged[place : place + chance.randint(0, 3)] = piece
    return bytes(damaged)
