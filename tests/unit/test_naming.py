import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workevo_server.domain.limits import METADATA_KEY_CODE_POINTS_MAX, NAME_CODE_POINTS_MAX
from workevo_server.domain.naming import (
    display_name,
    is_well_formed,
    judge_key,
    judge_name,
    name_key,
    reportable,
)
from workevo_server.domain.verdicts import Reason, Refusal
from workevo_server.domain.workspace import KeyCharset

HALF_A_PAIR = "\ud800"

any_text = st.text(st.characters())
quickly = settings(max_examples=100)


@quickly
@given(any_text)
def test_the_key_of_a_key_is_itself(text: str) -> None:
    assert name_key(name_key(text)) == name_key(text)


def test_the_key_of_a_key_is_itself_for_every_character_that_folds() -> None:
    folding = [char for char in map(chr, range(sys.maxunicode + 1)) if char.casefold() != char]

    assert len(folding) > 1000
    assert [char for char in folding if name_key(name_key(char)) != name_key(char)] == []


@quickly
@given(any_text)
def test_composed_and_decomposed_spellings_are_one_name(text: str) -> None:
    assert name_key(unicodedata.normalize("NFD", text)) == name_key(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(("one", "other"), [("\u212a", "k"), ("ǰ", "J\u030c"), ("ΣΑΣ", "σας"), ("ﬁn", "FIN")])
def test_spellings_that_fold_together_are_one_name(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize(("one", "other"), [("ı", "i"), ("a\u200bb", "ab"), ("１", "1")])
def test_spellings_that_only_look_alike_are_two_names(one: str, other: str) -> None:
    assert name_key(one) != name_key(other)


@quickly
@given(any_text)
def test_a_name_that_is_shown_shows_as_itself(text: str) -> None:
    assert display_name(display_name(text)) == display_name(text)


@quickly
@given(any_text.filter(bool))
def test_no_name_shows_as_nothing(text: str) -> None:
    assert display_name(text) != ""


def test_a_letter_that_comes_apart_in_upper_case_is_composed_again() -> None:
    assert display_name("\u0390x") == unicodedata.normalize("NFC", "\u0399\u0308\u0301x")


def test_only_hyphens_and_spaces_are_dashes_and_spaces() -> None:
    assert display_name("a\u2014b\tc_d") == "A\u2014b\tc_d"


@pytest.mark.parametrize("charset", KeyCharset)
def test_half_a_surrogate_pair_is_in_no_name_and_in_no_key(charset: KeyCharset) -> None:
    name, key = judge_name(HALF_A_PAIR, charset=charset), judge_key(HALF_A_PAIR, charset=charset)

    assert isinstance(name, Refusal)
    assert name.reason is Reason.NAME_INVALID
    assert key is not None
    assert (key.reason, key.field) == (Reason.METADATA_KEY_INVALID, "?")


@pytest.mark.parametrize("special", ".$~`!@#%^&*'{}|\\\"\0")
def test_a_strict_workspace_takes_none_of_the_special_characters(special: str) -> None:
    assert isinstance(judge_name(f"a{special}b", charset=KeyCharset.STRICT), Refusal)
    assert judge_key(f"a{special}b", charset=KeyCharset.STRICT) is not None
    assert judge_name(f"a{special}b", charset=KeyCharset.ANY) == f"a{special}b"
    assert judge_key(f"a{special}b", charset=KeyCharset.ANY) is None


def test_a_strict_workspace_takes_every_other_character() -> None:
    name = "Ünï_cödé-(1+2)=[3]/4:5;6<7>8?9,\U0001f680"

    assert judge_name(name, charset=KeyCharset.STRICT) == name
    assert judge_key(name, charset=KeyCharset.STRICT) is None


def test_white_space_around_a_name_does_not_count() -> None:
    longest = "n" * NAME_CODE_POINTS_MAX

    assert judge_name(f" \n{longest}\t ", charset=KeyCharset.ANY) == longest
    assert isinstance(judge_name(longest + "n", charset=KeyCharset.ANY), Refusal)


@pytest.mark.parametrize("key", ["", " \t", "k" * (METADATA_KEY_CODE_POINTS_MAX + 1)])
def test_a_key_that_is_blank_or_too_long_is_refused_by_its_own_spelling(key: str) -> None:
    refusal = judge_key(key, charset=KeyCharset.ANY)

    assert refusal is not None
    assert (refusal.reason, refusal.field) == (Reason.METADATA_KEY_INVALID, key)


@quickly
@given(any_text)
def test_what_is_reported_can_always_be_sent(text: str) -> None:
    assert is_well_formed(reportable(text))
    assert (reportable(text) == text) == is_well_formed(text)
