"""Where is my event? Every outcome as the console answers it, with its evidence."""

import html
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlencode

import grpc
import pytest

from workevo.insight.v1 import catalogue_pb2, catalogue_pb2_grpc
from workevo.tracking.v1 import tracking_pb2, tracking_pb2_grpc
from workevo_testing.console import Visit
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import Keys, ServerProcess
from workevo_testing.wire_calls import CALL_SECONDS_MAX, CREATED_AT, Phone, bearer, event

_HEADLINE = re.compile(r'<h2 id="answer-heading">(.*?)</h2>', re.DOTALL)
_TAGS = re.compile(r"<[^>]*>")
AT = datetime.fromtimestamp(CREATED_AT, UTC).strftime("%Y-%m-%d %H:%M")


class Desk:
    """A support person, and a phone whose events are looked for."""

    def __init__(self, server: ServerProcess, channel: grpc.Channel, keys: Keys) -> None:
        self.keys, self.channel = keys, channel
        self.user = uuid.uuid4().hex
        self.phone = Phone(channel, keys.sdk_key)
        self.rest = Rest(address=server.http_address, key=keys.server_key)
        self.visit = Visit(server.http_address)
        assert self.visit.sign_in(keys.admin_key).status == 303

    def sequence(self, number: int, **query: str) -> str:
        return self.page(install=self.phone.install.install_id, sequence=str(number), **query)

    def person(self, name: str, *, person: str = "", at: str = AT, **query: str) -> str:
        return self.page(person=person or self.user, name=name, at=at, **query)

    def page(self, **query: str) -> str:
        answer = self.visit.get(f"/console/where?{urlencode(query)}")
        assert answer.status == 200, answer.body
        return html.unescape(answer.body.decode())

    def track(self, sequence: int, name: str = "opened", **fields: object) -> None:
        self.phone.upload([event(sequence, **{"name": name, "user_id": self.user, **fields})])

    def archive(self, name: str) -> None:
        catalogue_pb2_grpc.EventCatalogueServiceStub(self.channel).ArchiveEventDefinition(
            catalogue_pb2.ArchiveEventDefinitionRequest(name=name),
            metadata=bearer(self.keys.server_key),
            timeout=CALL_SECONDS_MAX,
        )


@pytest.fixture(scope="module")
def keys(server: ServerProcess) -> Keys:
    return server.create_workspace("Desk")


@pytest.fixture
def desk(server: ServerProcess, keys: Keys) -> Iterator[Desk]:
    with grpc.insecure_channel(server.grpc_address) as channel:
        yield Desk(server, channel, keys)


def headline(page: str) -> str:
    found = _HEADLINE.search(page)
    assert found is not None, page
    return _TAGS.sub("", found.group(1)).strip()


def test_the_page_begins_with_both_ways_to_ask(desk: Desk) -> None:
    page = desk.page()

    assert "By who did it, and when" in page
    assert "By install and sequence" in page
    assert "answer-heading" not in page


# Stored, and copies ---------------------------------------------------------


def test_a_stored_one_is_shown_with_its_timeline(desk: Desk) -> None:
    desk.track(1)

    for page in (desk.sequence(1), desk.person("opened")):
        assert headline(page) == "It is stored"
        assert desk.user in page
        assert 'href="/console/people/' in page
        assert desk.phone.install.install_id in page


def test_a_person_is_found_by_e_mail_and_by_visitor_id_too(desk: Desk) -> None:
    desk.rest.make_user(desk.user, email=f"{desk.user}@example.org")
    desk.track(1)
    desk.phone.upload([event(2, name="looked", user_id=None, visitor_id=f"v {desk.user}")])

    assert headline(desk.person("opened", person=f"{desk.user.upper()}@EXAMPLE.org")) == "It is stored"
    assert headline(desk.person("looked", person=f"v {desk.user}")) == "It is stored"


def test_the_reader_s_time_zone_counts(desk: Desk) -> None:
    desk.track(1)
    in_kathmandu = datetime.fromtimestamp(CREATED_AT + 345 * 60, UTC).strftime("%Y-%m-%dT%H:%M")

    page = desk.person("opened", at=in_kathmandu, zone="-345", window="5")
    assert headline(page) == "It is stored"
    assert f'around <time datetime="{AT.replace(" ", "T")}' in page
    assert headline(desk.person("opened", at=in_kathmandu, window="5")) != "It is stored"


def test_a_copy_is_told_with_the_one_that_is_kept(desk: Desk) -> None:
    desk.track(1, created_at={"seconds": CREATED_AT})
    desk.track(2, created_at={"seconds": CREATED_AT})

    page = desk.sequence(2)

    assert headline(page) == "It is a copy of another event"
    assert "that one is kept" in page


