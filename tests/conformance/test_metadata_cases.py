import pytest

from conformance.case_files import Case, parameters
from workevo_server.domain.limits import METADATA_KEYS_DEFAULT
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
from workevo_server.domain.verdicts import Refusal
from workevo_server.domain.workspace import KeyCharset


def admitted(case: Case) -> Admitted | Refusal:
    items = [MetadataItem(key, value_from_json(key, value)) for key, value in case["metadata"]]
    return admit(items, keys_max=METADATA_KEYS_DEFAULT, charset=KeyCharset.ANY)


def expected_entry(key: str, type_name: str, told: object) -> MetadataEntry:
    return MetadataEntry(key, expected_value(type_name, told))


def expected_value(type_name: str, told: object) -> MetadataValue:
    match type_name, told:
        case "string", str(text):
            return Text(text)
        case "number", int() | float() as number:
            return Number(number)
        case "date", int(seconds):
            return Date(seconds)
        case "link", str(url):
            return Link(url)
        case "image", str(url):
            return Image(url)
        case "rich_link", {"url": str(url), "title": str(title)}:
            return RichLink(url, title)
        case "stripe", {"kind": str(kind), "id": str(id)}:
            return Stripe(StripeKind(kind), id)
        case "monetary", {"amount": int(amount), "currency": str(currency)}:
            return Monetary(amount, currency)
        case _:
            raise AssertionError(f"a type that the cases had not: {type_name}")


@pytest.mark.parametrize("case", parameters("metadata.json", "typed"))
def test_metadata_is_kept_as_the_case_says(case: Case) -> None:
    kept = admitted(case)

    assert isinstance(kept, Admitted)
    assert kept.entries == tuple(expected_entry(*told) for told in case["typed"])
    assert kept.dropped_keys == tuple(case.get("dropped", ()))


@pytest.mark.parametrize("case", parameters("metadata.json", "reason"))
def test_metadata_is_refused_as_the_case_says(case: Case) -> None:
    refusal = admitted(case)

    assert isinstance(refusal, Refusal)
    assert (refusal.reason.value, refusal.field) == (case["reason"], case["key"])
