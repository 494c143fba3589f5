"""The report's page: what it says is what the figures say, and a name is never more than a name."""

import json
import re
from collections import Counter
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from workevo_simulator.figures import Figures, HourFigures, StripEvent, VerdictFigures
from workevo_simulator.page import PARTS, page, write_figures, write_page
from workevo_testing.sample_figures import sample_figures

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x00\ud800"
FIGURES = sample_figures()


class Elements(HTMLParser):
    """Tags and attributes met, and the text of everything that is neither script nor style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self._raw = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        self._raw = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - as the parser calls it.
        self._raw = False

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def numbers_after(text: str, start: str, end: str) -> list[int]:
    part = text.split(start, 1)[1].split(end, 1)[0]
    return [int(each.replace(",", "")) for each in re.findall(r"[−-]?\d[\d,]*", part)]


def test_the_equation_shown_is_the_balance_and_adds_up() -> None:
    shown = numbers_after(Elements(page(FIGURES)).text, "Where every event went", "wiped")

    balance = FIGURES.balance
    assert shown == [balance.generated, *(getattr(balance, part) for part in PARTS)]
    assert shown[0] == sum(shown[1:])


def test_a_balanced_run_says_so_in_words_and_by_a_sign() -> None:
    text = Elements(page(FIGURES)).text

    assert "✓ Balanced. Every generated event is accounted for" in text
    assert "Not balanced" not in text
    assert "✗" not in text


@pytest.mark.parametrize(
    "change", [{"balanced": False}, {"stored": FIGURES.balance.stored - 3}], ids=["said", "added up"]
)
def test_an_unbalanced_run_says_so_whether_told_or_added_up(change: dict[str, Any]) -> None:
    text = Elements(page(replace(FIGURES, balance=replace(FIGURES.balance, **change)))).text

    assert "✗ Not balanced." in text
    assert "Balanced." not in text.replace("Not balanced.", "")


def test_events_that_no_part_accounts_for_stand_in_the_equation() -> None:
    balance = replace(FIGURES.balance, stored=FIGURES.balance.stored - 3, missing=3, balanced=False)

    text = Elements(page(replace(FIGURES, balance=balance))).text

    assert "✗ Not balanced. 3 events are missing. The parts are 3 too few." in text
    assert "+ 3 unaccounted for" in text
    assert "The parts do not add up: 3 too few" in text
    assert "✗ 3 missing" in text


def test_an_event_that_uptime_misplaced_is_an_alarm() -> None:
    clocks = [replace(each, over_bound=2) if each.method == "UPTIME" else each for each in FIGURES.clocks]

    assert "✓ Every event placed by UPTIME" in Elements(page(FIGURES)).text
    assert "✗ 2 events placed by UPTIME are off" in Elements(page(replace(FIGURES, clocks=clocks))).text


def test_names_with_markup_are_shown_and_do_nothing() -> None:
    device = FIGURES.oddities[0]
    hostile = replace(
        FIGURES,
        scenario=HOSTILE,
        delivery=[replace(FIGURES.delivery[0], kind=HOSTILE)],
        verdicts=[VerdictFigures(verdict=HOSTILE, reason=HOSTILE, count=1)],
        drops={HOSTILE: 1},
        clocks=[replace(FIGURES.clocks[0], method=HOSTILE)],
        oddities=[
            replace(
                device,
                name=HOSTILE,
                kind=HOSTILE,
                why=HOSTILE,
                events=[replace(device.events[0], fate=HOSTILE)],
                network=[replace(device.network[0], state=HOSTILE)],
                marks=[replace(device.marks[0], what=HOSTILE)],
            )
        ],
    )

    met = Elements(page(hostile))

    assert met.tags["script"] == Elements(page(FIGURES)).tags["script"] == 2
    assert met.tags["img"] == 0
    assert not [name for name, _ in met.attributes if name.startswith("on") or name == "style"]
    assert met.text.count("<script>alert(1)</script>") >= 9


def test_a_page_and_its_figures_can_be_written_whatever_a_name_holds(tmp_path: Path) -> None:
    named = replace(FIGURES, scenario=HOSTILE)

    write_page(named, tmp_path / "report.html")
    write_figures(named, tmp_path / "report.json")

    assert "&#55296;" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["scenario"] == HOSTILE


def test_equal_figures_make_equal_files(tmp_path: Path) -> None:
    figures = sample_figures(3)
    turned = replace(sample_figures(3), drops=dict(reversed(list(figures.drops.items()))))
    assert turned == figures
    for name, each in (("a", figures), ("b", turned)):
        write_page(each, tmp_path / f"{name}.html")
        write_figures(each, tmp_path / f"{name}.json")
    write_figures(sample_figures(4), tmp_path / "c.json")

    for kind in ("html", "json"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert (tmp_path / "a.json").read_bytes() != (tmp_path / "c.json").read_bytes()


def plain(value: object) -> object:
    """A figure as JSON has it, by a way of its own."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def test_the_json_holds_every_figure(tmp_path: Path) -> None:
    write_figures(FIGURES, tmp_path / "report.json")

    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == plain(FIGURES)


