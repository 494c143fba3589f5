"""The Live page: every verdict as it is given, filters, and who is not to be seen there any more."""

import html
import re
import uuid
from urllib.parse import urlencode

import grpc
import pytest

from workevo.insight.v1 import catalogue_pb2, catalogue_pb2_grpc
from workevo.tracking.v1 import tracking_pb2, tracking_pb2_grpc
from workevo_testing.console import Visit, signed_in_to
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import Keys, ServerProcess
from workevo_testing.wire_calls import CALL_SECONDS_MAX, CREATED_AT, Phone, bearer, event

_NUMBER = re.compile(r'data-number="(\d+)" data-began="(\d+)"')


class Watched:
    """Somebody who watches the workspace, a phone in it, and a person whom no other test knows."""

    def __init__(self, server: ServerProcess, channel: grpc.Channel, keys: Keys) -> None:
        self.keys = keys
        self.user = uuid.uuid4().hex
        self.phone = Phone(channel, self.keys.sdk_key)
        self.rest = Rest(address=server.http_address, key=self.keys.server_key)
        self.visit = Visit(server.http_address)
        assert self.visit.sign_in(self.keys.admin_key).status == 303
        self.number = self.began = "0"
        self.page()

    def page(self, **query: str) -> str:
        return self._told(f"/console/live?{urlencode(query)}")

    def came(self, **query: str) -> str:
        """What came since it was asked last."""
        return self._told(
            f"/console/live/rows?{urlencode({'after': self.number, 'began': self.began, **query})}"
        )

    def archive(self, channel: grpc.Channel, name: str) -> None:
        catalogue_pb2_grpc.EventCatalogueServiceStub(channel).ArchiveEventDefinition(
            catalogue_pb2.ArchiveEventDefinitionRequest(name=name),
            metadata=bearer(self.keys.server_key),
            timeout=CALL_SECONDS_MAX,
        )

    def _told(self, path: str) -> str:
        answer = self.visit.get(path)
        assert answer.status == 200, answer.body
        text = answer.body.decode()
        found = _NUMBER.search(text)
        assert found is not None
        self.number, self.began = found.groups()
        return html.unescape(text)


@pytest.fixture(scope="module")
def keys(server: ServerProcess) -> Keys:
    """Of a workspace in which nothing happens but what these tests do."""
    return server.create_workspace("Watched")


@pytest.fixture
def watched(server: ServerProcess, channel: grpc.Channel, keys: Keys) -> Watched:
    return Watched(server, channel, keys)


def test_the_page_says_what_would_be_there(watched: Watched) -> None:
    assert "Send an event from your app" in watched.page()
    assert "Nothing that fits has arrived" in watched.page(contact=watched.user)


def test_every_verdict_is_shown_as_it_is_given(watched: Watched, channel: grpc.Channel) -> None:
    phone = watched.phone
    paid = {"name": "paid", "user_id": watched.user, "created_at": {"seconds": CREATED_AT}}
    phone.upload([event(1, name="retired"), event(2, name="paid", user_id=watched.user)])
    assert "accepted" in watched.came()
    watched.archive(channel, "retired")

    phone.upload([event(2, name="paid", user_id=watched.user)])
    assert "This install sent this sequence before" in watched.came()
    phone.upload([event(3, **paid), event(4, **paid)])
    assert "The same person did the same within the same second" in watched.came()
    phone.upload([event(5, name="retired")])
    assert "The event's name is archived" in watched.came()
    phone.upload([event(6, name="paid", user_id="")])
    rejected = watched.came()
    assert 'class="outcome rejected"' in rejected
    assert "CONTACT_INVALID" in rejected
    phone.upload([event(2, name="something else", user_id="u9")])
    forked = watched.came()
    assert 'class="outcome retry"' in forked
    assert "EPOCH_FORKED" in forked


def test_a_refusal_tells_its_field_and_its_sentence(watched: Watched) -> None:
    watched.phone.upload([event(1, metadata=[{"key": "price", "text": "x" * 256}])])

    came = watched.came()

    assert "METADATA_VALUE_INVALID" in came
    assert "<code>price</code>" in came
    assert "at most 255" in came


def test_warnings_ride_along(watched: Watched) -> None:
    watched.phone.upload([event(1, metadata=[{"key": f"key {n}", "integer": n} for n in range(6)])])

    came = watched.came()

    assert 'class="outcome accepted"' in came
    assert "METADATA_KEYS_DROPPED" in came
    assert "key 5" in came


def test_a_back_ends_events_are_there_and_name_no_install(watched: Watched) -> None:
    watched.rest.make_user(watched.user)
    watched.rest.event("invoice paid", user_id=watched.user, created_at=CREATED_AT, metadata={"plan": "gold"})

    came = watched.came()

    assert "from a back end" in came
    assert "gold" in came
    assert "sequence" not in came


