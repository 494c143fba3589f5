"""Pictures of every page of the console with the demo's clickstream in it: `scripts/screenshots console`.

The demo runs as a user runs it, and a real browser follows the links of its console. Those that the README
shows go to docs/, all of them to the directory that is named.
"""

import argparse
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from workevo_testing.console import one_of_each

WIDTHS = {"desktop": 1280, "phone": 390}
SCHEMES = ("light", "dark")
IN_README = {
    "people-id": ("profile", "desktop", "light"),
    "event-name": ("event", "desktop", "light"),
    "delivery": ("delivery", "desktop", "dark"),
    "where-install-sequence": ("where", "phone", "light"),
}
"""By the page's name: what its picture in docs/ is called, how wide it is, and when it was taken."""
_ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"http://\S+/console/sign-in/\S+")


@contextmanager
def demo() -> Iterator[str]:
    """A running demo; the link that signs in to its console."""
    command = [sys.executable, "-u", "-m", "workevo_simulator.demo", "tests/data/ecom.csv.gz", "--keep"]
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            sys.stderr.write(line)
            found = _LINK.search(line)
            if found:
                yield found.group()
                return
        raise SystemExit("The demo ended without a link.")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def take(browser: Browser, link: str, out: Path) -> list[str]:
    """Picture every page in every width and scheme; the names of the pages."""
    with browser.new_context(viewport={"width": WIDTHS["desktop"], "height": 900}) as context:
        page = context.new_page()
        page.goto(link)
        origin = link.partition("/console/")[0]
        found = one_of_each(["/console/people", "/console/start"], lambda path: _links(page, origin, path))
        state = context.storage_state()
    for width, pixels in WIDTHS.items():
        for scheme in SCHEMES:
            viewport = {"width": pixels, "height": 900}
            with browser.new_context(
                viewport=viewport,  # type: ignore[arg-type]  # A typed dict of the library's own.
                color_scheme=scheme,  # type: ignore[arg-type]
                storage_state=state,
                timezone_id="Europe/Berlin",
                locale="en-GB",
            ) as context:
                page = context.new_page()
                for kind, path in found.items():
                    page.goto(origin + path, wait_until="load")
                    page.wait_for_timeout(400)  # Charts are drawn after the page is there.
                    page.screenshot(path=out / f"{_name(kind)}-{width}-{scheme}.png")
    return [_name(kind) for kind in found]


def _links(page: Page, origin: str, path: str) -> list[str]:
    page.goto(origin + path)
    found: list[str] = page.eval_on_selector_all(
        "a[href^='/console']", "links => links.map(link => link.getAttribute('href'))"
    )
    return found


def _name(kind: str) -> str:
    return re.sub(r"[^a-z]+", "-", kind.removeprefix("/console/").replace("*", "id").lower()).strip("-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where all pictures go")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("This needs chromium: apt-get install -y chromium fonts-dejavu-core (Debian)")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with demo() as link, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        )
        names = take(browser, link, arguments.out)
        browser.close()
    missing = set(IN_README) - set(names)
    if missing:
        raise SystemExit(f"Pages that the README shows were not found: {', '.join(sorted(missing))}.")
    for name, (called, width, scheme) in IN_README.items():
        shutil.copy(arguments.out / f"{name}-{width}-{scheme}.png", _ROOT / "docs" / f"console-{called}.png")


if __name__ == "__main__":
    main()
