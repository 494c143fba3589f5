"""Delivery in the console: the balance, installs, their strips, rejected events opened and replayed."""

import html
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote, urlencode

import grpc
import pytest

from workevo.tracking.v1 import tracking_pb2
from workevo_testing.console import Visit, signed_in_to
from workevo_testing.http_calls import HttpAnswer
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import Keys, ServerProcess, prefix_of
from workevo_testing.wire_calls import CREATED_AT, Phone, event

HOSTILE = "<script>alert(1)</script>\u202e\x00 \U0001f600" + "w" * 200
FIELD_VALUE = re.compile(r'value="[^"]*"')
"""What is asked for stands in its field as it is, where it turns nothing else around."""
REJECTED_LINK = re.compile(r'href="(/console/delivery/rejected/event\?id=[^"]+)"')


class Office:
    """Somebody of a workspace in which nothing happens but what these tests do."""

    def __init__(self, server: ServerProcess, channel: grpc.Channel, keys: Keys) -> None:
        self.server, self.channel, self.keys = server, channel, keys
        self.rest = Rest(address=server.http_address, key=keys.server_key)
        self.visit = Visit(server.http_address)
        assert self.visit.sign_in(keys.admin_key).status == 303

    def phone(self) -> Phone:
        return Phone(self.channel, self.keys.sdk_key)

    def page(self, path: str, **query: str) -> str:
        return self._told(self.visit.get(f"{path}?{urlencode(query)}" if query else path))

    def part(self, path: str) -> str:
        """As a script of the page asks for what comes next."""
        return self._told(self.visit.get(path, part=True))

    def _told(self, answer: HttpAnswer) -> str:
        assert answer.status == 200, answer.body
        return html.unescape(answer.body.decode())

    def install(self, phone: Phone, **query: str) -> str:
        return self.page("/console/delivery/install", id=phone.install.install_id, **query)

    def rejected(self, **query: str) -> str:
        return self.page("/console/delivery/rejected", **query)


@pytest.fixture(scope="module")
def keys(server: ServerProcess) -> Keys:
    return server.create_workspace("Office")


@pytest.fixture(scope="module")
def office(server: ServerProcess, keys: Keys) -> Iterator[Office]:
    with grpc.insecure_channel(server.grpc_address) as channel:
        yield Office(server, channel, keys)


@pytest.fixture
def phone(office: Office) -> Phone:
    return office.phone()


def told(phone: Phone) -> None:
    """One of each outcome: 10 stored, 2 duplicates, 3 rejected, 4 dropped, 1 in a gap and 5 not sent yet."""
    user = uuid.uuid4().hex
    same = {"name": "paid", "user_id": user, "created_at": {"seconds": CREATED_AT}}
    phone.upload([*(event(n) for n in range(1, 10)), event(10, **same)])
    phone.upload([event(11, **same), event(12, **same), *(event(n, name="") for n in (13, 14, 15))])
    phone.upload([event(17)], last_sequence=25, dropped=[_dropped(18, 21)])


def _dropped(first: int, last: int) -> tracking_pb2.DroppedRange:
    return tracking_pb2.DroppedRange(
        first_sequence=first, last_sequence=last, reason=tracking_pb2.DROP_REASON_QUEUE_FULL
    )


# The workspace --------------------------------------------------------------


def test_an_empty_workspace_is_told_what_will_be_here(server: ServerProcess, office: Office) -> None:
    fresh = Visit(server.http_address)
    assert fresh.sign_in(server.create_workspace("Fresh").admin_key).status == 303

    page = fresh.get("/console/delivery").body.decode()

    assert "No install has told of an event yet" in page
    assert "Nothing that was rejected is kept" in page
    assert "No install has sent anything yet" in page


def test_the_balance_of_all_installs_is_drawn_and_adds_up(office: Office, phone: Phone) -> None:
    told(phone)

    page = office.page("/console/delivery")

    assert re.search(r'<svg class="drawn bar"[^>]* role="img" aria-label="[\d,]+ generated, ', page)
    assert "It adds up" in page
    assert "unknown" in page
    for word in ("stored", "duplicate", "archived", "rejected", "dropped", "open"):
        assert re.search(rf"{word}</th>\s*<td class=\"number\">[\d,]+</td>", page), word
    assert "NAME_INVALID" in page


