"""The Live page in a real browser: what arrives shows by itself, unless somebody pauses or looks away."""

import grpc
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from workevo_testing.postgres import PostgresCluster
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import Phone, event

pytestmark = pytest.mark.timeout(90)
SOON_MILLIS = 6_000
STILL_MILLIS = 4_000
"""Long enough for two looks."""


@pytest.fixture
def live(context: BrowserContext, server: ServerProcess) -> Page:
    return opened(context, server)


def opened(context: BrowserContext, server: ServerProcess) -> Page:
    """The page, for somebody who has signed in."""
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
    expect(live.get_by_text("Shown by itself")).to_be_visible(timeout=SOON_MILLIS)

    live.get_by_role("button", name="Pause").click()
    phone.upload([event(2, name="while paused")])
    live.wait_for_timeout(STILL_MILLIS)
    expect(live.get_by_role("status").first).to_have_text("Paused")
    assert live.get_by_text("While paused").count() == 0

    live.get_by_role("button", name="Go on").click()
    expect(live.get_by_text("While paused")).to_be_visible(timeout=SOON_MILLIS)
    expect(live.get_by_text("Shown by itself")).to_be_visible()
    assert complaints == []


def test_a_page_that_nobody_looks_at_asks_for_nothing(live: Page) -> None:
    asked: list[str] = []
    live.on("request", lambda request: asked.append(request.url))
    live.wait_for_timeout(STILL_MILLIS)
    assert len(asked) >= 2

    live.evaluate(
        "Object.defineProperty(document, 'hidden', { get: () => true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    live.wait_for_timeout(500)
    asked.clear()
    live.wait_for_timeout(STILL_MILLIS)

    assert asked == []


def test_one_of_several_servers_shows_each_event_once_though_it_is_asked_for_twice(
    context: BrowserContext, tmp_path_factory: pytest.TempPathFactory, postgres: PostgresCluster
) -> None:
    directory = tmp_path_factory.mktemp("shared")
    with ServerProcess(directory, flags=["--workers", "2"], store=postgres.make_database()) as shared:
        page = opened(context, shared)
        assert page.locator("#live").get_attribute("data-overlap") != "0"
        page.wait_for_timeout(STILL_MILLIS)
        Phone(grpc.insecure_channel(shared.grpc_address), shared.keys.sdk_key).upload(
            [event(1, name="shown once")]
        )
        expect(page.get_by_text("Shown once")).to_be_visible(timeout=SOON_MILLIS)
        answers: list[str] = []
        page.on("response", lambda answer: answers.append(answer.text()))

        page.wait_for_timeout(STILL_MILLIS)

        assert sum("Shown once" in text for text in answers) >= 1
        expect(page.get_by_text("Shown once")).to_have_count(1)


def test_a_server_that_is_away_is_said_and_asked_again(
    live: Page, phone: Phone, context: BrowserContext
) -> None:
    context.set_offline(True)
    expect(live.get_by_role("status").first).to_contain_text("does not answer", timeout=SOON_MILLIS)

    phone.upload([event(1, name="sent meanwhile")])
    context.set_offline(False)

    expect(live.get_by_text("Sent meanwhile")).to_be_visible(timeout=20_000)
    expect(live.get_by_role("status").first).to_have_text("Watching")