@pytest.mark.parametrize(
    "drops", [Counter(EXPIRED=2), MappingProxyType({"EXPIRED": 2})], ids=["counter", "view"]
)
def test_the_json_takes_any_mapping(drops: Counter[str], tmp_path: Path) -> None:
    write_figures(replace(FIGURES, drops=drops), tmp_path / "report.json")

    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["drops"] == {"EXPIRED": 2}


def test_the_json_takes_any_sequence(tmp_path: Path) -> None:
    write_figures(replace(FIGURES, calls=replace(FIGURES.calls, returns=range(3))), tmp_path / "report.json")

    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["calls"]["returns"] == [0, 1, 2]


def test_every_count_of_every_figure_is_in_the_page() -> None:
    figures, expected = distinct(sample_figures())

    text = Elements(page(figures)).text

    assert {each for each in expected if each not in text} == set()


def distinct(figures: Figures) -> tuple[Figures, set[str]]:
    """The figures with a number of its own in every count, and how the page writes each."""
    numbers = iter(range(1_000_003, 90_000_000, 10_007))
    shown: set[str] = set()

    def fresh() -> int:
        value = next(numbers)
        shown.add(f"{value:,}")
        return value

    def renewed(value: object) -> dict[str, Any]:
        assert is_dataclass(value)
        return {
            field.name: fresh()
            for field in fields(value)
            if field.type is int and not field.name.endswith("_micros")
        }

    hour: HourFigures = figures.hours[0]
    event: StripEvent = figures.oddities[0].events[0]
    calls = replace(figures.calls, **renewed(figures.calls), returns=[fresh(), fresh()])
    return (
        replace(
            figures,
            device_count=fresh(),
            person_count=fresh(),
            server_kills=fresh(),
            balance=replace(figures.balance, **renewed(figures.balance)),
            hours=[replace(hour, **renewed(hour)), replace(hour, **renewed(hour))],
            delivery=[replace(each, **renewed(each), histogram=[fresh()] * 9) for each in figures.delivery],
            verdicts=[replace(each, **renewed(each)) for each in figures.verdicts],
            drops={reason: fresh() for reason in figures.drops},
            calls=calls,
            clocks=[replace(each, **renewed(each)) for each in figures.clocks],
            oddities=[replace(figures.oddities[0], events=[event])],
        ),
        shown - {f"{calls.bytes_sent:,}"},  # Shown as 1.2 MB.
    )


def test_the_page_of_a_busy_week_stays_under_a_megabyte() -> None:
    busy = sample_figures(busyness=10)

    assert sum(len(device.events) for device in busy.oddities) > 10_000
    assert len(page(busy).encode()) < 1_000_000


def test_a_run_in_which_nothing_happened_can_be_drawn() -> None:
    nothing = replace(
        FIGURES,
        until_micros=FIGURES.from_micros,
        hours=[],
        delivery=[replace(FIGURES.delivery[0], event_count=0, histogram=[0] * 9)],
        verdicts=[],
        drops={},
        calls=replace(FIGURES.calls, returns=[], calls=0, events_sent=0, events_first_sent=0),
        clocks=[],
        oddities=[replace(FIGURES.oddities[0], events=[], network=[], marks=[])],
    )

    text = Elements(page(nothing)).text

    assert "No event was placed by UPTIME." in text
    assert "Nobody was pushed back in this run." in text
