"""The catalogue and one event in a real browser: edited in place, by keyboard alone, and drawn."""

from collections.abc import Iterator

import grpc
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from workevo.tracking.v1 import event_pb2, verdict_pb2
from workevo_testing.console import signed_in_to
from workevo_testing.server_process import Keys, ServerProcess
from workevo_testing.wire_calls import CREATED_AT, Phone, event

PHONE, DESKTOP = 390, 1280
TABS_MAX = 60
CHARTS = 3  # Volume, by platform, by app version.

pytestmark = pytest.mark.timeout(120)

_INKED = """() => [...document.querySelectorAll('figure.chart canvas')].map((canvas) => {
    const dots = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let inked = 0;
    for (let at = 3; at < dots.length; at += 4) inked += dots[at] > 0;
    return inked / (dots.length / 4);
})"""


class Support:
    """Somebody of support, signed in to a workspace of their own, whose browser tells all that went wrong."""

    def __init__(self, server: ServerProcess, keys: Keys, context: BrowserContext) -> None:
        self.address = f"http://{server.http_address}"
        cookie = signed_in_to(server, keys, "support").cookie
        context.add_cookies([{"name": "workevo_session", "value": cookie, "url": f"{self.address}/console"}])
        self.complaints: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self._told(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))

    def _told(self, kind: str, text: str) -> None:
        """Chromium notes that it leaves the focus to us, which is no complaint."""
        if kind in {"warning", "error"}:
            self.complaints.append(text)

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.address}{path}")
        return self.page

    def row(self, name: str) -> Locator:
        return self.page.locator("li.named").filter(has=self.page.get_by_role("link", name=name, exact=True))

    def tab_to(self, wanted: Locator) -> None:
        """By the keyboard alone, from where the focus is; fails when it never gets there."""
        for _ in range(TABS_MAX):
            if wanted.evaluate("each => each === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{wanted} is not reached by Tab.")


@pytest.fixture
def keys(server: ServerProcess) -> Keys:
    return server.create_workspace("Events in a browser")


@pytest.fixture
def phone(server: ServerProcess, keys: Keys) -> Iterator[Phone]:
    with grpc.insecure_channel(server.grpc_address) as channel:
        phone = Phone(channel, keys.sdk_key)
        phone.install.platform, phone.install.app_version = "android", "2.1"
        yield phone


def nine_days() -> list[event_pb2.Event]:
    return [
        event(day, name="opened", created_at={"seconds": CREATED_AT + day * 86_400}) for day in range(1, 10)
    ]


@pytest.fixture
def support(server: ServerProcess, keys: Keys, phone: Phone, context: BrowserContext) -> Support:
    phone.upload([*nine_days(), event(10, name="invited-friend")])
    return Support(server, keys, context)


def test_a_description_is_edited_in_place_by_keyboard_and_the_focus_stays_with_it(support: Support) -> None:
    page = support.open("/console/events")
    row = support.row("Invited friend")

    support.tab_to(row.get_by_role("link", name="Add description"))
    page.keyboard.press("Enter")
    expect(row.get_by_role("textbox")).to_be_focused()
    page.keyboard.type("Sent an <b>invitation</b>")
    support.tab_to(row.get_by_role("button", name="Save"))
    page.keyboard.press("Enter")

    edit = row.get_by_role("link", name="Edit description")
    expect(edit).to_be_focused()
    expect(row.locator(".described p")).to_have_text("Sent an <b>invitation</b>")
    page.keyboard.press("Enter")
    expect(row.get_by_role("textbox")).to_have_value("Sent an <b>invitation</b>")
    support.tab_to(row.get_by_role("link", name="Cancel"))
    page.keyboard.press("Enter")
    expect(edit).to_be_focused()
    page.reload()
    expect(row.locator(".described p")).to_have_text("Sent an <b>invitation</b>")
    assert support.complaints == []


