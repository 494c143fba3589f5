import pytest

from workevo_server.domain.contacts import clip, judge_claim, kind_of
from workevo_server.domain.events import ContactClaim, ContactKind
from workevo_server.domain.limits import ID_CODE_POINTS_MAX, INSTALL_TEXT_CODE_POINTS_MAX
from workevo_server.domain.verdicts import Reason

LONGEST_ID = "\U0001f680" * ID_CODE_POINTS_MAX


def test_a_claim_without_an_id_names_nobody() -> None:
    refusal = judge_claim(ContactClaim())

    assert refusal is not None
    assert refusal.reason is Reason.CONTACT_MISSING


@pytest.mark.parametrize("field", ["user_id", "visitor_id"])
@pytest.mark.parametrize("value", ["", LONGEST_ID + "x", "a\udfff"])
def test_an_id_that_is_none_is_refused_by_its_field(field: str, value: str) -> None:
    refusal = judge_claim(ContactClaim(**{field: value}))

    assert refusal is not None
    assert (refusal.reason, refusal.field) == (Reason.CONTACT_INVALID, field)


@pytest.mark.parametrize("field", ["user_id", "visitor_id"])
@pytest.mark.parametrize("value", ["x", " ", "nul\0", LONGEST_ID])
def test_any_other_id_is_taken(field: str, value: str) -> None:
    assert judge_claim(ContactClaim(**{field: value})) is None


def test_the_id_that_is_given_tells_the_kind() -> None:
    assert kind_of(ContactClaim(user_id="u")) is ContactKind.USER
    assert kind_of(ContactClaim(visitor_id="v")) is ContactKind.VISITOR


def test_a_description_is_cut_where_its_code_points_run_out() -> None:
    longest = "ä" * INSTALL_TEXT_CODE_POINTS_MAX

    assert clip(longest) == longest
    assert clip(longest + "more") == longest
