import math
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workevo_server.domain import currencies
from workevo_server.domain.limits import (
    CREATED_AT_SECONDS_MAX,
    ID_CODE_POINTS_MAX,
    LINK_CODE_POINTS_MAX,
    METADATA_TEXT_CODE_POINTS_MAX,
)
from workevo_server.domain.metadata import (
    Admitted,
    Date,
    Image,
    Link,
    MetadataEntry,
    MetadataItem,
    MetadataValue,
    Monetary,
    Number,
    RichLink,
    Stripe,
    StripeKind,
    Text,
    admit,
    value_from_json,
)
from workevo_server.domain.naming import is_well_formed, name_key
from workevo_server.domain.verdicts import Reason, Refusal
from workevo_server.domain.workspace import KeyCharset

URL = "https://example.org/x"
LONGEST_URL = URL + "x" * (LINK_CODE_POINTS_MAX - len(URL))
LONGEST_ID = "ü" * ID_CODE_POINTS_MAX
LONGEST_TEXT = "ü" * METADATA_TEXT_CODE_POINTS_MAX
HALF_A_PAIR = "\ud800"

NO_AMOUNTS = (
    *(True, "1", None, 1.5, math.nan, math.inf, 1e19),
    *(Decimal(text) for text in ("1.5", "sNaN", "1e19", "1e999999999", "1e-999999999")),
)

quickly = settings(max_examples=100)


def admitted(items: Sequence[MetadataItem], keys_max: int = 5) -> Admitted | Refusal:
    return admit(items, keys_max=keys_max, charset=KeyCharset.ANY)


def kept(value: MetadataValue) -> MetadataValue | Refusal:
    """What is kept of a value that came typed, as by protobuf."""
    result = admitted([MetadataItem("k", value)])
    return result if isinstance(result, Refusal) else result.entries[0].value


def is_refused(value: object, key: str = "k") -> bool:
    return isinstance(value, Refusal) and value.reason is Reason.METADATA_VALUE_INVALID and value.field == key


