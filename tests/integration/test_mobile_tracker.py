"""A device and a server: what is tracked arrives, once, and each answer has its consequence."""

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

import workevo_mobile
from workevo.tracking.v1 import event_pb2, tracking_pb2, verdict_pb2
from workevo_mobile import AppInfo, CallFailed, InvalidEvent, QueueUnavailable, Tracker, limits
from workevo_mobile.moments import Moment
from workevo_mobile.settlement import Settlement
from workevo_testing.mobile_fakes import (
    UNAVAILABLE,
    FakeClocks,
    FakeTransport,
    HonestServer,
    raising,
    rejected,
    retry,
)

ZERO = timedelta(0)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


class Device:
    """A Tracker whose host owns the schedule, with its server, network and clocks."""

    def __init__(self, path: Path, *, seed: int = 1) -> None:
        self.path = path
        self.server = HonestServer()
        self.transport = FakeTransport(self.server)
        self.clocks = FakeClocks()
        self.chance = random.Random(seed)
        self.tracker = self._opened()

    def _opened(self) -> Tracker:
        return Tracker(
            self.path,
            transport=self.transport,
            app=AppInfo(platform="android", app_version="4.12.0"),
            clocks=self.clocks,
            chance=self.chance,
            background=False,
        )

    def restart(self) -> None:
        self.tracker.close()
        self.tracker = self._opened()

    def track(self, count: int = 1, name: str = "opened") -> list[int]:
        return [self.tracker.track(name) for _ in range(count)]

    def wait(self, length: timedelta) -> timedelta | None:
        self.clocks.pass_time(length)
        return self.tracker.step()

    def live(self, *, steps_max: int = 400) -> None:
        """Step and sleep as the tracker says until it wants nothing more."""
        for _ in range(steps_max):
            delay = self.tracker.step()
            if delay is None:
                return
            self.clocks.pass_time(delay)
        raise AssertionError("the tracker never came to rest")

    def dead_letters(self) -> list[tuple[int, str]]:
        self.tracker.close()
        connection = sqlite3.connect(self.path)
        found = connection.execute("SELECT sequence, reason FROM dead_letters ORDER BY 1").fetchall()
        connection.close()
        return found


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path / "queue.db")
    yield device
    device.tracker.close()


def sent(device: Device) -> list[list[int]]:
    """The sequences of each upload that reached the server."""
    return [[event.sequence for event in upload.events] for upload in device.server.uploads]


def named(
    name: str, answer: verdict_pb2.EventResult
) -> Callable[[event_pb2.Event], verdict_pb2.EventResult | None]:
    return lambda event: answer if event.name == name else None


def test_the_door_shows_what_an_app_needs_and_nothing_else() -> None:
    assert sorted(workevo_mobile.__all__) == [
        "AppInfo",
        "AsyncTracker",
        "CallFailed",
        "CallMetadata",
        "Caps",
        "Clocks",
        "ConnectTransport",
        "DeadLetter",
        "FallbackTransport",
        "GrpcTransport",
        "Image",
        "InvalidEvent",
        "Link",
        "MetadataInput",
        "Monetary",
        "QueueFull",
        "QueueUnavailable",
        "Receipt",
        "RichLink",
        "Stats",
        "Stripe",
        "StripeKind",
        "SystemClocks",
        "Tracker",
        "Transport",
    ]


def test_an_empty_queue_calls_nobody(device: Device) -> None:
    assert device.tracker.step() is None
    assert device.wait(HOUR) is None
    assert device.transport.calls == 0


def test_twenty_events_are_uploaded_at_once(device: Device) -> None:
    device.track(19)
    assert device.tracker.step() == 30 * SECOND
    device.track()

    assert device.tracker.step() is None
    assert sent(device) == [list(range(1, 21))]
    assert device.tracker.pending() == 0


def test_one_event_is_uploaded_after_thirty_seconds(device: Device) -> None:
    device.track()
    assert device.wait(29 * SECOND) == SECOND
    assert device.wait(SECOND) is None
    assert sent(device) == [[1]]


