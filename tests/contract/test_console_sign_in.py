"""Who gets into the console, for how long, and what a form has to carry (R31)."""

import gzip
import re
from contextlib import ExitStack
from pathlib import Path
from select import select
from urllib.parse import urlencode

import grpc
import pytest

from workevo_server.transport.http.limits import STRANGER_FORM_BYTES_MAX
from workevo_server.transport.limits import STRANGERS_ARRIVING_MAX
from workevo_testing.console import Visit, key_of, new_key, signed_in
from workevo_testing.http_calls import CALL_SECONDS_MAX, RawConnection
from workevo_testing.pool import wait_until
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import ServerProcess, prefix_of
from workevo_testing.wire_calls import Phone, event

_FORM = {"content-type": "application/x-www-form-urlencoded"}


def _link(server: ServerProcess) -> str:
    on_file = server.store is None  # Only a server on a file is asked, and knows it by itself.
    where = () if on_file else ("--console-url", f"http://{server.http_address}")
    url = server.command("console", "link", server.keys.workspace_id, *where).strip()
    assert url.startswith(f"http://{server.http_address}/console/sign-in/")
    return url.removeprefix(f"http://{server.http_address}")


def test_who_is_not_signed_in_is_asked_to_and_then_sees_the_page_that_was_wanted(
    server: ServerProcess,
) -> None:
    visit = Visit(server.http_address)

    asked = visit.get("/console/people?q=a%20b")
    assert asked.status == 303
    door = asked.headers["location"]
    assert door == "/console/sign-in?next=%2Fconsole%2Fpeople%3Fq%3Da%2520b"
    form = visit.get(door).body.decode()
    wanted = re.search(r'name="next" value="([^"]*)"', form)
    assert wanted is not None
    signed = visit._request(
        "POST",
        "/console/sign-in",
        _FORM,
        urlencode({"key": key_of(server, "viewer"), "next": wanted.group(1)}).encode(),
    )

    assert (signed.status, signed.headers["location"]) == (303, "/console/people?q=a%20b")
    assert visit.get("/console/people?q=a%20b").status == 200


def test_nobody_is_sent_to_another_site_after_signing_in(server: ServerProcess) -> None:
    key = key_of(server, "viewer")
    for elsewhere in ("https://evil.example/console/", "//evil.example", "/events", "/console/\\evil"):
        visit = Visit(server.http_address)
        body = urlencode({"key": key, "next": elsewhere}).encode()
        signed = visit._request("POST", "/console/sign-in", _FORM, body)
        assert (signed.status, signed.headers["location"]) == (303, "/console")


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(server: ServerProcess) -> None:
    signed = Visit(server.http_address).sign_in(key_of(server, "viewer"))

    cookie = signed.headers["set-cookie"].lower()
    assert {"httponly", "samesite=lax", "path=/console", "max-age=43200"} <= set(cookie.split("; "))


def test_keys_of_programs_and_keys_that_open_nothing_do_not_sign_in(server: ServerProcess) -> None:
    for key, told in (
        (server.keys.sdk_key, "for programs"),
        (server.keys.server_key, "for programs"),
        (server.keys.browser_key, "for programs"),
        ("wk_admin_unknown", "unknown here"),
        ("", "unknown here"),
        ("\0" * 10_000, "unknown here"),
    ):
        visit = Visit(server.http_address)
        refused = visit.sign_in(key)
        assert refused.status == 422
        assert told in refused.body.decode()
        assert "set-cookie" not in refused.headers
        assert not key or key not in refused.body.decode()


def test_a_link_signs_in_once(server: ServerProcess) -> None:
    link = _link(server)
    first, second = Visit(server.http_address), Visit(server.http_address)

    assert first.get(link).headers["location"] == "/console"
    assert first.get("/console/settings").status == 200
    again = second.get(link)

    assert again.status == 422
    assert "used already" in again.body.decode()
    assert second.get("/console/people").status == 303


def test_a_link_is_no_session_and_a_session_no_link(server: ServerProcess) -> None:
    link = _link(server).rsplit("/", 1)[1]
    assert Visit(server.http_address, cookie=link).get("/console/people").status == 303
    signed = signed_in(server)
    assert Visit(server.http_address).get(f"/console/sign-in/{signed.cookie}").status == 422


def test_a_revoked_key_ends_the_sessions_that_it_opened_and_no_other(server: ServerProcess) -> None:
    key = new_key(server, "support")
    visit, other = Visit(server.http_address), signed_in(server, "support")
    visit.sign_in(key)
    assert visit.get("/console/people").status == 200

    server.revoke(server.keys.workspace_id, key)

    assert visit.get("/console/people").status == 303
    assert other.get("/console/people").status == 200


def test_who_has_signed_out_is_out_even_with_the_old_cookie(server: ServerProcess) -> None:
    visit = signed_in(server)
    kept = visit.cookie

    out = visit.post("/console/sign-out", {})

    assert (out.status, out.headers["location"]) == (303, "/console/sign-in")
    assert Visit(server.http_address, cookie=kept).get("/console/people").status == 303


