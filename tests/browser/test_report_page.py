"""The report in a real browser, on a phone and a desktop, by day and by night."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from workevo_simulator.page import PARTS, write_page
from workevo_testing.sample_figures import sample_figures

PHONE, DESKTOP = 360, 1280
CONTRAST_MIN = 4.5  # WCAG 2.2, 1.4.3 AA, for text of any size.
GRAPHIC_CONTRAST_MIN = 3.0  # 1.4.11, for what must be seen to understand.

pytestmark = pytest.mark.timeout(60)


class Watched:
    """A page opened from its file, and everything it complained about or asked for."""

    def __init__(self, context: BrowserContext, path: Path) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())


@pytest.fixture(
    params=[(width, scheme) for width in (PHONE, DESKTOP) for scheme in ("light", "dark")],
    ids=lambda each: f"{each[0]}-{each[1]}",
)
def watched(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Watched]:
    width, scheme = request.param
    with browser.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme) as context:
        yield Watched(context, report)


def open_all_details(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


def test_the_page_fits_its_width_and_neither_complains_nor_asks_for_anything(watched: Watched) -> None:
    open_all_details(watched.page)

    widths = watched.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")

    assert widths[0] <= widths[1]
    assert watched.complaints == []
    assert [url for url in watched.requests if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in watched.requests if url.startswith("file:")]) == 1


def test_nothing_sticks_out_of_the_page_at_a_phones_width(browser: Browser, report: Path) -> None:
    """Content that is cut off, not scrolled to, would pass the test above."""
    with browser.new_context(viewport={"width": PHONE, "height": 740}) as context:
        page = Watched(context, report).page
        open_all_details(page)
        out = page.evaluate(
            """() => [...document.querySelectorAll('main *, header *, footer *')]
                .filter((each) => !each.closest('.scroll, .unseen') && each.getClientRects().length)
                .filter((each) => { const box = each.getBoundingClientRect();
                                    return box.left < -1 || box.right > innerWidth + 1; })
                .map((each) => each.outerHTML.slice(0, 120))"""
        )
    assert out == []


def test_every_chart_over_time_is_drawn(watched: Watched) -> None:
    inked = watched.page.evaluate(
        """() => [...document.querySelectorAll('figure.chart canvas')].map((canvas) => {
            const dots = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            let inked = 0;
            for (let at = 3; at < dots.length; at += 4) inked += dots[at] > 0;
            return inked / (dots.length / 4);
        })"""
    )

    assert len(inked) == watched.page.locator("figure.chart").count() == 4
    assert min(inked) > 0.01


def test_a_chart_tells_the_numbers_of_the_table(browser: Browser, report: Path) -> None:
    with browser.new_context(viewport={"width": DESKTOP, "height": 900}) as context:
        page = Watched(context, report).page
        chart = page.locator("figure.chart").nth(3)
        chart.scroll_into_view_if_needed()
        chart.locator(".u-over").hover()
        told = chart.locator("output").all_text_contents()
        when = (chart.locator(".when").text_content() or "").removeprefix(" · ")
        cells = page.locator("#hours-table tbody tr", has_text=when).locator("td").all_text_contents()

    assert when
    assert told == cells[4:7]


def test_a_chart_is_drawn_again_when_night_falls(browser: Browser, report: Path) -> None:
    draw = "document.querySelector('figure.chart canvas').toDataURL()"
    with browser.new_context(color_scheme="light") as context:
        page = Watched(context, report).page
        page.wait_for_selector("canvas")
        by_day = page.evaluate(draw)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(f"(before) => {draw} !== before", arg=by_day, timeout=5000)


def test_every_number_is_there_without_scripts(browser: Browser, report: Path) -> None:
    figures = sample_figures()
    with browser.new_context(java_script_enabled=False) as context:
        page = Watched(context, report).page
        text = page.inner_text("#balance")
        rows = page.locator("#hours-table tbody tr").count()
        notes = page.locator(".plot .note").all_inner_texts()

    assert all(f"{getattr(figures.balance, part):,}" in text for part in PARTS)
    assert rows == len(figures.hours)
    assert notes == ["Drawn where scripts run; the numbers are in the table below."] * 4


CONTRASTS = """() => {
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
  const parts = (color) => (color.match(/[\\d.]+/g) || []).map(Number);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = parts(getComputedStyle(each).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const contrast = (one, other) => {
    const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const found = { texts: [], graphics: [] };
  const note = (list, element, color) => list.push(
    [contrast(parts(color), ground(element)), element.outerHTML.slice(0, 120)]);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
    if (element.closest('script, style, title, .unseen, .skip')) continue;
    const style = getComputedStyle(element);
    note(found.texts, element, element.closest('svg') ? style.fill : style.color);
  }
  document.querySelectorAll('[class^="l-"], [class^="k-"], .mean').forEach(
    (each) => note(found.graphics, each, getComputedStyle(each).stroke));
  document.querySelectorAll('.f-stored, .f-plain, .n-online, .n-slow, .n-offline').forEach(
    (each) => note(found.graphics, each, getComputedStyle(each).fill));
  return found;
}"""


def test_texts_and_lines_stand_out_from_their_ground(watched: Watched) -> None:
    open_all_details(watched.page)

    found = watched.page.evaluate(CONTRASTS)

    assert len(found["texts"]) > 1000
    assert len(found["graphics"]) > 50
    assert [each for each in found["texts"] if each[0] < CONTRAST_MIN] == []
    assert [each for each in found["graphics"] if each[0] < GRAPHIC_CONTRAST_MIN] == []


def test_what_is_drawn_is_named_or_left_out_for_those_who_listen(watched: Watched) -> None:
    unnamed = watched.page.evaluate(
        """() => [...document.querySelectorAll('svg, canvas')]
            .filter((each) => !each.parentElement.closest('svg'))
            .filter((each) => each.getAttribute('aria-hidden') !== 'true'
                              && !(each.getAttribute('role') === 'img' && each.getAttribute('aria-label')))
            .map((each) => each.outerHTML.slice(0, 120))"""
    )

    assert unnamed == []


def test_the_page_is_well_ordered_for_those_who_listen(browser: Browser, report: Path) -> None:
    def every(context: Page, selector: str, of: str) -> list[str]:
        found: list[str] = context.evaluate(
            f"[...document.querySelectorAll('{selector}')].map((each) => {of})"
        )
        return found

    with browser.new_context() as context:
        page = Watched(context, report).page
        levels = [int(tag[1]) for tag in every(page, "h1,h2,h3,h4", "each.tagName")]
        ids = every(page, "[id]", "each.id")
        named = every(page, "[aria-labelledby]", "each.getAttribute('aria-labelledby')")

        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert len(ids) == len(set(ids))
        assert set(named) <= set(ids)
        assert page.locator("html").get_attribute("lang") == "en"
        assert page.locator("main").count() == 1
        assert page.locator("th:not([scope])").count() == 0
        assert page.locator("section table").count() > 10


def test_every_control_can_be_reached_and_used_with_a_keyboard(browser: Browser, report: Path) -> None:
    with browser.new_context(viewport={"width": DESKTOP, "height": 900}) as context:
        page = Watched(context, report).page
        controls = page.locator("summary").count() + page.locator("a").count()
        for _ in range(controls):
            page.keyboard.press("Tab")
            page.evaluate("document.activeElement.dataset.reached = 'yes'")
        page.locator("summary").first.focus()
        page.keyboard.press("Enter")

        assert page.locator("summary[data-reached], a[data-reached]").count() == controls
        assert page.locator("details").first.get_attribute("open") is not None


ATTEMPTS = """async () => {
  const refused = [];
  document.addEventListener('securitypolicyviolation', (each) => refused.push(each.effectiveDirective));
  const script = document.createElement('script');
  script.textContent = 'window.ran = true';
  document.body.append(script);
  const image = document.createElement('img');
  image.src = 'http://127.0.0.1:9/picture.png';
  document.body.append(image);
  await fetch('http://127.0.0.1:9/').catch(() => null);
  await new Promise((resolve) => setTimeout(resolve, 200));
  return [window.ran === true, [...new Set(refused)].sort()];
}"""


def test_the_pages_own_policy_refuses_other_scripts_and_every_request(browser: Browser, report: Path) -> None:
    with browser.new_context() as context:
        ran, refused = Watched(context, report).page.evaluate(ATTEMPTS)

    assert not ran
    assert refused == ["connect-src", "img-src", "script-src-elem"]


def test_without_the_policy_the_same_attempts_get_further(
    browser: Browser, report: Path, tmp_path: Path
) -> None:
    """The control of the test above."""
    html = report.read_text(encoding="utf-8")
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    assert bare != html
    (tmp_path / "bare.html").write_text(bare, encoding="utf-8")
    with browser.new_context() as context:
        ran, refused = Watched(context, tmp_path / "bare.html").page.evaluate(ATTEMPTS)

    assert ran
    assert refused == []


def test_a_name_with_markup_is_only_a_name(browser: Browser, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)></script><script>alert(2)</script>" + "unbroken" * 12
    figures = sample_figures()
    device = replace(figures.oddities[0], name=name, kind=name, why=name)
    delivery = [replace(figures.delivery[0], kind=name)]
    write_page(
        replace(figures, scenario=name, oddities=[device], delivery=delivery), tmp_path / "report.html"
    )
    with browser.new_context(viewport={"width": PHONE, "height": 740}) as context:
        watched = Watched(context, tmp_path / "report.html")
        title = watched.page.inner_text("h1")
        width = watched.page.evaluate("document.documentElement.scrollWidth")

    assert watched.complaints == []
    assert name in title
    assert width <= PHONE
