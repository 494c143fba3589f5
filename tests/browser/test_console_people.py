"""People and their profiles in a real browser: what scrolls, whose time is shown, who is asked for images."""

import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from workevo.insight.v1 import people_pb2, people_pb2_grpc
from workevo.tracking.v1 import event_pb2
from workevo_testing.console import key_of, signed_in
from workevo_testing.metadata_samples import HOSTILE_TEXTS, every_type
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import CALL_SECONDS_MAX, CREATED_AT, Phone, bearer, describe_event, event

pytestmark = pytest.mark.timeout(120)

PHONE, DESKTOP = 390, 1280
_PHONE: ViewportSize = {"width": PHONE, "height": 800}
SETTLES_MILLIS = 500
_PUT_IMAGE = "(url) => { const image = new Image(); image.src = url; document.body.append(image); }"
_IMAGE = b'<svg xmlns="http://www.w3.org/2000/svg" width="90" height="50"><rect width="9" height="9"/></svg>'


class ImageServer(ThreadingHTTPServer):
    """Somebody else's, who would like to know who looks at what."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ImageHandler)
        self.asked: list[str] = []
        self.referrers: list[str] = []
        self.origin = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _ImageHandler(BaseHTTPRequestHandler):
    server: ImageServer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.referrers += [value for name, value in self.headers.items() if name.lower() == "referer"]
        self.send_response(200)
        self.send_header("Content-Type", "image/svg+xml")
        self.send_header("Content-Length", str(len(_IMAGE)))
        self.end_headers()
        self.wfile.write(_IMAGE)

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def images() -> Iterator[ImageServer]:
    server = ImageServer()
    yield server
    server.close()


class Reader:
    """Somebody signed in, whose browser tells all that went wrong or was asked for."""

    def __init__(self, server: ServerProcess, context: BrowserContext) -> None:
        self.address = f"http://{server.http_address}"
        cookie = signed_in(server, "viewer").cookie
        context.add_cookies([{"name": "workevo_session", "value": cookie, "url": f"{self.address}/console"}])
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.address}{path}")
        return self.page

    def open_profile(self, contact_id: str) -> Page:
        return self.open(f"/console/people/{contact_id}")


@pytest.fixture
def reader(server: ServerProcess, context: BrowserContext) -> Reader:
    return Reader(server, context)


def track(server: ServerProcess, user_id: str, events: Sequence[event_pb2.Event]) -> str:
    """All of one user, who is told by the contact_id."""
    with grpc.insecure_channel(server.grpc_address) as channel:
        phone = Phone(channel, server.keys.sdk_key)
        for start in range(0, len(events), 500):
            part = events[start : start + 500]
            assert phone.upload(part).accepted_count == len(part)
        answer = people_pb2_grpc.PeopleServiceStub(channel).GetContact(
            people_pb2.GetContactRequest(user_id=user_id),
            metadata=bearer(server.keys.server_key),
            timeout=CALL_SECONDS_MAX,
        )
    contact_id: str = answer.contact.contact_id
    return contact_id


def shown_image(server: ServerProcess, url: str) -> str:
    """A person with one event that has this image."""
    user_id = uuid.uuid4().hex
    entries = [event_pb2.MetadataEntry(key="photo", image=url)]
    return track(server, user_id, [event(1, user_id=user_id, metadata=entries)])


def test_a_timeline_scrolls_to_its_end_and_shows_each_event_once(
    server: ServerProcess, reader: Reader
) -> None:
    user_id = uuid.uuid4().hex
    contact_id = track(server, user_id, [event(number, user_id=user_id) for number in range(1, 231)])
    page = reader.open_profile(contact_id)
    rows = page.locator(".timeline > li:not(.more)")
    expect(rows).to_have_count(50)

    deadline = time.monotonic() + 30
    while rows.count() < 230 and time.monotonic() < deadline:
        page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_timeout(50)

    hrefs = page.locator(".timeline a[href*='sequence=']").evaluate_all("each => each.map((a) => a.href)")
    assert [int(href.rpartition("=")[2]) for href in hrefs] == list(range(230, 0, -1))
    expect(page.locator(".timeline > .more")).to_have_count(0)
    expect(page.locator(".timeline time:not([data-told])")).to_have_count(0)  # Later ones are localised too.
    assert reader.complaints == []


def test_times_are_in_the_zone_of_who_reads_and_money_as_its_currency_is_written(
    server: ServerProcess, browser: Browser
) -> None:
    user_id = uuid.uuid4().hex
    entries = every_type()
    contact_id = track(
        server,
        user_id,
        [
            event(1, user_id=user_id, metadata=entries[:5], created_at={"seconds": CREATED_AT}),
            event(2, user_id=user_id, metadata=entries[5:], created_at={"seconds": CREATED_AT}, name="paid"),
        ],
    )
    times = {"America/New_York": "Nov 14, 2023, 5:13:20 PM", "Asia/Kolkata": "Nov 15, 2023, 3:43:20 AM"}
    for zone, told in times.items():
        with browser.new_context(timezone_id=zone, locale="en-US") as context:
            reader = Reader(server, context)
            page = reader.open_profile(contact_id)
            expect(page.locator(".timeline .when time").first).to_have_text(told)
            renewed = page.locator("dt", has_text="Renewed_at").locator("xpath=following-sibling::dd[1]")
            expect(renewed).to_have_text(told)
            expect(page.locator("data.money")).to_have_text(["$29.99", "-KWD\u00a00.005"])
            assert reader.complaints == []


def test_an_image_is_asked_for_on_a_click_and_never_before(
    server: ServerProcess, reader: Reader, images: ImageServer
) -> None:
    page = reader.open_profile(shown_image(server, f"{images.origin}/lamp.svg"))
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.get_by_role("link", name="Show image").hover()
    page.wait_for_timeout(SETTLES_MILLIS)
    assert images.asked == []
    assert [url for url in reader.requests if not url.startswith(reader.address)] == []

    page.get_by_role("link", name="Show image").click()

    frame = page.frame_locator("iframe.picture")
    expect(frame.locator("img")).to_be_visible()
    drawn = frame.locator("img").evaluate("(image) => image.decode().then(() => image.naturalWidth)")
    assert drawn == 90
    assert images.asked == ["/lamp.svg"]
    assert images.referrers == []
    assert reader.complaints == []


def test_an_image_that_is_asked_for_when_the_session_has_ended_says_so(
    server: ServerProcess, reader: Reader, images: ImageServer
) -> None:
    contact_id = shown_image(server, f"{images.origin}/lamp.svg")
    page = reader.open_profile(contact_id)
    page.context.clear_cookies()

    page.get_by_role("link", name="Show image").click()

    expect(page.get_by_role("alert").get_by_text("Your session has ended")).to_be_visible()
    assert images.asked == []
    page.get_by_role("alert").get_by_role("link", name="Sign in again").click()
    expect(page.get_by_label("Key")).to_be_visible()
    page.get_by_label("Key").fill(key_of(server, "viewer"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Show image")).to_be_visible()
    assert page.url == f"{reader.address}/console/people/{contact_id}"


def test_control_a_page_that_calls_somebody_is_noticed(
    server: ServerProcess, browser: Browser, images: ImageServer
) -> None:
    """The policy stops an image that got into the page; with the policy taken away it is asked for."""
    contact_id = shown_image(server, f"{images.origin}/lamp.svg")
    for bypass_csp, asked in ((False, []), (True, ["/smuggled.svg"])):
        with browser.new_context(bypass_csp=bypass_csp) as context:
            reader = Reader(server, context)
            page = reader.open_profile(contact_id)
            page.evaluate(_PUT_IMAGE, f"{images.origin}/smuggled.svg")
            page.wait_for_timeout(SETTLES_MILLIS)

            assert images.asked == asked
            assert any("Content Security Policy" in each for each in reader.complaints) is not bypass_csp
            if bypass_csp:
                assert f"{images.origin}/smuggled.svg" in reader.requests


def test_the_frame_shows_no_image_of_another_origin(
    server: ServerProcess, reader: Reader, images: ImageServer
) -> None:
    page = reader.open(f"/console/image?url={quote('http://127.0.0.1:9/lamp.svg', safe='')}")

    page.evaluate("(url) => { document.querySelector('img').src = url; }", f"{images.origin}/elsewhere.svg")
    page.wait_for_timeout(SETTLES_MILLIS)

    assert images.asked == []
    assert any("Content Security Policy" in complaint for complaint in reader.complaints)


def test_without_scripts_the_image_opens_on_its_own_page_and_the_timeline_goes_on_by_a_link(
    server: ServerProcess, browser: Browser, images: ImageServer
) -> None:
    user_id = uuid.uuid4().hex
    entries = [event_pb2.MetadataEntry(key="photo", image=f"{images.origin}/lamp.svg")]
    events = [event(number, user_id=user_id) for number in range(1, 60)]
    contact_id = track(server, user_id, [*events, event(60, user_id=user_id, metadata=entries)])
    with browser.new_context(java_script_enabled=False) as context:
        page = Reader(server, context).open_profile(contact_id)
        expect(page.locator(".timeline time").first).to_contain_text("UTC")
        with context.expect_page() as opened:
            page.get_by_role("link", name="Show image").click()
        opened.value.wait_for_load_state()
        page.get_by_role("link", name="Show more").click()
        expect(page.locator(".timeline > li:not(.more)")).to_have_count(10)

    assert images.asked == ["/lamp.svg"]


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_what_was_sent_to_break_a_page_runs_nothing_and_fits(
    server: ServerProcess, browser: Browser, width: int
) -> None:
    user_id = uuid.uuid4().hex
    events = [
        event(
            number,
            user_id=user_id,
            name=hostile[:255],
            metadata=[
                event_pb2.MetadataEntry(key=hostile[:255], text=hostile[:255]),
                event_pb2.MetadataEntry(key="link", link="https://x.example/" + "a" * 2000),
                event_pb2.MetadataEntry(
                    key="rich", rich_link=event_pb2.RichLink(url="https://x.example/", title=hostile[:255])
                ),
            ],
        )
        for number, hostile in enumerate(HOSTILE_TEXTS, start=1)
    ]
    contact_id = track(server, user_id, events)
    with browser.new_context(viewport={"width": width, "height": 800}) as context:
        reader = Reader(server, context)
        for path in (f"/console/people/{contact_id}", "/console/people", f"/console/people?text={user_id}"):
            page = reader.open(path)
            page.wait_for_timeout(SETTLES_MILLIS)
            page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")

            assert "owned" not in page.title()
            expect(page.locator("h1")).to_have_count(1)
            widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert widths[0] <= widths[1], path
        assert reader.complaints == []
        assert [url for url in reader.requests if not url.startswith(reader.address)] == []


def test_a_description_is_shown_on_hover_and_on_focus_and_goes_on_escape(
    server: ServerProcess, reader: Reader
) -> None:
    user_id, name = uuid.uuid4().hex, f"described {uuid.uuid4().hex}"
    contact_id = track(server, user_id, [event(1, user_id=user_id, name=name)])
    describe(server, name, "Somebody asked a friend to join.")
    page = reader.open_profile(contact_id)
    about = page.locator(".summaries .about")
    expect(about).to_be_hidden()

    page.locator(".summaries li").hover()
    expect(about).to_be_visible()
    page.keyboard.press("Escape")
    expect(about).to_be_hidden()
    page.mouse.move(0, 0)
    page.locator(".summaries a").focus()
    expect(about).to_be_visible()


def test_a_finger_that_hovers_over_nothing_is_shown_descriptions_at_once(
    server: ServerProcess, browser: Browser
) -> None:
    user_id, name = uuid.uuid4().hex, f"described {uuid.uuid4().hex}"
    contact_id = track(server, user_id, [event(1, user_id=user_id, name=name)])
    describe(server, name, "Somebody asked a friend to join.")
    with browser.new_context(
        has_touch=True, is_mobile=True, viewport={"width": PHONE, "height": 800}
    ) as context:
        page = Reader(server, context).open_profile(contact_id)
        expect(page.locator(".summaries .about")).to_be_visible()


def test_somebody_is_found_by_keyboard_and_opened(server: ServerProcess, reader: Reader) -> None:
    mark = uuid.uuid4().hex
    track(server, mark, [event(1, user_id=mark, name=f"bought {mark}"), event(2, user_id=mark)])
    page = reader.open("/console/people")

    page.get_by_label("Name, e-mail or id").fill(mark[:20])
    page.get_by_label("Who did").select_option(label=f"Bought {mark}")
    page.get_by_label("Name, e-mail or id").press("Enter")
    expect(page.locator(".people tbody tr")).to_have_count(1)
    page.get_by_role("link", name=mark).press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text(mark)
    page.locator(".summaries a", has_text=f"Bought {mark}").press("Enter")
    expect(page.locator(".timeline > li")).to_have_count(1)
    page.get_by_role("link", name="Show everything").press("Enter")
    expect(page.locator(".timeline > li")).to_have_count(2)
    assert reader.complaints == []


def describe(server: ServerProcess, name: str, description: str) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel:
        describe_event(channel, server.keys.admin_key, name, description)
