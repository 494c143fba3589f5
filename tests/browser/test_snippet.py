"""The snippet in a real browser: whatever becomes of the page, each event arrives exactly once (R30)."""

import gzip
import hashlib
import hmac
import re
import time
from collections import Counter

import pytest
from playwright.sync_api import BrowserContext, Page

from workevo.insight.v1 import people_pb2
from workevo_testing.http1_proxy import Http1Proxy
from workevo_testing.server_process import ServerProcess
from workevo_testing.shop import PageServer, Shop, browser_key, get, wait_until

SCRIPT_BYTES_MAX = 6000
SCRIPT_URL = "**/workevo.js"
SKEW = "<script>{ const real = Date.now; window.skew = 0; Date.now = () => real() + skew; }</script>"

pytestmark = pytest.mark.timeout(90)


def track(page: Page, *names: str) -> None:
    page.evaluate("(names) => names.forEach((name) => Workevo('trackEvent', name))", list(names))


def arrived_once(shop: Shop, page: Page | None, names: list[str], **whom: str) -> None:
    """They come, each once, and nothing comes after them."""
    arrivals = shop.back_end()
    wait_until(page, lambda: sum(arrivals.names(**whom).values()) >= len(names))
    assert arrivals.names(**whom) == Counter(names)


def queued(page: Page, shop: Shop) -> int:
    """How many sequences the queue has given."""
    return int(shop.state(page).get("last", 0))


def script_path(snippet: str) -> str:
    (path,) = re.findall(r'"http://[^"/]+(/browser/[^"]+)"', snippet)
    return str(path)


# What is served


def test_the_script_is_small_and_kept_for_a_year_under_its_version(server: ServerProcess) -> None:
    path = script_path(get(server, "/browser/snippet").body.decode())

    compressed = get(server, path, {"accept-encoding": "gzip"})
    script = get(server, path).body
    again = get(server, path, {"if-none-match": compressed.headers["etag"]})

    assert len(compressed.body) <= SCRIPT_BYTES_MAX
    assert gzip.decompress(compressed.body) == script
    assert compressed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert hashlib.sha256(script).hexdigest().startswith(path.split("/")[-2])
    assert (again.status, again.body) == (304, b"")


def test_an_old_version_and_none_get_the_current_script_and_ask_again_soon(server: ServerProcess) -> None:
    for path in ("/browser/workevo.js", "/browser/000000000000/workevo.js"):
        answer = get(server, path)
        assert b'"use strict"' in answer.body
        assert answer.headers["cache-control"] == "public, max-age=300"


# Each event arrives exactly once


def test_events_before_the_script_has_loaded_arrive_at_their_own_moment(shop: Shop) -> None:
    script_url = f"http://{shop.server.http_address}{script_path(shop.snippet())}"
    shop.pages.script = get(shop.server, script_path(shop.snippet())).body
    shop.pages.script_may_come.clear()
    early = "<script>window.toldAt = Date.now(); Workevo('trackEvent', 'early', {n: 1})</script>"
    shop.write_page(api=shop.server.http_address, body=early)
    shop.pages.html = shop.pages.html.replace(script_url, "/held.js")
    page = shop.context.new_page()
    page.goto(shop.pages.origin, wait_until="commit")
    page.wait_for_function("window.Workevo && Workevo.q.length === 2")
    told_at = page.evaluate("toldAt") / 1e3
    page.wait_for_timeout(1500)
    shop.pages.script_may_come.set()
    wait_until(page, lambda: queued(page, shop) == 1)

    visitor = shop.state(page)["visitor"]
    arrived_once(shop, page, ["early"], visitor_id=visitor)
    (activity,) = shop.back_end().events(visitor_id=visitor)
    assert abs(activity.occurred_at.ToNanoseconds() / 1e9 - told_at) < 1
    assert activity.event.clock_method == people_pb2.CLOCK_METHOD_UPTIME
    assert activity.event.metadata[0].integer == 1


NEVER_OPENS = "<script>IDBFactory.prototype.open = () => new EventTarget();</script>"
"""A database that does not open before the page is left, so that what is told has one place to be kept in."""


def next_page_after_last_words(shop: Shop) -> Page:
    page = shop.open(head=NEVER_OPENS)
    page.wait_for_function("Workevo.version")
    page.evaluate("() => { Workevo('trackEvent', 'last words'); location.href = 'about:blank'; }")
    page.wait_for_url("about:blank")
    page.close()
    return shop.open(body="<script>Workevo('trackEvent', 'next page')</script>")


