"""Intercom's own clients, two generations in two languages, with only their base URL changed (R29).

What each does is in intercom_clients/; here is what it must have seen, and what is read back over gRPC.
"""

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from workevo.insight.v1 import people_pb2, people_pb2_grpc
from workevo_testing.places import STORES, store_of
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import Phone, bearer, event

CLIENTS = Path(__file__).parent / "intercom_clients"
RUN_SECONDS_MAX = 100
INSTALL_SECONDS_MAX = 240
CURRENT, LEGACY = "python-intercom==5.0.1", "python-intercom==3.1.0"

Json = dict[str, Any]

pytestmark = [
    pytest.mark.timeout(INSTALL_SECONDS_MAX + RUN_SECONDS_MAX),
    pytest.mark.usefixtures("server"),  # Clients are made when they are named, for a server that is there.
]


@pytest.fixture(scope="module", params=STORES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("intercom"), store=store_of(request)) as running:
        yield running


@pytest.fixture(scope="module")
def back_end(server: ServerProcess) -> Iterator[people_pb2_grpc.PeopleServiceStub]:
    with grpc.insecure_channel(server.grpc_address) as channel:
        yield people_pb2_grpc.PeopleServiceStub(channel)


def run(server: ServerProcess, command: Sequence[str | Path], **more: str) -> Json:
    """What the client printed. It has a workspace beside the first whose limit it is to exceed."""
    eager = server.create_workspace(f"Eager {command[-1]}")
    server.set(eager.workspace_id, rest_rate_limit=1)
    told = {
        "url": f"http://{server.http_address}",
        "key": server.keys.server_key,
        "eagerKey": eager.server_key,
        **more,
    }
    done = subprocess.run(
        command, input=json.dumps(told), capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False
    )
    assert done.returncode == 0, done.stderr
    seen: Json = json.loads(done.stdout)
    return seen


def node(script: str) -> list[str | Path]:
    if shutil.which("node") is None:
        pytest.skip("Node is missing: install it (Debian: apt-get install nodejs npm).")
    if not (CLIENTS / "node_modules").is_dir():
        pytest.skip("The clients are missing: npm ci --prefix tests/contract/intercom_clients")
    return ["node", CLIENTS / script]