def test_installs_with_more_trouble_come_first(office: Office) -> None:
    quiet, troubled = office.phone(), office.phone()
    quiet.upload([event(1)])
    troubled.upload([event(1)], last_sequence=5_000)

    page = office.page("/console/delivery")

    assert page.index(troubled.install.install_id) < page.index(quiet.install.install_id)


def test_an_install_is_found_by_how_its_id_begins(office: Office, phone: Phone) -> None:
    phone.upload([event(1)])
    install_id = phone.install.install_id

    assert install_id in office.page("/console/delivery", install=install_id[:12])
    assert "No install has an id that begins so" in office.page("/console/delivery", install="no such")


def test_more_installs_follow_when_they_are_asked_for(server: ServerProcess, channel: grpc.Channel) -> None:
    crowd = Office(server, channel, server.create_workspace("Crowd"))
    ids = set()
    for _ in range(53):
        phone = crowd.phone()
        phone.upload([event(1)])
        ids.add(phone.install.install_id)

    first = crowd.page("/console/delivery")
    address = re.search(r'hx-get="(/console/delivery\?page=[^"]+)"', first)
    assert address is not None
    more = crowd.part(address.group(1))

    assert "<html" not in more
    assert {each for each in ids if each in first} | {each for each in ids if each in more} == ids
    assert "Show more" not in more
    assert "<html" in crowd.page(address.group(1))


# One install ----------------------------------------------------------------


def test_an_installs_sequences_are_drawn_as_a_strip_and_listed(office: Office, phone: Phone) -> None:
    told(phone)

    page = office.install(phone)

    assert "25 generated, 11 stored, 2 duplicate, 3 rejected, 4 dropped, 5 open" in page, re.findall(
        '[0-9]+ generated[^"]*', page
    )
    assert '<svg class="drawn strip"' in page
    for kind in ("stored", "duplicate", "rejected", "dropped", "open"):
        assert f'class="fill {kind}"' in page, kind
    assert "1 to 10" in page
    assert "18 to 21" in page
    assert "QUEUE_FULL" in page
    assert "Nothing up to 15 is open" in page


def test_the_queues_of_an_install_stand_apart_and_an_old_one_says_what_is_unknown(
    office: Office, phone: Phone
) -> None:
    phone.upload([event(1)], last_sequence=4)
    newer = replace(
        phone,
        install=tracking_pb2.Install(
            install_id=phone.install.install_id,
            epoch=uuid.uuid4().bytes,
            platform="Android",
            app_version="9.8.7",
        ),
    )
    newer.upload([event(1)])

    page = office.install(phone)

    assert page.index(newer.install.epoch.hex()) < page.index(phone.install.epoch.hex())
    assert "An earlier queue" in page
    assert "Whether it still has the 3 events that are open here is unknown" in page
    assert "9.8.7" in page


def test_folded_sequences_are_shown_as_such(office: Office, phone: Phone) -> None:
    phone.upload([event(n) for n in range(1, 6)])
    phone.upload([event(6)], applied_through=5)

    page = office.install(phone)

    assert 'class="fill folded"' in page
    assert "only counted since" in page


def test_a_long_list_of_sequences_goes_on_page_by_page(office: Office, phone: Phone) -> None:
    phone.upload([event(2 * n) for n in range(1, 120)])

    first = office.install(phone)
    address = re.search(r'hx-get="(/console/delivery/install\?[^"]+)"', first)
    assert address is not None
    more = office.part(address.group(1))

    assert "<html" not in more
    assert ">102<" in more
    assert ">100<" not in more
    assert "<html" in office.page(address.group(1))


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 404),
        ("id=nobody", 404),
        ("id=%00", 404),
        ("id=" + "x" * 3000, 404),
        ("id={id}&from=x", 400),
        ("id={id}&from=-1", 400),
        ("id={id}&from=" + "9" * 30, 400),
        ("id={id}&epoch=zz&from=3", 200),
        ("id={id}&from=999999999", 200),
    ],
)
def test_what_names_no_install_or_no_sequence_is_answered_with_a_sentence(
    office: Office, phone: Phone, query: str, status: int
) -> None:
    phone.upload([event(1)])

    answer = office.visit.get("/console/delivery/install?" + query.replace("{id}", phone.install.install_id))

    assert answer.status == status
    assert "." in answer.body.decode()


def test_ranges_of_a_queue_that_is_none_are_not_found(office: Office, phone: Phone) -> None:
    phone.upload([event(1)])
    path = f"/console/delivery/install?id={phone.install.install_id}&epoch=ff"

    assert office.visit.get(path, part=True).status == 404


