"""`/metrics`: few, declared once, told to few, and nothing that somebody sent."""

import re
from collections.abc import Iterator

import grpc
import pytest

from contract.test_readme import SERVER_README, rows
from workevo_server.transport.http.metrics_page import may_read
from workevo_server.transport.metrics import DECLARED, METRICS_MAX
from workevo_testing.http_calls import request
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import Phone, event

CANARY = "CANARY-4711"
TOKEN = "a token of the operator's"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(
        tmp_path_factory.mktemp("measured"), environment={"WORKEVO_METRICS_TOKEN": TOKEN}
    ) as running:
        yield running


def told(server: ServerProcess) -> str:
    answer = request(server.http_address, "GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.body.decode()


def value(text: str, series: str) -> float:
    (found,) = re.findall(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE) or ["0"]
    return float(found)


def test_calls_and_events_of_every_door_are_counted(measured: ServerProcess) -> None:
    before = told(measured)
    with grpc.insecure_channel(measured.grpc_address) as channel:
        Phone(channel, measured.keys.sdk_key).upload([event(1), event(2, name="")])
    rest = Rest(address=measured.http_address, key=measured.keys.server_key)
    rest.event("a", user_id="nobody")
    rest.get("/contacts")
    after = told(measured)

    def more(series: str) -> float:
        return value(after, series) - value(before, series)

    upload = "workevo.tracking.v1.TrackingService/UploadEvents"
    assert more(f'workevo_calls_answered_total{{method="{upload}"}}') == 1
    assert more('workevo_calls_answered_total{method="listContacts"}') == 1
    assert more('workevo_call_seconds_count{method="listContacts"}') == 1
    assert more('workevo_calls_refused_total{method="createEvent",reason="not_found"}') == 1
    assert more('workevo_events_total{sender="device",verdict="ACCEPTED"}') == 1
    assert more('workevo_events_total{sender="device",verdict="REJECTED"}') == 1
    assert more('workevo_events_total{sender="back_end",verdict="REJECTED"}') == 1
    assert more('workevo_events_rejected_total{reason="CONTACT_UNKNOWN"}') == 1
    assert value(after, "workevo_calls_working") == 0
    assert value(after, "workevo_http_connections") >= 1
    assert value(after, "workevo_store_answers") == 1
    assert value(after, "workevo_store_jobs_waiting") == 0


def test_there_are_few_and_each_says_its_unit_and_meaning(measured: ServerProcess) -> None:
    text = told(measured)

    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    helped = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    assert len(names) == len(set(names)) <= METRICS_MAX
    assert {name for name in names if name.startswith("workevo_")} == set(DECLARED)
    for name, declared in DECLARED.items():
        assert helped[name] == f"{declared.meaning} Unit: {declared.unit}."


def test_the_readme_tells_of_each_what_the_server_does() -> None:
    assert rows(SERVER_README, "Metrics") == [["metric", "labels", "unit", "is"]] + [
        [name, ", ".join(declared.labels) or "–", declared.unit, declared.meaning]
        for name, declared in DECLARED.items()
    ]


def test_no_label_holds_what_somebody_sent(measured: ServerProcess) -> None:
    rest = Rest(address=measured.http_address, key=measured.keys.server_key)
    rest.event(CANARY, user_id=CANARY, metadata={CANARY: CANARY})
    rest.call("POST", f"/{CANARY}", CANARY.encode(), headers={"Intercom-Version": CANARY})
    rest.call(CANARY, "/events")
    Rest(address=measured.http_address, key=CANARY).get("/events")

    assert CANARY not in told(measured)


@pytest.mark.parametrize(
    ("peer", "authorizations", "token", "may"),
    [
        ("127.0.0.1", [], "", True),
        ("::1", [], TOKEN, True),
        ("192.0.2.1", [], "", False),
        ("192.0.2.1", [], TOKEN, False),
        ("192.0.2.1", [f"Bearer {TOKEN}"], TOKEN, True),
        ("192.0.2.1", ["Bearer "], "", False),
        ("192.0.2.1", ["Bearer wrong"], TOKEN, False),
        ("127.0.0.1", ["Bearer wrong"], TOKEN, False),
        ("192.0.2.1", [f"Bearer {TOKEN}", f"Bearer {TOKEN}"], TOKEN, False),
        ("", [], "", False),
        ("a name", [], "", False),
    ],
)
def test_they_are_for_this_machine_and_for_a_bearer_of_the_token(
    peer: str, authorizations: list[str], token: str, may: bool
) -> None:
    assert may_read(peer, authorizations, token=token) is may


def test_who_a_proxy_names_is_who_asks(measured: ServerProcess) -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.1"}
    refused = request(measured.http_address, "GET", "/metrics", headers=forwarded)
    taken = request(
        measured.http_address, "GET", "/metrics", headers={**forwarded, "Authorization": f"Bearer {TOKEN}"}
    )

    assert (refused.status, refused.error["code"], taken.status) == (403, "forbidden", 200)
