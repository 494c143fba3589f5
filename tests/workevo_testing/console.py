"""The console as somebody with a browser uses it, without one: pages by address, forms by their fields."""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from workevo_testing.http_calls import HttpAnswer, request
from workevo_testing.server_process import HEARS_WITHIN_SECONDS, Keys, ServerProcess

HEARS_SECONDS_MAX = 10

_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')
_IDS = re.compile(r"/people/[^/]+")
_NO_PAGE = re.compile(r"/console/(static|sign-in|sign-out|image)\b")
_made: dict[tuple[str, str], str] = {}
_COOKIE = re.compile(r"workevo_session=([^;]*)")


@dataclass
class Visit:
    """One browser: it keeps its cookie, and follows no redirect by itself."""

    address: str
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, *, part: bool = False) -> HttpAnswer:
        """`part`: as a script of the page asks."""
        return self._request("GET", path, {"hx-request": "true"} if part else {}, None)

    def post(
        self, path: str, form: Mapping[str, str], *, csrf: str | None = None, part: bool = False
    ) -> HttpAnswer:
        """A form with the token of a page of this session, unless another is given; `part` as in `get`."""
        token = self.csrf() if csrf is None else csrf
        body = urlencode({"csrf": token, **form}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return self._request("POST", path, headers | ({"hx-request": "true"} if part else {}), body)

    def csrf(self) -> str:
        found = _CSRF.search(self.get("/console/people").body.decode())
        return found.group(1) if found else ""

    def sign_in(self, key: str) -> HttpAnswer:
        return self._request(
            "POST",
            "/console/sign-in",
            {"content-type": "application/x-www-form-urlencoded"},
            urlencode({"key": key}).encode(),
        )

    def _request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> HttpAnswer:
        kept = {"cookie": f"workevo_session={self.cookie}"} if self.cookie else {}
        answer = request(self.address, method, path, headers={**self.headers, **kept, **headers}, body=body)
        found = _COOKIE.search(answer.headers.get("set-cookie", ""))
        if found:
            self.cookie = found.group(1).strip('"')
        return answer


def signed_in(server: ServerProcess, role: str = "admin") -> Visit:
    """With a key of this role."""
    visit = Visit(server.http_address)
    assert visit.sign_in(key_of(server, role)).status == 303
    return visit


def signed_in_to(server: ServerProcess, keys: Keys, role: str) -> Visit:
    """Another workspace than the server's first, with a key made for this visit."""
    visit = Visit(server.http_address)
    key = keys.admin_key if role == "admin" else new_key(server, role, keys.workspace_id)
    assert visit.sign_in(key).status == 303
    return visit


def key_of(server: ServerProcess, role: str) -> str:
    """The same whenever it is asked for, and not to be revoked."""
    if role == "admin":
        return server.keys.admin_key
    known = (server.keys.workspace_id, role)
    if known not in _made:
        _made[known] = new_key(server, role)
    return _made[known]


def new_key(server: ServerProcess, role: str, workspace_id: str = "") -> str:
    """Of a person. The server knows it when this returns: on PostgreSQL it hears of it a moment later."""
    of = workspace_id or server.keys.workspace_id
    key = str(server.administer("key.create", {"workspace": of, "kind": role}, is_heard=False)["key"])
    deadline = time.monotonic() + HEARS_SECONDS_MAX
    while Visit(server.http_address).sign_in(key).status != 303:
        assert time.monotonic() < deadline
        time.sleep(HEARS_WITHIN_SECONDS)
    return key


def one_of_each(begin: Sequence[str], links_of: Callable[[str], Iterable[str]]) -> dict[str, str]:
    """The address of one page of each kind, found by following links: kinds differ in their path, ids apart,
    or in which queries they take. `links_of` opens a page and gives the addresses of its links."""
    found: dict[str, str] = {}
    waiting = list(begin)
    while waiting:
        path = waiting.pop(0)
        address = urlsplit(path)
        takes = sorted({part.partition("=")[0] for part in address.query.split("&") if part})
        kind = _IDS.sub("/people/*", address.path) + ("?" + "&".join(takes) if takes else "")
        is_page = address.path.startswith("/console/") and not _NO_PAGE.match(address.path)
        if is_page and kind not in found:
            found[kind] = path
            waiting += links_of(path)
    return found
