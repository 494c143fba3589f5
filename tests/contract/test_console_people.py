"""The console's people: who is found, and what a profile shows of somebody (R5, R16, R20 to R24, R32)."""

import html
import re
import uuid
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlencode

import grpc
import pytest

from workevo.insight.v1 import people_pb2 as wire
from workevo.insight.v1 import people_pb2_grpc
from workevo.tracking.v1 import event_pb2
from workevo_testing.console import Visit, signed_in, signed_in_to
from workevo_testing.http_calls import HttpAnswer
from workevo_testing.metadata_samples import HOSTILE_TEXTS, every_type
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import CALL_SECONDS_MAX, CREATED_AT, Phone, bearer, describe_event, event

Ask = Callable[..., Any]
_MORE = re.compile(r'class="more" hx-get="([^"]*)"')
_PERSON = re.compile(r'class="person"[^>]*><bdi>([^<]*)</bdi>')
_SEQUENCE = re.compile(r"sequence=(\d+)")


@pytest.fixture(scope="module")
def visit(server: ServerProcess) -> Visit:
    """As who may least."""
    return signed_in(server, "viewer")


@pytest.fixture
def ask(channel: grpc.Channel, server: ServerProcess) -> Ask:
    stub = people_pb2_grpc.PeopleServiceStub(channel)

    def asked(method: str, request: Any) -> Any:
        call = getattr(stub, method)
        return call(request, metadata=bearer(server.keys.server_key), timeout=CALL_SECONDS_MAX)

    return asked


def person(ask: Ask, **ref: str) -> wire.Contact:
    contact: wire.Contact = ask("GetContact", wire.GetContactRequest(**ref)).contact
    return contact


def profile_path(ask: Ask, **ref: str) -> str:
    return f"/console/people/{person(ask, **ref).contact_id}"


def page_of(answer: HttpAnswer) -> str:
    assert answer.status == 200, answer.body
    return answer.body.decode()


