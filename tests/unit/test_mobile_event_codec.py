"""What an app may say, checked on the device before it is queued (R1, R3, R4, R5)."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest

from workevo.tracking.v1 import event_pb2, tracking_pb2
from workevo_mobile import (
    Image,
    InvalidEvent,
    Link,
    MetadataInput,
    Monetary,
    RichLink,
    Stripe,
    StripeKind,
    limits,
)
from workevo_mobile.event_codec import check_identify, event_body, event_template, identify_body
from workevo_mobile.moments import Moment

NOW = Moment(wall_micros=1_700_000_000_123_456, uptime_millis=77, boot_id="boot-1")


def template(
    name: str = "opened",
    metadata: dict[str, MetadataInput] | None = None,
    created_at: datetime | None = None,
    moment: Moment = NOW,
) -> event_pb2.Event:
    return event_template(name, metadata, created_at, moment)


def entry(value: MetadataInput) -> event_pb2.MetadataEntry:
    (found,) = template(metadata={"key": value}).metadata
    return found


def test_an_event_carries_the_three_clocks() -> None:
    """R8: created_at is not rounded."""
    event = template()

    assert event.created_at.ToMicroseconds() == NOW.wall_micros
    assert (event.uptime_millis, event.boot_id) == (77, "boot-1")


def test_an_event_that_the_app_dates_carries_no_uptime() -> None:
    """R8."""
    event = template(created_at=datetime(2020, 2, 29, 12, 0, 0, 250_000, tzinfo=UTC))

    assert event.created_at.ToMicroseconds() == 1_582_977_600_250_000
    assert not event.HasField("uptime_millis")


def test_an_unknown_uptime_is_absent() -> None:
    event = template(moment=Moment(NOW.wall_micros, None, "boot-1"))

    assert not event.HasField("uptime_millis")


@pytest.mark.parametrize(("wall_micros", "seconds"), [(-5, 0), (10**18, limits.CREATED_AT_SECONDS_MAX)])
def test_a_clock_that_shows_no_possible_time_does_not_cost_the_event(wall_micros: int, seconds: int) -> None:
    event = template(moment=Moment(wall_micros, 77, "boot-1"))

    assert event.created_at.seconds == seconds


@pytest.mark.parametrize(
    "name", ["x", "n" * 255, "  " + "n" * 255 + "\n", "nul\x00inside", "🚀" * 255, "a.b$c"]
)
def test_any_name_of_up_to_255_code_points_is_taken_as_it_is(name: str) -> None:
    assert template(name).name == name


@pytest.mark.parametrize("name", ["", "  \t\n ", "n" * 256, "half \ud83d", 7])
def test_other_names_are_refused_at_once(name: str) -> None:
    with pytest.raises(InvalidEvent, match="name"):
        template(name)


@pytest.mark.parametrize(
    "created_at",
    [
        datetime(2020, 1, 1),  # noqa: DTZ001  # Naive on purpose.
        datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        "2020-01-01",
    ],
)
def test_a_time_without_zone_or_out_of_range_is_refused(created_at: datetime) -> None:
    with pytest.raises(InvalidEvent, match="created_at"):
        template(created_at=created_at)


def test_the_ends_of_the_range_are_taken_in_any_zone() -> None:
    zone = timezone(timedelta(hours=5))

    assert template(created_at=datetime(1970, 1, 1, 5, tzinfo=zone)).created_at.seconds == 0
    last = datetime(9999, 12, 31, 23, 59, 59, 499_999, tzinfo=UTC)
    assert template(created_at=last).created_at.nanos == 499_999_000
    with pytest.raises(InvalidEvent):
        template(created_at=last + timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ("desktop", event_pb2.MetadataEntry(key="key", text="desktop")),
        ("", event_pb2.MetadataEntry(key="key", text="")),
        (True, event_pb2.MetadataEntry(key="key", text="true")),
        (False, event_pb2.MetadataEntry(key="key", text="false")),
        (3.67, event_pb2.MetadataEntry(key="key", number=3.67)),
        (2**53 + 1, event_pb2.MetadataEntry(key="key", integer=2**53 + 1)),
        (-(2**63), event_pb2.MetadataEntry(key="key", integer=-(2**63))),
        (Link("https://example.org/x"), event_pb2.MetadataEntry(key="key", link="https://example.org/x")),
        (Image("HTTP://example.org/x"), event_pb2.MetadataEntry(key="key", image="HTTP://example.org/x")),
        (
            RichLink("https://example.org/x", "The dude"),
            event_pb2.MetadataEntry(
                key="key", rich_link=event_pb2.RichLink(url="https://example.org/x", title="The dude")
            ),
        ),
        (
            Stripe(StripeKind.CHARGE, "ch_1"),
            event_pb2.MetadataEntry(
                key="key", stripe=event_pb2.Stripe(kind=event_pb2.Stripe.KIND_CHARGE, id="ch_1")
            ),
        ),
        (
            Monetary(-250, "usd"),
            event_pb2.MetadataEntry(key="key", monetary=event_pb2.Monetary(amount=-250, currency="usd")),
        ),
    ],
)
def test_each_type_of_metadata_has_its_field(value: MetadataInput, wire: event_pb2.MetadataEntry) -> None:
    assert entry(value) == wire


def test_a_date_is_an_aware_datetime() -> None:
    assert entry(datetime(2014, 2, 10, 11, 47, 52, tzinfo=UTC)).date.seconds == 1_392_032_872


def test_none_is_ignored_and_order_is_kept() -> None:
    event = template(metadata={"b": 1, "nothing": None, "a": 2})

    assert [found.key for found in event.metadata] == ["b", "a"]


@pytest.mark.parametrize(
    "value",
    [
        "s" * 256,
        "half \udc00",
        math.nan,
        math.inf,
        2**63,
        -(2**63) - 1,
        Link("javascript:alert(1)"),
        Link("https://"),
        Link("https://exa mple.org/"),
        Link("https://[broken"),
        Link("https://example.org:http/"),
        Link("https://example.org/\x00"),
        Link("https://example.org/" + "x" * 2048),
        Image("data:image/png;base64,AAAA"),
        RichLink("https://example.org", ""),
        RichLink("ftp://example.org", "Title"),
        Stripe(StripeKind.INVOICE, ""),
        Stripe(StripeKind.INVOICE, "i" * 256),
        Monetary(2**63, "usd"),
        Monetary(True, "usd"),
        Monetary(3.5, "usd"),  # type: ignore[arg-type]
        Monetary(1, "us"),
        Monetary(1, "us1"),
        Monetary(1, 7),  # type: ignore[arg-type]
        datetime(2020, 1, 1),  # noqa: DTZ001  # Naive on purpose.
        ["a list"],
        {"nested": "object"},
    ],
)
def test_a_value_that_breaks_its_type_is_refused_naming_its_key(value: MetadataInput) -> None:
    with pytest.raises(InvalidEvent, match="'key'"):
        entry(value)


@pytest.mark.parametrize("key", ["", " \t", "k" * 256, "half \ud83d", 7])
def test_a_bad_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidEvent, match="key"):
        template(metadata={key: "value"})


def test_an_event_is_whose_it_was_and_keeps_no_sequence() -> None:
    visitor = event_pb2.Event.FromString(event_body(template(), visitor_id="v", user_id=None))
    user = event_pb2.Event.FromString(event_body(template(), visitor_id="v", user_id="u"))

    assert (visitor.visitor_id, visitor.user_id, visitor.sequence) == ("v", "", 0)
    assert (user.visitor_id, user.user_id) == ("", "u")


def test_an_event_of_more_than_32_kibibytes_is_refused() -> None:
    many: dict[str, MetadataInput] = {f"key {index}": "x" * 255 for index in range(200)}

    with pytest.raises(InvalidEvent, match="32768 bytes"):
        event_body(template(metadata=many), visitor_id="v", user_id=None)


def test_a_log_in_carries_its_clocks_and_attributes() -> None:
    body = identify_body(
        visitor_id="v", user_id="u", user_hash="ab", attributes={"email": "a@example.org"}, moment=NOW
    )

    request = tracking_pb2.IdentifyRequest.FromString(body)
    assert (request.visitor_id, request.user_id, request.user_hash) == ("v", "u", "ab")
    assert request.attributes[0].text == "a@example.org"
    assert request.identify_clock.uptime_millis == 77
    assert request.identify_clock.wall_time.ToMicroseconds() == NOW.wall_micros


@pytest.mark.parametrize(
    ("user_id", "user_hash", "attributes"),
    [
        ("", None, {}),
        ("u" * 256, None, {}),
        ("u", "AB", {}),
        ("u", "", {}),
        ("u", None, {"email": 7}),
        ("u", None, {"": "x"}),
        ("u", None, {f"key {index}": "x" * 255 for index in range(200)}),
    ],
)
def test_a_log_in_that_breaks_a_limit_is_refused(
    user_id: str, user_hash: str | None, attributes: dict[str, str]
) -> None:
    with pytest.raises(InvalidEvent):
        check_identify(user_id, user_hash, attributes)


def test_a_log_in_within_the_limits_is_taken() -> None:
    check_identify("u", "0a" * 32, {"email": "a@example.org", "name": "A"})
