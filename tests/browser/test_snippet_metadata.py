"""What the snippet makes of metadata: the shared cases (R4, R5), as a page would write them."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page

from conformance.case_files import Case, cases
from workevo.tracking.v1 import verdict_pb2
from workevo.tracking.v1.event_pb2 import MetadataEntry, Stripe
from workevo_testing.shop import Shop, wait_until

INT64 = range(-(2**63), 2**63)


def is_sayable(case: Case) -> bool:
    """An object of JavaScript has a key once."""
    keys = [key for key, _ in case["metadata"]]
    return len(set(keys)) == len(keys)


CASES = [(f"case {place}", case) for place, case in enumerate(cases("metadata.json")) if is_sayable(case)]


def literal(value: Any) -> str:
    """As JavaScript; an integer that no double holds is written as a BigInt there."""
    return f"{value}n" if isinstance(value, int) and abs(value) > 2**53 else json.dumps(value)


def statement(name: str, case: Case) -> str:
    members = ", ".join(f"[{json.dumps(key)}]: {literal(value)}" for key, value in case["metadata"])
    return f"Workevo('trackEvent', {json.dumps(name)}, {{{members}}});"


@pytest.fixture
def page(shop: Shop) -> Page:
    """All cases told, and all answered."""
    page = shop.open()
    page.evaluate("() => {" + "".join(statement(name, case) for name, case in CASES) + "}")

    def settled() -> bool:
        state = shop.state(page)
        return state.get("last") == len(CASES) and shop.settled(state["install"]) == len(CASES)

    wait_until(page, settled)
    return page


def typed(entry: MetadataEntry) -> tuple[str, str, Any]:
    kind = str(entry.WhichOneof("value"))
    value: Any = getattr(entry, kind)
    match kind:
        case "date":
            value = value.seconds
        case "rich_link":
            value = {"url": value.url, "title": value.title}
        case "stripe":
            value = {"kind": Stripe.Kind.Name(value.kind).removeprefix("KIND_"), "id": value.id}
        case "monetary":
            value = {"amount": value.amount, "currency": value.currency}
    return entry.key, {"text": "string", "integer": "number"}.get(kind, kind), value


def test_metadata_is_kept_or_refused_as_the_shared_cases_say(shop: Shop, page: Page) -> None:
    stored = {
        each.event.name: [typed(entry) for entry in each.event.metadata]
        for each in shop.back_end().events(visitor_id=shop.state(page)["visitor"])
    }
    failed = {
        each.name: (verdict_pb2.Reason.Name(each.reason).removeprefix("REASON_"), each.field)
        for each in shop.back_end().failed()
    }

    assert len(CASES) > 40
    for name, case in CASES:
        if "typed" in case:
            assert stored[name] == [tuple(each) for each in case["typed"]], case
        else:
            assert failed[name] == (case["reason"], case["key"]), case