@pytest.mark.parametrize("path", ["/console/delivery", "/console/delivery/rejected"])
@pytest.mark.parametrize("token", ["x", "%00", "AAAA" * 20])
def test_a_page_token_that_was_not_given_out_is_answered_with_a_sentence(
    office: Office, path: str, token: str
) -> None:
    answer = office.visit.get(f"{path}?page={token}", part=True)

    assert answer.status == 400
    assert "Start again" in answer.body.decode()


def test_a_token_of_another_list_is_not_taken(office: Office, server: ServerProcess) -> None:
    phone = office.phone()
    phone.upload([event(n, name="") for n in range(1, 60)])
    address = re.search(r"/console/delivery/rejected\?([^\"]*page=[^\"]+)\"", office.rejected())
    assert address is not None
    token = address.group(1).partition("page=")[2]

    assert office.visit.get(f"/console/delivery?page={token}").status == 400
    assert office.visit.get(f"/console/delivery/rejected?reason=NAME_INVALID&page={token}").status == 400


def test_hostile_installs_break_no_page(office: Office) -> None:
    install = tracking_pb2.Install(
        install_id=HOSTILE[:200], epoch=uuid.uuid4().bytes, platform=HOSTILE, app_version=HOSTILE
    )
    phone = Phone(office.channel, office.keys.sdk_key, install)
    phone.upload([event(1, name=HOSTILE), event(2, name="", metadata=[{"key": HOSTILE, "text": HOSTILE}])])

    for path in (
        "/console/delivery",
        f"/console/delivery?install={quote(HOSTILE[:50])}",
        f"/console/delivery/install?id={quote(HOSTILE[:200])}",
        f"/console/delivery/rejected?install={quote(HOSTILE[:200])}",
    ):
        answer = office.visit.get(path)
        body = answer.body.decode()
        assert answer.status == 200, path
        assert "<script>alert" not in body
        assert "\u202e" not in FIELD_VALUE.sub("", body)
        assert "\x00" not in body
        assert "⟨U+202E⟩" in body


# Rejected events ------------------------------------------------------------


def test_rejected_events_are_listed_by_reason_by_name_and_by_install(office: Office, phone: Phone) -> None:
    name = f"too long {uuid.uuid4().hex}"
    phone.upload([event(1, name=name, metadata=[{"key": "k", "text": "x" * 256}]), event(2, name="")])
    install_id = phone.install.install_id

    by_install = office.rejected(install=install_id)
    assert "METADATA_VALUE_INVALID</code> in <code>k" in by_install
    assert "NAME_INVALID" in by_install
    assert name[1:] in office.rejected(name=name)
    by_reason = office.rejected(reason="METADATA_VALUE_INVALID", install=install_id)
    assert name[1:] in by_reason
    assert "without a name" not in by_reason
    assert "Nothing that fits is kept" in office.rejected(install="nobody's")
    assert office.visit.get("/console/delivery/rejected?reason=BECAUSE").status == 400


def test_an_opened_one_tells_all_that_can_be_read_and_its_clocks(office: Office, phone: Phone) -> None:
    phone.upload(
        [
            event(
                7,
                name="order placed",
                user_id="ada",
                uptime_millis=3_600_000,
                boot_id=b"b" * 16,
                metadata=[
                    {"key": "total", "monetary": {"amount": 2999, "currency": "EUR"}},
                    {"key": "note", "text": "n" * 300},
                ],
            )
        ],
        send_clock={
            "wall_time": {"seconds": CREATED_AT + 999},
            "uptime_millis": 7_200_000,
            "boot_id": b"b" * 16,
        },
    )

    page = _opened(office, phone)

    for expected in (
        "Order placed",
        "ada",
        "METADATA_VALUE_INVALID",
        "at most 255",
        "29.99 EUR",
        "n" * 300,
        "60 min",
        "2 h",
        "yes",
        phone.install.install_id,
        phone.install.epoch.hex(),
    ):
        assert expected in page, expected


def test_one_that_cannot_be_read_is_opened_all_the_same(office: Office, phone: Phone) -> None:
    phone.upload_raw_events(b"\xff\xff\xff broken")

    page = _opened(office, phone)

    assert "it cannot be read" in page
    assert "EVENT_MALFORMED" in page


