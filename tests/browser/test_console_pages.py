"""Every page of the console in a real Chromium: phone and desktop, by day and by night, on hostile data.

Pages are found by following links, so that one that is added is looked at too.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from workevo_testing.console import one_of_each
from workevo_testing.full_store import fill
from workevo_testing.places import run_apart
from workevo_testing.server_process import ServerProcess

PHONE, DESKTOP = 390, 1280
PAGES_MIN = 26
"""As many kinds of page as there are at least; less were found by following links when one lost its way."""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def full_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """With something of everything in its store, names and metadata that mean harm among it."""
    directory = tmp_path_factory.mktemp("console")
    (directory / "data").mkdir(mode=0o700)
    run_apart(fill(directory / "data" / "workevo.db"))
    with ServerProcess(directory, workspace="Empty") as running:
        yield running


class Visitor:
    """Somebody who is signed in, and whatever their browser complained about or asked of others."""

    def __init__(self, server: ServerProcess, context: BrowserContext, workspace: str = "acme") -> None:
        self.origin = f"http://{server.http_address}"
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.goto(server.command("console", "link", workspace).strip())

    def _asked(self, url: str) -> None:
        if not url.startswith((self.origin, "data:", "blob:", "about:")):
            self.foreign.append(url)

    def open(self, path: str) -> None:
        self.page.goto(self.origin + path)
        assert self.page.locator("h1").count() == 1, path

    def links(self, path: str) -> list[str]:
        """From this page to others of the console."""
        self.open(path)
        found: list[str] = self.page.eval_on_selector_all(
            "a[href^='/console']", "links => links.map(link => link.getAttribute('href'))"
        )
        return found


@pytest.fixture(scope="module")
def addresses(full_server: ServerProcess, browser: Browser) -> list[str]:
    """One of each kind of page."""
    with browser.new_context() as context:
        visitor = Visitor(full_server, context)
        found = one_of_each(["/console/people?kind=user", "/console/people", "/console/start"], visitor.links)
    assert len(found) >= PAGES_MIN, sorted(found)
    return list(found.values())


@pytest.fixture(
    params=[
        pytest.param((PHONE, "dark"), id="phone-dark"),
        pytest.param((DESKTOP, "light"), id="desktop-light"),
        pytest.param((PHONE, "light"), id="phone-light", marks=pytest.mark.long),
        pytest.param((DESKTOP, "dark"), id="desktop-dark", marks=pytest.mark.long),
    ],
)
def visitor(
    request: pytest.FixtureRequest, browser: Browser, full_server: ServerProcess
) -> Iterator[Visitor]:
    width, scheme = request.param
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        yield Visitor(full_server, context)


def test_every_page_fits_complains_of_nothing_asks_nobody_else_and_keeps_nobody_out(
    visitor: Visitor, addresses: list[str]
) -> None:
    """Opened once for all of it; what axe finds is of those who cannot see or point."""
    axe = Axe()
    faults: list[tuple[str, str, object]] = []
    for path in addresses:
        visitor.open(path)
        visitor.page.wait_for_load_state("networkidle")
        widths = visitor.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        if widths[0] > widths[1]:
            faults.append((path, "sticks out", widths))
        visitor.page.eval_on_selector_all("details", "all => all.forEach(each => { each.open = true; })")
        for violation in axe.run(visitor.page).response["violations"]:
            if violation["impact"] in {"serious", "critical"}:
                where = [node["html"][:160] for node in violation["nodes"][:3]]
                faults.append((path, violation["id"], where))
    assert faults == []
    assert visitor.complaints == []
    assert visitor.foreign == []


def test_the_check_for_faults_sees_one(full_server: ServerProcess, browser: Browser) -> None:
    """Control of the first test."""
    with browser.new_context() as context:
        visitor = Visitor(full_server, context)
        visitor.open("/console/people")
        visitor.page.evaluate("document.querySelector('#main').insertAdjacentHTML('beforeend', '<input>')")
        impacts = {each["impact"] for each in Axe().run(visitor.page).response["violations"]}
    assert impacts & {"serious", "critical"}


class Elsewhere(ThreadingHTTPServer):
    """Another site, which keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _AnyAnswer)
        self.asked: list[str] = []


class _AnyAnswer(BaseHTTPRequestHandler):
    server: Elsewhere

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' own output."""


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        site.shutdown()
        thread.join()


_INJECTED = """async (origin) => {
    window.ran = [];
    document.body.insertAdjacentHTML('beforeend', '<img src="/console/nothing" onerror="ran.push(1)">');
    const script = document.createElement('script');
    script.textContent = 'ran.push(2)';
    document.body.append(script);
    const shown = new Promise((done) => {
        const image = new Image();
        image.onload = image.onerror = done;
        image.src = origin + '/image';
    });
    await Promise.allSettled([fetch(origin + '/fetch'), shown]);
    await new Promise((done) => setTimeout(done, 200));
    return window.ran;
}"""


@pytest.mark.parametrize("bypass", [False, True], ids=["policy", "control"])
def test_the_policy_blocks_what_was_injected_and_whatever_goes_elsewhere(
    full_server: ServerProcess, browser: Browser, elsewhere: Elsewhere, *, bypass: bool
) -> None:
    with browser.new_context(bypass_csp=bypass) as context:
        visitor = Visitor(full_server, context)
        visitor.open("/console/people")
        ran = visitor.page.evaluate(_INJECTED, f"http://127.0.0.1:{elsewhere.server_port}")

    assert sorted(ran) == ([1, 2] if bypass else [])
    assert sorted(elsewhere.asked) == (["/fetch", "/image"] if bypass else [])


def test_a_part_that_cannot_be_had_says_so_and_can_be_asked_for_again(
    full_server: ServerProcess, browser: Browser
) -> None:
    with browser.new_context() as context:
        visitor = Visitor(full_server, context, "Empty")
        failing = True

        def answer(route):  # type: ignore[no-untyped-def]
            return route.abort() if failing else route.continue_()

        context.route("**/start/arrival", answer)
        visitor.open("/console/start")
        told = visitor.page.locator("#told")
        told.filter(has_text="could not be reached").wait_for()
        failing = False
        told.filter(has_not_text="could not").wait_for(state="attached", timeout=15_000)
        assert "Waiting" in visitor.page.locator(".arrival").inner_text()


def test_moments_are_told_in_the_readers_time_zone(full_server: ServerProcess, browser: Browser) -> None:
    told = {}
    for zone in ("Asia/Tokyo", "America/New_York"):
        with browser.new_context(timezone_id=zone, locale="en-GB") as context:
            visitor = Visitor(full_server, context)
            visitor.open("/console/settings/audit")
            told[zone] = visitor.page.locator("td time").first.inner_text()
    assert told["Asia/Tokyo"] != told["America/New_York"]


def test_the_console_works_without_scripts(full_server: ServerProcess, browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        visitor = Visitor(full_server, context)
        page = visitor.page
        page.goto(visitor.origin + "/console/settings/keys")
        page.get_by_label("viewer").check()
        page.get_by_role("button", name="Make the key").click()
        assert "wk_viewer_" in page.locator(".copyable code").inner_text()
        page.locator("summary", has_text="acme").click()
        page.get_by_role("button", name="Sign out").click()
        assert page.url.endswith("/console/sign-in")