def test_flush_uploads_at_once_and_says_whether_all_is_settled(device: Device) -> None:
    device.track(3)
    assert device.tracker.flush()
    assert sent(device) == [[1, 2, 3]]

    device.transport.fate = raising(UNAVAILABLE)
    device.track()
    assert not device.tracker.flush()


def test_a_requested_flush_goes_with_the_next_step(device: Device) -> None:
    device.track()
    device.tracker.request_flush()
    assert device.transport.calls == 0

    assert device.tracker.step() is None
    assert sent(device) == [[1]]


def test_what_became_due_together_goes_together_around_a_log_in(device: Device) -> None:
    """R15: events before the log-in, the log-in, events after it."""
    device.track(2)
    device.tracker.identify("u1", attributes={"email": "a@example.org"})
    device.track()
    device.wait(30 * SECOND)
    device.live()

    first, second = device.server.uploads
    visitor = device.tracker.visitor_id
    assert [event.visitor_id for event in first.events] == [visitor, visitor]
    assert [event.user_id for event in second.events] == ["u1"]
    assert device.server.identified == [(visitor, "u1")]
    assert device.clocks.uptime_micros == 35_000_000


def test_a_person_logs_in_and_out(device: Device) -> None:
    people = [(device.tracker.user_id, device.tracker.visitor_id)]
    device.tracker.identify("u1", user_hash="ab" * 32)
    people.append((device.tracker.user_id, device.tracker.visitor_id))
    device.track()
    device.tracker.reset()
    people.append((device.tracker.user_id, device.tracker.visitor_id))
    device.track()
    device.tracker.flush()

    (upload,) = device.server.uploads
    assert [user_id for user_id, _ in people] == [None, "u1", None]
    assert people[0][1] == people[1][1] != people[2][1]
    assert [event.WhichOneof("contact") for event in upload.events] == ["user_id", "visitor_id"]
    assert [proof.user_id for proof in upload.identity_proofs] == ["u1"]


def test_an_upload_describes_the_install_and_is_timed_when_it_is_sent(device: Device) -> None:
    """R8."""
    device.track()
    device.wait(30 * SECOND)

    (upload,) = device.server.uploads
    assert upload.install.install_id == device.tracker.install_id
    assert upload.install.epoch == device.tracker.epoch
    assert (upload.install.platform, upload.install.app_version) == ("android", "4.12.0")
    assert upload.install.sdk_name == "workevo-python"
    assert upload.send_clock.uptime_millis - upload.events[0].uptime_millis == 30_000
    assert upload.send_clock.boot_id == "boot-1"
    assert (upload.last_sequence, upload.applied_through) == (1, 0)
    assert device.transport.timeouts == [limits.CALL_DEADLINE]


def test_a_backdated_event_carries_no_uptime(device: Device) -> None:
    device.tracker.track("opened", created_at=datetime(2020, 1, 1, tzinfo=UTC))
    device.tracker.flush()

    assert not device.server.uploads[0].events[0].HasField("uptime_millis")


def test_an_invalid_event_is_refused_at_once_and_takes_no_sequence(device: Device) -> None:
    with pytest.raises(InvalidEvent):
        device.tracker.track("")
    with pytest.raises(ValueError):
        device.tracker.identify("")
    assert device.track() == [1]


def test_a_lost_answer_is_made_good_by_sending_the_same_again(device: Device) -> None:
    """R7, and the upload keeps its id while its clocks are taken anew."""
    answers = iter([UNAVAILABLE, None])

    def lose_first_answer(before: bool) -> None:
        error = None if before else next(answers)
        if error is not None:
            raise error

    device.transport.fate = lose_first_answer
    device.track(3)
    device.tracker.request_flush()
    device.live()

    first, again = device.server.uploads
    assert sent(device) == [[1, 2, 3], [1, 2, 3]]
    assert first.upload_id == again.upload_id
    assert first.send_clock != again.send_clock
    assert len(device.server.stored) == 3
    assert device.tracker.pending() == 0


def test_another_upload_has_another_id(device: Device) -> None:
    device.track()
    device.tracker.flush()
    device.track()
    device.tracker.flush()

    first, second = device.server.uploads
    assert first.upload_id != second.upload_id
    assert second.applied_through == 1