def test_a_link_of_live_and_of_the_timeline_means_that_queue_s_event(desk: Desk) -> None:
    watched = f"/console/live?{urlencode({'install': desk.phone.install.install_id})}"
    assert desk.visit.get(watched).status == 200
    desk.track(1, "in the first queue")
    second = tracking_pb2.Install(install_id=desk.phone.install.install_id, epoch=uuid.uuid4().bytes)
    Phone(desk.channel, desk.keys.sdk_key, second).upload(
        [event(1, name="in the second queue", user_id=desk.user)]
    )
    profile = re.search(r'href="(/console/people/[^"?]+)"', desk.person("in the second queue"))
    assert profile is not None

    for path in (watched, profile.group(1)):
        page = html.unescape(desk.visit.get(path).body.decode())
        links = list(dict.fromkeys(re.findall(r'href="(/console/where\?install=[^"]+)"', page)))
        assert len(links) == 2, path
        for link, name in zip(links, ("In the second queue", "In the first queue"), strict=True):
            found = html.unescape(desk.visit.get(link).body.decode())
            assert headline(found) == "It is stored"
            assert name in found, path
            assert "What else is known" not in found


# Not stored -----------------------------------------------------------------


def test_an_archived_one_says_since_when(desk: Desk) -> None:
    name = f"retired {desk.user}"
    desk.track(1, name)
    desk.archive(name)
    desk.track(2, name)

    assert headline(desk.sequence(2)) == "It was not stored: its name was archived"
    assert "no timeline shows it" in headline(desk.sequence(1))
    by_person = desk.person(name)
    assert headline(by_person) == "It is stored, but no timeline shows it"
    assert "Its name is archived" in by_person
    assert "Archived <time" in by_person


def test_a_rejected_one_says_why_and_leads_to_the_event(desk: Desk) -> None:
    desk.track(1)
    desk.track(2, metadata=[{"key": "price", "text": "x" * 256}])

    for page in (desk.sequence(2), desk.person("opened")):
        assert "METADATA_VALUE_INVALID" in page
        assert "In <code>price</code>" in page
        link = re.search(r'href="(/console/delivery/rejected/event\?[^"]+)"', page)
        assert link is not None
        assert desk.visit.get(link.group(1)).status == 200
    assert headline(desk.sequence(2)) == "It was rejected"


def test_a_dropped_one_says_why_the_device_gave_it_up(desk: Desk) -> None:
    expired = tracking_pb2.DROP_REASON_EXPIRED
    dropped = tracking_pb2.DroppedRange(first_sequence=2, last_sequence=2, reason=expired)
    desk.phone.upload([event(1)], dropped=[dropped])

    page = desk.sequence(2)

    assert headline(page) == "The device gave it up"
    assert "EXPIRED" in page
    assert "It had waited on the device longer than events may." in page


def test_one_in_a_gap_says_since_when_and_one_behind_all_that_it_waits_on_the_device(desk: Desk) -> None:
    desk.phone.upload([event(1, name="walked in"), event(3, name="walked out")], last_sequence=9)

    gap, tail = desk.sequence(2), desk.sequence(8)

    assert headline(gap) == headline(tail) == "It has not come yet"
    assert "is here since <time" in gap
    assert gap.index("Before it") < gap.index("Walked in") < gap.index("After it") < gap.index("Walked out")
    assert "It waits on the device" in tail
    assert "Last contact" in tail


def test_a_folded_one_that_is_not_there_says_what_it_can_have_been(desk: Desk) -> None:
    desk.phone.upload([event(1), event(2, name=""), event(3, name="x" * 300)])
    desk.phone.upload([], applied_through=3)

    assert headline(desk.sequence(1)) == "It is stored"
    assert headline(desk.sequence(2)) == "It was rejected"


# Gone, elsewhere, or never here ---------------------------------------------


def test_an_erased_one_says_when_its_person_was_deleted(desk: Desk) -> None:
    desk.track(1)
    contact = desk.rest.get(f"/contacts/find_by_external_id/{desk.user}").json["id"]
    assert desk.rest.call("DELETE", f"/contacts/{contact}").status == 200

    assert headline(desk.sequence(1)) == "It was erased"
    by_person = desk.person("opened")
    assert headline(by_person) == "It was erased"
    assert "Its person was deleted <time" in by_person