@pytest.mark.parametrize(
    "value",
    [
        Text(""),
        Text("nul\0"),
        Text(LONGEST_TEXT),
        Number(2**63 - 1),
        Number(-(2**63)),
        Number(1e308),
        Date(0),
        Date(CREATED_AT_SECONDS_MAX),
        Link(LONGEST_URL),
        Link("http://[::1]:8080/ä?q#f"),
        RichLink(URL, LONGEST_ID),
        Image("https://example.org/no-suffix"),
        Stripe(StripeKind.CHARGE, LONGEST_ID),
        Monetary(-(2**63), "USD"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_typed_value_within_its_bounds_is_kept_as_it_is(value: MetadataValue) -> None:
    assert kept(value) == value


@pytest.mark.parametrize(
    "value",
    [
        Text(LONGEST_TEXT + "x"),
        Text(HALF_A_PAIR),
        Number(math.nan),
        Number(math.inf),
        Number(2**63),
        Date(-1, 999_999_999),
        Date(CREATED_AT_SECONDS_MAX, 500_000_000),
        Date(0, 1_000_000_000),
        Link(LONGEST_URL + "x"),
        Link("javascript:alert(1)"),
        Link("/relative"),
        Link("https:example.org"),
        Link("https://"),
        Link("https:///path"),
        Link("https://:80/"),
        Link("https://user@/"),
        Link("https://example.org:port/"),
        Link("https://example.org:65536/"),
        Link("https://[::1/"),
        Link("https://example.org/a b"),
        Link("https://example.org/\u00a0"),
        Link("https://example.org/\0"),
        Link("https://example.org/\n"),
        Link(" https://example.org/"),
        Link("https://example.org/" + HALF_A_PAIR),
        RichLink("ftp://example.org/", "t"),
        RichLink(URL, ""),
        RichLink(URL, LONGEST_ID + "x"),
        Image("data:image/png;base64,AAAA"),
        Stripe(None, "id"),
        Stripe(StripeKind.INVOICE, ""),
        Stripe(StripeKind.INVOICE, LONGEST_ID + "x"),
        Monetary(2**63, "USD"),
        Monetary(1, "usdx"),
        Monetary(1, ""),
        Monetary(1, "ıdr"),
        Monetary(1, "DEM"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_typed_value_that_breaks_its_type_is_refused_by_its_key(value: MetadataValue) -> None:
    assert is_refused(kept(value))


def test_dates_are_kept_in_whole_seconds_and_currencies_in_upper_case() -> None:
    assert kept(Date(100, 500_000_000)) == Date(101)
    assert kept(Date(100, 499_999_999)) == Date(100)
    assert kept(Monetary(5, "eUr")) == Monetary(5, "EUR")


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("k", False, Text("false")),
        ("k", Decimal("3.67"), Number(3.67)),
        ("k", Decimal(9007199254740993), Number(9007199254740993)),
        ("k", Decimal("1.0"), Number(1.0)),
        ("k", {"amount": Decimal("1.00"), "currency": "usd"}, Monetary(1, "USD")),
        ("k", {"amount": Decimal("1e2"), "currency": "usd"}, Monetary(100, "USD")),
        ("k", LONGEST_URL, Link(LONGEST_URL)),
        ("k", "https://example.org/a.AVIF#f", Image("https://example.org/a.AVIF#f")),
        ("k", "https://example.org/?a.png", Link("https://example.org/?a.png")),
        ("k", "https://example.org/a b", Text("https://example.org/a b")),
        ("Stripe_Invoice", "in_1", Stripe(StripeKind.INVOICE, "in_1")),
        ("stripe_charge", 7, Number(7)),
        ("born_at", -315_619_200, Number(-315_619_200)),
        ("born_at", True, Text("true")),
        ("born_at", 10**18, Date(10**9)),
        ("born_at", "0", Date(0)),
        ("born_at", 99.5, Date(100)),
        ("born_at", {"image": URL}, Image(URL)),
        ("born_at", "253402300800", Date(253_402_301)),
        ("_AT", 5, Date(5)),
        ("attic", 5, Number(5)),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_json_means_the_type_that_its_key_and_shape_say(
    key: str, value: object, meant: MetadataValue
) -> None:
    assert value_from_json(key, value) == meant


@pytest.mark.parametrize(
    "value",
    [
        *(math.nan, -math.inf, Decimal("sNaN"), Decimal("Infinity"), Decimal("1e999"), 2**63, -(2**63) - 1),
        *(HALF_A_PAIR, "x" * 256, LONGEST_URL + "x", [], (), {}, b"", 1j),
        *({"url": URL}, {"url": 1, "value": "t"}, {"url": URL, "value": 1}, {"image": 1}, {"value": "t"}),
        *({"image": URL, "more": 1}, {"amount": 1}, {"currency": "usd"}, {"amount": 1, "currency": None}),
        *(
            {"amount": amount, "currency": "usd"}
            for amount in (True, "1", None, 1.5, math.nan, math.inf, 1e19)
        ),
        *(
            {"amount": Decimal(text), "currency": "usd"}
            for text in ("1.5", "sNaN", "1e999999999", "1e-999999999")
        ),
        {"amount": 1, "currency": "usd", "more": None},
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_json_that_fits_no_type_is_refused_by_its_key(value: object) -> None:
    assert is_refused(value_from_json("k", value))


def test_an_empty_stripe_id_is_refused() -> None:
    assert is_refused(value_from_json("stripe_customer", ""), "stripe_customer")


def test_a_refusal_under_a_dropped_or_replaced_key_harms_nothing() -> None:
    refusal = Refusal(reason=Reason.METADATA_VALUE_INVALID, field="a", message="No.")
    items = [
        MetadataItem("a", refusal),
        MetadataItem("A", Number(1)),
        MetadataItem("b", refusal),
        MetadataItem("", refusal),
    ]

    assert admitted(items, keys_max=1) == Admitted((MetadataEntry("a", Number(1)),), ("b", ""))
    assert admitted(items, keys_max=2) == refusal


def test_a_dropped_key_is_named_once_as_first_spelled() -> None:
    items = [MetadataItem(key, Number(1)) for key in ("kept", "Lost", "lost", "LOST ", "KEPT", HALF_A_PAIR)]

    assert admitted(items, keys_max=1) == Admitted((MetadataEntry("kept", Number(1)),), ("Lost", "?"))


def test_a_workspace_that_keeps_no_keys_drops_them_all() -> None:
    assert admitted([MetadataItem("a", Number(1))], keys_max=0) == Admitted((), ("a",))


def test_a_key_is_judged_before_its_value_and_in_the_order_sent() -> None:
    items = [MetadataItem("a.b", Number(math.nan)), MetadataItem("", Number(1))]

    strict = admit(items, keys_max=5, charset=KeyCharset.STRICT)
    lax = admit(items, keys_max=5, charset=KeyCharset.ANY)

    assert isinstance(strict, Refusal)
    assert (strict.reason, strict.field) == (Reason.METADATA_KEY_INVALID, "a.b")
    assert is_refused(lax, "a.b")


members = st.sampled_from(["url", "value", "image", "amount", "currency", "x"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text(st.characters())
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(members, inner, max_size=3),
    max_leaves=4,
)
known_keys = st.sampled_from(["a", "A", "b", "paid_at", "stripe_charge", ""])
json_keys = known_keys | st.text(st.characters(), max_size=3)


@quickly
@given(
    pairs=st.lists(st.tuples(json_keys, json_values), max_size=8),
    keys_max=st.integers(0, 20),
    charset=st.sampled_from(KeyCharset),
)
def test_whatever_json_says_the_answer_is_metadata_or_a_refusal(
    pairs: list[tuple[str, object]], keys_max: int, charset: KeyCharset
) -> None:
    items = [MetadataItem(key, value_from_json(key, value)) for key, value in pairs]

    answer = admit(items, keys_max=keys_max, charset=charset)

    if isinstance(answer, Refusal):
        assert is_well_formed(answer.field)
        return
    keys = [name_key(entry.key) for entry in answer.entries]
    assert len(keys) == len(set(keys)) <= keys_max
    assert all(map(is_well_formed, answer.dropped_keys))
    again = admit([MetadataItem(e.key, e.value) for e in answer.entries], keys_max=keys_max, charset=charset)
    assert again == Admitted(answer.entries, ())


def test_currencies_are_three_letters_with_their_own_decimals() -> None:
    decimals = {code: currencies.MINOR_UNIT_DECIMALS[code] for code in ("USD", "JPY", "KWD", "CLF", "XAU")}

    assert decimals == {"USD": 2, "JPY": 0, "KWD": 3, "CLF": 4, "XAU": 0}
    assert len(currencies.CODES) == 178
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in currencies.CODES)
