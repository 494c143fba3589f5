"""A server killed between the commit of a deletion and its scrub leaves nothing behind all the same (R32)."""

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest

from workevo.insight.v1 import people_pb2, people_pb2_grpc
from workevo.tracking.v1 import event_pb2
from workevo_testing.killable_phone import KILLED_EXIT_CODE
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import CALL_SECONDS_MAX, Phone, bearer, event

SABOTAGED = (sys.executable, "-m", "workevo_testing.sabotaged_server")
PEOPLE, PHONES, UPLOADS = 12, 20, 300


def fill(server: ServerProcess) -> None:
    """People whose events lie between each other's, some refused, as they arrived in random order."""
    chance = random.Random(1)
    with grpc.insecure_channel(server.grpc_address) as channel:
        phones = [Phone(channel, server.keys.sdk_key) for _ in range(PHONES)]
        sequences = dict.fromkeys(range(PHONES), 0)
        for _ in range(UPLOADS):
            number = chance.randrange(PHONES)
            events = []
            for _ in range(chance.randrange(1, 60)):
                sequences[number] += 1
                events.append(tell(sequences[number], chance.randrange(PEOPLE), chance))
            phones[number].upload(events)


def tell(sequence: int, who: int, chance: random.Random) -> event_pb2.Event:
    name = f"n{chance.randrange(5)}" if chance.random() < 0.9 else ""
    second = {"seconds": chance.randrange(100_000)}
    told = event(sequence, user_id=f"u{who}", name=name, created_at=second)
    for key in range(chance.randrange(1, 6)):
        told.metadata.add(key=f"k{key}").text = canary(who) + "y" * chance.randrange(240)
    return told


def canary(who: int) -> str:
    return f"CANARY{who}x"


def delete(server: ServerProcess, who: int) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel:
        people_pb2_grpc.PeopleServiceStub(channel).DeleteContact(
            people_pb2.DeleteContactRequest(user_id=f"u{who}"),
            metadata=bearer(server.keys.server_key),
            timeout=CALL_SECONDS_MAX,
        )


def found(server: ServerProcess, text: str) -> int:
    files = [path for path in server.data_dir.rglob("*") if path.is_file()]
    return sum(path.read_bytes().count(text.encode()) for path in files)


def left_after_a_kill(directory: Path, *, deletions: int, sabotage: Sequence[str] = ()) -> int:
    """How much of somebody is in the data directory after a deletion; the last one when the server, which
    died in it, has started again."""
    with ServerProcess(directory) as server:
        fill(server)
        crash_at = {"WORKEVO_CRASH_AT": f"after_commit:{deletions}"}
        assert server.terminate() == 0
        server.restart(environment=crash_at, command=sabotage or None)
        *before, last = range(deletions)
        left = 0
        for who in before:
            delete(server, who)
            left += found(server, canary(who))
        with pytest.raises(grpc.RpcError):
            delete(server, last)
        assert server.wait() == KILLED_EXIT_CODE
        assert found(server, canary(last)) > 0, "the point lies behind the scrub"

        server.restart(environment={}, command=sabotage or None)

        assert found(server, canary(PEOPLE - 1)) > 0
        with pytest.raises(grpc.RpcError) as gone:
            delete(server, last)
        assert gone.value.code() is grpc.StatusCode.NOT_FOUND
        return left + found(server, canary(last))


def test_a_kill_between_a_deletions_commit_and_its_scrub_leaves_nothing_after_the_next_start(
    tmp_path: Path,
) -> None:
    assert left_after_a_kill(tmp_path, deletions=1) == 0


def test_control_without_any_scrub_something_is_left(tmp_path: Path) -> None:
    assert left_after_a_kill(tmp_path, deletions=PEOPLE - 1, sabotage=[*SABOTAGED, "no-scrub"]) > 0
