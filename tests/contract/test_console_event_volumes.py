"""How much of an event there was, from where and how late, and who did it last: on the event's page."""

import re
import time
import uuid
from html import unescape
from typing import Any
from urllib.parse import urlencode

import grpc
import pytest

from workevo.tracking.v1 import event_pb2
from workevo_testing.console import Visit, signed_in_to
from workevo_testing.http_calls import HttpAnswer
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import Phone, event


@pytest.fixture
def shop(channel: grpc.Channel, server: ServerProcess) -> tuple[Phone, Visit]:
    keys = server.create_workspace(f"Volumes {uuid.uuid4().hex}")
    return Phone(channel, keys.sdk_key), signed_in_to(server, keys, "viewer")


_CELL = re.compile(r"<t[hd][^>]*>(.*?)</t[hd]>", re.DOTALL)


def recent_event(sequence: int, **fields: Any) -> event_pb2.Event:
    """One that occurred about noon of yesterday, UTC: all of a test on one day, at whatever time it runs."""
    noon = int(time.time()) // 86_400 * 86_400 - 86_400 // 2
    return event(sequence, created_at={"seconds": noon + sequence}, **fields)


def page(visit: Visit, name: str, **more: str) -> HttpAnswer:
    return visit.get("/console/event?" + urlencode({"name": name, **more}))


def table(text: str, name: str) -> list[list[str]]:
    """The cells of each row of a chart's table, its head first."""
    found = re.search(rf'<table id="{name}-table">(.*?)</table>', text, re.DOTALL)
    assert found is not None
    rows = re.findall(r"<tr>(.*?)</tr>", found.group(1), re.DOTALL)
    return [
        [
            re.sub(r"<[^>]*>", "", cell).strip()
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        ]
        for row in rows
    ]


def test_the_numbers_under_a_chart_add_up_to_what_was_stored(shop: tuple[Phone, Visit]) -> None:
    phone, visit = shop
    phone.upload([recent_event(sequence, name="paid") for sequence in range(1, 8)])

    text = page(visit, "paid").body.decode()

    head, *days = table(text, "volume")
    assert head == ["Day", "events"]
    assert len(days) == 30
    assert sum(int(count) for _, count in days) == 7
    assert "7 stored, by when they occurred, day by day in UTC" in text
    platforms = table(text, "platforms")
    assert len(platforms[0]) == 2
    assert sum(int(row[1]) for row in platforms[1:]) == 7


@pytest.mark.parametrize(("asked", "bars"), [("day", 24), ("", 30), ("all", 30)])
def test_a_range_has_its_bars_and_an_unknown_one_is_refused_with_a_sentence(
    shop: tuple[Phone, Visit], asked: str, bars: int
) -> None:
    phone, visit = shop
    phone.upload([event(1, name="paid")])
    assert len(table(page(visit, "paid", range=asked).body.decode(), "volume")) >= bars + 1
    assert page(visit, "paid", range="year").status == 400


def test_keys_are_told_with_their_types_and_examples_and_hostile_ones_do_no_harm(
    shop: tuple[Phone, Visit],
) -> None:
    phone, visit = shop
    phone.upload(
        [
            event(
                1,
                name="paid",
                metadata=[
                    {"key": "plan", "text": "team"},
                    {"key": "<script>alert(1)</script>", "text": "\0<img src=x>"},
                ],
            ),
            event(2, name="paid", metadata=[{"key": "plan", "text": "solo"}]),
        ]
    )

    text = page(visit, "paid").body.decode()

    keys = text[text.index('id="keys-heading"') :]
    assert "Of the latest 2 occurrences" in keys
    assert re.search(r"<bdi>Plan</bdi></th><td>text</td><td class=\"number\">100 %", keys)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "\u2400&lt;img src=x&gt;" in text


def test_the_latest_are_paged_without_skip_or_repeat_and_lead_to_who_did_them(
    shop: tuple[Phone, Visit],
) -> None:
    phone, visit = shop
    phone.upload([event(sequence, name="paid", visitor_id=f"v{sequence}") for sequence in range(1, 51)])

    seen: list[str] = []
    at: str = "/console/event?name=paid"
    while at:
        text = visit.get(at, part=bool(seen)).body.decode()
        assert ("<html" in text) is not bool(seen)
        seen += re.findall(r'class="person" href="/console/people/([^"]+)"', text)
        found = re.search(r'class="more" hx-get="([^"]*)"', text)
        at = unescape(found.group(1)) if found else ""

    assert len(seen) == len(set(seen)) == 50
    assert visit.get(f"/console/people/{seen[0]}").status == 200
    assert page(visit, "paid", page="forged").status == 400


def test_the_catalogue_draws_the_days_of_each_name(shop: tuple[Phone, Visit]) -> None:
    phone, visit = shop
    phone.upload([recent_event(1, name="paid"), recent_event(2, name="paid"), recent_event(3, name="opened")])
    text = visit.get("/console/events").body.decode()
    assert text.count('<svg class="spark"') == 2
    assert 'aria-label="2 in 30 days, 2 on the busiest"' in text
