"""REST's own description, and that it says what is so: schemathesis makes requests of it and compares."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workevo_testing.http_calls import request
from workevo_testing.places import STORES, store_of
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import ServerProcess

EXAMPLES_MAX = 5
RUN_SECONDS_MAX = 300


@pytest.fixture(scope="module", params=STORES)
def described(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("described"), store=store_of(request)) as running:
        running.set("Test", create_unknown_users="yes", rest_rate_limit=1000000)
        rest = Rest(address=running.http_address, key=running.keys.server_key)
        rest.make_user("u1", email="ada@example.org")
        rest.event("bought", user_id="u1")
        rest.post("/events/summaries", user_id="u1", event_summaries={"event_name": "bought", "count": 7})
        yield running


@pytest.mark.timeout(2 * RUN_SECONDS_MAX)
def test_every_operation_answers_as_it_is_described(
    described: ServerProcess, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Thousands of requests, right ones and wrong ones, by schemathesis; none of its checks may fail.

    PostgreSQL has those by chance only, unless there is time: the bounds of each field are kept before it.
    One of them is left out: that whatever fits the schema is taken. The rules say more than a schema can,
    such as that an event names somebody, or which currencies there are.
    """
    is_whole = described.store is None or pytestconfig.getoption("--long")
    phases = "coverage,fuzzing" if is_whole else "fuzzing"
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "run",
            f"http://{described.http_address}/openapi.json",
            f"--header=Authorization: Bearer {described.keys.server_key}",
            f"--phases={phases}",
            "--exclude-checks=positive_data_acceptance",
            f"--max-examples={EXAMPLES_MAX}",
            "--seed=1",
            "--no-color",
        ],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        cwd=tmp_path,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "Tested: 20" in done.stdout
    assert described.returncode is None
    assert '"call_failed"' not in described.log


def test_it_describes_every_operation_with_what_it_takes_and_answers(server: ServerProcess) -> None:
    answer = request(server.http_address, "GET", "/openapi.json")

    document = answer.json
    assert answer.headers["content-type"] == "application/json"
    assert document["openapi"] == "3.1.0"
    operations = {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
    }
    assert {"createEvent", "createEvents", "listEvents", "createContact", "getLedger"} <= set(operations)
    for operation in operations.values():
        assert operation["summary"].endswith(".")
        assert {"400", "401", "403", "429", "503"} <= set(operation["responses"])


def test_a_person_can_read_it_without_a_script(server: ServerProcess) -> None:
    answer = request(server.http_address, "GET", "/docs")

    page = answer.body.decode()
    document = request(server.http_address, "GET", "/openapi.json").json
    assert answer.headers["content-type"].startswith("text/html")
    assert "<script" not in page
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in page
    assert json.dumps("lead").replace('"', "&quot;") in page