def test_one_that_a_back_end_sent_is_opened_as_json(office: Office) -> None:
    user = uuid.uuid4().hex
    office.rest.make_user(user)
    office.rest.event("bad price", user_id=user, metadata={"price": {"amount": 1, "currency": "XXQ"}})

    link = REJECTED_LINK.search(office.rejected(name="bad price"))
    assert link is not None
    page = office.page(link.group(1))

    assert "a back end, over REST" in page
    assert '"currency"' in page


def test_one_is_judged_again_once_the_cause_is_mended(office: Office, phone: Phone) -> None:
    phone.upload([event(1, metadata=[{"key": "a$b", "text": "x"}])])
    office.server.set(office.keys.workspace_id, key_charset="strict")
    try:
        phone.upload([event(2, name="a$b", user_id="ada")])
    finally:
        office.server.set(office.keys.workspace_id, key_charset="any")
    link = REJECTED_LINK.search(office.rejected(install=phone.install.install_id))
    assert link is not None
    failed_event_id = link.group(1).partition("id=")[2]

    answer = office.visit.post("/console/delivery/rejected/replay", {"id": failed_event_id})

    assert answer.status == 303
    assert "1 event was judged again: 1 accepted." in office.page(answer.headers["location"])
    assert "2 generated, 2 stored" in office.install(phone)
    assert office.visit.get(link.group(1)).status == 404
    assert office.visit.post("/console/delivery/rejected/replay", {"id": failed_event_id}).status == 404
    (noted, *_) = office.server.audit(office.keys.workspace_id)
    assert noted["made_by"] == prefix_of(office.keys.admin_key)


def test_all_of_a_reason_are_judged_again_and_what_stays_rejected_is_said(
    office: Office, phone: Phone
) -> None:
    phone.upload([event(n, name="") for n in range(1, 8)])

    asked = urlencode({"reason": "NAME_INVALID", "install": phone.install.install_id})
    answer = office.visit.post(f"/console/delivery/rejected/replay?{asked}", {})

    assert answer.status == 303
    page = office.page(answer.headers["location"])
    assert "7 events were judged again: 7 rejected. What was rejected again stays here." in page
    assert "7 generated, 7 rejected" in office.install(phone)


def test_nothing_is_replayed_without_saying_what(office: Office, phone: Phone) -> None:
    phone.upload([event(1, name="")])

    for asked in ({}, {"install": phone.install.install_id}, {"reason": "BECAUSE"}):
        path = f"/console/delivery/rejected/replay?{urlencode(asked)}"
        assert office.visit.post(path, {}).status == 400, asked
    assert office.visit.post("/console/delivery/rejected/replay", {"id": "x"}).status == 404


def test_a_viewer_sees_rejected_events_and_may_not_replay_them(office: Office, phone: Phone) -> None:
    phone.upload([event(1, name="")])
    viewer, support = (signed_in_to(office.server, office.keys, role) for role in ("viewer", "support"))
    asked = f"reason=NAME_INVALID&install={phone.install.install_id}"
    path, replay = f"/console/delivery/rejected?{asked}", f"/console/delivery/rejected/replay?{asked}"

    assert "Judge all of these again" not in viewer.get(path).body.decode()
    assert viewer.post(replay, {}).status == 403
    assert "Judge all of these again" in support.get(path).body.decode()
    assert support.post(replay, {}).status == 303


def test_nobody_opens_or_replays_another_workspaces_events(
    office: Office, phone: Phone, server: ServerProcess
) -> None:
    phone.upload([event(1, name="")])
    link = REJECTED_LINK.search(office.rejected(install=phone.install.install_id))
    assert link is not None
    stranger = Visit(server.http_address)
    assert stranger.sign_in(server.keys.admin_key).status == 303

    assert stranger.get(link.group(1)).status == 404
    form = {"id": link.group(1).partition("id=")[2]}
    assert stranger.post("/console/delivery/rejected/replay", form).status == 404
    assert stranger.get(f"/console/delivery/install?id={phone.install.install_id}").status == 404


@pytest.mark.parametrize("value", ["x", "-1", "9" * 30, "<b>"])
def test_what_a_replay_tells_in_the_address_is_numbers_or_nothing(office: Office, value: str) -> None:
    page = office.rejected(replayed=value, accepted=value)

    assert "judged again:" not in page


def _opened(office: Office, phone: Phone) -> str:
    link = REJECTED_LINK.search(office.rejected(install=phone.install.install_id))
    assert link is not None
    return office.page(link.group(1))
