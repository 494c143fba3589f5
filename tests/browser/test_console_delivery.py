"""Delivery and where, in a real browser: drawn, followed from page to page, and replayed by a button."""

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import grpc
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from workevo.tracking.v1 import tracking_pb2
from workevo_testing.server_process import Keys, ServerProcess
from workevo_testing.wire_calls import CREATED_AT, Phone, event

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def keys(server: ServerProcess) -> Keys:
    return server.create_workspace("Delivery")


@pytest.fixture
def phone(server: ServerProcess, keys: Keys) -> Iterator[Phone]:
    with grpc.insecure_channel(server.grpc_address) as channel:
        yield Phone(channel, keys.sdk_key)


@pytest.fixture
def console(context: BrowserContext, server: ServerProcess, keys: Keys) -> Iterator[Page]:
    """Signed in; whatever the pages complain of fails the test."""
    page = context.new_page()
    page.goto(f"http://{server.http_address}/console/sign-in?next=/console/delivery")
    page.get_by_label("Key").fill(keys.admin_key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/console/delivery")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []


def test_an_installs_strip_is_drawn_from_its_sequences(console: Page, phone: Phone) -> None:
    dropped = tracking_pb2.DroppedRange(
        first_sequence=6, last_sequence=8, reason=tracking_pb2.DROP_REASON_EXPIRED
    )
    phone.upload([event(n) for n in range(1, 6)], last_sequence=10, dropped=[dropped])
    console.reload()

    console.get_by_role("link", name=phone.install.install_id).click()

    strip = console.locator("svg.strip")
    expect(strip).to_be_visible()
    expect(strip).to_have_attribute("aria-label", "10 generated, 5 stored, 3 dropped, 2 open")
    widths = strip.locator("rect.fill").evaluate_all(
        "rects => rects.map(rect => rect.getBoundingClientRect().width)"
    )
    whole = strip.evaluate("svg => svg.getBoundingClientRect().width")
    assert [round(10 * width / whole) for width in widths] == [5, 3, 2]
    colours = strip.locator("rect.fill").evaluate_all(
        "rects => rects.map(rect => getComputedStyle(rect).fill)"
    )
    assert len(set(colours)) == 3
    console.get_by_role("link", name="6 to 8").click()
    expect(console.get_by_role("heading", name="The device gave it up")).to_be_visible()


def test_rejected_events_are_opened_and_replayed_by_a_button(
    console: Page, phone: Phone, server: ServerProcess, keys: Keys
) -> None:
    server.set(keys.workspace_id, key_charset="strict")
    phone.upload([event(1, name="price $"), event(2, name="also $")])
    server.set(keys.workspace_id, key_charset="any")
    console.reload()

    console.get_by_role("link", name="NAME_INVALID").click()
    console.get_by_role("link", name="Price $").click()
    expect(console.get_by_role("heading", level=1)).to_have_text("Price $")
    console.get_by_role("button", name="Judge it again").click()
    expect(console.get_by_role("status").first).to_have_text(
        re.compile("1 event was judged again: 1 accepted")
    )

    console.get_by_label("Reason").select_option("NAME_INVALID")
    console.get_by_role("button", name="Show").click()
    console.get_by_role("button", name="Judge all of these again").click()
    expect(console.get_by_role("status").first).to_have_text(
        re.compile("1 event was judged again: 1 accepted")
    )
    expect(console.get_by_text("Nothing that fits is kept")).to_be_visible()


def test_more_rejected_events_come_when_the_list_is_scrolled(console: Page, phone: Phone) -> None:
    phone.upload([event(n, name="") for n in range(1, 121)])
    console.goto(console.url + f"/rejected?install={phone.install.install_id}")
    rows = console.locator("tbody tr:not(.more)")
    expect(rows).to_have_count(50)

    for count in (100, 120):
        console.locator("tr.more").scroll_into_view_if_needed()
        expect(rows).to_have_count(count)
    expect(console.locator("tr.more")).to_have_count(0)


def test_an_event_is_found_at_the_readers_own_time(
    console: Page, phone: Phone, server: ServerProcess, keys: Keys
) -> None:
    user = "ada of the browser"
    phone.upload([event(1, name="opened", user_id=user, created_at={"seconds": CREATED_AT})])
    local = console.evaluate(
        "seconds => { const then = new Date(seconds * 1000), zone = then.getTimezoneOffset();"
        " then.setMinutes(then.getMinutes() - zone); return then.toISOString().slice(0, 16); }",
        CREATED_AT,
    )
    console.get_by_role("link", name="Where is my event?").click()
    console.get_by_label("Person").fill(user)
    console.get_by_label("Event name").fill("opened")
    console.get_by_label("About when").fill(local)
    console.get_by_label("Give or take").select_option("5 minutes")
    console.get_by_role("button", name="Find it").first.click()

    expect(console.get_by_role("heading", name="It is stored")).to_be_visible()
    expect(console.get_by_label("About when")).to_have_value(local)
    console.get_by_role("link", name=user).click()
    expect(console).to_have_url(re.compile("/console/people/"))


def test_a_link_that_somebody_shares_means_the_same_moment_in_another_time_zone(
    browser: Browser, phone: Phone, server: ServerProcess, keys: Keys
) -> None:
    user, night = "ada of two zones", 1_793_518_230  # In Chicago 01:30:30 for the second time.
    phone.upload([event(1, name="opened", user_id=user, created_at={"seconds": night})])

    def seen_in(time_zone: str, address: str) -> tuple[str, str]:
        """What the field shows there, and the address after the form has been sent unchanged."""
        with browser.new_context(timezone_id=time_zone) as context:
            page = context.new_page()
            page.goto(f"http://{server.http_address}/console/sign-in?next=/console/delivery")
            page.get_by_label("Key").fill(keys.admin_key)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url("**/console/delivery")
            page.goto(address)
            told = page.get_by_label("About when").input_value()
            page.get_by_role("button", name="Find it").first.click()
            page.wait_for_url(lambda url: url != address)
            expect(page.get_by_role("heading", name="It is stored")).to_be_visible()
            expect(page.get_by_label("About when")).to_have_value(told)
            return told, page.url

    asked = urlencode({"person": user, "name": "opened", "at": "2026-11-01 07:30:30", "window": "5"})
    in_chicago, link = seen_in("America/Chicago", f"http://{server.http_address}/console/where?{asked}")
    in_kathmandu, _ = seen_in("Asia/Kathmandu", link)

    assert in_chicago == "2026-11-01T01:30:30"
    assert in_kathmandu == "2026-11-01T13:15:30"
