"""What the snippet does when the server says no, or later, or that somebody else was here (R9, R14, R14a)."""

import base64
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from playwright.sync_api import Browser, Page, Route

from workevo.tracking.v1 import tracking_pb2
from workevo_testing.shop import Shop, wait_until

UPLOADS = "**/UploadEvents"
REFUSED = {"access-control-allow-origin": "*", "access-control-expose-headers": "retry-after"}

pytestmark = pytest.mark.timeout(90)

Json = dict[str, Any]


def track(page: Page, *names: str) -> None:
    page.evaluate("(names) => names.forEach((name) => Workevo('trackEvent', name))", list(names))


def refuse_if(
    shop: Shop, condition: Callable[[Json], bool], status: int, body: Json, **headers: str
) -> list[Json]:
    """Answer such uploads in the server's place; all uploads that were made are in the list."""
    seen: list[Json] = []

    def answer(route: Route) -> None:
        upload = json.loads(route.request.post_data or "")
        seen.append(upload)
        if condition(upload):
            told = {name.replace("_", "-"): value for name, value in headers.items()}
            route.fulfill(status=status, json=body, headers=REFUSED | told)
        else:
            route.continue_()

    shop.context.route(UPLOADS, answer)
    return seen


def names(upload: Json) -> list[str]:
    return [each["name"] for each in upload["events"]]


def too_large() -> Json:
    info = ErrorInfo(reason="UPLOAD_TOO_LARGE", domain="workevo.dev").SerializeToString()
    detail = {"type": "google.rpc.ErrorInfo", "value": base64.b64encode(info).rstrip(b"=").decode()}
    return {"code": "resource_exhausted", "message": "Send half.", "details": [detail]}


def test_the_wait_that_the_server_asks_for_is_kept_by_the_next_page_too(shop: Shop) -> None:
    seen = refuse_if(shop, lambda _: len(seen) == 1, 503, {"code": "unavailable"}, retry_after="6")
    page = shop.open()
    track(page, "waits")
    wait_until(page, lambda: len(seen) == 1)
    refused = time.monotonic()
    wait_until(page, lambda: "quiet" in shop.state(page))
    visitor = shop.state(page)["visitor"]
    page.close()
    page = shop.open()
    wait_until(page, lambda: shop.back_end().names(visitor_id=visitor) == Counter(["waits"]))

    assert time.monotonic() - refused >= 5
    assert len(seen) == 2


def test_without_a_delay_it_backs_off_and_loses_nothing(shop: Shop) -> None:
    seen = refuse_if(shop, lambda _: len(seen) <= 3, 503, {"code": "unavailable"})
    page = shop.open()
    for number in range(5):
        track(page, f"busy {number}")
        page.wait_for_timeout(300)
    visitor = shop.state(page)["visitor"]

    wait_until(page, lambda: shop.back_end().names(visitor_id=visitor).total() == 5)
    assert len(seen) <= 6


def test_an_upload_that_is_too_large_is_halved_and_the_one_event_that_never_fits_is_confessed(
    shop: Shop,
) -> None:
    seen = refuse_if(shop, lambda upload: "huge" in names(upload), 429, too_large())
    page = shop.open()
    track(page, "one", "two", "huge", "four", "five")
    wait_until(page, lambda: shop.state(page).get("last") == 5)
    state = shop.state(page)

    wait_until(page, lambda: shop.settled(state["install"]) == 5)
    visitor = state["visitor"]
    assert shop.back_end().names(visitor_id=visitor) == Counter(["one", "two", "four", "five"])
    balance = shop.back_end().balance(state["install"])
    assert (balance.stored, balance.dropped, balance.open) == (4, 1, 0)
    assert balance.dropped_by_reason[0].reason == tracking_pb2.DROP_REASON_QUARANTINED
    assert ["huge"] in [names(upload) for upload in seen]


def test_one_event_that_makes_every_upload_invalid_does_not_hold_up_the_others(shop: Shop) -> None:
    refuse_if(shop, lambda upload: "poison" in names(upload), 400, {"code": "invalid_argument"})
    page = shop.open()
    track(page, "one", "poison", "three")
    wait_until(page, lambda: shop.state(page).get("last") == 3)
    state = shop.state(page)

    wait_until(page, lambda: shop.settled(state["install"]) == 3)
    assert shop.back_end().names(visitor_id=state["visitor"]) == Counter(["one", "three"])


