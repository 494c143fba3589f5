"""What an app tells its Tracker (the network, the screen, the person's wish) and what it hears back."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from workevo.tracking.v1 import tracking_pb2
from workevo_mobile import CallFailed, Caps, InvalidEvent, Tracker
from workevo_testing.mobile_fakes import (
    UNAVAILABLE,
    FakeClocks,
    FakeTransport,
    HonestServer,
    raising,
    rejected,
)

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


class ConfiguringServer(HonestServer):
    """Sends its client configuration to every device that does not have it."""

    config = tracking_pb2.ClientConfig()

    def upload_events(self, request: tracking_pb2.UploadEventsRequest) -> tracking_pb2.UploadEventsResponse:
        response = super().upload_events(request)
        if self.config.version != request.config_version:
            response.client_config.CopyFrom(self.config)
        return response


class Phone:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.server = ConfiguringServer()
        self.transport = FakeTransport(self.server)
        self.clocks = FakeClocks()
        self.tracker = self.opened()

    def opened(self, **options: object) -> Tracker:
        return Tracker(
            self.path,
            transport=self.transport,
            clocks=self.clocks,
            chance=random.Random(1),
            background=False,
            **options,  # type: ignore[arg-type]
        )

    def restart(self, **options: object) -> None:
        self.tracker.close()
        self.tracker = self.opened(**options)

    def wait(self, length: timedelta) -> timedelta | None:
        self.clocks.pass_time(length)
        return self.tracker.step()

    @property
    def dropped(self) -> list[tuple[int, str]]:
        names = tracking_pb2.DropReason.Name
        return [
            (sequence, names(reason).removeprefix("DROP_REASON_"))  # type: ignore[arg-type]
            for (_, _, sequence), reason in self.server.dropped.items()
        ]


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Phone]:
    phone = Phone(tmp_path / "queue.db")
    yield phone
    phone.tracker.close()


def test_going_to_the_background_uploads_what_waits(phone: Phone) -> None:
    phone.tracker.track("opened")

    phone.tracker.on_background()
    phone.tracker.step()

    assert len(phone.server.stored) == 1


def test_coming_to_the_foreground_calls_nobody_before_something_is_due(phone: Phone) -> None:
    phone.tracker.track("opened")

    phone.tracker.on_foreground()

    assert phone.tracker.step() == 30 * SECOND
    assert phone.transport.calls == 0


def test_without_a_network_nobody_is_called_and_nothing_wakes(phone: Phone) -> None:
    phone.tracker.on_network(False)
    for _ in range(30):
        phone.tracker.track("opened")

    assert not phone.tracker.flush()
    assert phone.wait(HOUR) is None
    assert phone.transport.calls == 0

    phone.tracker.on_network(True)
    while phone.tracker.step() == timedelta(0):
        pass
    assert len(phone.server.stored) == 30


def test_a_network_that_comes_back_ends_the_backoff_within_a_second(phone: Phone) -> None:
    phone.transport.fate = raising(*[UNAVAILABLE] * 12)
    phone.tracker.track("opened")
    while phone.transport.calls < 12:
        phone.wait(300 * SECOND)
    phone.tracker.request_flush()

    phone.tracker.on_network(True)

    rest = phone.tracker.step()
    assert rest is not None
    assert timedelta(0) < rest <= SECOND
    assert phone.wait(rest) is None
    assert len(phone.server.stored) == 1


def test_a_network_that_flaps_brings_no_more_than_two_calls_a_second(phone: Phone) -> None:
    """On the average: each return draws anew below one second, and never lengthens what is left."""
    phone.transport.fate = raising(*[UNAVAILABLE] * 10_000)
    phone.tracker.track("opened")
    for _ in range(600):
        phone.tracker.on_network(False)
        phone.wait(timedelta(milliseconds=50))
        phone.tracker.on_network(True)
        phone.wait(timedelta(milliseconds=50))

    assert phone.transport.calls < 8 * 60


def test_a_network_that_comes_back_does_not_end_what_the_server_asked_for(phone: Phone) -> None:
    busy = CallFailed(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_delay=60 * SECOND)
    refused = CallFailed(grpc.StatusCode.UNAUTHENTICATED)
    phone.transport.fate = raising(busy, refused)
    phone.tracker.track("opened")
    phone.tracker.flush()

    phone.tracker.on_network(True)
    assert phone.tracker.step() == 60 * SECOND
    phone.wait(60 * SECOND)
    phone.tracker.on_network(True)
    assert phone.tracker.step() == HOUR


def test_opting_out_empties_the_queue_and_tells_the_server_how_much(phone: Phone) -> None:
    """R32, and the balance closes (R14)."""
    phone.tracker.track("opened")
    phone.tracker.track("paid")
    phone.tracker.opt_out()
    assert phone.tracker.opted_out
    assert phone.tracker.track("secret") == 0

    assert phone.tracker.flush()

    assert phone.server.stored == []
    assert phone.dropped == [(1, "OPTED_OUT"), (2, "OPTED_OUT")]
    assert phone.server.last_sequences == {(phone.tracker.install_id, phone.tracker.epoch): 2}
    phone.restart()
    assert phone.tracker.opted_out
    assert phone.tracker.track("secret") == 0
    phone.tracker.opt_in()
    assert phone.tracker.track("back") == 3
    assert phone.tracker.flush()
    assert [event.name for _, event in phone.server.stored] == ["back"]


def test_what_a_cap_gave_up_is_told_and_the_ledger_closes(phone: Phone) -> None:
    phone.restart(caps=Caps(count=3))
    for _ in range(8):
        phone.tracker.track("opened")

    assert phone.tracker.flush()

    assert phone.dropped == [(number, "QUEUE_FULL") for number in range(1, 6)]
    assert phone.server.gaps(phone.tracker.install_id, phone.tracker.epoch) == []


def test_an_event_that_grew_too_old_is_told_and_never_sent(phone: Phone) -> None:
    phone.tracker.track("opened")

    phone.wait(timedelta(days=31))
    phone.tracker.flush()

    assert phone.server.stored == []
    assert phone.dropped == [(1, "EXPIRED")]


def test_an_event_given_up_while_its_upload_is_on_the_way_is_no_loss(phone: Phone) -> None:
    phone.restart(caps=Caps(count=2))

    def track_more(before: bool) -> None:
        if before and phone.transport.calls == 1:
            phone.tracker.track("third")
            phone.tracker.track("fourth")

    phone.transport.fate = track_more
    phone.tracker.track("first")
    phone.tracker.track("second")
    phone.tracker.flush()
    phone.tracker.flush()

    assert [event.name for _, event in phone.server.stored] == ["first", "second", "third", "fourth"]


def test_a_log_in_or_an_event_given_up_between_plan_and_call_is_not_sent(phone: Phone) -> None:
    read = phone.tracker._queue.parcel
    for prepare in (lambda: phone.tracker.identify("u1"), lambda: phone.tracker.track("opened")):
        prepare()

        def opt_out_first(call: object) -> object:
            phone.tracker._queue.parcel = read  # type: ignore[method-assign]
            phone.tracker.opt_out()
            return read(call)  # type: ignore[arg-type]

        phone.tracker._queue.parcel = opt_out_first  # type: ignore[method-assign,assignment]
        assert phone.tracker.flush()
        phone.tracker.opt_in()

    assert phone.server.identified == []
    assert phone.server.stored == []


def test_stats_tell_what_waits_what_was_lost_and_when_the_server_last_answered(phone: Phone) -> None:
    phone.restart(caps=Caps(count=3))
    phone.server.judge = lambda event: rejected("NAME_INVALID", field="name") if event.name == "bad" else None
    assert phone.tracker.stats().last_answer_at is None
    for name in ("oldest", "bad", "opened", "opened"):
        phone.tracker.track(name)
    before = phone.tracker.stats()
    assert (before.pending, before.dropped) == (3, {"QUEUE_FULL": 1})
    assert before.pending_bytes > 3 * 32
    phone.transport.fate = raising(UNAVAILABLE)
    phone.tracker.flush()
    assert phone.tracker.stats().failures == 1
    phone.wait(SECOND)

    after = phone.tracker.stats()

    assert (after.pending, after.pending_bytes, after.failures) == (0, 0, 0)
    assert (after.dead_letters, after.dead_letters_overwritten, after.never_committed) == (1, 0, 0)
    assert after.last_answer_at == datetime.fromtimestamp(phone.clocks.micros / 1e6, UTC)


def test_dead_letters_can_be_read_and_cleared(phone: Phone) -> None:
    phone.server.judge = lambda _event: rejected("NAME_INVALID", field="name")
    phone.tracker.track("bad")
    phone.clocks.micros = 10**18
    phone.tracker.flush()

    (letter,) = phone.tracker.dead_letters()

    assert (letter.name, letter.sequence, letter.epoch) == ("bad", 1, phone.tracker.epoch)
    assert (letter.reason, letter.field, letter.message) == ("NAME_INVALID", "name", "Refused.")
    assert letter.buried_at.year == 9999
    phone.tracker._queue._store.connection.execute("UPDATE dead_letters SET body = x'ff'")
    assert phone.tracker.dead_letters()[0].name == ""
    phone.tracker.clear_dead_letters()
    assert phone.tracker.dead_letters() == []


def configure(phone: Phone, **limits: int) -> None:
    phone.server.config = tracking_pb2.ClientConfig(
        version="v2",
        archived_names=["Old thing"],
        disabled_names=["noise"],
        flush_policy=tracking_pb2.FlushPolicy(event_count=3),
        limits=tracking_pb2.Limits(**limits),
    )
    phone.server.config.flush_policy.interval.FromTimedelta(7 * SECOND)
    phone.tracker.track("first")
    phone.tracker.flush()


def test_a_configuration_is_stored_and_its_version_told(phone: Phone) -> None:
    configure(phone)
    phone.restart()
    phone.tracker.track("second")

    phone.tracker.flush()

    assert [upload.config_version for upload in phone.server.uploads] == ["", "v2"]


def test_unwanted_names_are_counted_with_the_server_by_name(phone: Phone) -> None:
    """R23."""
    configure(phone)
    for name in ("OLD THING", "noise", "noise", "wanted"):
        phone.tracker.track(name)

    phone.tracker.flush()

    told = phone.server.uploads[-1].dropped
    assert [(drop.first_sequence, drop.last_sequence, drop.name) for drop in told] == [
        (2, 2, "OLD THING"),
        (3, 4, "noise"),
    ]
    assert [event.name for _, event in phone.server.stored] == ["first", "wanted"]
    assert phone.dropped == [(2, "ARCHIVED"), (3, "DISABLED"), (4, "DISABLED")]
    assert phone.tracker.stats().dropped == {"ARCHIVED": 1, "DISABLED": 2}


def test_the_flush_policy_of_the_workspace_holds_where_the_app_chose_none(phone: Phone) -> None:
    configure(phone)
    phone.tracker.track("opened")
    assert phone.tracker.step() == 7 * SECOND
    phone.tracker.track("opened")
    phone.tracker.track("opened")
    phone.tracker.step()
    assert phone.tracker.pending() == 0

    phone.restart(flush_event_count=5, flush_interval=40 * SECOND)
    for _ in range(4):
        phone.tracker.track("opened")
    assert phone.tracker.step() == 40 * SECOND


def test_the_limits_of_the_workspace_are_kept(phone: Phone) -> None:
    configure(phone, upload_events_max=2, upload_bytes_max=900_000, event_bytes_max=200)
    for _ in range(5):
        phone.tracker.track("opened")
    with pytest.raises(InvalidEvent, match="larger than 200 bytes"):
        phone.tracker.track("opened", {"key": "x" * 200})

    phone.tracker.flush()

    assert [len(upload.events) for upload in phone.server.uploads] == [1, 2, 2, 1]