def test_failed_calls_back_off_and_are_never_given_up(device: Device) -> None:
    device.transport.fate = raising(*[UNAVAILABLE] * 60)
    device.track()
    device.live()

    assert device.transport.calls == 61
    assert sent(device) == [[1]]


def test_the_servers_wait_survives_a_restart_and_a_flush(device: Device) -> None:
    busy = CallFailed(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_delay=timedelta(minutes=10))
    device.transport.fate = raising(busy)
    device.track()
    device.tracker.flush()
    device.clocks.pass_time(timedelta(minutes=4))
    device.restart()

    assert not device.tracker.flush()
    assert device.transport.calls == 1
    assert device.tracker.step() == timedelta(minutes=6)
    device.clocks.micros += 10**12
    assert device.tracker.step() == timedelta(minutes=6)
    assert device.wait(timedelta(minutes=6)) is None


def test_a_server_that_wants_quiet_after_an_upload_gets_it(device: Device) -> None:
    original = device.server.upload_events

    def asking_for_quiet(request: tracking_pb2.UploadEventsRequest) -> tracking_pb2.UploadEventsResponse:
        response = original(request)
        response.next_upload_delay.FromTimedelta(timedelta(days=2))
        return response

    device.server.upload_events = asking_for_quiet  # type: ignore[method-assign]
    device.track(20)
    assert device.tracker.step() is None
    device.track(20)
    assert device.tracker.step() == HOUR


def test_a_rejected_event_is_a_dead_letter_and_costs_no_neighbour(device: Device) -> None:
    device.server.judge = named("bad", rejected("NAME_INVALID", field="name"))
    device.track()
    device.track(name="bad")
    device.track()

    assert device.tracker.flush()
    assert [event.sequence for _, event in device.server.stored] == [1, 3]
    assert device.dead_letters() == [(2, "NAME_INVALID")]


def test_a_retried_event_waits_its_delay_and_holds_nothing_back(device: Device) -> None:
    device.server.judge = named("later", retry("IDENTITY_UNVERIFIED", delay=timedelta(minutes=5)))
    device.track(name="later")
    device.track()
    device.tracker.flush()
    assert device.tracker.pending() == 1
    device.track()
    device.wait(30 * SECOND)
    assert sent(device) == [[1, 2], [3]]
    assert device.server.uploads[-1].applied_through == 0

    device.server.judge = lambda _event: None
    device.live()
    assert sent(device)[-1] == [1]
    assert device.clocks.uptime_micros == 5_000_000 + 300_000_000


def test_a_log_in_that_is_to_be_retried_holds_nothing_back(device: Device) -> None:
    answers = [
        tracking_pb2.IdentifyResponse(
            verdict=verdict_pb2.VERDICT_RETRY,
            reason=verdict_pb2.REASON_IDENTITY_UNVERIFIED,
            retriable=True,
        ),
        tracking_pb2.IdentifyResponse(verdict=verdict_pb2.VERDICT_ACCEPTED),
    ]
    answers[0].retry_delay.FromTimedelta(timedelta(minutes=2))

    def answer_in_turn(request: tracking_pb2.IdentifyRequest) -> tracking_pb2.IdentifyResponse:
        return answers.pop(0)

    device.server.identify = answer_in_turn  # type: ignore[method-assign]
    device.tracker.identify("u1")
    device.track()

    assert not device.tracker.flush()
    assert sent(device) == [[1]]
    assert device.tracker.pending() == 1
    device.live()
    assert answers == []
    assert device.tracker.pending() == 0


def test_an_answer_that_does_not_add_up_settles_nothing(device: Device) -> None:
    """R11."""
    original = device.server.upload_events
    wrong = iter([1])

    def miscounting(request: tracking_pb2.UploadEventsRequest) -> tracking_pb2.UploadEventsResponse:
        response = original(request)
        response.accepted_count -= next(wrong, 0)
        return response

    device.server.upload_events = miscounting  # type: ignore[method-assign]
    device.track(3)
    assert not device.tracker.flush()
    assert device.tracker.pending() == 3

    device.live()
    assert len(device.server.stored) == 3


