import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workevo_server.domain.errors import PageTokenInvalid
from workevo_server.domain.page_token import decode, encode

SECRET = b"s" * 32
SCOPE = "workspace|timeline|user"
TOKEN = encode([1_795_000_000_000_000, 42], scope=SCOPE, secret=SECRET)

int64 = st.integers(-(2**63), 2**63 - 1)
quickly = settings(max_examples=100)


def refused(token: str, *, scope: str = SCOPE, secret: bytes = SECRET, length: int = 2) -> bool:
    try:
        decode(token, scope=scope, secret=secret, length=length)
    except PageTokenInvalid:
        return True
    return False


@quickly
@given(position=st.lists(int64, max_size=5), scope=st.text(), secret=st.binary())
def test_a_position_comes_back_as_it_was(position: list[int], scope: str, secret: bytes) -> None:
    token = encode(position, scope=scope, secret=secret)

    assert decode(token, scope=scope, secret=secret, length=len(position)) == tuple(position)


def test_a_token_of_another_list_workspace_secret_or_length_is_refused() -> None:
    assert not refused(TOKEN)
    assert refused(TOKEN, scope="workspace|timeline|other user")
    assert refused(TOKEN, scope=SCOPE + "\0")
    assert refused(TOKEN, secret=b"another")
    assert refused(TOKEN, length=1)
    assert refused(TOKEN, length=3)


def test_scope_and_position_do_not_run_together() -> None:
    moved = encode([2], scope="a" + "\0" * 7 + "\1", secret=SECRET)

    assert refused(moved, scope="a", length=2)
    assert refused(moved, scope="a", length=1)


@pytest.mark.parametrize("place", range(len(TOKEN)))
def test_a_token_touched_at_any_place_is_refused(place: int) -> None:
    other = "A" if TOKEN[place] != "A" else "B"

    assert refused(TOKEN[:place] + other + TOKEN[place + 1 :])
    assert refused(TOKEN[:place] + TOKEN[place + 1 :])
    assert refused(TOKEN[:place] + "!" + TOKEN[place:])


def test_only_one_spelling_of_a_token_is_taken() -> None:
    token = encode([], scope=SCOPE, secret=SECRET)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    sibling = token[:-1] + alphabet[alphabet.index(token[-1]) + 1]

    assert base64.urlsafe_b64decode(sibling + "==") == base64.urlsafe_b64decode(token + "==")
    assert refused(sibling, length=0)
    assert refused(token + "==", length=0)


@quickly
@given(token=st.text(st.characters()), length=st.integers(0, 3))
def test_any_other_text_is_refused_and_nothing_worse(token: str, length: int) -> None:
    assert refused(token, length=length)


@pytest.mark.parametrize("token", ["", "=", "====", "A", "\ud800", "ä", "\0", "A" * 100_000])
def test_texts_that_are_no_tokens_are_refused(token: str) -> None:
    assert refused(token)


def test_a_scope_that_is_no_unicode_is_a_scope_like_any() -> None:
    token = encode([1], scope="\ud800", secret=SECRET)

    assert decode(token, scope="\ud800", secret=SECRET, length=1) == (1,)
    assert refused(token, scope="?", length=1)