def test_a_session_sees_the_workspace_of_its_key_and_no_other(server: ServerProcess) -> None:
    other = server.create_workspace("Another tenant")
    visit = Visit(server.http_address)
    visit.sign_in(other.admin_key)

    page = visit.get("/console/settings/keys").body.decode()

    assert "Another tenant" in page
    assert prefix_of(other.admin_key) in page
    assert prefix_of(server.keys.admin_key) not in page


def test_a_form_without_the_sessions_own_token_changes_nothing(server: ServerProcess) -> None:
    visit, other = signed_in(server), signed_in(server)
    before = visit.get("/console/settings/keys").body.decode().count("<tr")

    for token in ("", "0" * 64, other.csrf()):
        refused = visit.post("/console/settings/keys", {"kind": "sdk"}, csrf=token)
        assert refused.status == 403
    visit.headers = {"origin": "https://evil.example"}
    assert visit.post("/console/settings/keys", {"kind": "sdk"}).status == 403
    visit.headers = {"origin": "null"}
    assert visit.post("/console/settings/keys", {"kind": "sdk"}).status == 403

    visit.headers = {"origin": f"http://{server.http_address}"}
    assert visit.get("/console/settings/keys").body.decode().count("<tr") == before
    assert visit.post("/console/settings/keys", {"kind": "sdk"}).status == 200  # Control: ours is taken.
    assert visit.get("/console/settings/keys").body.decode().count("<tr") == before + 1


def test_another_site_cannot_sign_somebody_in(server: ServerProcess) -> None:
    visit = Visit(server.http_address, headers={"origin": "https://evil.example"})
    assert visit.sign_in(key_of(server, "viewer")).status == 403


def test_a_body_that_is_no_form_gets_a_page_with_a_sentence(server: ServerProcess) -> None:
    visit = signed_in(server)
    for body in (b"\xff\xfe", b"a=%ff", b"&".join(b"a=1" for _ in range(300))):
        answer = visit._request("POST", "/console/settings", _FORM, body)
        assert answer.status == 400
        assert "This did not work" in answer.body.decode()
    too_large = visit._request("POST", "/console/settings", _FORM, b"a=" + b"b" * 1024 * 1024)
    assert too_large.status == 413


def _hanging(server: ServerProcess, path: str, count: int, stack: ExitStack) -> list[RawConnection]:
    """Forms that were begun without a session, and never come."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n".encode()
    begun = [stack.enter_context(RawConnection(server.http_address)) for _ in range(count)]
    for connection in begun:
        connection.send(head)
    return begun


def test_who_has_no_key_fills_no_room_but_a_small_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The uploads of both doors arrive in another one, though it be smaller than this."""
    with (
        ServerProcess(tmp_path_factory.mktemp("two"), flags=["--arriving-max", "2"]) as small,
        ExitStack() as stack,
    ):
        rest = Rest(address=small.http_address, key=small.keys.server_key)
        visit = signed_in(small)
        out = _hanging(small, "/console/sign-out", 2, stack)
        assert [each.answer().status for each in out] == [401, 401]
        begun = _hanging(small, "/console/sign-in", STRANGERS_ARRIVING_MAX + 1, stack)

        answered = select([each.socket for each in begun], [], [], CALL_SECONDS_MAX)[0]
        assert [each.answer().status for each in begun if each.socket in answered] == [503]
        assert rest.batch([]).status == 200
        with grpc.insecure_channel(small.grpc_address) as channel:
            assert Phone(channel, small.keys.sdk_key).upload([event(1)]).accepted_count == 1
        assert visit.post("/console/settings/keys", {"kind": "sdk"}).status == 200


def test_a_form_of_a_stranger_is_small(server: ServerProcess) -> None:
    too_large = b"key=" + b"b" * STRANGER_FORM_BYTES_MAX
    for headers, body in (
        (_FORM, too_large),
        (_FORM | {"content-encoding": "gzip"}, gzip.compress(too_large)),
    ):
        assert Visit(server.http_address)._request("POST", "/console/sign-in", headers, body).status == 413


def test_a_part_asked_for_by_a_script_says_that_the_session_has_ended(server: ServerProcess) -> None:
    answer = Visit(server.http_address).get("/console/people", part=True)
    assert answer.status == 401
    assert "Sign in again" in answer.body.decode()
    assert "<html" not in answer.body.decode()


def test_every_answer_carries_the_policy(server: ServerProcess) -> None:
    visit = signed_in(server)
    for answer in (
        visit.get("/console/people"),
        visit.get("/console/people", part=True),
        visit.post("/console/settings/keys", {"kind": "nonsense"}),
        visit.post("/console/settings/keys", {"kind": "sdk"}, csrf="wrong"),
        Visit(server.http_address).get("/console/sign-in"),
        Visit(server.http_address).get("/console/people"),
    ):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.usefixtures("on_each_store")
def test_the_log_of_the_start_has_a_link_that_signs_in(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        wait_until(lambda: "console_ready" in server.log)
        (link,) = re.findall(rf'"console": "http://{server.http_address}(/console[^"]*)"', server.log)
        visit = Visit(server.http_address)

        assert visit.get(link).status == 303
        assert visit.get("/console/people").status == 200


def test_the_log_of_the_start_without_a_workspace_says_where_the_console_is(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, simulated_clock=True) as server:
        wait_until(lambda: "console_ready" in server.log)
        assert f'"console": "http://{server.http_address}/console"' in server.log
