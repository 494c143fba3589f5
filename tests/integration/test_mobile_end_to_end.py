"""The SDK against a real server: what is tracked on the phone is read back, once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from workevo.insight.v1 import delivery_pb2, delivery_pb2_grpc, people_pb2, people_pb2_grpc
from workevo_mobile import GrpcTransport, Image, Link, Monetary, RichLink, Stripe, StripeKind, Tracker
from workevo_testing.places import STORES, store_of
from workevo_testing.server_process import ServerProcess

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module", params=STORES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), store=store_of(request)) as server:
        yield server


@pytest.fixture
def tracker(server: ServerProcess, tmp_path: Path) -> Iterator[Tracker]:
    transport = GrpcTransport(server.grpc_address, server.keys.sdk_key)
    tracker = Tracker(tmp_path / "queue.db", transport=transport)
    yield tracker
    tracker.close()


class Reader:
    """What a back end reads of one workspace."""

    def __init__(self, server: ServerProcess) -> None:
        self._channel = grpc.insecure_channel(server.grpc_address)
        self._metadata = (("authorization", f"Bearer {server.keys.server_key}"),)
        self._people = people_pb2_grpc.PeopleServiceStub(self._channel)
        self._delivery = delivery_pb2_grpc.DeliveryServiceStub(self._channel)

    def timeline(self, user_id: str) -> list[people_pb2.EventActivity]:
        """Newest first."""
        request = people_pb2.ListActivitiesRequest(user_id=user_id, page_size=500)
        page = self._people.ListActivities(request, metadata=self._metadata, timeout=10)
        return [activity.event for activity in page.activities if activity.HasField("event")]

    def balance(self, install_id: str) -> delivery_pb2.Balance:
        request = delivery_pb2.GetLedgerRequest(install_id=install_id)
        return self._delivery.GetLedger(request, metadata=self._metadata, timeout=10).balance

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def reader(server: ServerProcess) -> Iterator[Reader]:
    reader = Reader(server)
    yield reader
    reader.close()


def test_what_is_tracked_before_and_after_a_log_in_is_the_users(tracker: Tracker, reader: Reader) -> None:
    """R15, R16."""
    tracker.track("Opened the app")
    tracker.identify("anna", attributes={"email": "anna@example.org"})
    tracker.track("Purchased an item", {"price": Monetary(2999, "usd")})

    assert tracker.flush(20 * SECOND)
    assert {event.name for event in reader.timeline("anna")} == {"Purchased an item", "Opened the app"}
    balance = reader.balance(tracker.install_id)
    assert (balance.generated, balance.stored, balance.open) == (2, 2, 0)


def test_every_type_of_metadata_is_read_back_as_it_was_given(tracker: Tracker, reader: Reader) -> None:
    tracker.identify("ben")
    tracker.track("Saw", {"text": "a\x00b", "number": 0.5, "integer": 2**53 + 1, "flag": True, "none": None})
    tracker.track(
        "Got",
        {
            "when": datetime(2024, 2, 29, tzinfo=UTC),
            "link": Link("https://example.org/x"),
            "rich": RichLink("https://example.org/x", "The dude"),
            "image": Image("https://example.org/render"),
            "stripe": Stripe(StripeKind.INVOICE, "in_1"),
        },
    )
    assert tracker.flush(20 * SECOND)

    got, saw = reader.timeline("ben")
    assert [entry.WhichOneof("value") for entry in saw.metadata] == ["text", "number", "integer", "text"]
    assert [saw.metadata[0].text, saw.metadata[2].integer] == ["a\x00b", 2**53 + 1]
    kinds = [entry.WhichOneof("value") for entry in got.metadata]
    assert kinds == ["date", "link", "rich_link", "image", "stripe"]


def test_a_thousand_events_of_many_seconds_arrive_each_once(tracker: Tracker, reader: Reader) -> None:
    tracker.identify("cleo")
    start = datetime(2024, 1, 1, tzinfo=UTC)
    for number in range(1000):
        tracker.track("Scrolled", created_at=start + number * SECOND)

    assert tracker.flush(30 * SECOND)
    balance = reader.balance(tracker.install_id)
    assert (balance.generated, balance.stored, balance.resent) == (1000, 1000, 0)


def test_the_same_event_twice_within_a_second_is_one(tracker: Tracker, reader: Reader) -> None:
    """R6: the ledger still accounts for both."""
    at = datetime(2024, 1, 1, tzinfo=UTC)
    tracker.identify("dora")
    tracker.track("Clicked", created_at=at)
    tracker.track("clicked", created_at=at)

    assert tracker.flush(20 * SECOND)
    assert len(reader.timeline("dora")) == 1
    balance = reader.balance(tracker.install_id)
    assert (balance.generated, balance.stored, balance.duplicate) == (2, 1, 1)


def test_a_restored_queue_leaves_its_epoch_and_loses_nothing(
    server: ServerProcess, reader: Reader, tmp_path: Path
) -> None:
    """R14a."""

    def opened(name: str) -> Tracker:
        transport = GrpcTransport(server.grpc_address, server.keys.sdk_key)
        return Tracker(tmp_path / name, transport=transport, background=False)

    old = opened("old.db")
    old.identify("emil")
    old.track("Before the backup")
    old.close()
    (tmp_path / "new.db").write_bytes((tmp_path / "old.db").read_bytes())

    for name, event in (("old.db", "On the old phone"), ("new.db", "On the new phone")):
        phone = opened(name)
        phone.track(event)
        assert phone.flush()
        phone.close()

    names = [event.name for event in reader.timeline("emil")]
    assert sorted(names) == ["Before the backup", "On the new phone", "On the old phone"]


def test_a_wrong_key_loses_nothing(server: ServerProcess, reader: Reader, tmp_path: Path) -> None:
    wrong = Tracker(
        tmp_path / "queue.db", transport=GrpcTransport(server.grpc_address, "wrong"), background=False
    )
    wrong.identify("finn")
    wrong.track("Opened the app")
    assert not wrong.flush()
    delay = wrong.step()
    assert delay is not None
    assert delay > timedelta(minutes=59)
    wrong.close()

    mended = Tracker(
        tmp_path / "queue.db",
        transport=GrpcTransport(server.grpc_address, server.keys.sdk_key),
        background=False,
    )
    assert mended.flush()
    mended.close()
    assert [event.name for event in reader.timeline("finn")] == ["Opened the app"]
