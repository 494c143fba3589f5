"""What somebody looks for stands in the form as it is, and sent again it finds the same."""

import uuid
from urllib.parse import parse_qsl, urlencode

import grpc
import pytest

from workevo_testing.console import Visit, signed_in
from workevo_testing.forms import forms_of
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import Phone, event

MARKED = "\u200fא\u200b & <b>\"'\u202e"
"""With marks that a page shows by their numbers."""


@pytest.fixture(scope="module")
def visit(server: ServerProcess) -> Visit:
    return signed_in(server, "support")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("people", {"text": MARKED}),
        ("events", {"q": MARKED}),
        ("live", {"contact": MARKED, "install": MARKED}),
        ("where", {"person": MARKED, "name": MARKED, "at": "2026-01-01 00:00", "zone": "60", "window": "5"}),
        ("where", {"install": MARKED, "sequence": "7", "epoch": "ff"}),
        ("delivery", {"install": MARKED}),
        ("delivery/rejected", {"name": MARKED, "install": MARKED}),
    ],
)
def test_a_form_asks_again_for_what_was_asked(visit: Visit, path: str, asked: dict[str, str]) -> None:
    page = visit.get(f"/console/{path}?{urlencode(asked)}")
    assert page.status == 200

    sent = [
        {name: text for name, text in form.fields.items() if text} for form in forms_of(page.body.decode())
    ]

    assert asked in sent


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "a\rb", "a\r\nb", MARKED.strip()])
def test_all_of_a_name_are_judged_again_whatever_the_name(
    visit: Visit, channel: grpc.Channel, server: ServerProcess, name: str
) -> None:
    named = f"{name} {uuid.uuid4().hex}"
    phone = Phone(channel, server.keys.sdk_key)
    broken = [{"key": "k", "text": "x" * 256}]
    phone.upload([event(1, name=named, metadata=broken), event(2, name="another", metadata=broken)])
    asked = {"reason": "METADATA_VALUE_INVALID", "install": phone.install.install_id, "name": named}
    page = visit.get(f"/console/delivery/rejected?{urlencode(asked)}")

    (replay,) = [form for form in forms_of(page.body.decode()) if "replay" in form.action]
    answer = replay.send(visit)

    assert answer.status == 303
    told = dict(parse_qsl(answer.headers["location"].partition("?")[2]))
    assert told == {**asked, "replayed": "1", "rejected": "1"}
    assert "1 event was judged again: 1 rejected." in visit.get(answer.headers["location"]).body.decode()


@pytest.mark.parametrize("field", ["name", "install"])
def test_what_is_longer_than_any_is_refused_before_it_is_looked_at(visit: Visit, field: str) -> None:
    asked = {"reason": "NAME_INVALID", field: "a\u0301" * 128}

    for answer in (
        visit.get(f"/console/delivery/rejected?{urlencode(asked)}"),
        visit.post(f"/console/delivery/rejected/replay?{urlencode(asked)}", {}),
    ):
        assert answer.status == 400
        assert "at most 255" in answer.body.decode()
    kept = {"reason": "NAME_INVALID", field: "a\u0301" * 127 + "b"}
    assert visit.get(f"/console/delivery/rejected?{urlencode(kept)}").status == 200
