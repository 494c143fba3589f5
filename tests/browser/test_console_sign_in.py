"""Signing in and out in a real browser, which says of its own accord where a form comes from."""

import re

from playwright.sync_api import BrowserContext, expect

from workevo_testing.console import key_of
from workevo_testing.server_process import ServerProcess


def test_a_browser_signs_in_with_a_key_and_out_again(server: ServerProcess, context: BrowserContext) -> None:
    """Under the policy no-referrer chromium sends `Origin: null`, and no form would be taken as ours."""
    page = context.new_page()
    page.goto(f"http://{server.http_address}/console/people")

    page.get_by_label("Key").fill(key_of(server, "viewer"))
    page.get_by_role("button", name="Sign in").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("People")

    page.locator("details.who summary").press("Enter")
    page.get_by_role("button", name="Sign out").press("Enter")
    expect(page).to_have_url(re.compile("/console/sign-in$"))
    page.goto(f"http://{server.http_address}/console/people")
    expect(page.get_by_label("Key")).to_be_visible()
