"""The first page of an empty workspace: its snippets are run as they are shown."""

import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from workevo_testing.console import Visit, key_of, signed_in
from workevo_testing.server_process import ServerProcess

_SNIPPET = re.compile(r"<pre[^>]*><code>(.*?)</code></pre>", re.DOTALL)


@pytest.fixture
def newcomer(server: ServerProcess) -> Visit:
    """Of a workspace in which nothing has happened."""
    visit = Visit(server.http_address)
    visit.sign_in(server.create_workspace("Empty").admin_key)
    return visit


def _snippets(page: str) -> list[str]:
    return [unescape(code) for code in _SNIPPET.findall(page)]


def test_an_empty_workspace_begins_with_how_to_send_something(newcomer: Visit, server: ServerProcess) -> None:
    assert newcomer.get("/console").headers["location"] == "/console/start"
    page = newcomer.get("/console/start").body.decode()
    assert "Nothing has arrived yet" in page
    assert all("YOUR_" in code for code in _snippets(page))
    assert "start/arrival" in page


def test_the_phones_snippet_runs_as_it_is_shown_and_the_page_turns_green(
    newcomer: Visit, tmp_path: Path
) -> None:
    phone, _, _ = _snippets(newcomer.post("/console/start", {}).body.decode())
    assert "arrival here" not in newcomer.get("/console/start/arrival", part=True).body.decode()

    subprocess.run([sys.executable, "-c", phone], check=True, cwd=tmp_path, timeout=60)

    arrived = newcomer.get("/console/start/arrival", part=True).body.decode()
    assert "arrival here" in arrived
    assert "Invited friend" in arrived
    assert "hx-trigger" not in arrived
    assert newcomer.get("/console").headers["location"] == "/console/people"


def test_the_back_ends_snippet_runs_as_it_is_shown(newcomer: Visit, tmp_path: Path) -> None:
    _, back_end, _ = _snippets(newcomer.post("/console/start", {}).body.decode())

    subprocess.run(["sh", "-ec", back_end], check=True, cwd=tmp_path, timeout=60, capture_output=True)

    assert "arrival here" in newcomer.get("/console/start/arrival", part=True).body.decode()


def test_the_pages_snippet_has_a_key_for_its_origin(newcomer: Visit) -> None:
    wrong = newcomer.post("/console/start", {"origin": "nowhere"})
    assert wrong.status == 422
    assert all("YOUR_" in code for code in _snippets(wrong.body.decode()))

    *_, page = _snippets(newcomer.post("/console/start", {"origin": "http://localhost:3000"}).body.decode())

    assert re.search(r'app_id: "wk_browser_[A-Za-z0-9_-]{43}"', page)
    assert page.count("</script>") == 1
    assert "http://localhost:3000" in newcomer.get("/console/settings/keys").body.decode()


def test_who_may_make_no_keys_is_told_who_may(server: ServerProcess) -> None:
    visit = Visit(server.http_address)
    visit.sign_in(key_of(server, "viewer"))
    page = visit.get("/console/start").body.decode()
    assert "An admin of the workspace makes keys" in page
    assert "Make keys" not in page
    assert signed_in(server).get("/console/start").status == 200