def test_an_event_of_a_page_that_is_left_in_the_same_breath_arrives_with_the_next_page(shop: Shop) -> None:
    page = next_page_after_last_words(shop)
    wait_until(page, lambda: queued(page, shop) == 2)

    arrived_once(shop, page, ["last words", "next page"], visitor_id=shop.state(page)["visitor"])


def test_what_a_page_queued_goes_out_when_it_is_closed_though_nobody_comes_back(shop: Shop) -> None:
    page = shop.open()
    track(page, "closed soon")
    wait_until(page, lambda: queued(page, shop) == 1)
    visitor = shop.state(page)["visitor"]
    page.close(run_before_unload=True)

    arrived_once(shop, None, ["closed soon"], visitor_id=visitor)
    page = shop.open()
    page.wait_for_timeout(2500)
    assert shop.back_end().names(visitor_id=visitor) == Counter(["closed soon"])


def test_what_is_told_offline_arrives_once_the_network_is_back(shop: Shop) -> None:
    page = shop.open()
    shop.context.set_offline(True)
    names = [f"offline {number}" for number in range(30)]
    track(page, *names)
    wait_until(page, lambda: queued(page, shop) == 30)
    page.wait_for_timeout(2500)
    visitor = shop.state(page)["visitor"]
    assert shop.back_end().events(visitor_id=visitor) == []

    shop.context.set_offline(False)

    arrived_once(shop, page, names, visitor_id=visitor)


def test_what_was_told_offline_outlives_its_page(shop: Shop) -> None:
    page = shop.open()
    page.wait_for_function("Workevo.version")
    shop.context.set_offline(True)
    track(page, "offline and gone")
    page.close()
    shop.context.set_offline(False)
    page = shop.open()
    wait_until(page, lambda: queued(page, shop) == 1)

    arrived_once(shop, page, ["offline and gone"], visitor_id=shop.state(page)["visitor"])


def test_two_tabs_have_one_visitor_one_order_and_one_sender(shop: Shop) -> None:
    first, second = shop.open(), shop.open()
    names = [f"tab {tab} event {number}" for tab in (1, 2) for number in range(40)]
    for number in range(0, 40, 10):
        track(first, *names[number : number + 10])
        track(second, *names[40 + number : 50 + number])
    wait_until(first, lambda: queued(first, shop) == 80)

    state = shop.state(second)
    arrived_once(shop, first, names, visitor_id=state["visitor"])
    balance = shop.back_end().balance(state["install"])
    assert (balance.generated, balance.stored, balance.open, balance.resent) == (80, 80, 0, 0)


def test_a_lost_answer_costs_and_doubles_nothing(shop: Shop) -> None:
    with Http1Proxy(shop.server.http_address, lose_every=2) as proxy:
        page = shop.open(api=proxy.address)
        names = [f"answer {number}" for number in range(60)]
        for number in range(0, 60, 20):
            track(page, *names[number : number + 20])
            page.wait_for_timeout(500)
        wait_until(page, lambda: proxy.lost >= 1 and queued(page, shop) == 60)
        state = shop.state(page)
        arrived_once(shop, page, names, visitor_id=state["visitor"])
        wait_until(page, lambda: shop.back_end().balance(state["install"]).resent > 0)

    balance = shop.back_end().balance(state["install"])
    assert (balance.generated, balance.stored, balance.duplicate) == (60, 60, 0)


def test_a_browser_whose_storage_was_cleared_is_somebody_new_and_nothing_comes_twice(shop: Shop) -> None:
    page = shop.open()
    track(page, "before")
    wait_until(page, lambda: queued(page, shop) == 1)
    before = shop.state(page)
    arrived_once(shop, page, ["before"], visitor_id=before["visitor"])

    session = shop.context.new_cdp_session(page)
    session.send("Storage.clearDataForOrigin", {"origin": shop.pages.origin, "storageTypes": "all"})
    track(page, "after")
    wait_until(page, lambda: queued(page, shop) == 1)
    after = shop.state(page)

    assert after["visitor"] != before["visitor"]
    assert after["epoch"] != before["epoch"]
    arrived_once(shop, page, ["after"], visitor_id=after["visitor"])
    assert shop.back_end().names(visitor_id=before["visitor"]) == Counter(["before"])


