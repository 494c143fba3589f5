"""The console's catalogue and the page of one event (R1, R2, R10, R20, R22 to R24), on both stores."""

import re
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import grpc
import pytest

from workevo.tracking.v1 import verdict_pb2
from workevo_testing.console import Visit, signed_in_to
from workevo_testing.http_calls import HttpAnswer
from workevo_testing.server_process import Keys, ServerProcess
from workevo_testing.wire_calls import Phone, event

HOSTILE = {
    "markup": "<script>alert(1)</script>",
    "quotes": "\"><img src=x onerror='alert(1)'>",
    "nul": "nul\0here",
    "slashes": "a/../b//c?d=e&f#g",
    "line break": "two\r\nlines",
    "right to left": "paid \u202eecnalab",
    "percent": "50%00%",
    "wide": "漢" * 255,
    "joined": "\U0001f469\u200d\U0001f680 ok",
}


@dataclass
class Shop:
    """A workspace of its own, its phone, and somebody who looks at its console."""

    server: ServerProcess
    keys: Keys
    phone: Phone

    def visit(self, role: str = "support") -> Visit:
        return signed_in_to(self.server, self.keys, role)

    def audit(self) -> str:
        entries = self.server.audit(self.keys.workspace_id)
        return "\n".join(f"{entry['made_by']} {entry['action']}" for entry in entries)

    def set(self, setting: str, value: str) -> None:
        self.server.set(self.keys.workspace_id, **{setting: value})


@pytest.fixture
def shop(channel: grpc.Channel, server: ServerProcess) -> Shop:
    keys = server.create_workspace(f"Console {uuid.uuid4().hex}")
    return Shop(server, keys, Phone(channel, keys.sdk_key))


def address(word: str, name: str, **more: Any) -> str:
    path = f"/console/event/{word}" if word else "/console/event"
    return f"{path}?{urlencode({'name': name, **more})}"


def text(answer: HttpAnswer) -> str:
    return answer.body.decode()


def listed(answer: HttpAnswer) -> list[str]:
    """The names of a page of the catalogue as they are shown, in order."""
    found = re.findall(r'<h2><a href="[^"]*"><bdi class="event-name"[^>]*>(.*?)</bdi>', text(answer))
    return list(found)


def test_the_catalogue_tells_of_each_name_how_many_who_and_how_many_names_may_be(shop: Shop) -> None:
    shop.phone.upload(
        [
            event(1, name="invited-friend", visitor_id="v1"),
            event(2, name="opened"),
            event(3, name="opened"),
        ]
    )

    page = shop.visit("viewer").get("/console/events")

    assert page.status == 200
    assert listed(page) == ["Opened", "Invited friend"]
    assert "2 of 500 names in use" in text(page)
    invited = text(page).split('<li class="named">')[2]
    assert '<span class="kind visitor">visitor</span>' in invited
    assert "<dt>Stored</dt><dd>1</dd>" in invited


def test_names_are_narrowed_by_text_as_sent_or_shown_and_by_who_did_them_and_put_in_order(shop: Shop) -> None:
    shop.phone.upload([event(1, name="invited-friend", visitor_id="v1"), event(2, name="Éclair eaten")])
    visit = shop.visit("viewer")

    assert listed(visit.get("/console/events?q=invited+friend")) == ["Invited friend"]
    assert listed(visit.get("/console/events?q=INVITED-FR")) == ["Invited friend"]
    assert listed(visit.get("/console/events?" + urlencode({"q": "E\u0301CLAIR"}))) == ["Éclair eaten"]
    assert listed(visit.get("/console/events?who=users")) == ["Éclair eaten"]
    assert listed(visit.get("/console/events?who=leads")) == []
    assert listed(visit.get("/console/events?sort=new")) == ["Éclair eaten", "Invited friend"]
    assert "No name is like that" in text(visit.get("/console/events?q=nothing"))


@pytest.mark.parametrize("asked", ["state=x", "who=men", "sort=size", "from=-1", "from=²", "page=forged"])
def test_an_address_that_no_page_of_ours_has_gets_a_page_with_a_sentence(shop: Shop, asked: str) -> None:
    answer = shop.visit("viewer").get("/console/events?" + quote(asked, safe="="))

    assert answer.status == 400
    assert 'role="alert"' in text(answer)


