import pytest

from conformance.case_files import Case, parameters
from workevo_server.domain.naming import display_name, judge_name, name_key
from workevo_server.domain.verdicts import Refusal
from workevo_server.domain.workspace import KeyCharset


def reason_of(name: str, charset: KeyCharset) -> str | None:
    judged = judge_name(name, charset=charset)
    return judged.reason.value if isinstance(judged, Refusal) else None


@pytest.mark.parametrize("case", parameters("names.json"))
def test_a_name_is_judged_as_the_case_says(case: Case) -> None:
    assert reason_of(case["name"], KeyCharset.ANY) == case.get("reason")
    assert reason_of(case["name"], KeyCharset.STRICT) == case.get("reason", case.get("strict"))


@pytest.mark.parametrize("case", parameters("names.json", "display"))
def test_a_good_name_comes_back_trimmed_and_shows_as_the_case_says(case: Case) -> None:
    assert judge_name(case["name"], charset=KeyCharset.ANY) == case["name"].strip()
    assert display_name(case["name"]) == case["display"]


@pytest.mark.parametrize("case", parameters("names.json", "same", "differs"))
def test_spellings_are_one_name_or_two_as_the_case_says(case: Case) -> None:
    key = name_key(case["name"])

    assert {name_key(spelling) for spelling in case.get("same", [])} <= {key}
    assert key not in {name_key(spelling) for spelling in case.get("differs", [])}