def test_an_upload_that_is_too_large_is_halved_down_to_the_one_event(device: Device) -> None:
    too_large = CallFailed(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="UPLOAD_TOO_LARGE")
    original = device.server.upload_events

    def strict(request: tracking_pb2.UploadEventsRequest) -> tracking_pb2.UploadEventsResponse:
        if any(event.name == "huge" for event in request.events):
            raise too_large
        return original(request)

    device.server.upload_events = strict  # type: ignore[method-assign]
    device.track(5)
    device.track(name="huge")
    device.track(5)
    device.tracker.request_flush()
    device.live()

    assert len(device.server.stored) == 10
    assert list(device.server.dropped.values()) == [tracking_pb2.DROP_REASON_QUARANTINED]
    assert [sequence for *_, sequence in device.server.dropped] == [6]
    assert device.dead_letters() == [(6, "QUARANTINED")]


def test_the_event_that_makes_uploads_invalid_is_found_and_quarantined(device: Device) -> None:
    original = device.server.upload_events

    def picky(request: tracking_pb2.UploadEventsRequest) -> tracking_pb2.UploadEventsResponse:
        if any(event.name == "poison" for event in request.events):
            raise CallFailed(grpc.StatusCode.INVALID_ARGUMENT)
        return original(request)

    device.server.upload_events = picky  # type: ignore[method-assign]
    device.track(100)
    device.track(name="poison")
    device.track(99)
    device.tracker.request_flush()
    device.live()

    assert sent(device)[0] == []
    assert len(device.server.stored) == 199
    assert [sequence for *_, sequence in device.server.dropped] == [101]
    assert device.transport.calls < 30
    assert device.tracker.pending() == 0