def test_a_catalogue_of_many_names_goes_on_where_it_stood_and_shows_each_once(shop: Shop) -> None:
    names = [f"name {number:03}" for number in range(120)]
    shop.phone.upload([event(1 + place, name=name) for place, name in enumerate(names)])
    visit = shop.visit("viewer")

    seen: list[str] = []
    at = "/console/events?sort=name"
    while at:
        page = visit.get(at, part=bool(seen))
        seen += listed(page)
        found = re.search(r'class="more" hx-get="([^"]*)"', text(page))
        at = found.group(1).replace("&amp;", "&") if found else ""

    assert seen == [name.capitalize() for name in names]


def test_a_description_is_given_in_place_by_a_script_and_by_a_plain_form_and_the_audit_names_the_key(
    shop: Shop,
) -> None:
    shop.phone.upload([event(1, name="invited-friend")])
    visit = shop.visit()
    form = text(visit.get(address("describe", "invited-friend"), part=True))
    assert form.lstrip().startswith('<form class="described"')
    assert "<!doctype html>" in text(visit.get(address("describe", "invited-friend")))

    plain = visit.post(address("describe", "invited-friend"), {"description": "Sent by <b>hand</b>\r\ntwice"})
    assert plain.status == 303
    after = text(visit.get(plain.headers["location"]))
    assert "The description is saved." in after
    assert "Sent by &lt;b&gt;hand&lt;/b&gt;<br>twice" in after
    assert "Sent by &lt;b&gt;hand&lt;/b&gt;<br>twice" in text(visit.get("/console/events"))

    part = visit.post(address("describe", "invited-friend"), {"description": "By script"}, part=True)
    assert (part.status, text(part).lstrip()[:23]) == (200, '<div class="described">')
    assert "By script" in text(part)
    assert shop.audit().count("event_definition.describe") == 2
    assert "wk_support_" in shop.audit()


def test_a_description_that_is_too_long_is_kept_in_its_form_with_the_reason(shop: Shop) -> None:
    shop.phone.upload([event(1, name="opened")])
    visit = shop.visit()

    answer = visit.post(address("describe", "opened"), {"description": "x" * 1001})

    assert answer.status == 422
    assert "A description has at most 1,000 code points." in text(answer)
    assert "x" * 1001 in text(answer)
    assert "x" * 1001 not in text(visit.get(address("", "opened")))


def test_archiving_says_what_it_means_and_unarchiving_brings_everything_back(shop: Shop) -> None:
    shop.phone.upload([event(1, name="opened"), event(2, name="closed")])
    visit = shop.visit()
    before = text(visit.get(address("archive", "opened")))
    for told in ("summaries, timelines, pickers", "stays stored", "answered ARCHIVED and not stored"):
        assert told in before
    assert listed(visit.get("/console/events")) == ["Opened", "Closed"], "Asking changes nothing."

    archived = visit.post(address("archive", "opened"), {})
    assert archived.status == 303
    assert "The name is archived." in text(visit.get(archived.headers["location"]))
    answer = shop.phone.upload([event(3, name="opened"), event(4, name="opened")])
    assert {each.verdict for each in answer.results} == {verdict_pb2.VERDICT_ARCHIVED}
    assert listed(visit.get("/console/events")) == ["Closed"]
    tab = visit.get("/console/events?state=archived")
    assert listed(tab) == ["Opened"]
    assert "<dt>Arrived since</dt><dd>2</dd>" in text(tab)
    assert "<dt>Stored</dt><dd>1</dd>" in text(tab)
    assert "1 of 500 names in use" in text(tab)

    back = visit.post(address("unarchive", "opened"), {})
    assert "back in use" in text(visit.get(back.headers["location"]))
    assert listed(visit.get("/console/events")) == ["Opened", "Closed"]
    assert [each in shop.audit() for each in ("event_definition.archive", "event_definition.unarchive")]


def test_in_place_archiving_answers_with_its_row_the_way_back_and_the_names_in_use(shop: Shop) -> None:
    shop.phone.upload([event(1, name="opened"), event(2, name="closed")])
    visit = shop.visit()

    asked = text(visit.get(address("archive", "opened"), part=True))
    done = text(visit.post(address("archive", "opened"), {}, part=True))
    kept = text(visit.get(address("archive", "closed", keep=1), part=True))

    assert asked.lstrip().startswith('<form class="archive"')
    assert "The name is archived." in done
    assert "Unarchive" in done
    assert 'id="in-use" class="quiet" hx-swap-oob="true">1 of 500' in done
    assert kept.lstrip().startswith('<div class="archive">')