def text_of(page: str) -> str:
    """What is to be read, its entities resolved and each stretch of white space one space."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def event_with(metadata: Sequence[event_pb2.MetadataEntry], sequence: int, **fields: Any) -> event_pb2.Event:
    return event(sequence, metadata=metadata, **fields)


def did(phone: Phone, events: Sequence[event_pb2.Event]) -> None:
    assert phone.upload(events).accepted_count == len(events)


# Who is found ------------------------------------------------------------------------------------


def people(visit: Visit, **asked: str) -> list[str]:
    """How those found are called, over all pages, as a reader with scripts sees them."""
    page = page_of(visit.get(f"/console/people?{urlencode(asked)}"))
    rows = _PERSON.findall(page)
    while 'class="more"' in page:
        page = page_of(visit.get(more_of(page), part=True))
        rows += _PERSON.findall(page)
    return [html.unescape(name) for name in rows]


def test_people_are_listed_newest_first_with_what_they_are_and_did(visit: Visit, phone: Phone) -> None:
    mark = uuid.uuid4().hex
    for number in (1, 2, 3):
        did(phone, [event(number * 10 + each, user_id=f"{mark}-{number}") for each in range(number)])

    assert people(visit, text=mark) == [f"{mark}-3", f"{mark}-2", f"{mark}-1"]
    table = (
        page_of(visit.get(f"/console/people?text={mark}")).partition("<tbody>")[2].partition("</tbody>")[0]
    )
    rows = [text_of(row) for row in table.split("</tr>")[:3]]
    assert [row.partition(" 14 Nov")[0] for row in rows] == [
        f"{mark}-{each} user user {each}" for each in (3, 2, 1)
    ]
    assert "14 Nov 2023, 22:13:52 UTC" in rows[0]


def test_a_person_is_found_by_name_address_user_id_and_visitor_id(
    visit: Visit, phone: Phone, ask: Ask, server: ServerProcess
) -> None:
    mark, rest = uuid.uuid4().hex, Rest(address=server.http_address, key=server.keys.server_key)
    rest.make_user(f"u{mark}", email=f"e{mark}@example.org", name=f"Ada N{mark}")
    did(phone, [event(1, user_id=None, visitor_id=f"v{mark}")])
    ask("ConvertContact", wire.ConvertContactRequest(visitor_id=f"v{mark}", user_id=f"u{mark}"))

    for text in (f"N{mark}", f"n{mark[:20]}", f"E{mark[:20]}", f"u{mark}", f"v{mark}", f" u{mark} "):
        assert people(visit, text=text) == [f"Ada N{mark}"], text
    assert people(visit, text=f"x{mark}") == []
    page = page_of(visit.get(f"/console/people?text=u{mark}"))
    assert f"e{mark}@example.org" in text_of(page)


def test_people_are_narrowed_to_a_kind_and_to_an_event(visit: Visit, phone: Phone, ask: Ask) -> None:
    mark = uuid.uuid4().hex
    visitors = [f"{mark}-v", f"{mark}-l"]
    events = [event(number, user_id=None, visitor_id=each) for number, each in enumerate(visitors, start=1)]
    did(phone, [*events, event(3, user_id=f"{mark}-u", name=f"bought {mark}")])
    ask(
        "ConvertContact",
        wire.ConvertContactRequest(visitor_id=visitors[1], first_contact=wire.FirstContact()),
    )

    assert people(visit, text=mark, kind="visitor") == [f"{mark}-v"]
    assert people(visit, text=mark, kind="lead") == [f"{mark}-l"]
    assert people(visit, text=mark, kind="user") == [f"{mark}-u"]
    assert people(visit, event=f"Bought {mark}") == [f"{mark}-u"]
    assert people(visit, event=f"bought {mark}", kind="visitor") == []
    offered = page_of(visit.get("/console/people?kind=visitor"))
    assert f'value="bought%20{mark}"' not in offered  # No visitor was seen doing it (R24).
    assert f'value="bought%20{mark}"' in page_of(visit.get("/console/people?kind=user"))


@pytest.mark.parametrize("name", ["a\0b\r\nc/%41&d=+", *HOSTILE_TEXTS[:6]])
def test_whoever_did_an_event_is_found_by_the_form_whatever_the_event_is_called(
    visit: Visit, phone: Phone, name: str
) -> None:
    mark = uuid.uuid4().hex
    did(phone, [event(1, user_id=mark, name=f"{name}{mark}")])
    page = page_of(visit.get("/console/people"))

    (value,) = re.findall(rf'<option value="([^"]*{mark})"', page)

    assert people(visit, did=html.unescape(value)) == [mark]
    assert " selected>" in page_of(visit.get(f"/console/people?{urlencode({'did': value})}"))


def test_a_list_of_people_goes_on_and_neither_skips_nor_repeats(visit: Visit, phone: Phone) -> None:
    mark = uuid.uuid4().hex
    did(phone, [event(number, user_id=f"{mark}-{number:03}") for number in range(1, 121)])
    page = page_of(visit.get(f"/console/people?text={mark}"))
    did(phone, [event(200, user_id=f"{mark}-200")])  # Who comes while somebody reads moves nothing.

    found = _PERSON.findall(page)
    while 'class="more"' in page:
        page = page_of(visit.get(more_of(page), part=True))
        found += _PERSON.findall(page)

    assert found == [f"{mark}-{number:03}" for number in range(120, 0, -1)]


def test_who_nobody_is_finds_nobody_and_says_how_to_look(visit: Visit) -> None:
    for text in ("\0", "\ufffd\ud7ff", "%", "_", "\\", "'; DROP TABLE contacts; --", "x" * 5000, "\u202e"):
        page = page_of(visit.get(f"/console/people?{urlencode({'text': text})}"))

        assert _PERSON.findall(page) == []
        assert "Nobody fits." in text_of(page)


def test_what_cannot_be_asked_is_a_page_with_a_sentence(visit: Visit) -> None:
    answer = visit.get("/console/people?kind=robot")
    assert (answer.status, "A kind is user, lead or visitor." in answer.body.decode()) == (400, True)
    answer = visit.get("/console/people?page=nonsense")
    assert (answer.status, "was not given out for this list" in answer.body.decode()) == (400, True)


# Who it is ---------------------------------------------------------------------------------------


def test_a_profile_says_who_it_is_and_what_was_merged(visit: Visit, phone: Phone, ask: Ask) -> None:
    visitor_id, user_id, email = uuid.uuid4().hex, uuid.uuid4().hex, f"{uuid.uuid4().hex}@example.org"
    did(phone, [event(1, user_id=None, visitor_id=visitor_id)])
    ask(
        "RecordConversation",
        wire.RecordConversationRequest(visitor_id=visitor_id, conversation_id="c-1", title="My lamp?"),
    )
    ask("ConvertContact", wire.ConvertContactRequest(visitor_id=visitor_id, user_id=user_id, email=email))

    text = text_of(page_of(visit.get(profile_path(ask, user_id=user_id))))

    for told in (visitor_id, user_id, email, "First contact", "First seen", "by a back end"):
        assert told in text
    timeline = text.partition(" Timeline ")[2]
    assert "Became a user, until then a lead" in timeline
    assert "Conversation started" in timeline
    assert "My lamp?" in timeline
    assert "as a visitor" in timeline


def test_a_merged_id_leads_to_the_person_that_it_is_now(visit: Visit, phone: Phone, ask: Ask) -> None:
    visitor_id, user_id = uuid.uuid4().hex, uuid.uuid4().hex
    did(phone, [event(1, user_id=None, visitor_id=visitor_id)])
    before = profile_path(ask, visitor_id=visitor_id)
    ask("ConvertContact", wire.ConvertContactRequest(visitor_id=visitor_id, user_id=user_id))

    answer = visit.get(before)

    assert answer.status == 303
    assert answer.headers["location"] == profile_path(ask, user_id=user_id) != before


def test_a_list_that_was_begun_goes_on_when_its_person_is_merged(
    visit: Visit, phone: Phone, ask: Ask
) -> None:
    visitor_id, user_id = uuid.uuid4().hex, uuid.uuid4().hex
    did(phone, [event(number, user_id=None, visitor_id=visitor_id) for number in range(1, 61)])
    first = page_of(visit.get(profile_path(ask, visitor_id=visitor_id)))
    ask("ConvertContact", wire.ConvertContactRequest(visitor_id=visitor_id, user_id=user_id))

    rest = page_of(visit.get(more_of(first), part=True))

    assert sequences(first) + sequences(rest) == list(range(60, 0, -1))


def test_merges_are_listed_with_what_was_undone_and_go_on_page_by_page(
    visit: Visit, phone: Phone, ask: Ask
) -> None:
    user_id = uuid.uuid4().hex
    visitors = [uuid.uuid4().hex for _ in range(53)]
    events = [event(number, user_id=None, visitor_id=each) for number, each in enumerate(visitors, start=1)]
    did(phone, [*events, event(54, user_id=user_id)])
    merged = [
        ask("MergeContacts", wire.MergeContactsRequest(visitor_id=each, into_user_id=user_id))
        for each in visitors
    ]
    ask("SplitContact", wire.SplitContactRequest(merge_id=merged[-1].merge_id))
    path = profile_path(ask, user_id=user_id)

    on_profile = page_of(visit.get(path))
    first = page_of(visit.get(f"{path}/merges"))
    rest = page_of(visit.get(more_of(first), part=True))

    assert f'href="{path}/merges"' in on_profile
    listed = re.findall(r'<bdi class="mono">(\w+)</bdi>', first + rest)
    assert listed == visitors[::-1]
    assert text_of(first).count("undone") == 2  # In the heading's sentence, and of the one.


@pytest.mark.parametrize(
    "contact_id", ["0" * 32, "a%00b", "%3Cscript%3E", "..%2F", "%F0%9F%A6%8A", "x" * 3000]
)
def test_an_id_that_nobody_has_is_a_page_with_a_sentence(visit: Visit, contact_id: str) -> None:
    for path in (contact_id, f"{contact_id}/merges"):
        answer = visit.get(f"/console/people/{path}")

        assert answer.status == 404
        if "%2F" not in contact_id:  # A slash makes it another path, of which there is no page.
            assert "Nobody here has this id." in text_of(answer.body.decode())


def test_a_deleted_person_has_no_profile(visit: Visit, phone: Phone, ask: Ask) -> None:
    user_id = uuid.uuid4().hex
    did(phone, [event(1, user_id=user_id)])
    path = profile_path(ask, user_id=user_id)
    assert visit.get(path).status == 200

    ask("DeleteContact", wire.DeleteContactRequest(user_id=user_id))

    answer = visit.get(path)
    assert answer.status == 404
    assert "the person has been deleted" in answer.body.decode()
    assert user_id not in answer.body.decode()


def test_nobody_of_another_workspace_is_shown(server: ServerProcess, phone: Phone, ask: Ask) -> None:
    user_id = uuid.uuid4().hex
    did(phone, [event(1, user_id=user_id)])
    path = profile_path(ask, user_id=user_id)
    other = server.create_workspace("Next door")
    stranger = signed_in_to(server, other, "admin")

    assert stranger.get(path).status == 404
    assert user_id not in page_of(stranger.get("/console/people"))


# What it did -------------------------------------------------------------------------------------


def test_metadata_is_rendered_by_type(visit: Visit, phone: Phone, ask: Ask) -> None:
    user_id = uuid.uuid4().hex
    entries = every_type()
    did(phone, [event_with(entries[:5], 1, user_id=user_id), event_with(entries[5:], 2, user_id=user_id)])

    page = page_of(visit.get(profile_path(ask, user_id=user_id)))

    def of(key: str) -> str:
        found = re.search(rf"<dt><bdi>{key}</bdi></dt><dd>(.*?)</dd>", page, re.DOTALL)
        assert found is not None, key
        return " ".join(found.group(1).split())

    outward = 'target="_blank" rel="noopener noreferrer"'
    assert of("Plan name") == "<bdi>team</bdi>"
    assert of("Seats") == "9007199254740993"
    assert of("Score") == "0.5"
    assert of("Renewed_at") == '<time datetime="2023-11-14T22:13:20.000000Z">14 Nov 2023, 22:13:20 UTC</time>'
    docs = "https://docs.example.org/a?b=1&amp;c=%20"
    assert of("Docs") == f'<a href="{docs}" {outward}><bdi>{docs}</bdi></a>'
    order = f'<a href="https://shop.example.org/orders/7" {outward}><bdi>Order 7</bdi></a>'
    assert of("Order") == f'{order} <span class="quiet">shop.example.org</span>'
    charge = f'<a href="https://dashboard.stripe.com/payments/ch_1%2F2" {outward}><bdi>ch_1/2</bdi></a>'
    assert of("Stripe_charge") == f'{charge} <span class="quiet">Stripe charge</span>'
    assert of("Price") == (
        '<data class="money" value="29.99" data-currency="USD" data-decimals="2">29.99 USD</data>'
    )
    assert of("Fee") == (
        '<data class="money" value="-0.005" data-currency="KWD" data-decimals="3">-0.005 KWD</data>'
    )
    image = quote("https://images.example.org/lamp.png", safe="")
    assert f'href="/console/image?url={image}"' in of("Photo")
    assert "Show image" in of("Photo")


def test_a_summary_counts_every_event_and_tells_what_it_means(
    visit: Visit, phone: Phone, ask: Ask, channel: grpc.Channel, server: ServerProcess
) -> None:
    user_id, name = uuid.uuid4().hex, f"invited-friend-{uuid.uuid4().hex}"
    did(phone, [event(number, user_id=user_id, name=name) for number in (1, 2, 3)])
    describe_event(channel, server.keys.admin_key, name, "Somebody asked a friend to join.")

    side, _, timeline = page_of(visit.get(profile_path(ask, user_id=user_id))).partition('id="timeline"')

    assert f"Invited friend {name[15:]}" in text_of(side)
    assert "3 times" in text_of(side)
    assert 'datetime="2023-11-14T22:13:21.000000Z"' in side
    assert 'datetime="2023-11-14T22:13:23.000000Z"' in side
    described_by = re.search(r'aria-describedby="(\w+)"', side)
    assert described_by is not None
    assert f'id="{described_by.group(1)}"><bdi>Somebody asked a friend to join.' in side
    assert text_of(timeline).count("Somebody asked a friend to join.") == 3


def test_each_event_tells_how_it_was_placed_and_how_it_arrived(visit: Visit, phone: Phone, ask: Ask) -> None:
    user_id = uuid.uuid4().hex
    did(phone, [event(7, user_id=user_id)])

    page = page_of(visit.get(profile_path(ask, user_id=user_id)))

    install, epoch = phone.install.install_id, phone.install.epoch.hex()
    assert f'href="/console/delivery/install?id={install}"' in page
    assert f'href="/console/where?install={install}&amp;epoch={epoch}&amp;sequence=7"' in page
    text = text_of(page)
    assert "Clock The device's clock, as it was." in text
    assert re.search(r"Received [^,]+, [\d:]+ UTC , \d+ days after it occurred", text)


def test_an_event_of_a_back_end_has_no_install(visit: Visit, ask: Ask, server: ServerProcess) -> None:
    rest, user_id = Rest(address=server.http_address, key=server.keys.server_key), uuid.uuid4().hex
    rest.make_user(user_id)
    assert rest.event("ordered", user_id=user_id).status == 202

    text = text_of(page_of(visit.get(profile_path(ask, user_id=user_id))))

    assert "As the back end told it." in text
    assert "a back end, which keeps no queue" in text


def test_a_timeline_goes_on_page_by_page_and_neither_skips_nor_repeats(
    visit: Visit, phone: Phone, ask: Ask
) -> None:
    user_id = uuid.uuid4().hex
    at = [CREATED_AT + number // 4 for number in range(173)]  # Some at one time: ties go by receipt.
    events = [
        event(number + 1, user_id=user_id, name=f"step {number % 4}", created_at={"seconds": seconds})
        for number, seconds in enumerate(at)
    ]
    did(phone, events[:170])
    page = page_of(visit.get(profile_path(ask, user_id=user_id)))
    did(phone, events[170:])  # What arrives while somebody reads moves nothing.

    pages = [page]
    while 'class="more"' in pages[-1]:
        pages.append(page_of(visit.get(more_of(pages[-1]), part=True)))

    assert [len(sequences(each)) for each in pages] == [50, 50, 50, 20]
    assert [sequence for each in pages for sequence in sequences(each)] == list(range(170, 0, -1))
    whole = page_of(visit.get(more_of(pages[0])))  # The link of a reader without scripts.
    assert sequences(whole) == sequences(pages[1])
    assert "To the newest" in text_of(whole)


def test_a_timeline_is_narrowed_to_names_and_widened_again(visit: Visit, phone: Phone, ask: Ask) -> None:
    user_id = uuid.uuid4().hex
    names = ["tapped\0\r\n&event=x", "opened", "closed"]
    events = [
        event(number, user_id=user_id, name=names[number % 3], created_at={"seconds": CREATED_AT + number})
        for number in range(1, 181)
    ]
    did(phone, events)
    path = profile_path(ask, user_id=user_id)

    alone = page_of(visit.get(choice_of(page_of(visit.get(path)), "tapped")))
    following = page_of(visit.get(more_of(alone), part=True))
    two = page_of(visit.get(choice_of(alone, "opened")))
    other = page_of(visit.get(choice_of(two, "tapped")))
    widened = page_of(visit.get(choice_of(other, "opened")))

    assert sequences(alone) + sequences(following) == list(range(180, 0, -3))
    assert sequences(two)[:4] == [180, 178, 177, 175]
    assert sequences(other)[:2] == [178, 175]
    assert sequences(widened)[:3] == [180, 179, 178]
    assert choices_made(alone) == ["Tapped␀␍␊&event=x"]
    assert choices_made(widened) == []


def test_a_name_that_somebody_never_did_leaves_nothing_and_says_so(
    visit: Visit, phone: Phone, ask: Ask
) -> None:
    user_id = uuid.uuid4().hex
    did(phone, [event(1, user_id=user_id)])

    for name in ("never", "x" * 3000, "%FF", "%00"):
        page = page_of(visit.get(f"{profile_path(ask, user_id=user_id)}?event={name}"))

        assert sequences(page) == []
        assert "This person did nothing of these names." in text_of(page)


def test_a_foreign_page_token_is_a_page_with_a_sentence(visit: Visit, phone: Phone, ask: Ask) -> None:
    one, other = uuid.uuid4().hex, uuid.uuid4().hex
    did(phone, [event(number, user_id=one) for number in range(1, 60)] + [event(60, user_id=other)])
    token = more_of(page_of(visit.get(profile_path(ask, user_id=one)))).partition("page=")[2]

    for given in (token, "nonsense", "%00", "%FF%FE"):
        answer = visit.get(f"{profile_path(ask, user_id=other)}?page={given}")

        assert answer.status == 400
        assert "page" in text_of(answer.body.decode()).lower()


# Hostile input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("hostile", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
def test_what_was_sent_to_break_a_page_is_shown_and_breaks_nothing(
    visit: Visit, phone: Phone, ask: Ask, hostile: str
) -> None:
    user_id = hostile[:200] + uuid.uuid4().hex
    entries = [
        event_pb2.MetadataEntry(key=hostile[:255], text=hostile[:255]),
        event_pb2.MetadataEntry(
            key="rich", rich_link=event_pb2.RichLink(url="https://x.example", title=hostile[:255])
        ),
        event_pb2.MetadataEntry(
            key="stripe", stripe=event_pb2.Stripe(kind=event_pb2.Stripe.KIND_INVOICE, id=hostile[:255])
        ),
        event_pb2.MetadataEntry(
            key="link",
            link="https://x.example/"
            + "".join(each for each in hostile if each > " " and each != "\x7f")[:99],
        ),
    ]
    did(phone, [event_with(entries, 1, user_id=user_id, name=hostile[:255])])

    pages = [page_of(visit.get(profile_path(ask, user_id=user_id)))]
    pages.append(page_of(visit.get("/console/people")))

    for page in pages:
        for refused in ("<script>document", "<img src=x", "<svg onload", "<h1>owned", "\0", "\x7f"):
            assert refused not in page
        assert not set("\u202e\u2066\u200f") & set(text_of(page))  # In an address they turn nothing around.
        assert "49$49" not in page
        assert page.count("<h1") == 1
        assert not_closed(page) == []


def test_no_address_but_http_and_https_becomes_a_link(visit: Visit, phone: Phone, ask: Ask) -> None:
    user_id = uuid.uuid4().hex
    entries = [
        event_pb2.MetadataEntry(key="a", text="javascript:alert(1)"),
        event_pb2.MetadataEntry(key="b", text="data:text/html,<b>x</b>"),
        event_pb2.MetadataEntry(key="c", text="//evil.example/x.png"),
    ]
    did(phone, [event_with(entries, 1, user_id=user_id)])

    page = page_of(visit.get(profile_path(ask, user_id=user_id)))

    assert all(href.startswith(("/console", "#")) for href in re.findall(r'href="([^"]*)"', page))


# Images ------------------------------------------------------------------------------------------


def image_page(visit: Visit, url: str) -> HttpAnswer:
    return visit.get(f"/console/image?{urlencode({'url': url})}")


def test_an_image_stands_on_a_page_whose_policy_allows_its_origin_alone(visit: Visit) -> None:
    answer = image_page(visit, "https://Images.example.org:8443/a/lamp.png?size=1&x=<y>")

    policy = answer.headers["content-security-policy"].split("; ")
    assert answer.status == 200
    assert "img-src https://images.example.org:8443" in policy
    assert {"default-src 'none'", "frame-ancestors 'self'", "sandbox"} <= set(policy)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert 'src="https://Images.example.org:8443/a/lamp.png?size=1&amp;x=&lt;y&gt;"' in answer.body.decode()


def test_the_profile_itself_allows_no_image_of_anybody(visit: Visit, phone: Phone, ask: Ask) -> None:
    user_id = uuid.uuid4().hex
    did(phone, [event_with(every_type()[5:], 1, user_id=user_id)])

    answer = visit.get(profile_path(ask, user_id=user_id))

    assert "img-src 'self'" in answer.headers["content-security-policy"]
    assert re.findall(r"<(?:img|iframe|source|link|script)[^>]*https?://", answer.body.decode()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "//images.example.org/a.png",
        "https://*/a.png",
        "https://*.example.org/a.png",
        "https://a;script-src%20*/a.png",
        "https://a;sandbox/a.png",
        "https://a,b/a.png",
        "https://'self'/a.png",
        "https://a\r\nX-Evil: 1/a.png",
        "https://[::1]/a.png",
        "https://a:99999/a.png",
        "https://\ud83d/a.png".encode("utf-8", "replace").decode(),
        f"https://{'a' * 300}/a.png",
    ],
)
def test_an_address_that_a_policy_cannot_name_is_no_image(visit: Visit, url: str) -> None:
    answer = image_page(visit, url)

    assert answer.status == 400
    assert "none that an image can be shown from" in text_of(answer.body.decode())
    assert "script-src 'self'" in answer.headers["content-security-policy"]  # That of every other page.


# -------------------------------------------------------------------------------------------------


def more_of(page: str) -> str:
    (address,) = _MORE.findall(page)
    return html.unescape(address)


def test_a_profile_says_how_a_person_who_asks_for_it_is_deleted(
    visit: Visit, phone: Phone, ask: Ask, server: ServerProcess
) -> None:
    """R32: by a back end's key; no role of the console may."""
    user = uuid.uuid4().hex
    did(phone, [event(1, user_id=user)])
    path = profile_path(ask, user_id=user)

    told = re.search(r"<code>DELETE (/contacts/[^<]+)</code>", page_of(visit.get(path)))

    assert told is not None
    for key, status in ((server.keys.sdk_key, 403), (server.keys.server_key, 200)):
        rest = Rest(address=server.http_address, key=key)
        assert rest.call("DELETE", f"{told.group(1)}?suppress=true").status == status
    assert visit.get(path).status == 404


class _Tags(HTMLParser):
    """Those that are open. A page closes what it opens, in order, unless somebody's text came in as HTML."""

    _ALONE = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, _attrs: object) -> None:
        if tag not in self._ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open[-1:] == [tag]:
            self.open.pop()
        else:
            self.wrong.append(tag)


def not_closed(page: str) -> list[str]:
    tags = _Tags()
    tags.feed(page)
    tags.close()
    return tags.open + tags.wrong


def choice_of(page: str, name: str) -> str:
    """The address behind a name of the side bar."""
    side = page.partition('class="summaries"')[2].partition("</ul>")[0]
    rows = [row for row in side.split("<li")[1:] if name.lower() in text_of(f"<li{row}").lower()]
    found = re.search(r'<a href="([^"]*)"', rows[0])
    assert found is not None
    return html.unescape(found.group(1))


def choices_made(page: str) -> list[str]:
    chosen = page.partition('class="chosen-names"')[2].partition("</ul>")[0]
    return [text_of(row) for row in re.findall(r"<bdi[^>]*>.*?</bdi>", chosen)]


def sequences(page: str) -> list[int]:
    return [int(found) for found in _SEQUENCE.findall(page)]
