"""`workevo store copy`: the copy is the store, whatever interrupts it, and one that is not is found."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import copytree
from typing import Any

import asyncpg
import grpc
import pytest

from workevo.tracking.v1 import verdict_pb2
from workevo_server.adapters.sql import copying
from workevo_server.adapters.sql.copied_rows import BATCH_BYTES_MAX, TABLES, Digest, batches
from workevo_server.adapters.sql.copying import Progress, Step, TableReport, copy_store
from workevo_server.adapters.sql.receipts import BLOCK
from workevo_server.adapters.sql.schema import store_facts
from workevo_server.adapters.sql.store import SqlStore, StoreRefused
from workevo_testing.full_store import MONTHS, fill, read_everything
from workevo_testing.places import DatabasePlace, FilePlace, run_apart
from workevo_testing.postgres import PostgresCluster
from workevo_testing.server_process import ServerProcess, run_command
from workevo_testing.sinks import end_of_test
from workevo_testing.wire_calls import Phone, event, install

COPY = (sys.executable, "-m", "workevo_server", "store", "copy")
WAIT_SECONDS_MAX = 60


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("full")
    run_apart(fill(directory / "workevo.db"))
    return directory


@pytest.fixture
def source(full: Path, tmp_path: Path) -> Path:
    """A data directory with something of everything."""
    return copytree(full, tmp_path / "data")


@pytest.fixture
def target(postgres: PostgresCluster) -> DatabasePlace:
    """An empty database."""
    return DatabasePlace(postgres.make_database(is_empty=True))


def address(target: DatabasePlace) -> str:
    return target.where.render_as_string(hide_password=False)


def run_copy(source: Path, target: DatabasePlace, *flags: str) -> str:
    return run_command("store", "copy", str(source), address(target), *flags)


def refusal(source: Path, target: str, *flags: str) -> str:
    """What it says when it refuses."""
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run_command("store", "copy", str(source), target, *flags)
    assert refused.value.stdout == ""
    return str(refused.value.stderr)


def _tell_nobody(_: Progress) -> None: ...


async def copy_here(
    source: Path, target: DatabasePlace, tell: Callable[[Progress], None] = _tell_nobody
) -> dict[str, TableReport]:
    """In batches so small that every table of any size takes several."""
    return dict(await copy_store(source / "workevo.db", target.where, tell=tell, batch_rows=50))


class Interrupted(Exception):
    pass


def at(step: Step, table: str) -> Callable[[Progress], None]:
    """Interrupts a copy as soon as it tells of that."""

    def tell(progress: Progress) -> None:
        if (progress.step, progress.table) == (step, table):
            raise Interrupted

    return tell


async def test_every_read_of_the_copy_equals_that_of_the_store(source: Path, target: DatabasePlace) -> None:
    file = FilePlace(source / "workevo.db")
    empty = [table.name for table in TABLES if not file.rows(f"SELECT 1 FROM {table.name} LIMIT 1")]
    assert empty == [], "the store that is copied has something of everything"

    verified = await copy_here(source, target)

    assert [each.name for each in source.iterdir()] == ["workevo.db"], "nothing is left beside it"
    assert await read_everything(target.where) == await read_everything(source / "workevo.db")
    assert target.problems() == ()
    assert verified["events"].rows == file.rows("SELECT count(*) FROM events")[0][0]
    months = target.rows("SELECT inhrelid FROM pg_inherits WHERE inhparent = 'events'::regclass")
    assert len(months) >= MONTHS
    assert target.rows("SELECT relname FROM pg_class WHERE relname LIKE 'store_copy%'") == []


async def test_numbers_given_out_later_are_greater_than_those_copied(
    source: Path, target: DatabasePlace
) -> None:
    """R8: what is received later comes later, and no row takes the number of another."""
    (((next_receipt,),)) = FilePlace(source / "workevo.db").rows(
        "SELECT CAST(CAST(value AS TEXT) AS INTEGER) FROM store_facts WHERE name = 'next_receipt_no'"
    )
    await copy_here(source, target)

    ((block,),) = target.rows("SELECT nextval('receipt_blocks')")
    assert block * BLOCK >= next_receipt
    for table in TABLES:
        column = table.autoincrement_column
        if column is not None:
            ((given, last),) = target.rows(
                f"SELECT nextval(pg_get_serial_sequence('{table.name}', '{column.name}')),"
                f" (SELECT max({column.name}) FROM {table.name})"
            )
            assert given == last + 1, table.name


async def test_the_copy_has_its_walls_and_its_audit_is_append_only(
    source: Path, target: DatabasePlace
) -> None:
    await copy_here(source, target)
    await (await SqlStore.open(target.where, simulated_clock=False, fatal=end_of_test)).close()

    open_tables = target.rows(
        "SELECT c.relname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
        " AND a.attname = 'workspace_no' WHERE c.relkind IN ('r', 'p') AND NOT c.relforcerowsecurity"
    )
    assert open_tables == []
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        target.execute("UPDATE audit_entries SET made_by = 'nobody'")


async def test_a_role_that_may_not_pass_row_level_security_can_copy(
    source: Path, target: DatabasePlace, postgres: PostgresCluster
) -> None:
    """As hosted databases have it: their owner is no superuser, and COPY is refused where a wall stands."""
    database = target.where.database
    target.execute("CREATE ROLE mover LOGIN CREATEROLE", f"ALTER DATABASE {database} OWNER TO mover")
    if target.rows("SELECT 1 FROM pg_roles WHERE rolname = 'workevo_app'"):
        target.execute("GRANT workevo_app TO mover WITH ADMIN OPTION")
    theirs = DatabasePlace(address(target).replace("workevo@", "mover@"))

    with pytest.raises(Interrupted):
        await copy_here(source, theirs, at(Step.COPY, "summaries"))
    await copy_here(source, theirs)

    assert await read_everything(theirs.where) == await read_everything(source / "workevo.db")


@pytest.mark.timeout(300)
def test_a_copy_that_is_killed_goes_on_where_it_stood(source: Path, target: DatabasePlace) -> None:
    """kill -9 in one table after the other; each time the next run begins behind what is there."""
    file = FilePlace(source / "workevo.db")
    rows = {table.name: 0 for table in TABLES}
    for table in ("contacts", "events", "summaries"):
        _kill_within(table, source, target)
        marks = _marks(target)
        assert marks == {name: target.rows(f"SELECT count(*) FROM {name}")[0][0] for name in rows}
        assert all(marks[name] >= rows[name] for name in rows), "nothing that was there is gone"
        assert (table == "contacts") or 3 <= marks[table] < file.rows(f"SELECT count(*) FROM {table}")[0][0]
        rows = marks
        if table == "contacts":
            target.execute(_SLOW, *(_EACH_ROW_SLOW.format(name) for name in ("events", "summaries")))
    target.execute("DROP FUNCTION slow CASCADE")

    assert "are the same on both sides" in run_copy(source, target)
    assert run_apart(read_everything(target.where)) == run_apart(read_everything(source / "workevo.db"))


_SLOW = """CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.03); RETURN NEW; END $$"""
_EACH_ROW_SLOW = "CREATE TRIGGER slow BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION slow()"
"""So that a copy is met within the table."""


def _kill_within(table: str, source: Path, target: DatabasePlace) -> None:
    """Start a copy, and end it once some rows of the table are there."""
    process = subprocess.Popen(
        [*COPY, str(source), address(target), "--batch-rows", "1"], stderr=subprocess.DEVNULL
    )
    _wait_for(lambda: _marks(target).get(table, 0) >= 3, process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    _wait_for(
        lambda: (
            not target.rows("SELECT 1 FROM pg_stat_activity WHERE application_name = 'workevo store copy'")
        )
    )


def _marks(target: DatabasePlace) -> dict[str, int]:
    """How many rows of each table the copy says are there."""
    if target.rows("SELECT to_regclass('store_copy_tables') IS NULL") == [(True,)]:
        return {}
    return dict(target.rows("SELECT table_name, row_count FROM store_copy_tables"))


def _wait_for(reached: Callable[[], bool], process: "subprocess.Popen[bytes] | None" = None) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not reached():
        assert process is None or process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline


_OTHER_BITS = "UPDATE store_facts SET value = set_byte(value, 0, get_byte(value, 0) # 1) WHERE name = 'clock'"


@pytest.mark.parametrize(
    ("table", "change", "back"),
    [
        (
            "events",
            "UPDATE events SET metadata = replace(metadata::text, '2999', '2998')::json",
            "UPDATE events SET metadata = replace(metadata::text, '2998', '2999')::json",
        ),
        ("store_facts", _OTHER_BITS, _OTHER_BITS),
        (
            "audit_entries",
            "INSERT INTO audit_entries VALUES (9999, 1, 0, '', '', '')",
            "SET session_replication_role = replica; DELETE FROM audit_entries WHERE entry_no = 9999",
        ),
    ],
)
async def test_one_byte_that_differs_is_found_and_no_server_starts_on_it(
    source: Path, target: DatabasePlace, table: str, change: str, back: str
) -> None:
    with pytest.raises(Interrupted):
        await copy_here(source, target, at(Step.VERIFY, "api_keys"))
    target.execute(change)

    with pytest.raises(StoreRefused, match=f"differs from the store in {table} "):
        await copy_here(source, target)
    with pytest.raises(StoreRefused, match="has not been verified"):
        await SqlStore.open(target.where, simulated_clock=None, fatal=end_of_test)

    target.execute(back)
    await copy_here(source, target)
    await (await SqlStore.open(target.where, simulated_clock=None, fatal=end_of_test)).close()


async def test_counts_that_do_not_add_up_stop_the_copy_before_it_begins(
    source: Path, target: DatabasePlace
) -> None:
    FilePlace(source / "workevo.db").execute("UPDATE summaries SET event_count = 0")
    with pytest.raises(StoreRefused, match=r"does not add up\. .* summaries that differ from their events"):
        await copy_here(source, target)
    assert target.rows("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []


@pytest.mark.parametrize(
    "held", ["CREATE TABLE notes (text TEXT)", "CREATE SEQUENCE numbers", "a store", "this copy"]
)
async def test_a_database_that_is_in_use_is_refused_and_left_alone(
    source: Path, target: DatabasePlace, held: str
) -> None:
    if held == "a store":
        await (await SqlStore.open(target.where, simulated_clock=False, fatal=end_of_test)).close()
    elif held == "this copy":
        await copy_here(source, target)
    else:
        target.execute(held)
    everything = "SELECT oid, relname FROM pg_class ORDER BY oid"
    before = target.rows(everything)

    with pytest.raises(StoreRefused, match="is in use: it holds tables already"):
        await copy_here(source, target)

    assert target.rows(everything) == before


async def test_a_copy_of_another_store_is_not_gone_on_with(
    source: Path, target: DatabasePlace, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        await copy_here(source, target, at(Step.COPY, "contacts"))
    other = tmp_path / "other"
    other.mkdir()
    await fill(other / "workevo.db")
    with pytest.raises(StoreRefused, match="Another store is being copied"):
        await copy_here(other, target)
    FilePlace(source / "workevo.db").execute(
        "UPDATE store_facts SET value = CAST('999999' AS BLOB) WHERE name = 'next_receipt_no'"
    )
    with pytest.raises(StoreRefused, match="has received events since this copy of it was begun"):
        await copy_here(source, target)


async def test_two_copies_to_one_database_do_not_meet(
    source: Path, target: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "LOCK_PAUSE_SECONDS", 0)
    refused: list[str] = []

    def tell(progress: Progress) -> None:
        if not refused:
            with pytest.raises(StoreRefused) as other:
                run_apart(copy_here(source, target))
            refused.append(str(other.value))

    await copy_here(source, target, tell)
    assert refused == ["Another copy to this database is running."]


async def test_a_connection_that_breaks_is_told_and_the_next_run_goes_on(
    source: Path, target: DatabasePlace
) -> None:
    def tell(progress: Progress) -> None:
        if progress.table == "events":
            target.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'workevo store copy' AND datname = current_database()"
            )

    with pytest.raises(StoreRefused, match=r"The copy stopped: .* goes on where it stands"):
        await copy_here(source, target, tell)
    assert _marks(target)["events"] == 50
    await copy_here(source, target)


@pytest.mark.timeout(300)
def test_a_server_on_the_copy_knows_what_was_sent_before(tmp_path: Path, target: DatabasePlace) -> None:
    """R6 and R7: what was acknowledged before the move is recognised after it; what is new comes later."""
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    device, other = install(), install()
    sent = [event(sequence, user_id="u1", name=f"name {sequence % 3}") for sequence in range(1, 21)]
    with ServerProcess(before) as server:
        keys = server.keys
        with grpc.insecure_channel(server.grpc_address) as channel:
            assert Phone(channel, keys.sdk_key, device).upload(sent).accepted_count == 20
        assert server.terminate() == 0
    run_copy(before / "data", target)

    with (
        ServerProcess(after, store=address(target)) as server,
        grpc.insecure_channel(server.grpc_address) as channel,
    ):
        again = Phone(channel, keys.sdk_key, device).upload([*sent, event(21, user_id="u1", name="new")])
        copies = Phone(channel, keys.sdk_key, other).upload(sent)
    assert again.accepted_count == 1
    assert [(result.verdict, result.identity) for result in again.results] == [
        (verdict_pb2.VERDICT_DUPLICATE, verdict_pb2.MATCHED_IDENTITY_TRANSPORT)
    ] * 20
    assert copies.accepted_count == 0
    assert [(result.verdict, result.identity) for result in copies.results] == [
        (verdict_pb2.VERDICT_DUPLICATE, verdict_pb2.MATCHED_IDENTITY_PRODUCT)
    ] * 20
    assert target.rows("SELECT sequence FROM events ORDER BY receipt_no DESC LIMIT 1") == [(21,)]
    assert target.problems() == ()


def test_a_server_is_kept_from_a_copy_that_is_not_finished(
    source: Path, target: DatabasePlace, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        run_apart(copy_here(source, target, at(Step.COPY, "events")))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run_command("serve", "--data-dir", str(tmp_path), "--store", address(target), "--http", "off")
    assert "run the same `workevo store copy FROM TO` again" in refused.value.stderr


def test_a_store_that_a_server_has_open_is_not_copied(tmp_path: Path, target: DatabasePlace) -> None:
    with ServerProcess(tmp_path) as server:
        told = refusal(server.data_dir, address(target))
    assert f"is in use by process {server.pid}" in told


def test_wrong_use_is_told_in_a_sentence_that_holds_no_password(source: Path, tmp_path: Path) -> None:
    nowhere = "postgresql+asyncpg://me:hunter2@127.0.0.1:1/none"
    told = [
        refusal(tmp_path / "missing", nowhere),
        refusal(source, "mysql://me:hunter2@127.0.0.1/none"),
        refusal(source, nowhere),
    ]
    assert not (tmp_path / "missing").exists()
    assert "There is no store in" in told[0]
    assert "postgresql+asyncpg://USER:PASSWORD@HOST:PORT/DATABASE" in told[1]
    assert "The copy stopped: " in told[2]
    for sentence in told:
        assert sentence.startswith("workevo: ")
        assert "hunter2" not in sentence
        assert sentence.count("\n") == 1


def test_progress_is_lines_where_no_terminal_is_and_json_when_asked(
    source: Path, target: DatabasePlace, postgres: PostgresCluster
) -> None:
    plain = subprocess.run([*COPY, str(source), address(target)], capture_output=True, text=True, check=True)
    assert "copy events: 350 of 350 rows" in plain.stderr.splitlines()
    assert "verify events: 350 of 350 rows" in plain.stderr.splitlines()
    other = postgres.make_database(is_empty=True)
    asked = subprocess.run([*COPY, str(source), other, "--json"], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in asked.stderr.splitlines()]
    assert {"step": "copy", "table": "events", "rows": 350, "rows_total": 350} in lines
    answer = json.loads(asked.stdout)
    assert answer["tables"]["events"]["rows"] == 350
    assert answer["rows"] == sum(table["rows"] for table in answer["tables"].values())


def test_progress_is_a_bar_on_a_terminal(source: Path, target: DatabasePlace) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.Popen([*COPY, str(source), address(target)], stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # Linux says so when the other end of a terminal has gone.
        while piece := os.read(ours, 4096):
            shown += piece
    os.close(ours)
    assert done.wait() == 0
    assert done.stdout is not None
    done.stdout.close()
    assert b"verify events" in shown
    assert b"350/350" in shown


def test_a_digest_is_of_the_rows_and_their_order_however_they_are_cut() -> None:
    rows: list[tuple[Any, ...]] = [
        (1, "a", b"a", None, True),
        (2, "b", b"", 0, False),
        (3, "", b"\0", -1, True),
    ]
    whole, cut, turned, changed = Digest(), Digest(), Digest(), Digest()
    whole.add(rows)
    for row in rows:
        cut.add([row])
    turned.add(rows[::-1])
    changed.add([rows[0], rows[1], (3, "", "\0", -1)])
    assert cut.text == whole.text
    assert len({whole.text, turned.text, changed.text}) == 3


def test_a_batch_is_bounded_by_rows_and_by_bytes() -> None:
    small = [[(str(number), b"x") for number in range(10)]] * 3
    assert [len(batch.rows) for batch in batches(store_facts, small, rows_max=7)] == [7, 7, 7, 7, 2]
    assert [batch.last_key for batch in batches(store_facts, small[:1], rows_max=7)] == [("6",), ("9",)]
    large = [[(str(number), bytes(BATCH_BYTES_MAX // 4)) for number in range(9)]]
    assert [len(batch.rows) for batch in batches(store_facts, large, rows_max=1000)] == [4, 4, 1]
