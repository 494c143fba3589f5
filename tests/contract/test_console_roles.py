"""Every role on every route of the console (R31). The routes are taken from their declarations."""

import asyncio
import re
from pathlib import Path

import pytest

from workevo_server.adapters.sql.store import SqlStore
from workevo_server.ports.sessions import Role
from workevo_server.transport.address import Address
from workevo_server.transport.http.browser.assets import BrowserFiles
from workevo_server.transport.http.console.pages import Page
from workevo_server.transport.http.console.rendering import Templates
from workevo_server.transport.http.console.static_files import StaticFiles
from workevo_server.transport.metrics import Metrics
from workevo_server.wiring import console_pages, wire_services
from workevo_testing.console import Visit, signed_in
from workevo_testing.server_process import ServerProcess

NEEDED: dict[tuple[str, str], Role] = {
    ("GET", ""): Role.VIEWER,
    ("GET", "/people"): Role.VIEWER,
    ("GET", "/people/{contact_id}"): Role.VIEWER,
    ("GET", "/people/{contact_id}/merges"): Role.VIEWER,
    ("GET", "/image"): Role.VIEWER,
    ("GET", "/events"): Role.VIEWER,
    ("GET", "/event"): Role.VIEWER,
    ("GET", "/event/describe"): Role.SUPPORT,
    ("POST", "/event/describe"): Role.SUPPORT,
    ("GET", "/event/archive"): Role.SUPPORT,
    ("POST", "/event/archive"): Role.SUPPORT,
    ("POST", "/event/unarchive"): Role.SUPPORT,
    ("POST", "/event/disable"): Role.SUPPORT,
    ("POST", "/event/enable"): Role.SUPPORT,
    ("GET", "/delivery"): Role.VIEWER,
    ("GET", "/delivery/install"): Role.VIEWER,
    ("GET", "/delivery/rejected"): Role.VIEWER,
    ("GET", "/delivery/rejected/event"): Role.VIEWER,
    ("POST", "/delivery/rejected/replay"): Role.SUPPORT,
    ("GET", "/live"): Role.VIEWER,
    ("GET", "/live/rows"): Role.VIEWER,
    ("GET", "/settings"): Role.ADMIN,
    ("POST", "/settings"): Role.ADMIN,
    ("GET", "/settings/keys"): Role.ADMIN,
    ("POST", "/settings/keys"): Role.ADMIN,
    ("POST", "/settings/keys/revoke"): Role.ADMIN,
    ("GET", "/settings/identity"): Role.ADMIN,
    ("POST", "/settings/identity"): Role.ADMIN,
    ("POST", "/settings/identity/revoke"): Role.ADMIN,
    ("GET", "/settings/audit"): Role.ADMIN,
    ("GET", "/start"): Role.VIEWER,
    ("GET", "/where"): Role.VIEWER,
    ("POST", "/start"): Role.ADMIN,
    ("GET", "/start/arrival"): Role.VIEWER,
}
"""Who may what, written down a second time: a page that comes, goes or opens to others is noticed here."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Page]:
    async def declared() -> list[Page]:
        path: Path = tmp_path_factory.mktemp("declared") / "store.db"
        store = await SqlStore.open(path, simulated_clock=False, fatal=print)
        services = wire_services(store, simulated_clock=False, metrics=Metrics(version="test"))
        found = console_pages(
            services,
            store.key_ring,
            Templates(StaticFiles(), version="test"),
            browser_files=BrowserFiles(),
            grpc_address=lambda: Address("localhost", 1),
        )
        await store.close()
        return found

    return asyncio.run(declared())


@pytest.fixture(scope="module")
def visits(server: ServerProcess) -> dict[Role, Visit]:
    return {role: signed_in(server, role.value) for role in Role}


def test_every_page_is_for_the_role_that_is_written_down(pages: list[Page]) -> None:
    assert {(page.method, page.path): page.needs for page in pages} == NEEDED


def test_names_of_pages_are_their_own(pages: list[Page]) -> None:
    assert len({page.name for page in pages}) == len(pages)


def test_each_role_may_what_is_for_it_and_nothing_more(pages: list[Page], visits: dict[Role, Visit]) -> None:
    for page in pages:
        for role, visit in visits.items():
            status = _status(visit, page)
            may = role.may(page.needs)
            assert (status == 403) is not may, (page.method, page.path, role, status)
            assert status < 500, (page.method, page.path, role, status)


def test_nobody_may_anything_without_a_session(pages: list[Page], server: ServerProcess) -> None:
    for page in pages:
        status = _status(Visit(server.http_address), page)
        assert status == (303 if page.method == "GET" else 401), (page.method, page.path, status)


def test_no_form_is_taken_without_its_token(pages: list[Page], visits: dict[Role, Visit]) -> None:
    for page in pages:
        if page.method == "POST":
            assert visits[Role.ADMIN].post(_path(page), {}, csrf="").status == 403, page.path


def _status(visit: Visit, page: Page) -> int:
    if page.method == "POST":
        return visit.post(_path(page), {}).status
    return visit.get(_path(page)).status


def _path(page: Page) -> str:
    """With something in the place of each parameter that names nothing."""
    return "/console" + re.sub(r"\{[^}]*\}", "nothing", page.path)