def test_a_merged_person_s_event_says_on_whose_profile_it_is(desk: Desk) -> None:
    visitor = f"v {desk.user}"
    desk.track(1, user_id=None, visitor_id=visitor)
    tracking_pb2_grpc.TrackingServiceStub(desk.channel).Identify(
        tracking_pb2.IdentifyRequest(install=desk.phone.install, visitor_id=visitor, user_id=desk.user),
        metadata=bearer(desk.keys.sdk_key),
        timeout=CALL_SECONDS_MAX,
    )

    page = desk.person("opened", person=visitor)

    assert headline(page) == "This person is part of another one now"
    assert "It is stored" in page
    assert "tracked under another id, merged since" in page


def test_one_that_no_device_has_told_of_says_what_that_means(desk: Desk) -> None:
    desk.track(1)

    page = desk.sequence(400)

    assert headline(page) == "It has never been seen here"
    assert "The device has not told of it yet. Its last contact was <time" in page
    assert "sequences up to 1" in page


def test_an_install_or_a_person_that_nobody_knows_is_said_to_be_unknown(desk: Desk) -> None:
    nowhere = desk.page(install="nobody's phone", sequence="1")
    nobody = desk.person("opened", person="nobody at all")

    assert "No install of this id has ever been here" in nowhere
    assert "knows nobody of this id" in nobody


def test_a_name_that_the_person_never_did_is_not_seen(desk: Desk) -> None:
    desk.track(1)

    page = desk.person(f"never {desk.user}")

    assert headline(page) == "It has never been seen here"
    assert "Last contact" in page


# What was asked is wrong ----------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        {"install": "x"},
        {"sequence": "1"},
        {"install": "x", "sequence": "0"},
        {"install": "x", "sequence": "-3"},
        {"install": "x", "sequence": "1.5"},
        {"install": "x", "sequence": "9" * 30},
        {"install": "x", "sequence": str(2**53)},
        {"install": "x", "sequence": "1", "epoch": "not hexadecimal"},
        {"person": "ada"},
        {"person": "ada", "name": "opened"},
        {"person": "ada", "name": "opened", "at": "yesterday"},
        {"person": "ada", "name": "opened", "at": "1969-12-31 23:59"},
        {"person": "ada", "name": "opened", "at": "2026-13-01 00:00"},
        {"person": "ada", "name": "opened", "at": "2026-01-01 00:00", "zone": "x"},
        {"person": "ada", "name": "opened", "at": "2026-01-01 00:00", "zone": "99999"},
        {"person": "ada", "name": "opened", "at": "2026-01-01 00:00", "zone": "--5"},
        {"person": "ada", "name": "opened", "at": "2026-01-01 00:00", "zone": "00000" + "9" * 4_400},
        {"person": "ada", "name": "opened", "at": "2026-01-01 00:00", "zone": "-" + "0" * 4_400},
        {"person": "ada", "name": "opened", "at": "2026-01-01 00:00", "window": "7"},
    ],
)
def test_what_cannot_be_asked_is_answered_with_a_sentence_above_the_forms(
    desk: Desk, query: dict[str, str]
) -> None:
    answer = desk.visit.get(f"/console/where?{urlencode(query)}")

    body = answer.body.decode()
    assert answer.status == 422
    assert re.search(r'role="alert">[A-Z][^<]+\.</p>', body)
    assert "By install and sequence" in body


def test_a_sequence_is_found_though_the_other_form_was_filled_in_wrongly(desk: Desk) -> None:
    desk.track(1)

    assert headline(desk.sequence(1, person="ada", at="nonsense", zone="x")) == "It is stored"


@pytest.mark.parametrize("text", ["<script>alert(1)</script>\u202e\x00", "w" * 3000, "' OR 1=1 --", "%"])
def test_any_text_may_be_asked_for(desk: Desk, text: str) -> None:
    for query in (
        {"person": text, "name": text, "at": AT},
        {"install": text, "sequence": "1"},
    ):
        answer = desk.visit.get(f"/console/where?{urlencode(query)}")
        body = answer.body.decode()
        assert answer.status == 200
        assert "<script>alert" not in body
        assert "\u202e" not in re.sub(r'value="[^"]*"', "", body)
        assert "\x00" not in body


def test_nobody_finds_another_workspaces_events(desk: Desk, server: ServerProcess) -> None:
    desk.track(1)
    stranger = Visit(server.http_address)
    assert stranger.sign_in(server.keys.admin_key).status == 303
    asked = urlencode({"install": desk.phone.install.install_id, "sequence": "1"})

    page = stranger.get(f"/console/where?{asked}").body.decode()

    assert "No install of this id has ever been here" in html.unescape(page)