def test_a_full_catalogue_takes_no_name_back_and_says_so_in_place_and_without_scripts(shop: Shop) -> None:
    """R10."""
    shop.phone.upload([event(1, name="opened")])
    visit = shop.visit()
    visit.post(address("archive", "opened"), {})
    shop.set("event_names_max", "1")
    shop.phone.upload([event(2, name="closed")])

    part = visit.post(address("unarchive", "opened"), {}, part=True)
    plain = visit.post(address("unarchive", "opened"), {})

    sentence = "The workspace has as many event names in use as it may."
    assert part.status == 422
    assert sentence in text(part)
    assert sentence in text(visit.get(plain.headers["location"]))
    assert "1 of 1 names in use: events of further names are rejected" in text(visit.get("/console/events"))
    assert listed(visit.get("/console/events?state=archived")) == ["Opened"]


def test_a_name_is_switched_off_on_devices_and_on_again(shop: Shop) -> None:
    shop.phone.upload([event(1, name="opened")])
    visit = shop.visit()

    visit.post(address("disable", "opened"), {})
    assert list(shop.phone.upload().client_config.disabled_names) == ["opened"]
    assert "Devices are asked not to send it." in text(visit.get(address("", "opened")))

    visit.post(address("enable", "opened"), {})
    assert list(shop.phone.upload().client_config.disabled_names) == []


def test_a_viewer_sees_no_form_and_may_change_nothing(shop: Shop) -> None:
    shop.phone.upload([event(1, name="opened")])
    visit = shop.visit("viewer")

    for page in (visit.get("/console/events"), visit.get(address("", "opened"))):
        assert page.status == 200
        assert re.findall(r'<form method="post" action="([^"]*)"', text(page)) == ["/console/sign-out"]
        assert "/console/event/" not in text(page)
    for word in ("describe", "archive"):
        assert visit.get(address(word, "opened")).status == 403
    for word in ("describe", "archive", "unarchive", "disable", "enable"):
        assert visit.post(address(word, "opened"), {"description": "x"}).status == 403
    assert listed(visit.get("/console/events")) == ["Opened"]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_name_is_shown_found_described_archived_and_brought_back(shop: Shop, name: str) -> None:
    shop.phone.upload([event(1, name=name)])
    visit = shop.visit()
    page = text(visit.get("/console/events"))
    links = re.findall(r'<h2><a href="([^"]*)"', page)

    assert len(links) == 1
    assert visit.get(links[0].replace("&amp;", "&")).status == 200
    forms = re.findall(r'hx-get="([^"]*describe[^"]*)"', page)
    form = text(visit.get(forms[0].replace("&amp;", "&"), part=True))
    action = re.findall(r'action="([^"]*)"', form)[0].replace("&amp;", "&")
    assert visit.post(action, {"description": "fine"}).status == 303
    for word in ("archive", "unarchive"):
        assert visit.post(address(word, name), {}).status == 303
    for shown in (page, form, text(visit.get(address("", name)))):
        assert "<script>alert" not in shown
        assert "<img" not in re.sub(r'<img src="/console/static[^>]*>', "", shown)
        assert "\0" not in shown
        assert "\u202e" not in shown
    assert "fine" in text(visit.get(address("", name)))


@pytest.mark.parametrize("name", ["", "   ", "unknown", "x" * 256], ids=["none", "blank", "unknown", "long"])
def test_a_name_that_no_event_has_gets_a_page_that_says_so(shop: Shop, name: str) -> None:
    visit = shop.visit()

    for answer in (visit.get(address("", name)), visit.get(address("archive", name))):
        assert answer.status in {400, 404}
        assert 'role="alert"' in text(answer)
    assert visit.post(address("archive", name), {}).status in {400, 404}


def test_the_names_of_another_workspace_are_nowhere(shop: Shop, server: ServerProcess) -> None:
    shop.phone.upload([event(1, name="secret plan")])
    other = server.create_workspace(f"Other {uuid.uuid4().hex}")
    visit = signed_in_to(server, other, "support")

    assert "No event has arrived yet" in text(visit.get("/console/events"))
    assert visit.get(address("", "secret plan")).status == 404
    assert visit.post(address("archive", "secret plan"), {}).status == 404
    assert listed(shop.visit().get("/console/events")) == ["Secret plan"]
