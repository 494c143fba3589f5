"""A browser that is killed keeps what its pages told (R30)."""

from collections import Counter
from contextlib import suppress

import pytest
from playwright.sync_api import Error

from workevo_testing.server_process import ServerProcess
from workevo_testing.shop import PageServer, Profile, Shop, wait_until

pytestmark = pytest.mark.timeout(90)


def test_what_was_queued_in_a_browser_that_was_killed_arrives_once_it_runs_again(
    server: ServerProcess, pages: PageServer, key: str, profile: Profile
) -> None:
    context = profile.start()
    shop = Shop(server, pages, key, context)
    page = shop.open()
    context.set_offline(True)
    page.evaluate("() => { for (const n of [1, 2, 3]) Workevo('trackEvent', 'before the crash ' + n); }")
    wait_until(page, lambda: shop.state(page).get("last") == 3)
    profile.kill()
    with suppress(Error):
        context.close()

    context = profile.start()
    shop = Shop(server, pages, key, context)
    page = shop.open()
    visitor = shop.state(page)["visitor"]
    wait_until(page, lambda: shop.back_end().names(visitor_id=visitor).total() == 3)
    names = shop.back_end().names(visitor_id=visitor)
    balance = shop.back_end().balance(shop.state(page)["install"])
    context.close()

    assert names == Counter(f"before the crash {n}" for n in (1, 2, 3))
    assert (balance.generated, balance.stored, balance.open) == (3, 3, 0)