def test_only_what_came_since_the_number_is_told_again(watched: Watched) -> None:
    watched.phone.upload([event(1, name="first one")])
    assert "First one" in watched.came()
    watched.phone.upload([event(2, name="second one")])
    second = watched.came()

    assert "Second one" in second
    assert "First one" not in second
    assert "First one" in watched.page()


def test_it_narrows_to_a_person_by_any_id_to_an_install_and_to_a_verdict(watched: Watched) -> None:
    watched.rest.make_user(watched.user, email=f"{watched.user}@example.org")
    watched.phone.upload(
        [event(1, name="hers", user_id=watched.user), event(2, name="another's", user_id="u2")]
    )

    for narrowed in ({"contact": watched.user}, {"contact": f"{watched.user.upper()}@Example.org"}):
        page = watched.page(**narrowed)
        assert "Hers" in page
        assert "Another's" not in page
    assert "Hers" not in watched.page(contact="unknown")
    assert "Hers" in watched.page(install=watched.phone.install.install_id[:8])
    assert "Hers" not in watched.page(install="no such install")
    assert "Hers" not in watched.page(verdict="REJECTED")


def test_who_was_deleted_is_gone_from_the_feed_and_open_pages_are_told_to_begin_anew(
    watched: Watched,
) -> None:
    watched.phone.upload([event(1, name="secret deed", user_id=watched.user)])
    assert "Secret deed" in watched.came()
    assert "data-anew" not in watched.came()
    contact = watched.rest.get(f"/contacts/find_by_external_id/{watched.user}")
    assert contact.status == 200, contact.body

    assert watched.rest.call("DELETE", f"/contacts/{contact.json['id']}").status == 200

    assert "data-anew" in watched.came()
    assert "Secret deed" not in watched.page()


def test_what_a_device_has_forgotten_is_gone_too(watched: Watched, channel: grpc.Channel) -> None:
    watched.phone.upload([event(1, name="forgotten deed", user_id=None, visitor_id=watched.user)])
    assert "Forgotten deed" in watched.came()

    tracking_pb2_grpc.TrackingServiceStub(channel).Forget(
        tracking_pb2.ForgetRequest(install=watched.phone.install),
        metadata=bearer(watched.keys.sdk_key),
        timeout=CALL_SECONDS_MAX,
    )

    assert "data-anew" in watched.came()
    assert "Forgotten deed" not in watched.page()


def test_nobody_sees_another_workspaces_events(server: ServerProcess, watched: Watched) -> None:
    other = Visit(server.http_address)
    assert other.sign_in(server.keys.admin_key).status == 303
    other.get("/console/live")
    name = f"private {uuid.uuid4().hex}"
    watched.phone.upload([event(1, name=name)])

    assert name[1:] in watched.page()
    assert name[1:] not in other.get("/console/live").body.decode()


@pytest.mark.parametrize("role", ["viewer", "support", "admin"])
def test_every_role_may_watch(server: ServerProcess, watched: Watched, role: str) -> None:
    visit = signed_in_to(server, watched.keys, role)

    assert visit.get("/console/live").status == 200
    assert visit.get("/console/live/rows?after=0", part=True).status == 200


def test_nobody_watches_without_signing_in(server: ServerProcess) -> None:
    stranger = Visit(server.http_address)

    assert stranger.get("/console/live").status == 303
    assert stranger.get("/console/live/rows?after=0", part=True).status == 401


HOSTILE = "<script>alert(1)</script>\u202e\x00 \U0001f600" + "w" * 200


def test_hostile_texts_are_shown_and_do_nothing(watched: Watched) -> None:
    watched.phone.upload(
        [
            event(1, name=HOSTILE, user_id=HOSTILE, metadata=[{"key": HOSTILE, "text": HOSTILE}]),
            event(2, name=HOSTILE, metadata=[{"key": "at", "link": "javascript:alert(1)"}]),
        ]
    )

    answer = watched.visit.get("/console/live")

    body = answer.body.decode()
    assert answer.status == 200
    assert "<script>alert" not in body
    assert "\u202e" not in body
    assert "\x00" not in body
    assert "⟨U+202E⟩" in body
    assert 'href="javascript:' not in body


@pytest.mark.parametrize(
    "query",
    [
        "after=x",
        "after=-1",
        "after=" + "9" * 40,
        "after=%D9%A1",
        "began=x",
        "verdict=PERHAPS",
        "verdict=accepted",
    ],
)
def test_a_malformed_query_is_answered_with_a_sentence(watched: Watched, query: str) -> None:
    answer = watched.visit.get(f"/console/live/rows?{query}", part=True)

    assert answer.status in {400, 422}
    assert "." in answer.body.decode()


@pytest.mark.parametrize("value", ["%00", "%FF%FE", "%ED%A0%80", "a" * 5000, "%27%20OR%201=1--"])
@pytest.mark.parametrize("field", ["contact", "install"])
def test_any_text_may_be_looked_for(watched: Watched, field: str, value: str) -> None:
    assert watched.visit.get(f"/console/live?{field}={value}").status == 200
