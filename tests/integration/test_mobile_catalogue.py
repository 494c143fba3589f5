"""The real SDK obeys the catalogue: archived while it was offline, unarchived, switched off (R23, R14)."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from workevo.insight.v1 import catalogue_pb2, catalogue_pb2_grpc, people_pb2, people_pb2_grpc
from workevo_mobile import GrpcTransport, Tracker
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import BackEnd, bearer

pytestmark = pytest.mark.usefixtures("on_each_store")

INVITED = "invited-friend"
USER_ID = "host"
DAY = timedelta(days=1)


class Clocks:
    """Real enough, and a day passes when the test says so."""

    def __init__(self) -> None:
        self.millis = 1_000_000

    def wall_micros(self) -> int:
        return 1_790_000_000_000_000 + self.millis * 1_000

    def uptime_millis(self) -> int:
        return self.millis

    def boot_id(self) -> str:
        return "boot"

    def pass_time(self, span: timedelta) -> None:
        self.millis += span // timedelta(milliseconds=1)


class App:
    """A phone with the SDK, and what its business sees and does."""

    def __init__(self, server: ServerProcess, channel: grpc.Channel, queue: Path) -> None:
        self.clocks = Clocks()
        self.tracker = Tracker(
            queue,
            transport=GrpcTransport(server.grpc_address, server.keys.sdk_key),
            clocks=self.clocks,
            background=False,
        )
        self.tracker.identify(USER_ID)
        self._back_end = BackEnd(channel, server.keys.server_key)
        self._people = people_pb2_grpc.PeopleServiceStub(channel)
        self.catalogue = catalogue_pb2_grpc.EventCatalogueServiceStub(channel)
        self.credentials: dict[str, Any] = {"metadata": bearer(server.keys.server_key), "timeout": 10}

    def track(self, *names: str) -> None:
        """Each a second after the other, so that none is a copy."""
        for name in names:
            self.clocks.pass_time(timedelta(seconds=1))
            self.tracker.track(name)

    def go_online(self) -> None:
        for _ in range(20):
            self.tracker.request_flush()
            self.tracker.step()
            self.clocks.pass_time(timedelta(seconds=1))
            if not self.tracker.pending():
                return
        raise AssertionError("the queue did not empty")

    def summary(self) -> dict[str, int]:
        answer = self._people.GetEventSummary(
            people_pb2.GetEventSummaryRequest(user_id=USER_ID), **self.credentials
        )
        return {each.name: each.count for each in answer.summaries}

    def timeline(self) -> list[str]:
        return [each.event.name for each in self._back_end.activities(USER_ID) if each.HasField("event")]

    def definition(self, name: str = INVITED) -> catalogue_pb2.EventDefinition:
        return self.catalogue.GetEventDefinition(
            catalogue_pb2.GetEventDefinitionRequest(name=name), **self.credentials
        ).definition

    def archive(self) -> None:
        request = catalogue_pb2.ArchiveEventDefinitionRequest(name=INVITED)
        self.catalogue.ArchiveEventDefinition(request, **self.credentials)

    def unarchive(self) -> None:
        request = catalogue_pb2.UnarchiveEventDefinitionRequest(name=INVITED)
        self.catalogue.UnarchiveEventDefinition(request, **self.credentials)

    def balance(self) -> tuple[int, int, int, int, int]:
        """generated, stored, archived, dropped, open; that they add up is asserted every time."""
        told = self._back_end.ledger(self.tracker.install_id).balance
        settled = told.stored + told.duplicate + told.archived + told.rejected + told.dropped
        assert told.generated == settled + told.open
        return told.generated, told.stored, told.archived, told.dropped, told.open


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with ServerProcess(tmp_path) as server, grpc.insecure_channel(server.grpc_address) as channel:
        app = App(server, channel, tmp_path / "queue.db")
        yield app
        app.tracker.close()
        assert server.place.problems() == ()


def test_a_name_archived_while_a_phone_is_offline_and_unarchived_later(app: App) -> None:
    app.track(INVITED, INVITED, "opened")
    app.go_online()
    assert app.summary() == {INVITED: 2, "opened": 1}

    app.track(INVITED, "opened", INVITED, INVITED)  # Offline, and the phone knows of nothing.
    app.archive()
    app.go_online()

    assert app.summary() == {"opened": 2}
    assert app.timeline() == ["opened", "opened"]
    assert (app.definition().stored_count, app.definition().archived_count) == (2, 3)
    assert app.balance() == (7, 4, 3, 0, 0)

    app.track(INVITED, "opened")  # By now the phone has the new configuration and does not send it.
    app.go_online()
    assert app.balance() == (9, 5, 3, 1, 0)
    assert app.definition().dropped_archived_count == 1
    assert app.definition().archived_count == 3

    app.unarchive()
    assert app.summary() == {INVITED: 2, "opened": 3}
    assert app.timeline().count(INVITED) == 2
    app.track("opened")
    app.go_online()  # Brings the new configuration.
    app.track(INVITED)
    app.go_online()
    assert app.summary() == {INVITED: 3, "opened": 4}
    assert app.balance() == (11, 7, 3, 1, 0)


def test_a_name_switched_off_is_counted_as_dropped_by_name_and_back_after_a_day_without_the_server(
    app: App,
) -> None:
    app.track("noisy", "opened")
    app.go_online()
    app.catalogue.UpdateEventDefinition(
        catalogue_pb2.UpdateEventDefinitionRequest(name="noisy", disabled=True), **app.credentials
    )
    app.track("opened")
    app.go_online()

    app.track("noisy", "Noisy", "opened")
    app.go_online()

    assert app.definition("noisy").dropped_disabled_count == 2
    assert app.summary() == {"noisy": 1, "opened": 3}
    assert app.balance() == (6, 4, 0, 2, 0)

    app.clocks.pass_time(DAY)  # The configuration is too old to be obeyed.
    app.track("noisy")
    app.go_online()
    assert app.balance() == (7, 5, 0, 2, 0)