def test_a_name_is_archived_with_its_sentence_and_brought_back_by_keyboard_alone(
    support: Support, phone: Phone
) -> None:
    """R23."""
    page = support.open("/console/events")
    row = support.row("Opened")

    support.tab_to(row.get_by_role("link", name="Archive"))
    page.keyboard.press("Enter")
    expect(row.locator("form.archive p").first).to_be_focused()
    expect(row).to_contain_text("It disappears from summaries, timelines, pickers")
    expect(row).to_contain_text("Its 9 stored events stay stored.")
    support.tab_to(row.get_by_role("link", name="Keep it"))
    page.keyboard.press("Enter")
    archive = row.get_by_role("link", name="Archive")
    expect(archive).to_be_focused()
    page.keyboard.press("Enter")
    support.tab_to(row.get_by_role("button", name="Archive"))
    page.keyboard.press("Enter")
    expect(row.get_by_role("button", name="Unarchive")).to_be_focused()
    expect(row).to_contain_text("The name is archived.")
    expect(page.locator("#in-use")).to_contain_text("1 of 500 names in use")

    answer = phone.upload([event(11, name="opened")])
    assert [each.verdict for each in answer.results] == [verdict_pb2.VERDICT_ARCHIVED]
    page = support.open("/console/events?state=archived")
    expect(row.locator("dl")).to_contain_text("Arrived since")
    support.tab_to(row.get_by_role("button", name="Unarchive"))
    page.keyboard.press("Enter")
    expect(row).to_contain_text("back in use")
    expect(page.locator("#in-use")).to_contain_text("2 of 500 names in use")
    assert phone.upload([event(12, name="opened")]).accepted_count == 1
    assert support.complaints == []


def test_a_full_catalogue_is_said_in_the_row_and_the_name_stays_where_it_was(
    support: Support, server: ServerProcess, keys: Keys
) -> None:
    """R10."""
    page = support.open("/console/event/archive?name=opened")
    page.get_by_role("button", name="Archive").press("Enter")
    expect(page.get_by_text("The name is archived.")).to_be_visible()
    server.set(keys.workspace_id, event_names_max=1)
    page = support.open("/console/events?state=archived")

    support.row("Opened").get_by_role("button", name="Unarchive").press("Enter")

    expect(support.row("Opened").get_by_role("alert")).to_contain_text("as many event names in use as it may")
    expect(support.row("Opened").get_by_role("button", name="Unarchive")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_every_chart_of_an_event_is_drawn_from_its_table(
    server: ServerProcess, keys: Keys, phone: Phone, browser: Browser, scheme: str, width: int
) -> None:
    phone.upload(nine_days())
    with browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme="dark" if scheme == "dark" else "light"
    ) as context:
        support = Support(server, keys, context)
        page = support.open("/console/event?name=opened")
        charts = page.locator("figure.chart")
        expect(charts.first.locator("canvas")).to_be_visible()
        inked = page.evaluate(_INKED)
        numbers = page.locator("#volume-table td").all_text_contents()
        told = page.locator("#volume-heading").locator("xpath=../../p").text_content() or ""
        widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")

    assert len(inked) == CHARTS
    assert min(inked) > 0.01
    assert sum(int(number.replace(",", "")) for number in numbers) == 9
    assert widths[0] <= widths[1]
    assert "nothing that occurred later has arrived" in told
    assert support.complaints == []


def test_without_scripts_the_numbers_stand_in_tables_and_a_name_is_described_and_archived(
    server: ServerProcess, keys: Keys, phone: Phone, browser: Browser
) -> None:
    phone.upload([event(1, name="opened")])
    with browser.new_context(java_script_enabled=False) as context:
        support = Support(server, keys, context)
        page = support.open("/console/events")
        support.row("Opened").get_by_role("link", name="Add description").press("Enter")
        page.get_by_role("textbox").fill("Came to the app")
        page.get_by_role("button", name="Save").press("Enter")
        expect(page.get_by_text("The description is saved.")).to_be_visible()
        page.locator("details.numbers summary").first.press("Enter")
        expect(page.locator("#volume-table")).to_be_visible()
        expect(page.locator("figure.chart").first).to_be_hidden()
        page.get_by_role("link", name="Archive", exact=True).press("Enter")
        page.get_by_role("button", name="Archive").press("Enter")
        expect(page.get_by_text("The name is archived.")).to_be_visible()
        expect(page.get_by_role("button", name="Unarchive")).to_be_visible()


def test_the_latest_occurrences_scroll_to_their_end_and_show_each_once(
    support: Support, phone: Phone
) -> None:
    phone.upload([event(number, name="scrolled", user_id=f"u{number}") for number in range(20, 75)])
    page = support.open("/console/event?name=scrolled")
    rows = page.locator(".timeline > li:not(.more)")

    for _ in range(10):
        if rows.count() == 55:
            break
        page.keyboard.press("End")
        page.wait_for_timeout(300)

    assert sorted(rows.locator(".person").all_text_contents()) == sorted(f"u{n}" for n in range(20, 75))
    expect(page.locator(".timeline > li.more")).to_have_count(0)
    assert support.complaints == []
