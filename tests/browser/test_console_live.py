"""The Live page in a real browser: what arrives shows by itself, unless somebody pauses or looks away."""

import grpc
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import Phone, event

pytestmark = pytest.mark.timeout(90)
SOON = 6_000
STILL_SECONDS = 4_000
"""Long enough for two looks."""


@pytest.fixture
def live(context: BrowserContext, server: ServerProcess) -> Page:
    page = context.new_page()
    page.goto(f"http://{server.http_address}/console/sign-in?next=/console/live")
    page.get_by_label("Key").fill(server.keys.admin_key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/console/live")
    return page


@pytest.fixture
def phone(server: ServerProcess) -> Phone:
    return Phone(grpc.insecure_channel(server.grpc_address), server.keys.sdk_key)


def test_an_event_appears_by_itself_and_pausing_stops_it(live: Page, phone: Phone) -> None:
    complaints: list[str] = []
    live.on("console", lambda message: complaints.append(message.text))
    phone.upload([event(1, name="shown by itself")])
    expect(live.get_by_text("Shown by itself")).to_be_visible(timeout=SOON)

    live.get_by_role("button", name="Pause").click()
    phone.upload([event(2, name="while paused")])
    live.wait_for_timeout(STILL_SECONDS)
    expect(live.get_by_role("status").first).to_have_text("Paused")
    assert live.get_by_text("While paused").count() == 0

    live.get_by_role("button", name="Go on").click()
    expect(live.get_by_text("While paused")).to_be_visible(timeout=SOON)
    expect(live.get_by_text("Shown by itself")).to_be_visible()
    assert complaints == []


def test_a_page_that_nobody_looks_at_asks_for_nothing(live: Page) -> None:
    asked: list[str] = []
    live.on("request", lambda request: asked.append(request.url))
    live.wait_for_timeout(STILL_SECONDS)
    assert len(asked) >= 2

    live.evaluate(
        "Object.defineProperty(document, 'hidden', { get: () => true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    live.wait_for_timeout(500)
    asked.clear()
    live.wait_for_timeout(STILL_SECONDS)

    assert asked == []


def test_a_server_that_is_away_is_said_and_asked_again(
    live: Page, phone: Phone, context: BrowserContext
) -> None:
    context.set_offline(True)
    expect(live.get_by_role("status").first).to_contain_text("does not answer", timeout=SOON)

    phone.upload([event(1, name="sent meanwhile")])
    context.set_offline(False)

    expect(live.get_by_text("Sent meanwhile")).to_be_visible(timeout=20_000)
    expect(live.get_by_role("status").first).to_have_text("Watching")
