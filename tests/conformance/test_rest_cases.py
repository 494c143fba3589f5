"""The cases of R1 to R6 over REST: what the rules say of an event in JSON is answered and kept."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from conformance.case_files import Case, parameters
from workevo_testing.http_calls import HttpAnswer
from workevo_testing.places import STORES, store_of
from workevo_testing.rest_calls import Rest, pairs
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import BackEnd

NOW = 1_795_000_000
_numbers = itertools.count()


@pytest.fixture(scope="module", params=STORES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    directory, store = tmp_path_factory.mktemp("rest"), store_of(request)
    with ServerProcess(directory, simulated_clock=True, store=store) as running:
        running.set("Test", create_unknown_users="yes", event_names_max=10000)
        yield running


@pytest.fixture
def user_id() -> str:
    return f"u{next(_numbers)}"


def rest_at(server: ServerProcess, seconds: int = NOW) -> Rest:
    return Rest(address=server.http_address, key=server.keys.server_key, at_seconds=seconds)


def reason_of(answer: HttpAnswer) -> str | None:
    """Why it was refused; None when it was not."""
    if answer.status == 202:
        assert answer.body == b""
        return None
    assert answer.status in {400, 422}
    return answer.headers["workevo-reason"]


def wire_type(entry: Any) -> list[Any]:
    """[key, type, value] of an entry read back over gRPC, as the cases have it."""
    which = entry.WhichOneof("value")
    value = getattr(entry, which)
    match which:
        case "text":
            return [entry.key, "string", value]
        case "integer" | "number":
            return [entry.key, "number", value]
        case "date":
            return [entry.key, "date", value.seconds]
        case "rich_link":
            return [entry.key, which, {"url": value.url, "title": value.title}]
        case "stripe":
            kind = type(value).Kind.Name(value.kind).removeprefix("KIND_")
            return [entry.key, which, {"kind": kind, "id": value.id}]
        case "monetary":
            return [entry.key, which, {"amount": value.amount, "currency": value.currency}]
    return [entry.key, which, value]


@pytest.mark.parametrize("case", parameters("names.json"))
def test_a_name_is_judged_and_kept_as_the_case_says(case: Case, server: ServerProcess, user_id: str) -> None:
    rest = rest_at(server)

    answer = rest.event(case["name"], user_id=user_id, created_at=1)

    assert reason_of(answer) == case.get("reason")
    if "display" in case:
        with grpc.insecure_channel(server.grpc_address) as channel:
            (activity,) = BackEnd(channel, server.keys.server_key).activities(user_id)
        assert activity.event.display_name == case["display"]


@pytest.mark.parametrize("case", parameters("names.json", "same", "differs"))
def test_spellings_are_one_name_or_two_as_the_case_says(
    case: Case, server: ServerProcess, user_id: str
) -> None:
    rest = rest_at(server)
    rest.event(case["name"], user_id=user_id, created_at=1)

    for spelling in case.get("same", ()):
        again = rest.event(spelling, user_id=user_id, created_at=1)
        assert again.headers["workevo-verdict"] == "DUPLICATE"
        assert again.headers["workevo-identity"] == "PRODUCT"
    for spelling in case.get("differs", ()):
        other = rest.event(spelling, user_id=user_id, created_at=1)
        assert other.headers["workevo-verdict"] == "ACCEPTED"


@pytest.mark.parametrize("case", parameters("created_at.json", "input", "absent"))
def test_a_time_is_read_as_the_case_says(case: Case, server: ServerProcess, user_id: str) -> None:
    rest = rest_at(server, case["now"])
    told = {} if case.get("absent") else {"created_at": case["input"]}

    answer = rest.event("opened", user_id=user_id, **told)

    assert reason_of(answer) == case.get("reason")
    if "seconds" in case:
        assert [event["created_at"] for event in rest.events(user_id)] == [case["seconds"]]
    else:
        assert answer.error["field"] == "created_at"


@pytest.mark.parametrize("case", parameters("metadata.json"))
def test_metadata_is_kept_or_refused_as_the_case_says(
    case: Case, server: ServerProcess, user_id: str
) -> None:
    body = f'{{"event_name": "opened", "user_id": "{user_id}", "metadata": {pairs(case["metadata"])}}}'

    (result,) = (
        rest_at(server).call("POST", "/events/batch", f'{{"events": [{body}]}}'.encode()).json["results"]
    )

    assert result["reason"] == case.get("reason")
    if "typed" not in case:
        assert (result["verdict"], result["field"]) == ("REJECTED", case["key"] or "metadata")
        return
    dropped = [warning["fields"] for warning in result["warnings"]]
    assert dropped == ([case["dropped"]] if case.get("dropped") else [])
    with grpc.insecure_channel(server.grpc_address) as channel:
        (activity,) = BackEnd(channel, server.keys.server_key).activities(user_id)
    assert [wire_type(entry) for entry in activity.event.metadata] == case["typed"]


@pytest.mark.parametrize("case", parameters("metadata.json", "typed"))
def test_what_was_read_back_can_be_sent_again(case: Case, server: ServerProcess, user_id: str) -> None:
    """R5's JSON column, there and back."""
    rest = rest_at(server)
    body = f'{{"event_name": "a", "user_id": "{user_id}", "metadata": {pairs(case["metadata"])}}}'
    rest.call("POST", "/events", body.encode())
    (kept,) = rest.events(user_id)

    rest.event("b", user_id=user_id, metadata=kept["metadata"])

    again = {event["event_name"]: event["metadata"] for event in rest.events(user_id)}
    assert again["b"] == again["a"]
    assert json.dumps(again["b"]) == json.dumps(kept["metadata"])