def python(requirement: str, script: str, tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """With the client in an environment of its own, as both generations have one name."""
    folder = tmp_path_factory.mktemp("client")
    venv.create(folder, symlinks=True)
    interpreter = folder / "bin" / "python"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", requirement],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [interpreter, CLIENTS / script]


@pytest.fixture(scope="module")
def node_7(server: ServerProcess) -> Json:
    return run(server, node("current.mjs"))


@pytest.fixture(scope="module")
def node_4(server: ServerProcess) -> Json:
    with grpc.insecure_channel(server.grpc_address) as channel:
        phone = Phone(channel, server.keys.sdk_key)
        phone.upload([event(1, name="opened", user_id=None, visitor_id="visitor of node 4")])
    return run(server, node("legacy.mjs"), visitorId="visitor of node 4")


@pytest.fixture(scope="module")
def python_5(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Json:
    return run(server, python(CURRENT, "current_client.py", tmp_path_factory))


@pytest.fixture(scope="module")
def python_3(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Json:
    Rest(address=server.http_address, key=server.keys.server_key).make_user("python-3")
    return run(server, python(LEGACY, "legacy_client.py", tmp_path_factory), userId="python-3")


CURRENT_CLIENTS = ("node_7", "python_5")
ALL_BUT_THE_OLDEST = ("node_7", "node_4", "python_5")
USERS = {"node_7": "node-7", "node_4": "node-4", "python_5": "python-5", "python_3": "python-3"}


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Json:
    found: Json = request.getfixturevalue(request.param)
    return found


def activities(
    back_end: people_pb2_grpc.PeopleServiceStub, server: ServerProcess, user_id: str
) -> list[people_pb2.Activity]:
    answer = back_end.ListActivities(
        people_pb2.ListActivitiesRequest(user_id=user_id, page_size=100),
        metadata=bearer(server.keys.server_key),
        timeout=10,
    )
    return [each for each in answer.activities if each.HasField("event")]


@pytest.mark.parametrize("client", USERS)
def test_what_a_client_sent_is_read_back_over_grpc(
    client: str,
    request: pytest.FixtureRequest,
    server: ServerProcess,
    back_end: people_pb2_grpc.PeopleServiceStub,
) -> None:
    request.getfixturevalue(client)

    sent = [
        each for each in activities(back_end, server, USERS[client]) if each.event.name == "invited-friend"
    ]

    assert [each.event.created_at.seconds for each in sent] == [1_700_000_003, 1_700_000_002, 1_700_000_001]
    assert sent[0].event.display_name == "Invited friend"
    metadata = {entry.key: entry for entry in sent[0].event.metadata}
    if client == "node_4":
        assert metadata["seats"].integer == 3
    else:
        assert metadata["order_date"].date.seconds == 1392036272
    if client == "node_7":
        assert metadata["price"].monetary.amount == 2999
    if client == "python_3":
        assert metadata["found"].rich_link.title == "X"


@pytest.mark.parametrize("seen", ALL_BUT_THE_OLDEST, indirect=True)
def test_a_list_goes_through_two_pages(seen: Json) -> None:
    first, second = seen["pages"]
    times = [each["created_at"] for page in (first, second) for each in page["events"]]

    assert [len(first["events"]), times[:3]] == [2, [1_700_000_003, 1_700_000_002, 1_700_000_001]]
    assert second["pages"]["next"] is None


@pytest.mark.parametrize("seen", ALL_BUT_THE_OLDEST, indirect=True)
def test_a_summary_counts_what_was_sent_once(seen: Json) -> None:
    """The same event again, by the address of its user, was a duplicate."""
    assert seen["summary"]["type"] == "event.summary"
    (invited,) = [each for each in seen["summary"]["events"] if each["name"] == "invited-friend"]

    assert invited["count"] == 3
    assert invited["first"] == "2023-11-14T22:13:21.000+00:00"
    assert invited["last"] == "2023-11-14T22:13:23.000+00:00"


@pytest.mark.parametrize("client", USERS)
def test_counts_that_a_client_told_twice_are_read_back_once_by_it_and_over_grpc(
    client: str,
    request: pytest.FixtureRequest,
    server: ServerProcess,
    back_end: people_pb2_grpc.PeopleServiceStub,
) -> None:
    seen: Json = request.getfixturevalue(client)
    (called,) = [each for each in seen["summary"]["events"] if each["name"] == "called"]

    assert (called["count"], called["first"][:10], called["last"][:10]) == (7, "2020-09-13", "2022-04-15")
    answer = back_end.GetEventSummary(
        people_pb2.GetEventSummaryRequest(user_id=USERS[client]),
        metadata=bearer(server.keys.server_key),
        timeout=10,
    )
    (summary,) = [each for each in answer.summaries if each.name == "called"]
    times = summary.first_occurred_at.seconds, summary.last_occurred_at.seconds
    assert (summary.count, *times) == (7, 1_600_000_000, 1_650_000_000)


@pytest.mark.parametrize("seen", CURRENT_CLIENTS, indirect=True)
def test_contacts_are_made_found_changed_and_merged(seen: Json) -> None:
    user = seen["user"]

    assert (user["type"], user["role"], user["custom_attributes"]) == ("contact", "user", {"plan": "team"})
    assert user["external_id"] in seen["found"]
    assert len(seen["found"]) == len(set(seen["found"]))
    assert seen["searched"] == [user["id"]]
    assert seen["updated"]["name"].split()[0] in {"Node", "Python"}
    assert seen["merged"]["id"] == user["id"]
    assert seen["deleted"]["deleted"] is True


def test_the_older_node_client_makes_finds_merges_and_converts_contacts(node_4: Json) -> None:
    assert node_4["searched"] == [node_4["found"]["id"]]
    assert node_4["merged"]["id"] == node_4["found"]["id"]
    assert node_4["converted"]["visitor_ids"] == ["visitor of node 4"]
    assert node_4["deleted"]["deleted"] is True


@pytest.mark.parametrize("seen", ALL_BUT_THE_OLDEST, indirect=True)
@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        ("unauthorized", 401, "unauthorized"),
        ("notFound", 404, "not_found"),
        ("rejected", 422, "unprocessable_entity"),
        ("uncounted", 400, "parameter_invalid"),
    ],
)
def test_a_refusal_is_the_client_s_own_error(seen: Json, call: str, status: int, code: str) -> None:
    refusal = seen["refusals"][call]

    assert (refusal["status"], refusal["errors"][0]["code"]) == (status, code)
    if "kind" in refusal and status == 401:
        assert refusal["kind"] == "UnauthorizedError"


@pytest.mark.parametrize("seen", CURRENT_CLIENTS, indirect=True)
def test_over_the_limit_a_client_waits_as_told_and_is_answered(seen: Json) -> None:
    limited = seen["refusals"]["rateLimited"]

    assert (limited["status"], limited["errors"][0]["code"]) == (429, "rate_limit_exceeded")
    assert seen["retried"]["status"] == 404
    assert 0 < seen["retriedAfter"] < 15_000


def test_the_oldest_client_does_it_with_basic_and_slashes(python_3: Json) -> None:
    assert python_3["listed"] == [1_700_000_003, 1_700_000_002, 1_700_000_001]
    assert python_3["limit"] == 10_000
    kinds = {call: refusal["kind"] for call, refusal in python_3["refusals"].items()}
    assert kinds == {
        "unauthorized": "AuthenticationError",
        "notFound": "ResourceNotFound",
        "uncounted": "BadRequestError",
        "rejected": "UnexpectedError",  # It knows no code for 422, of anybody.
        "rateLimited": "RateLimitExceeded",
    }
    assert python_3["refusals"]["rejected"]["context"]["http_code"] == 422