def test_a_key_that_is_refused_gives_nothing_up(shop: Shop) -> None:
    seen = refuse_if(shop, lambda _: len(seen) == 1, 401, {"code": "unauthenticated"})
    page = shop.open()
    track(page, "kept")
    wait_until(page, lambda: len(seen) == 1)
    page.wait_for_timeout(3000)
    visitor = shop.state(page)["visitor"]
    assert len(seen) == 1
    page.close()
    page = shop.open()

    wait_until(page, lambda: shop.back_end().names(visitor_id=visitor) == Counter(["kept"]))


@pytest.mark.parametrize(
    "answer",
    [
        {"acceptedCount": 1},
        {"acceptedCount": 2, "results": [{"index": 5, "verdict": "VERDICT_ACCEPTED"}]},
        {"results": [{"verdict": "VERDICT_DUPLICATE", "sequence": "7"}, {"index": 1, "sequence": "2"}]},
    ],
    ids=str,
)
def test_an_answer_that_does_not_add_up_settles_nothing(shop: Shop, answer: Json) -> None:
    seen = refuse_if(shop, lambda _: len(seen) == 1, 200, answer)
    page = shop.open()
    track(page, "one", "two")
    wait_until(page, lambda: shop.state(page).get("last") == 2)
    visitor = shop.state(page)["visitor"]

    wait_until(page, lambda: shop.back_end().names(visitor_id=visitor) == Counter(["one", "two"]))


def test_the_page_of_a_hotels_network_is_no_answer(shop: Shop) -> None:
    seen: list[str] = []

    def answer(route: Route) -> None:
        seen.append(route.request.url)
        if len(seen) == 1:
            route.fulfill(status=200, body="<h1>Welcome</h1>", content_type="text/html", headers=REFUSED)
        else:
            route.continue_()

    shop.context.route(UPLOADS, answer)
    page = shop.open()
    track(page, "kept")
    wait_until(page, lambda: shop.state(page).get("last") == 1)
    visitor = shop.state(page)["visitor"]

    wait_until(page, lambda: shop.back_end().names(visitor_id=visitor) == Counter(["kept"]))


def test_a_full_queue_gives_up_its_oldest_events_and_says_so(shop: Shop) -> None:
    page = shop.open()
    page.wait_for_function("Workevo.version")
    shop.context.set_offline(True)
    track(page, *["more of it"] * 1003)
    wait_until(page, lambda: shop.state(page).get("last") == 1003)
    shop.context.set_offline(False)
    install = shop.state(page)["install"]

    wait_until(page, lambda: shop.settled(install) == 1003, seconds=60)
    balance = shop.back_end().balance(install)
    assert (balance.generated, balance.dropped, balance.open) == (1003, 3, 0)
    assert balance.dropped_by_reason[0].reason == tracking_pb2.DROP_REASON_QUEUE_FULL


def test_two_browsers_with_one_copied_profile_lose_nothing(shop: Shop, browser: Browser) -> None:
    page = shop.open()
    track(page, "before the copy")
    wait_until(page, lambda: shop.state(page).get("last") == 1)
    visitor = shop.state(page)["visitor"]
    wait_until(page, lambda: shop.back_end().names(visitor_id=visitor).total() == 1)
    page.wait_for_timeout(500)
    copied = shop.context.storage_state(indexed_db=True)
    with browser.new_context(storage_state=copied) as context:
        twin = Shop(shop.server, shop.pages, shop.key, context)
        other = twin.open()
        track(page, "from the first")
        wait_until(page, lambda: shop.back_end().names(visitor_id=visitor).total() == 2)
        track(other, "from the copy")
        wait_until(other, lambda: shop.back_end().names(visitor_id=visitor).total() == 3)
        epochs = {shop.state(page)["epoch"], twin.state(other)["epoch"]}

    told = ["before the copy", "from the first", "from the copy"]
    assert shop.back_end().names(visitor_id=visitor) == Counter(told)
    assert len(epochs) == 2