@pytest.mark.parametrize("seed", range(8))
def test_any_number_of_poisonous_events_costs_only_themselves(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    device = Device(tmp_path / "queue.db", seed=seed)
    events_max = chance.choice((3, 40, 500))
    original = device.server.upload_events

    def picky(request: tracking_pb2.UploadEventsRequest) -> tracking_pb2.UploadEventsResponse:
        if len(request.events) > events_max:
            raise CallFailed(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="UPLOAD_TOO_LARGE")
        if any(event.name == "poison" for event in request.events):
            raise CallFailed(grpc.StatusCode.INVALID_ARGUMENT)
        return original(request)

    device.server.upload_events = picky  # type: ignore[method-assign]
    names = [chance.choices(("good", "poison", "log in"), weights=(20, 1, 1))[0] for _ in range(120)]
    for name in names:
        if name == "log in":
            device.tracker.identify("anna")
        else:
            device.track(name=name)
    device.tracker.request_flush()
    device.live()

    assert len(device.server.stored) == names.count("good")
    assert len(device.server.dropped) == names.count("poison")
    assert set(device.server.dropped.values()) <= {tracking_pb2.DROP_REASON_QUARANTINED}
    assert len(device.server.identified) == names.count("log in")
    assert device.server.gaps(device.tracker.install_id, device.tracker.epoch) == []
    device.tracker.close()


def test_without_an_uptime_the_wall_clock_decides(device: Device) -> None:
    device.clocks.uptime_micros = None
    device.track()

    assert device.wait(10 * SECOND) == 20 * SECOND
    device.clocks.micros = 0
    assert device.tracker.step() is None
    assert sent(device) == [[1]]
    assert not device.server.uploads[0].send_clock.HasField("uptime_millis")


def test_an_invalid_envelope_costs_nothing_but_an_hour(device: Device) -> None:
    invalid = CallFailed(grpc.StatusCode.INVALID_ARGUMENT)
    device.transport.fate = raising(*[invalid] * 6)
    device.track(3)
    device.tracker.flush()
    assert device.transport.calls == 2
    assert device.tracker.step() == HOUR

    device.live()
    assert device.transport.calls == 7
    assert len(device.server.stored) == 3
    assert device.server.dropped == {}


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
def test_a_refused_key_costs_nothing_but_an_hour(device: Device, code: grpc.StatusCode) -> None:
    device.transport.fate = raising(CallFailed(code))
    device.track(3)
    device.tracker.flush()
    assert device.tracker.step() == HOUR

    device.restart()
    assert device.tracker.flush()
    assert len(device.server.stored) == 3


def test_a_row_that_cannot_be_read_back_is_confessed(device: Device) -> None:
    device.track(3)
    connection = device.tracker._queue._store.connection
    connection.execute("UPDATE queued SET body = x'ff' WHERE sequence = 2")
    device.tracker.identify("u1")
    connection.execute("UPDATE queued SET body = x'ff' WHERE kind = 'identify'")

    device.tracker.flush()
    device.live()

    assert [event.sequence for _, event in device.server.stored] == [1, 3]
    assert list(device.server.dropped.values()) == [tracking_pb2.DROP_REASON_CORRUPT]
    assert device.server.identified == []


def test_what_the_server_misses_and_the_device_lost_is_confessed(device: Device) -> None:
    """R14."""
    device.track(3)
    device.tracker._queue._store.connection.execute("DELETE FROM queued WHERE sequence = 2")
    device.tracker.flush()
    device.live()

    assert device.server.gaps(device.tracker.install_id, device.tracker.epoch) == []
    assert list(device.server.dropped.values()) == [tracking_pb2.DROP_REASON_CORRUPT]
    assert device.server.uploads[-1].applied_through == 3


def test_two_phones_with_one_queue_lose_nothing_and_store_nothing_twice(tmp_path: Path) -> None:
    """R14a."""
    one = Device(tmp_path / "one.db", seed=1)
    one.track(2, name="before the backup")
    one.tracker.close()
    (tmp_path / "other.db").write_bytes((tmp_path / "one.db").read_bytes())
    one.restart()
    other = Device(tmp_path / "other.db", seed=2)
    other.server, other.transport = one.server, FakeTransport(one.server)
    other.restart()
    other.clocks.pass_time(5 * SECOND)

    for device, name in ((one, "on the old phone"), (other, "on the new phone")):
        device.track(3, name=name)
        device.tracker.request_flush()
        device.live()
        device.tracker.flush()
        device.live()

    names = [event.name for _, event in one.server.stored]
    assert sorted(names) == sorted(
        ["before the backup"] * 2 + ["on the old phone"] * 3 + ["on the new phone"] * 3
    )
    assert len(set(one.server.identities())) == len(names)
    assert one.tracker.epoch != other.tracker.epoch
    assert one.server.dropped == {}
    one.tracker.close()
    other.tracker.close()


def test_what_is_queued_survives_a_restart(device: Device) -> None:
    device.track(3)
    device.clocks.reboot("boot-2")
    device.restart()
    device.track()
    device.tracker.flush()

    assert sent(device) == [[1, 2, 3, 4]]


def test_a_full_disk_at_an_answer_means_sending_again(device: Device) -> None:
    device.track(3)
    queue = device.tracker._queue
    settle = queue.settle
    failing = iter([True])

    def disk_is_full_once(settlement: Settlement, now: Moment) -> None:
        if next(failing, False):
            raise QueueUnavailable("disk full")
        settle(settlement, now)

    queue.settle = disk_is_full_once  # type: ignore[method-assign]
    assert not device.tracker.flush()
    device.live()

    assert sent(device) == [[1, 2, 3], [1, 2, 3]]
    assert len(device.server.stored) == 3


def test_a_wait_that_cannot_be_stored_is_kept_in_memory(device: Device) -> None:
    device.transport.fate = raising(CallFailed(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_delay=60 * SECOND))
    device.track()
    queue = device.tracker._queue

    def disk_is_full(length: timedelta, now: Moment) -> None:
        raise QueueUnavailable("disk full")

    queue.keep_quiet = disk_is_full  # type: ignore[method-assign]
    device.tracker.flush()

    assert device.tracker.step() == 60 * SECOND


def test_closing_lets_go_of_the_file_and_the_connection(device: Device) -> None:
    device.track()
    device.tracker.close()
    device.tracker.close()

    assert device.transport.closed
    with pytest.raises(QueueUnavailable, match="closed"):
        device.tracker.track("opened")
    with pytest.raises(QueueUnavailable, match="closed"):
        device.tracker.step()


def in_background(tmp_path: Path, transport: FakeTransport, **options: object) -> Tracker:
    return Tracker(tmp_path / "queue.db", transport=transport, **options)  # type: ignore[arg-type]


def test_in_the_background_enough_events_upload_themselves(tmp_path: Path) -> None:
    arrived = threading.Event()
    transport = FakeTransport(HonestServer(), fate=lambda before: None if before else arrived.set())
    tracker = in_background(tmp_path, transport)

    for _ in range(20):
        tracker.track("opened")

    assert arrived.wait(30)
    assert tracker.flush(30 * SECOND)
    assert tracker.pending() == 0
    tracker.close()


def test_in_the_background_the_interval_uploads_a_single_event(tmp_path: Path) -> None:
    arrived = threading.Event()
    transport = FakeTransport(HonestServer(), fate=lambda before: None if before else arrived.set())
    tracker = in_background(tmp_path, transport, flush_interval=timedelta(milliseconds=50))

    tracker.track("opened")

    assert arrived.wait(30)
    tracker.close()


def test_in_the_background_flush_says_no_when_time_is_up(tmp_path: Path) -> None:
    transport = FakeTransport(HonestServer(), fate=raising(*[UNAVAILABLE] * 1000))
    tracker = in_background(tmp_path, transport)
    tracker.track("opened")

    assert not tracker.flush(timedelta(milliseconds=50))
    tracker.close()


def test_in_the_background_nobody_else_steps(tmp_path: Path) -> None:
    tracker = in_background(tmp_path, FakeTransport(HonestServer()))

    with pytest.raises(RuntimeError):
        tracker.step()
    tracker.close()


def test_in_the_background_no_error_ends_the_uploads(tmp_path: Path) -> None:
    class Surprise(Exception):
        pass

    errors = iter([Surprise()])

    def surprising(before: bool) -> None:
        error = next(errors, None)
        if error is not None:
            raise error

    server = HonestServer()
    tracker = in_background(tmp_path, FakeTransport(server, fate=surprising))
    tracker.track("opened")

    assert tracker.flush(30 * SECOND)
    assert len(server.stored) == 1
    tracker.close()


def test_closing_ends_a_flush_and_settles_nothing_more(tmp_path: Path) -> None:
    calling, closed = threading.Event(), threading.Event()

    def hang_until_closed(before: bool) -> None:
        if before:
            calling.set()
            closed.wait(30)
            raise CallFailed(grpc.StatusCode.CANCELLED)

    transport = FakeTransport(HonestServer(), fate=hang_until_closed)
    transport.close = closed.set  # type: ignore[method-assign]
    tracker = in_background(tmp_path, transport)
    tracker.track("opened")
    flushed: list[bool] = []
    flushing = threading.Thread(target=lambda: flushed.append(tracker.flush(30 * SECOND)))
    flushing.start()
    assert calling.wait(30)

    tracker.close()
    flushing.join(10)

    assert flushed == [False]


def test_an_answer_that_comes_after_closing_settles_nothing(tmp_path: Path) -> None:
    calling, answer = threading.Event(), threading.Event()

    def answer_late(before: bool) -> None:
        if not before:
            calling.set()
            answer.wait(30)

    server = HonestServer()
    transport = FakeTransport(server, fate=answer_late)
    transport.close = answer.set  # type: ignore[method-assign]
    tracker = in_background(tmp_path, transport)
    tracker.track("opened")
    tracker.request_flush()
    assert calling.wait(30)
    tracker._queue.close()
    tracker.close()

    again = Tracker(tmp_path / "queue.db", transport=FakeTransport(server), background=False)
    assert again.pending() == 1
    assert again.flush()
    assert len(server.stored) == 1
    again.close()


def test_many_threads_track_at_once(tmp_path: Path) -> None:
    server = HonestServer()
    tracker = in_background(tmp_path, FakeTransport(server), commit_wait=None)
    sequences: list[int] = []

    def track_some() -> None:
        sequences.extend(tracker.track("opened") for _ in range(25))

    threads = [threading.Thread(target=track_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(sequences) == list(range(1, 101))
    assert tracker.flush(30 * SECOND)
    assert sorted(event.sequence for _, event in server.stored) == list(range(1, 101))
    tracker.close()
