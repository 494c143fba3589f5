"""By which words people are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workevo_server.domain import limits
from workevo_server.domain.metadata import MetadataEntry, Number, Text
from workevo_server.domain.words import start_of_address, words_of, words_of_contact


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Anna Müller", ["anna", "muller"]),
        ("Anna  anna", ["anna"]),
        ("Jean-Luc O'Neil, Ph.D.", ["jean", "luc", "o", "neil", "ph", "d"]),
        ("STRASSE straße", ["strasse"]),
        ("Ελένη", ["ελενη"]),
        ("李小龙", ["李小龙"]),
        ("Acme™ ℠ 🄰nna", ["acmetm", "sm", "anna"]),
        ("nul\0in it", ["nul", "in", "it"]),
        ("a\ud800", ["a?"]),
        (" -'. ", []),
        ("", []),
    ],
)
def test_a_text_is_taken_apart_into_words_without_case_and_accents(text: str, words: list[str]) -> None:
    assert [word.decode() for word in words_of(text)] == words


@given(st.text())
def test_words_are_few_and_short_whatever_the_text_and_found_by_themselves(text: str) -> None:
    found = words_of(text)

    assert len(found) <= limits.NAME_WORDS_MAX
    assert len(set(found)) == len(found)
    assert all(1 <= len(word.decode()) <= limits.NAME_WORD_CODE_POINTS_MAX for word in found)
    for word in found:
        assert word in words_of(word.decode()) or b"?" in word


def test_a_contact_has_the_words_of_its_name_and_its_address_as_one() -> None:
    attributes = [
        MetadataEntry("plan", Text("gold")),
        MetadataEntry("NAME", Text("Anna B")),
        MetadataEntry("Email", Text(" Anna.B@Example.org")),
    ]
    assert words_of_contact(attributes) == (b"anna", b"b", b"anna.b@example.org")
    assert words_of_contact([MetadataEntry("name", Number(1)), MetadataEntry("email", Text("none"))]) == ()
    assert words_of_contact([]) == ()


def test_the_start_of_an_address_has_an_at() -> None:
    assert start_of_address(" A.B@ex") == b"a.b@ex"
    assert start_of_address("a.b") == b""
