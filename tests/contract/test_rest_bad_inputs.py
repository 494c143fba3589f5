"""Bad JSON and bad HTTP (docs/RELIABILITY.md): always `error.list` with a field and a sentence, never 500."""

import gzip
import itertools
import json
import socket
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from workevo_testing.http_calls import HttpAnswer, RawConnection
from workevo_testing.places import STORES, store_of
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import BackEnd

MIB = 1024 * 1024
_numbers = itertools.count()


@pytest.fixture(scope="module", params=STORES)
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Which has to be alive after all of it, and to have met nothing that it did not foresee."""
    with ServerProcess(tmp_path_factory.mktemp("bad"), store=store_of(request)) as running:
        running.set("Test", create_unknown_users="yes", rest_rate_limit=1000000)
        yield running
        assert running.returncode is None, running.log
        assert '"call_failed"' not in running.log
        assert "library_reported" not in running.log


@pytest.fixture
def rest(own: ServerProcess) -> Rest:
    return Rest(address=own.http_address, key=own.keys.server_key)


@pytest.fixture
def user_id() -> str:
    return f"bad {next(_numbers)}"


def refused(answer: HttpAnswer, status: int, field: str) -> None:
    assert (answer.status, answer.error["field"]) == (status, field), answer.body


def event_with(text: str) -> bytes:
    """An event, good but for what `text` adds to it or puts in the place of a part of it."""
    return b'{"event_name": "a", "user_id": "u", ' + text.encode() + b"}"


DEEP = "[" * 100_000 + "]" * 100_000
MANY_DIGITS = "9" * 5000


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"nonsense", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b'"text"', "body"),
        (b'{"event_name": "a"} trailing', "body"),
        (b'{"event_name": "a",}', "body"),
        (b"{'event_name': 'a'}", "body"),
        (b"\xff\xfe{\x00}\x00", "body"),
        (b'{"event_name": "\xff"}', "body"),
        (b'{"event_name": "\xed\xa0\x80"}', "body"),
        (b'{"event_name": "a\nb"}', "body"),
        (b'{"event_name": "\\x"}', "body"),
        (b"[" * 30_000, "body"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "body"),
    ],
)
def test_what_is_no_json_object_is_a_bad_request(rest: Rest, body: bytes, field: str) -> None:
    refused(rest.call("POST", "/events", body), 400, field)


@pytest.mark.parametrize(
    ("text", "status", "field"),
    [
        ('"metadata": {"price": NaN}', 422, "price"),
        ('"metadata": {"price": Infinity}', 422, "price"),
        ('"metadata": {"price": -Infinity}', 422, "price"),
        ('"metadata": {"price": 1e999}', 422, "price"),
        ('"metadata": {"price": 1e99999999999999999999}', 422, "price"),
        ('"metadata": {"price": 9223372036854775808}', 422, "price"),
        ('"metadata": {"price": -9223372036854775809}', 422, "price"),
        (f'"metadata": {{"price": {MANY_DIGITS}}}', 422, "price"),
        (f'"metadata": {{"price": {{"amount": {MANY_DIGITS}, "currency": "usd"}}}}', 422, "price"),
        (f'"metadata": {{"sent_at": {MANY_DIGITS}}}', 422, "sent_at"),
        ('"metadata": {"text": "\\ud800"}', 422, "text"),
        ('"metadata": {"\\ud800": "text"}', 422, "?"),
        ('"metadata": {"a": {"b": {"c": 1}}}', 422, "a"),
        (f'"metadata": {{"a": {"[" * 400 + "]" * 400}}}', 422, "a"),
        ('"metadata": {"a": []}', 422, "a"),
        (f'"metadata": {{"a": "{"x" * 256}"}}', 422, "a"),
        (f'"metadata": {{"{"x" * 256}": 1}}', 422, "x" * 256),
        ('"metadata": {"": 1}', 422, "metadata"),
        ('"metadata": []', 400, "metadata"),
        ('"metadata": "text"', 400, "metadata"),
        ('"created_at": NaN', 422, "created_at"),
        ('"created_at": true', 422, "created_at"),
        ('"created_at": "2026-01-01T00:00:00Z"', 422, "created_at"),
        ('"created_at": {}', 422, "created_at"),
        (f'"created_at": {MANY_DIGITS}', 422, "created_at"),
        (f'"created_at": "{MANY_DIGITS}"', 422, "created_at"),
        ('"created_at": -1', 422, "created_at"),
        ('"created_at": 1e999', 422, "created_at"),
        ('"created_at": 0.00000000000000000000000000000000000000000001', 202, ""),
        ('"event_name": "b"', 400, "event_name"),
        ('"user_id": "v"', 400, "user_id"),
        ('"email": "a@b", "email": "c@d"', 400, "email"),
        ('"metadata": {}, "metadata": {}', 400, "metadata"),
        ('"metadata": {"a": NaN, "a": 1}', 202, ""),
    ],
)
def test_what_is_wrong_in_an_event_is_told_with_its_field(
    rest: Rest, text: str, status: int, field: str
) -> None:
    answer = rest.call("POST", "/events", event_with(text))

    if status == 202:
        assert answer.status == 202, answer.body
    else:
        refused(answer, status, field)


@pytest.mark.parametrize(
    ("event", "status", "field"),
    [
        ({"user_id": "u"}, 422, "event_name"),
        ({"event_name": None, "user_id": "u"}, 422, "event_name"),
        ({"event_name": 7, "user_id": "u"}, 400, "event_name"),
        ({"event_name": " \t", "user_id": "u"}, 422, "event_name"),
        ({"event_name": "x" * 256, "user_id": "u"}, 422, "event_name"),
        ({"event_name": "\ud800", "user_id": "u"}, 422, "event_name"),
        ({"event_name": "a"}, 422, "user_id"),
        ({"event_name": "a", "user_id": None}, 422, "user_id"),
        ({"event_name": "a", "user_id": ""}, 422, "user_id"),
        ({"event_name": "a", "user_id": "x" * 256}, 422, "user_id"),
        ({"event_name": "a", "user_id": "\ud800"}, 422, "user_id"),
        ({"event_name": "a", "user_id": ["u"]}, 400, "user_id"),
        ({"event_name": "a", "user_id": True}, 400, "user_id"),
        ({"event_name": "a", "user_id": 1.5}, 400, "user_id"),
        ({"event_name": "a", "email": "\ud800"}, 404, "user_id"),
        ({"event_name": "a", "id": "\x00"}, 404, "user_id"),
    ],
)
def test_an_event_without_what_it_needs_is_told_so(
    rest: Rest, event: dict[str, Any], status: int, field: str
) -> None:
    refused(rest.post("/events", **event), status, field)


def test_nul_and_every_other_character_come_back_as_sent(
    rest: Rest, own: ServerProcess, user_id: str
) -> None:
    text = "a\0b\u200f\U0001f600\x7f<script>=cmd\r\n\x1b[31m"
    assert rest.event(text, user_id=user_id, metadata={text: text}).status == 202

    (listed,) = rest.events(user_id)
    with grpc.insecure_channel(own.grpc_address) as channel:
        (activity,) = BackEnd(channel, own.keys.server_key).activities(user_id)

    assert (listed["event_name"], listed["metadata"]) == (text, {text: text})
    assert activity.event.name == text
    assert [(each.key, each.text) for each in activity.event.metadata] == [(text, text)]


def summaries(text: str, named: str = '"user_id": "u"') -> bytes:
    return f'{{{named}, "event_summaries": {text}}}'.encode()


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "body"),
        (b"nonsense", 400, "body"),
        (b"[]", 400, "body"),
        (b"\xff", 400, "body"),
        (DEEP.encode()[:60_000], 400, "body"),
        (b'{"user_id": "u"}', 400, "event_summaries"),
        (summaries("null"), 400, "event_summaries"),
        (summaries("7"), 400, "event_summaries"),
        (summaries("[]"), 400, "event_summaries"),
        (summaries("[[]]"), 400, "event_summaries[0]"),
        (summaries("[{}]"), 422, "event_summaries[0].event_name"),
        (summaries("{}, " + '"event_summaries": {}'), 400, "event_summaries"),
        (summaries('{"event_name": 7}'), 400, "event_summaries.event_name"),
        (summaries('{"event_name": "a", "event_name": "b"}'), 400, "event_summaries.event_name"),
        (summaries('{"event_name": " ", "count": 1}'), 422, "event_summaries.event_name"),
        (summaries('{"event_name": "\\ud800", "count": 1}'), 422, "event_summaries.event_name"),
        (summaries('{"event_name": "a"}'), 400, "event_summaries.count"),
        (summaries('{"event_name": "a", "count": "1"}'), 400, "event_summaries.count"),
        (summaries('{"event_name": "a", "count": -1}'), 400, "event_summaries.count"),
        (summaries('{"event_name": "a", "count": 1.5}'), 400, "event_summaries.count"),
        (summaries('{"event_name": "a", "count": true}'), 400, "event_summaries.count"),
        (summaries('{"event_name": "a", "count": NaN}'), 400, "event_summaries.count"),
        (summaries('{"event_name": "a", "count": 1e999999999}'), 400, "event_summaries.count"),
        (summaries(f'{{"event_name": "a", "count": {MANY_DIGITS}}}'), 400, "event_summaries.count"),
        (summaries('[{"event_name": "a", "count": 1}, 7]'), 400, "event_summaries[1]"),
        (
            summaries('[{"event_name": "a", "count": 1}, {"event_name": "b"}]'),
            400,
            "event_summaries[1].count",
        ),
        (summaries('{"event_name": "a", "count": 1, "first": NaN}'), 422, "event_summaries.first"),
        (summaries('{"event_name": "a", "count": 1, "first": {}}'), 422, "event_summaries.first"),
        (summaries('{"event_name": "a", "count": 1, "first": 9, "last": 8}'), 422, "event_summaries.last"),
        (summaries('{"event_name": "a", "count": 1, "last": "soon"}'), 422, "event_summaries.last"),
        (summaries(f'{{"event_name": "a", "count": 1, "last": {MANY_DIGITS}}}'), 422, "event_summaries.last"),
        (summaries('{"event_name": "a", "count": 1}', '"id": 7.5'), 400, "id"),
        (summaries('{"event_name": "a", "count": 1}', '"id": "\\u0000"'), 404, "user_id"),
        (summaries('{"event_name": "a", "count": 1}', '"email": "\\ud800"'), 404, "user_id"),
        (summaries('{"event_name": "a", "count": 1}', '"user_id": "\\ud800"'), 422, "user_id"),
        (summaries('{"event_name": "a", "count": 1}', '"other": 1'), 422, "user_id"),
        (summaries('{"event_name": "a", "count": 1}', '"user_id": "u", "user_id": "v"'), 400, "user_id"),
        (summaries("[" + ",".join(['{"event_name": "a", "count": 1}'] * 501) + "]"), 400, "event_summaries"),
        (summaries(f'{{"event_name": "a", "count": 1, "other": "{"x" * 66_000}"}}'), 413, "body"),
    ],
)
def test_what_is_wrong_in_a_summary_is_told_with_its_place(
    rest: Rest, body: bytes, status: int, field: str
) -> None:
    refused(rest.call("POST", "/events/summaries", body), status, field)


def test_metadata_is_read_as_pairs_so_that_the_last_of_a_key_counts_in_the_first_one_s_place(
    rest: Rest, user_id: str
) -> None:
    """R4."""
    body = f'{{"event_name": "a", "user_id": "{user_id}", "metadata": {{"Plan": 1, "b": 2, "plan": 3}}}}'
    assert rest.call("POST", "/events", body.encode()).status == 202

    (listed,) = rest.events(user_id)

    assert list(listed["metadata"].items()) == [("Plan", 3), ("b", 2)]


def test_an_event_of_32_kib_is_taken_and_one_byte_more_is_not(rest: Rest, user_id: str) -> None:
    """R9."""
    body = json.dumps({"event_name": "a", "user_id": user_id, "ignored": ""}).encode()
    padding = b" " * (32 * 1024 - len(body))

    assert rest.call("POST", "/events", body + padding).status == 202
    answer = rest.call("POST", "/events", body + padding + b" ")

    refused(answer, 422, "body")
    assert answer.headers["workevo-reason"] == "EVENT_TOO_LARGE"


@pytest.mark.parametrize("path", ["/events", "/events/batch", "/events/summaries", "/contacts"])
def test_a_body_over_a_mebibyte_and_a_bomb_are_413(rest: Rest, path: str) -> None:
    refused(rest.call("POST", path, b" " * (MIB + 1)), 413, "body")
    bomb = gzip.compress(b" " * (64 * MIB))
    refused(rest.call("POST", path, bomb, headers={"Content-Encoding": "gzip"}), 413, "body")


@pytest.mark.parametrize(
    "path", ["/events", "/contacts", "/contacts/search", "/events/batch", "/events/summaries"]
)
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_a_body_of_another_type_is_415(rest: Rest, path: str, content_type: str) -> None:
    refused(rest.call("POST", path, b"{}", content_type=content_type), 415, "Content-Type")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x"])
def test_an_encoding_that_nobody_here_reads_is_415(rest: Rest, encoding: str) -> None:
    answer = rest.call("POST", "/events", b"{}", headers={"Content-Encoding": encoding})

    refused(answer, 415, "Content-Encoding")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{}", 400, "events"),
        (b'{"events": {}}', 400, "events"),
        (b'{"events": [], "events": []}', 400, "events"),
        (b"[]", 400, "events"),
        (b"7", 400, "events"),
        (b'{"events": [1', 400, "body"),
        (b'{"events": [1], nonsense}', 400, "body"),
        (b'{"events": [,]}', 400, "body"),
        (b"", 400, "body"),
        (b"\xff", 400, "body"),
    ],
)
def test_a_batch_of_which_no_event_can_be_told_is_a_bad_request(
    rest: Rest, body: bytes, status: int, field: str
) -> None:
    refused(rest.call("POST", "/events/batch", body), status, field)


def test_an_empty_batch_is_fine(rest: Rest) -> None:
    assert rest.batch([]).json["results"] == []
    assert rest.call("POST", "/events/batch", b"", content_type="application/x-ndjson").json["results"] == []


def test_bad_events_of_a_batch_cost_the_good_one_nothing(rest: Rest, user_id: str) -> None:
    bad = [
        "nonsense",
        DEEP,
        f'{{"event_name": {MANY_DIGITS}}}',
        '{"event_name": "a", "user_id": "u", "created_at": NaN}',
        '{"event_name": "a", "user_id": "\\ud800"}',
        f'{{"event_name": "{"x" * 40_000}"}}',
        "null",
        "[]",
    ]
    good = f'{{"event_name": "a", "user_id": "{user_id}"}}'
    body = '{"events": [' + ", ".join([*bad, good, *bad]) + "]}"

    answer = rest.call("POST", "/events/batch", body.encode())

    results = answer.json["results"]
    assert [each["verdict"] for each in results] == ["REJECTED"] * 8 + ["ACCEPTED"] + ["REJECTED"] * 8
    assert all(each["message"] and each["field"] for each in results if each["verdict"] == "REJECTED")
    assert len(rest.events(user_id)) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"external_id": 7}', "external_id"),
        (b'{"external_id": "u", "external_id": "v"}', "external_id"),
        (b'{"email": "a@b", "email": "c@d"}', "email"),
        (b'{"external_id": "\\ud800"}', "body"),
        (b'{"external_id": "u", "custom_attributes": {"a": NaN}}', "body"),
        (b'{"external_id": "u", "custom_attributes": {"a": 1e999}}', "body"),
        (
            b'{"external_id": "u", "custom_attributes": {"a": [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}}',
            "body",
        ),
        (b'{"external_id": "u", "custom_attributes": []}', "custom_attributes"),
        (b'{"role": "king"}', "role"),
        (b'{"role": "user"}', "external_id"),
        (b'{"external_id": "' + b"x" * 256 + b'"}', "external_id"),
        (b'{"email": "no address"}', "email"),
        (b"[]", "body"),
        (b"nonsense", "body"),
    ],
)
def test_a_bad_contact_is_told_with_its_field(rest: Rest, body: bytes, field: str) -> None:
    refused(rest.call("POST", "/contacts", body), 400, field)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/contacts", b'{"\\ud800": 1}'),
        ("POST", "/contacts", b'{"external_id": "u", "custom_attributes": {"\\ud800": 1}}'),
        ("POST", "/contacts/search", b'{"\\ud800": 1}'),
        ("POST", "/contacts/search", b'{"query": {"field": "email", "operator": "=", "\\ud800": 1}}'),
        ("POST", "/contacts/search", b'{"query": {"operator": "AND", "value": [{"\\ud800": 1}]}}'),
        ("POST", "/contacts/merge", b'{"from": "a", "into": "b", "\\ud800": 1}'),
        ("POST", "/visitors/convert", b'{"type": "lead", "visitor": {"\\ud800": 1}}'),
        ("PUT", "/contacts/abc", b'{"\\ud800": 1}'),
        ("PUT", "/event_definitions?name=a", b'{"\\ud800": 1}'),
        ("POST", "/failed_events/replay", b'{"\\ud800": 1}'),
    ],
)
def test_half_a_surrogate_pair_in_a_member_s_name_is_a_bad_request(
    rest: Rest, method: str, path: str, body: bytes
) -> None:
    refused(rest.call(method, path, body), 400, "body")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("user_id=u&user_id=v", "user_id"),
        ("user_id=u&email=a@b", "user_id"),
        ("type=lead&user_id=u", "type"),
        ("user_id=u&per_page=0", "per_page"),
        ("user_id=u&per_page=501", "per_page"),
        ("user_id=u&per_page=many", "per_page"),
        ("user_id=u&before=-1", "before"),
        ("user_id=u&before=99999999999999999999", "before"),
        ("user_id=u&since=yesterday", "since"),
        ("user_id=u&summary=perhaps", "summary"),
        ("user_id=", "user_id"),
        ("intercom_user_id=" + "x" * 256, "intercom_user_id"),
    ],
)
def test_a_bad_query_is_told_with_its_parameter(rest: Rest, query: str, field: str) -> None:
    refused(rest.call("GET", f"/events?{query}"), 400, field)


def test_methods_and_paths_that_are_not_there(rest: Rest) -> None:
    wrong = rest.call("PATCH", "/events", b"{}")
    assert (wrong.status, wrong.error["code"]) == (405, "method_not_allowed")
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert rest.get("/nowhere").error["code"] == "not_found"


def test_a_sender_that_stops_in_the_middle_leaves_no_trace(rest: Rest, own: ServerProcess) -> None:
    head = (
        f"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {rest.key}\r\nContent-Length: 900\r\n\r\n"
    )
    for _ in range(20):
        with RawConnection(own.http_address) as connection:
            connection.send(head.encode() + b'{"event_name"')
            connection.socket.shutdown(socket.SHUT_WR)
    assert rest.get("/events").status == 400


def test_nothing_that_was_sent_stands_in_the_log(rest: Rest, own: ServerProcess) -> None:
    canary = "CANARY-4711"
    rest.post("/events", event_name=canary, user_id=canary, metadata={canary: {canary: [canary]}})
    rest.call("POST", "/events", canary.encode())
    rest.get(f"/{canary}", user_id=canary)
    rest.post("/contacts", external_id=canary, email=f"{canary}@example.org")
    Rest(address=own.http_address, key=canary).get("/events")

    assert canary not in own.log
