"""A real browser: Debian's chromium, told to keep to itself."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright

from workevo_simulator.page import write_page
from workevo_testing.places import STORES, store_of
from workevo_testing.sample_figures import sample_figures
from workevo_testing.server_process import ServerProcess
from workevo_testing.shop import PageServer, Profile, Shop, browser_key

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs chromium: apt-get install -y chromium fonts-dejavu-core (Debian)")
    return path


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """One for each module, closed after it: the loop that drives it must not meet another's."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright, chromium_path: str) -> Iterator[Browser]:
    launched = playwright.chromium.launch(executable_path=chromium_path, args=list(ARGUMENTS))
    yield launched
    launched.close()


@pytest.fixture
def profile(playwright: Playwright, chromium_path: str, tmp_path: Path) -> Iterator[Profile]:
    """A browser's profile on disk, for what must outlive the browser."""
    with TemporaryDirectory(prefix="workevo-", ignore_cleanup_errors=True) as temporary:
        yield Profile(playwright, chromium_path, ARGUMENTS, tmp_path / "profile", Path(temporary))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page(sample_figures(), path)
    return path


@pytest.fixture(scope="module", params=STORES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), store=store_of(request)) as running:
        yield running


@pytest.fixture(scope="module")
def pages() -> Iterator[PageServer]:
    pages = PageServer()
    yield pages
    pages.close()


@pytest.fixture(scope="module")
def key(server: ServerProcess, pages: PageServer) -> str:
    return browser_key(server, server.keys.workspace_id, pages.origin)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile that has never been here."""
    with browser.new_context() as fresh:
        yield fresh


@pytest.fixture
def shop(server: ServerProcess, pages: PageServer, key: str, context: BrowserContext) -> Shop:
    return Shop(server, pages, key, context)
