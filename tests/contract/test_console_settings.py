"""Keys, limits, proofs and changes in the console, as an admin does it by forms."""

import hashlib
import hmac
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from workevo_server.transport.http.console.proof_snippets import proof_snippets
from workevo_testing.console import Visit
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import Keys, ServerProcess

_KEY = re.compile(r"wk_[a-z]+_[A-Za-z0-9_-]{43}")


@pytest.fixture
def keys(server: ServerProcess) -> Keys:
    """Of a workspace whose settings nobody else's tests see."""
    return server.create_workspace("Settings")


@pytest.fixture
def admin(server: ServerProcess, keys: Keys) -> Visit:
    visit = Visit(server.http_address)
    assert visit.sign_in(keys.admin_key).status == 303
    return visit


def _page(visit: Visit, path: str) -> str:
    answer = visit.get(path)
    assert answer.status == 200, answer.body
    return unescape(answer.body.decode())


def test_a_key_is_shown_once_works_and_opens_nothing_after_it_was_revoked(
    server: ServerProcess, admin: Visit
) -> None:
    made = admin.post("/console/settings/keys", {"kind": "server"}).body.decode()
    (key,) = set(_KEY.findall(made))
    prefix = key[: len("wk_server_") + 8]

    assert Rest(address=server.http_address, key=key).get("/contacts").status == 200
    listed = _page(admin, "/console/settings/keys")
    assert prefix in listed
    assert key not in listed
    revoked = admin.post("/console/settings/keys/revoke", {"prefix": prefix})

    assert revoked.headers["location"] == "/console/settings/keys?said=key-revoked"
    assert Rest(address=server.http_address, key=key).get("/contacts").status == 401


def test_a_browser_key_takes_origins_and_says_what_is_wrong_with_them(admin: Visit) -> None:
    wrong = admin.post("/console/settings/keys", {"kind": "browser", "origins": 'ftp://x "><b>'})
    assert wrong.status == 422
    assert "An origin looks like https://example.org" in wrong.body.decode()
    assert '"><b>' not in wrong.body.decode()
    other_kind = admin.post("/console/settings/keys", {"kind": "sdk", "origins": "https://a.example"})
    assert other_kind.status == 422

    made = admin.post(
        "/console/settings/keys", {"kind": "browser", "origins": "https://a.example https://b.example"}
    )

    assert made.status == 200
    assert "https://b.example" in made.body.decode()


def test_what_is_no_key_and_no_kind_is_refused_with_a_sentence(admin: Visit) -> None:
    assert admin.post("/console/settings/keys", {"kind": "emperor"}).status == 422
    unknown = admin.post("/console/settings/keys/revoke", {"prefix": "wk_sdk_nothing"})
    assert unknown.status == 404
    assert "There is no such key" in unknown.body.decode()


def test_a_setting_is_changed_and_noted_with_the_key_that_did_it(
    server: ServerProcess, keys: Keys, admin: Visit
) -> None:
    changed = admin.post("/console/settings", {"metadata_keys_max": "7"})

    assert changed.headers["location"] == "/console/settings?said=saved"
    assert 'name="metadata_keys_max" value="7"' in _page(admin, "/console/settings?said=saved")
    shown = server.administer("workspace.show", {"workspace": keys.workspace_id}, is_heard=False)
    assert shown["settings"]["metadata_keys_max"] == "7"
    noted = _page(admin, "/console/settings/audit")
    row = next(row for row in noted.split("<tr>") if "metadata_keys_max" in row)
    assert keys.admin_key[: len("wk_admin_") + 8] in row


def test_a_wrong_setting_changes_nothing_and_keeps_what_was_typed(admin: Visit) -> None:
    before = _page(admin, "/console/settings")

    wrong = admin.post("/console/settings", {"metadata_keys_max": "12", "event_names_max": "<b>many"})

    assert wrong.status == 422
    page = wrong.body.decode()
    assert "event_names_max is 1 to 1000000 active names (R10)." in unescape(page)
    assert 'value="12"' in page
    assert "<b>many" not in page
    assert _page(admin, "/console/settings") == before


def test_a_secret_is_shown_once_and_can_be_revoked(admin: Visit) -> None:
    made = unescape(admin.post("/console/settings/identity", {}).body.decode())
    secrets = set(re.findall(r"wk_secret_[A-Za-z0-9_-]+", made))
    assert len(secrets) == 1
    listed = _page(admin, "/console/settings/identity")
    assert secrets.pop() not in listed
    (secret_id,) = set(re.findall(r'name="secret_id" value="(secret_[^"]+)"', listed))

    admin.post("/console/settings/identity/revoke", {"secret_id": secret_id})

    assert "revoked" in _page(admin, "/console/settings/identity")


def test_changes_are_paged_without_skip_or_repeat(admin: Visit) -> None:
    for number in range(60):
        admin.post("/console/settings", {"flush_interval": str(31 + number)})
    page = _page(admin, "/console/settings/audit")
    seen = []
    while True:
        seen += re.findall(r"<bdi>(\d+)</bdi></td>\s*</tr>", page)
        following = re.search(r'hx-get="([^"]+)"', page)
        if following is None:
            break
        page = unescape(admin.get(unescape(following.group(1)), part=True).body.decode())
        assert "<html" not in page

    intervals = [int(value) for value in seen if 31 <= int(value) <= 90]
    assert intervals[:60] == list(range(90, 30, -1))


def test_a_page_of_changes_that_is_none_is_the_first(admin: Visit) -> None:
    for before in ("x", "-1", "9" * 40, "²"):
        assert admin.get(f"/console/settings/audit?before={before.encode().hex()}").status == 200
    assert admin.get("/console/settings/audit?before=" + "9" * 40).status == 200


RUN = {
    "Node.js": ("node", "snippet.js", "{code}\nconsole.log(userHash('user-\u00fc'));"),
    "Python": (sys.executable, "snippet.py", "{code}\n\n\nprint(user_hash('user-\u00fc'))\n"),
    "Java": (
        "java",
        "Snippet.java",
        """public class Snippet {{ {code}
        public static void main(String[] none) throws Exception {{
            System.out.println(userHash("user-\\u00fc"));
        }} }}""",
    ),
    "PHP": ("php", "snippet.php", "<?php\n{code}\necho user_hash('user-\u00fc'), \"\\n\";"),
}
PACKAGES = {"node": "nodejs", "java": "default-jdk-headless", "php": "php-cli"}


@pytest.mark.parametrize("language", RUN)
def test_each_languages_snippet_makes_the_hash_that_the_server_checks(language: str, tmp_path: Path) -> None:
    program, name, text = RUN[language]
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}: apt-get install -y {PACKAGES[program]} (Debian)")
    snippets = {snippet.language: snippet.code for snippet in proof_snippets("wk_secret_abc-_123")}
    assert set(snippets) == set(RUN)
    file = tmp_path / name
    file.write_text(text.format(code=snippets[language]), encoding="utf-8")

    done = subprocess.run(
        [program, str(file)], capture_output=True, check=True, text=True, timeout=60, cwd=tmp_path
    )

    expected = hmac.new(b"wk_secret_abc-_123", "user-\u00fc".encode(), hashlib.sha256).hexdigest()
    assert done.stdout.strip() == expected
