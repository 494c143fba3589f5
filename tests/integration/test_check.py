"""`workevo check`: says that a sound store is sound, and of every tampering what does not add up."""

import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import copytree

import grpc
import pytest
from sqlalchemy import Connection

from workevo_server.adapters.sql import integrity
from workevo_server.adapters.sql.store import SqlStore
from workevo_testing.places import DatabasePlace
from workevo_testing.postgres import PostgresCluster
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import ServerProcess, run_command
from workevo_testing.sinks import end_of_test
from workevo_testing.wire_calls import Phone, event


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with a few events, its server gone."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        with grpc.insecure_channel(server.grpc_address) as channel:
            phone = Phone(channel, server.keys.sdk_key)
            phone.upload(event(sequence, user_id="u1") for sequence in range(1, 5))
            phone.upload([event(5, user_id="u1", created_at={"seconds": int(time.time())})])  # Has an hour.
            phone.upload([event(6, user_id="u1", name="")])
        rest = Rest(address=server.http_address, key=server.keys.server_key)
        told = {"event_name": "bought", "count": 7, "first": 1, "last": 2}
        assert rest.post("/events/summaries", user_id="u1", event_summaries=told).status == 202
        assert "5 events: the store is sound." in server.command("check"), "beside a running server"
        server.terminate()
        yield server.data_dir


def test_a_sound_store_is_called_sound(store: Path) -> None:
    assert "5 events: the store is sound." in run_command("check", "--data-dir", str(store))


def test_a_check_beside_a_server_reads_one_state(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes between two of its queries is not taken for a fault; the next check sees it."""
    copy = copytree(store, tmp_path / "copy", ignore=lambda *_: {"control.sock"}) / "workevo.db"
    count = integrity._miscounts

    def then_another_writes(connection: Connection) -> Iterator[str]:
        yield from count(connection)
        with closing(sqlite3.connect(copy)) as other:
            other.execute("DELETE FROM events WHERE sequence = 3")
            other.commit()

    monkeypatch.setattr(integrity, "_miscounts", then_another_writes)
    assert integrity.inspect(copy).problems == ()
    assert integrity.inspect(copy).problems != ()


@pytest.mark.parametrize(
    ("tampering", "finding"),
    [
        ("DELETE FROM events WHERE sequence = 3", "ledgers whose stored count differs"),
        ("DELETE FROM events WHERE sequence = 3", "summaries that differ"),
        ("DELETE FROM events", "summaries without events"),
        ("UPDATE summaries SET event_count = event_count + 1", "summaries that differ"),
        ("UPDATE events SET sequence = 1", "sequences stored more than once"),
        ("DELETE FROM event_volumes", "days of a name with more events than they count"),
        (
            "UPDATE event_volumes SET event_count = event_count + 1 WHERE dimension <> 'hour'",
            "days of a name that count more events than there are",
        ),
        (
            "UPDATE event_volumes SET starts_at = starts_at - 86400",
            "days of a name that count more events than there are",
        ),
        (
            "UPDATE event_volumes SET event_count = 9 WHERE dimension = 'platform'",
            "days of a name that count differently",
        ),
        (
            "DELETE FROM event_volumes WHERE dimension = 'hour'",
            "1 hours of a name with more events than they count",
        ),
        (
            "UPDATE event_volumes SET event_count = 2 WHERE dimension = 'hour'",
            "1 hours of a name that count more events than there are",
        ),
        (
            "UPDATE event_volumes SET event_count = 2 WHERE dimension = 'hour'",
            "1 days of a name whose hours count more than the day",
        ),
        ("UPDATE ledgers SET open_count = open_count + 1", "ledgers whose totals differ"),
        ("UPDATE ledgers SET trouble_count = 9", "ledgers whose totals differ"),
        ("INSERT INTO contact_words VALUES (1, x'61', 1)", "contacts that are not found by the words"),
        ('UPDATE contacts SET attributes = \'{"name":"Anna"}\'', "contacts that are not found by the words"),
        ("DELETE FROM contacts", "events of no contact"),
        ("DELETE FROM contacts", "1 told counts of no contact"),
        ("DELETE FROM event_definitions", "1 told counts of no name"),
        ("UPDATE told_counts SET event_count = 0", "1 told counts that nobody can have told"),
        ("UPDATE told_counts SET last_occurred_at = 0", "1 told counts that nobody can have told"),
        ("DELETE FROM event_definitions", "events of no name"),
        ("DELETE FROM failed_events", "2 counts of failed events that differ from those that are kept"),
        ("DELETE FROM failed_event_usage", "2 counts of failed events that differ"),
        (
            "UPDATE failed_event_usage SET kept_bytes = kept_bytes - 1",
            "2 counts of failed events that differ",
        ),
    ],
)
def test_what_does_not_add_up_is_named(store: Path, tmp_path: Path, tampering: str, finding: str) -> None:
    copy = copytree(store, tmp_path / "copy", ignore=lambda *_: {"control.sock"})
    with closing(sqlite3.connect(copy / "workevo.db")) as other:
        other.execute(tampering)
        other.commit()
    with pytest.raises(subprocess.CalledProcessError) as found:
        run_command("check", "--data-dir", str(copy))
    assert found.value.returncode == 1
    assert finding in found.value.stdout


def test_a_directory_without_a_store_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run_command("check", "--data-dir", str(tmp_path))
    assert refused.value.returncode == 2
    assert "There is no store in" in refused.value.stderr
    assert list(tmp_path.iterdir()) == []


async def test_a_check_of_a_large_postgresql_looks_nothing_up_event_by_event(
    postgres: PostgresCluster,
) -> None:
    """A million events against the list of three hundred thousand contacts took hours."""
    place = DatabasePlace(postgres.make_database())
    await (await SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test)).close()
    for query in integrity._COUNTS.values():
        plan = "\n".join(line for (line,) in place.rows(f"EXPLAIN {query}"))
        assert "SubPlan" not in plan, plan
