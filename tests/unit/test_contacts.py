import pytest

from workevo_server.domain.contacts import (
    clip,
    email_of,
    judge_claim,
    kind_of,
    kind_when_tracked,
    merge_refusal,
    shown_from,
)
from workevo_server.domain.events import ContactClaim, ContactKind
from workevo_server.domain.limits import (
    EMAIL_CODE_POINTS_MAX,
    ID_CODE_POINTS_MAX,
    INSTALL_TEXT_CODE_POINTS_MAX,
)
from workevo_server.domain.verdicts import Reason

DAY_MICROS = 24 * 3600 * 1_000_000
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


@pytest.mark.parametrize(
    ("claim", "first_contact", "kind"),
    [
        (ContactClaim(visitor_id="v"), None, ContactKind.VISITOR),
        (ContactClaim(visitor_id="v"), 101, ContactKind.VISITOR),
        (ContactClaim(visitor_id="v"), 100, ContactKind.LEAD),
        (ContactClaim(user_id="u"), 50, ContactKind.USER),
    ],
)
def test_an_event_keeps_the_kind_its_contact_had_when_it_was_tracked(
    claim: ContactClaim, first_contact: int | None, kind: ContactKind
) -> None:
    """R24, at the moment 100."""
    assert kind_when_tracked(claim, occurred_at_micros=100, first_contact_micros=first_contact) is kind


def test_only_of_a_lead_is_the_past_cut_and_90_days_are_left() -> None:
    """R17."""
    first_contact = 500 * DAY_MICROS

    assert shown_from(ContactKind.LEAD, first_contact) == 410 * DAY_MICROS
    for kind in (ContactKind.VISITOR, ContactKind.USER):
        assert shown_from(kind, first_contact) is None
    assert shown_from(ContactKind.LEAD, None) is None


@pytest.mark.parametrize(
    ("kind", "into", "sentence"),
    [
        (ContactKind.USER, ContactKind.USER, "two users are two people"),
        (ContactKind.USER, ContactKind.LEAD, "A user is not merged into a lead"),
        (ContactKind.LEAD, ContactKind.VISITOR, "A lead is not merged into a visitor"),
    ],
)
def test_a_merge_that_must_not_be_is_refused_with_a_sentence(
    kind: ContactKind, into: ContactKind, sentence: str
) -> None:
    assert sentence in (merge_refusal(kind, into) or "")


@pytest.mark.parametrize(
    ("kind", "into"),
    [
        (ContactKind.VISITOR, ContactKind.VISITOR),
        (ContactKind.VISITOR, ContactKind.USER),
        (ContactKind.LEAD, ContactKind.LEAD),
        (ContactKind.LEAD, ContactKind.USER),
    ],
)
def test_whoever_is_known_less_well_may_be_merged(kind: ContactKind, into: ContactKind) -> None:
    assert merge_refusal(kind, into) is None


def test_an_address_is_kept_in_lower_case_and_what_is_none_is_not() -> None:
    assert email_of(" Anna@Example.ORG ") == "anna@example.org"
    for text in ("", "anna", "@example.org", "anna@", "a@" + "b" * EMAIL_CODE_POINTS_MAX):
        assert email_of(text) is None
