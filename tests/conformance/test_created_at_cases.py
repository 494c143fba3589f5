import pytest

from conformance.case_files import Case, parameters
from workevo_server.domain.events import WireTime
from workevo_server.domain.timestamps import created_at_from_json, created_at_from_wire, identity_seconds
from workevo_server.domain.verdicts import Refusal


def assert_answer(case: Case, created_at: int | Refusal) -> None:
    if isinstance(created_at, Refusal):
        assert (created_at.reason.value, created_at.field) == (case.get("reason"), "created_at")
    else:
        assert identity_seconds(created_at) == case.get("seconds")


@pytest.mark.parametrize("case", parameters("created_at.json", "input", "absent"))
def test_a_time_in_json_is_read_as_the_case_says(case: Case) -> None:
    absent = case.get("absent", False)
    assert_answer(case, created_at_from_json(case.get("input"), now_seconds=case["now"], absent=absent))


@pytest.mark.parametrize("case", parameters("created_at.json", "timestamp"))
def test_a_protobuf_timestamp_is_read_as_the_case_says(case: Case) -> None:
    told = case["timestamp"]
    assert_answer(case, created_at_from_wire(told and WireTime(seconds=told[0], nanos=told[1])))
