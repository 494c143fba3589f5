"""`kill -9` amid a replay: nothing is lost, nothing is stored twice, the balance holds (R12, R13)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from workevo.insight.v1 import delivery_pb2 as wire
from workevo.insight.v1 import delivery_pb2_grpc
from workevo_server.domain import limits
from workevo_testing.killable_phone import KILLED_EXIT_CODE
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import BackEnd, Phone, bearer, event

FAILED = 2 * limits.REPLAY_TRANSACTION_EVENTS_MAX + 20
USER_ID = "mended"
SABOTAGED = (sys.executable, "-m", "workevo_testing.sabotaged_server")


@contextmanager
def channel_to(server: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc_address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield channel


def replay(server: ServerProcess, **request: Any) -> wire.ReplayFailedEventsResponse:
    with channel_to(server) as channel:
        stub = delivery_pb2_grpc.DeliveryServiceStub(channel)
        return stub.ReplayFailedEvents(
            wire.ReplayFailedEventsRequest(filter=wire.FailedEventFilter(), page_size=500, **request),
            metadata=bearer(server.keys.server_key),
            timeout=30,
        )


def with_failed_events(server: ServerProcess) -> Phone:
    """Rejected under strict names, half of them folded into counts, and good from now on."""
    workspace_id = server.keys.workspace_id
    server.set(workspace_id, key_charset="strict")
    with channel_to(server) as channel:
        phone = Phone(channel, server.keys.sdk_key)
        sent = [event(number, name="a.b", user_id=USER_ID) for number in range(1, FAILED + 1)]
        assert phone.upload(sent).accepted_count == 0
        phone.upload([event(FAILED + 1, user_id=USER_ID, name="good")], applied_through=FAILED // 2)
    server.set(workspace_id, key_charset="any")
    return phone


def found(server: ServerProcess, phone: Phone) -> tuple[list[int], wire.Balance]:
    with channel_to(server) as channel:
        back_end = BackEnd(channel, server.keys.server_key)
        sequences = sorted(each.event.sequence for each in back_end.activities(USER_ID))
        return sequences, back_end.ledger(phone.install.install_id).balance


@pytest.mark.usefixtures("on_each_store")
@pytest.mark.parametrize(
    "crash_at", ["before_commit:1", "after_commit:1", "before_commit:2", "after_commit:3"]
)
def test_a_replay_that_is_killed_loses_nothing_and_doubles_nothing(tmp_path: Path, crash_at: str) -> None:
    with ServerProcess(tmp_path) as server:
        phone = with_failed_events(server)
        server.restart(environment={"WORKEVO_CRASH_AT": crash_at})
        with pytest.raises(grpc.RpcError):
            replay(server)
        assert server.wait() == KILLED_EXIT_CODE
        server.restart(environment={})
        committed, half = found(server, phone)
        assert half.generated == half.stored + half.rejected == FAILED + 1
        assert half.stored == len(committed)

        replay(server)

        sequences, balance = found(server, phone)
        assert sequences == list(range(1, FAILED + 2))
        assert (balance.generated, balance.stored, balance.rejected) == (FAILED + 1, FAILED + 1, 0)
        assert server.place.problems() == ()


@pytest.mark.usefixtures("on_each_store")
def test_control_a_ledger_that_a_replay_does_not_move_is_found(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, command=[*SABOTAGED, "replay-moves-no-ledger"]) as server:
        phone = with_failed_events(server)
        replay(server)
        sequences, balance = found(server, phone)
        assert (len(sequences), balance.stored, balance.rejected) == (FAILED + 1, 1, FAILED)
        assert server.place.problems()