@pytest.mark.parametrize("days", [-400, 400])
def test_an_event_keeps_its_moment_though_the_clock_is_changed_after_it(shop: Shop, days: int) -> None:
    page = shop.open(head=SKEW)
    before = page.evaluate("Date.now()") / 1e3
    track(page, "timed")
    after = page.evaluate("Date.now()") / 1e3
    wait_until(page, lambda: queued(page, shop) == 1)
    page.evaluate("(days) => { skew = days * 86400e3; }", days)
    visitor = shop.state(page)["visitor"]

    arrived_once(shop, page, ["timed"], visitor_id=visitor)
    (activity,) = shop.back_end().events(visitor_id=visitor)
    assert before - 2 < activity.occurred_at.ToNanoseconds() / 1e9 < after + 2
    assert activity.event.clock_method == people_pb2.CLOCK_METHOD_UPTIME


def test_a_page_that_has_the_snippet_and_the_script_twice_tells_everything_once(shop: Shop) -> None:
    source = f"http://{shop.server.http_address}{script_path(shop.snippet())}"
    page = shop.open(
        head=shop.snippet().replace("BROWSER_KEY", shop.key),
        body=f"<script>Workevo('trackEvent', 'once')</script><script src='{source}'></script>",
    )
    wait_until(page, lambda: queued(page, shop) == 1)

    arrived_once(shop, page, ["once"], visitor_id=shop.state(page)["visitor"])


# Who it was


def test_a_visitor_becomes_the_user_that_the_page_boots_with(shop: Shop) -> None:
    page = shop.open()
    track(page, "as a visitor")
    wait_until(page, lambda: queued(page, shop) == 1)
    visitor = shop.state(page)["visitor"]
    page.close()
    user_id = f"user of {visitor}"
    page = shop.open(
        boot={"user_id": user_id, "email": f"{visitor}@example.org"},
        body="<script>Workevo('trackEvent', 'as a user')</script>",
    )

    arrived_once(shop, page, ["as a visitor", "as a user"], user_id=user_id)
    kinds = {each.event.name: each.event.contact_kind for each in shop.back_end().events(user_id=user_id)}
    assert kinds == {
        "as a visitor": people_pb2.CONTACT_KIND_VISITOR,
        "as a user": people_pb2.CONTACT_KIND_USER,
    }


def test_after_shutdown_it_is_a_new_visitor(shop: Shop) -> None:
    user_id = "she who logs out"
    page = shop.open(boot={"user_id": user_id})
    page.evaluate(
        """() => {
            Workevo('trackEvent', 'logged in');
            Workevo('shutdown');
            Workevo('trackEvent', 'logged out');
        }"""
    )
    wait_until(page, lambda: queued(page, shop) == 2)

    arrived_once(shop, page, ["logged in"], user_id=user_id)
    arrived_once(shop, page, ["logged out"], visitor_id=shop.state(page)["visitor"])


def test_a_second_user_of_the_browser_is_not_the_first(shop: Shop) -> None:
    page = shop.open(boot={"user_id": "first of two"})
    page.evaluate(
        """() => {
            Workevo('trackEvent', 'the first');
            Workevo('update', {user_id: 'second of two'});
            Workevo('trackEvent', 'the second');
        }"""
    )

    arrived_once(shop, page, ["the first"], user_id="first of two")
    arrived_once(shop, page, ["the second"], user_id="second of two")


def test_a_wrong_user_hash_is_not_believed_and_the_right_one_loses_nothing(
    server: ServerProcess, pages: PageServer, context: BrowserContext
) -> None:
    workspace = server.create_workspace("Enforced")
    secret = server.administer("secret.create", {"workspace": workspace.workspace_id})["secret"]
    server.set(workspace.workspace_id, identity_verification="enforced")
    shop = Shop(server, pages, browser_key(server, workspace.workspace_id, pages.origin), context)
    shop.server_key = workspace.server_key
    page = shop.open(boot={"user_id": "proven", "user_hash": "0" * 64})
    track(page, "claimed")
    wait_until(page, lambda: queued(page, shop) == 1)
    page.wait_for_timeout(3000)
    assert shop.back_end().balance(shop.state(page)["install"]).open == 1
    assert shop.back_end().events(user_id="proven") == []

    right = hmac.new(secret.encode(), b"proven", hashlib.sha256).hexdigest()
    page.evaluate("(hash) => Workevo('update', {user_id: 'proven', user_hash: hash})", right)

    arrived_once(shop, page, ["claimed"], user_id="proven")


# What is refused


def test_a_refused_event_costs_no_other_and_is_told_to_the_developer(shop: Shop) -> None:
    page = shop.open()
    track(page, "good", "x" * 256, "good as well")
    wait_until(page, lambda: queued(page, shop) == 3)

    state = shop.state(page)
    arrived_once(shop, page, ["good", "good as well"], visitor_id=state["visitor"])
    wait_until(page, lambda: any("was refused" in warning for warning in shop.warnings))
    assert shop.back_end().balance(state["install"]).rejected == 1


def test_a_page_of_another_origin_sends_nothing_and_loses_nothing(
    server: ServerProcess, pages: PageServer, context: BrowserContext
) -> None:
    foreign = browser_key(server, server.keys.workspace_id, "https://elsewhere.example")
    shop = Shop(server, pages, foreign, context)
    page = shop.open()
    track(page, "kept")
    wait_until(page, lambda: queued(page, shop) == 1)
    page.wait_for_timeout(2500)

    assert shop.back_end().events(visitor_id=shop.state(page)["visitor"]) == []


def test_mistakes_of_the_page_break_nothing(shop: Shop) -> None:
    page = shop.open(
        body="""<script>
            Workevo('boot'); Workevo('dance'); Workevo(); Workevo('update');
            const round = {}; round.round = round;
            Workevo('trackEvent', undefined, {round});
            Workevo('trackEvent', 'still works', {nothing: undefined});
        </script>"""
    )
    wait_until(page, lambda: queued(page, shop) == 2)

    arrived_once(shop, page, ["still works"], visitor_id=shop.state(page)["visitor"])


# Controls: with a guarantee taken away, the tests above would fail


def sabotage(shop: Shop, told: str, instead: str) -> None:
    script = get(shop.server, script_path(shop.snippet())).body.decode()
    assert told in script
    body = script.replace(told, instead)
    shop.context.route(SCRIPT_URL, lambda route: route.fulfill(body=body, content_type="text/javascript"))


def test_the_control_without_the_journal_last_words_are_lost(shop: Shop) -> None:
    sabotage(shop, "localStorage.setItem(journal + id, JSON.stringify(event));\nevent.journaled = true;", "")

    page = next_page_after_last_words(shop)

    wait_until(page, lambda: shop.back_end().names(visitor_id=shop.state(page)["visitor"]).total() > 0)
    assert shop.back_end().names(visitor_id=shop.state(page)["visitor"]) == {"next page": 1}


def test_the_control_without_the_lock_two_tabs_send_the_same_and_only_the_server_keeps_them_apart(
    shop: Shop,
) -> None:
    sabotage(
        shop,
        'await (navigator.locks ? navigator.locks.request("workevo:" + key, send) : send());',
        "await send();",
    )
    first, second = shop.open(), shop.open()
    names = [f"event {number}" for number in range(80)]
    for number in range(0, 80, 20):
        track(first, *names[number : number + 10])
        track(second, *names[number + 10 : number + 20])
    wait_until(first, lambda: queued(first, shop) == 80)

    state = shop.state(first)
    arrived_once(shop, first, names, visitor_id=state["visitor"])
    wait_until(first, lambda: shop.back_end().balance(state["install"]).resent > 0)


def test_the_control_an_event_deleted_before_its_answer_is_lost_offline(shop: Shop) -> None:
    sabotage(
        shop,
        "const taken = answer && addsUp(answer, sent);",
        "if (!answer) await settle(sent, {}, body); const taken = answer && addsUp(answer, sent);",
    )
    page = shop.open()
    page.wait_for_function("Workevo.version")
    shop.context.set_offline(True)
    track(page, "offline")
    wait_until(page, lambda: queued(page, shop) == 1)
    page.wait_for_timeout(3000)
    shop.context.set_offline(False)
    page.wait_for_timeout(3000)

    assert shop.back_end().names(visitor_id=shop.state(page)["visitor"]) == Counter()


def test_the_control_with_a_boot_id_that_lies_the_clock_misplaces_an_event(shop: Shop) -> None:
    sabotage(shop, "uptimeMillis: Math.round(uptime),\nbootId: boot,", "")
    page = shop.open(head=SKEW)
    before = time.time()
    track(page, "timed")
    wait_until(page, lambda: queued(page, shop) == 1)
    page.evaluate("() => { skew = 400 * 86400e3; }")
    visitor = shop.state(page)["visitor"]

    arrived_once(shop, page, ["timed"], visitor_id=visitor)
    (activity,) = shop.back_end().events(visitor_id=visitor)
    assert abs(activity.occurred_at.ToNanoseconds() / 1e9 - before) > 86400
