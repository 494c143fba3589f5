"""A damaged row or file costs itself: the rest goes on, and the loss is confessed (R14)."""

import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from workevo_mobile import QueueUnavailable, Tracker, queue_recovery
from workevo_mobile.identity_file import read_or_make_id
from workevo_mobile.moments import Moment
from workevo_mobile.policy import Call
from workevo_mobile.queue import Queue
from workevo_mobile.queue_file import open_queue_file
from workevo_mobile.queue_sql import Contact
from workevo_mobile.settlement import Burial, Hold, Settlement
from workevo_testing.mobile_fakes import FakeClocks, FakeTransport, HonestServer

NOW = Moment(wall_micros=1_700_000_000_000_000, uptime_millis=1_000_000, boot_id="boot-1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


def opened(path: Path, *, seed: int = 1, marker: Path | None = None, install: Path | None = None) -> Queue:
    return Queue(
        path,
        chance=random.Random(seed),
        fault=lambda _point: None,
        marker_path=marker,
        install_path=install,
    )


def body_of(_contact: Contact) -> bytes:
    return b"body"


def append(queue: Queue, count: int) -> list[int]:
    return [queue.append_event(body_of, NOW) for _ in range(count)]


def sequences(queue: Queue) -> list[int]:
    return [row.sequence for row in queue.waiting(NOW, rows_max=500).rows]


def drops(queue: Queue, epoch: bytes) -> list[tuple[int, int, str]]:
    parcel = queue.parcel(Call(epoch=epoch))
    return [(drop.sequences.first, drop.sequences.last, drop.reason.value) for drop in parcel.drops]


def changed(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        "kind = 'evenu'",
        "sequence = 'two'",
        "epoch = x'00'",
        "body = 'text'",
        "queued_wall_micros = 'then'",
        "queued_uptime_millis = 'up'",
        "queued_boot_id = x'ff'",
    ],
)
def test_a_row_that_cannot_be_read_is_put_aside_and_the_rest_goes_on(path: Path, damage: str) -> None:
    queue = opened(path)
    append(queue, 3)
    queue.close()
    changed(path, f"UPDATE queued SET {damage} WHERE position = 2")

    queue = opened(path)

    assert sequences(queue) == [1, 3]
    (letter,) = queue.dead_letters()
    assert letter.reason == "CORRUPT"
    readable = damage.partition(" ")[0] not in ("sequence", "epoch")
    assert drops(queue, queue.epoch) == ([(2, 2, "CORRUPT")] if readable else [])
    assert queue.pending() == 2
    queue.close()


def test_a_letter_that_is_no_unicode_costs_no_row(path: Path) -> None:
    queue = opened(path)
    append(queue, 1)
    queue.close()
    changed(path, "UPDATE queued SET queued_boot_id = CAST(x'ff41' AS TEXT)")

    queue = opened(path)
    assert sequences(queue) == [1]
    queue.close()


def test_a_body_that_differs_from_its_checksum_is_never_sent(path: Path) -> None:
    server, clocks = HonestServer(), FakeClocks()
    tracker = Tracker(path, transport=FakeTransport(server), clocks=clocks, background=False)
    for name in ("opened", "paid", "left"):
        tracker.track(name)
    tracker.close()
    laid = "body = CAST(replace(body, 'paid', 'laid') AS BLOB)"  # It parses, and would be believed.
    changed(path, f"UPDATE queued SET {laid} WHERE position = 2")

    tracker = Tracker(path, transport=FakeTransport(server), clocks=clocks, background=False)
    assert tracker.flush()
    tracker.flush()

    assert [event.name for _, event in server.stored] == ["opened", "left"]
    assert list(server.dropped) == [(tracker.install_id, tracker.epoch, 2)]
    (letter,) = tracker.dead_letters()
    assert (letter.name, letter.reason, letter.is_event) == ("laid", "CORRUPT", True)
    tracker.close()


@pytest.mark.parametrize("damage", ["checksum = 1", "checksum = NULL, body = x'ff'"])
def test_a_log_in_that_is_damaged_is_put_aside(path: Path, damage: str) -> None:
    """Rows of the first version have no checksum; what does not parse is damaged all the same."""
    server = HonestServer()
    tracker = Tracker(path, transport=FakeTransport(server), background=False)
    tracker.identify("u1")
    tracker._queue._store.connection.execute(f"UPDATE queued SET {damage}")
    tracker.track("opened")

    assert tracker.flush()

    assert server.identified == []
    assert [(letter.is_event, letter.name) for letter in tracker.dead_letters()] == [(False, "")]
    tracker.close()


def test_a_file_that_is_no_database_is_set_aside_and_kept(path: Path) -> None:
    notes = b"These are my holiday notes, dear reader. " * 200
    path.write_bytes(notes)

    queue = opened(path)

    assert append(queue, 1) == [1]
    assert path.with_name("queue.db.damaged").read_bytes() == notes
    queue.close()


@pytest.mark.parametrize(
    "damage", ["DELETE FROM device", "DROP TABLE device", "UPDATE device SET install_id = x'00'"]
)
def test_a_queue_that_names_no_install_begins_a_new_one_and_keeps_its_events(path: Path, damage: str) -> None:
    queue = opened(path)
    install_id, epoch = queue.install_id, queue.epoch
    append(queue, 2)
    queue.close()
    changed(path, damage)

    queue = opened(path, seed=2)

    assert queue.install_id != install_id
    assert queue.epoch != epoch
    assert sequences(queue) == [1, 2]
    queue.close()


def damage_the_rows(path: Path, queue: Queue, table: str = "queued") -> None:
    """Fill the first page of a table with nonsense; the other tables stay whole.

    The queue, which is open, forgets what it has read before, as it would for want of memory.
    """
    connection = queue._store.connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
    (root,) = connection.execute(query, (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        file.write(b"\xa5" * page_bytes)
    connection.execute("PRAGMA shrink_memory")


def test_rows_outlive_the_table_of_epochs(path: Path) -> None:
    queue = opened(path)
    epoch = queue.epoch
    append(queue, 3)
    damage_the_rows(path, queue, "epochs")
    queue.close()

    queue = opened(path, seed=2)

    assert queue.epoch != epoch
    assert sequences(queue) == [1, 2, 3]
    assert queue.parcel(Call(epoch=epoch)).last_sequence == 3
    queue.close()


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM epochs", "UPDATE epochs SET last_sequence = 1", "UPDATE epochs SET last_sequence = 'x'"],
)
def test_an_epoch_that_does_not_cover_its_rows_is_left_and_they_are_kept(path: Path, damage: str) -> None:
    queue = opened(path)
    epoch = queue.epoch
    append(queue, 3)
    queue.close()
    changed(path, damage)

    queue = opened(path, seed=2)

    assert queue.epoch != epoch
    assert append(queue, 1) == [1]
    assert sequences(queue) == [1, 2, 3, 1]
    assert queue.parcel(Call(epoch=epoch)).last_sequence == 3
    assert queue.dead_letters() == []
    queue.close()


def test_a_damaged_file_is_renewed_though_its_drops_are_damaged_too(path: Path) -> None:
    queue = opened(path)
    epoch = queue.epoch
    append(queue, 2)
    queue.opt_out(NOW)
    queue.opt_in()
    append(queue, 1)
    queue._store.connection.execute("UPDATE drops SET first_sequence = 'one'")
    damage_the_rows(path, queue)
    queue.close()

    queue = opened(path, seed=2)

    assert drops(queue, epoch) == [(1, 3, "CORRUPT")]
    queue.close()


def test_opening_a_whole_file_writes_nothing(path: Path) -> None:
    """So that a full disk does not keep the app from what it has."""
    queue = opened(path)
    append(queue, 3)
    queue.close()

    queue = opened(path)
    assert queue._store.connection.total_changes == 0
    queue.close()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("reason = 'OPTED_OUU'", [(1, 2, "CORRUPT")]),
        ("queued_wall_micros = 'then'", [(1, 2, "OPTED_OUT")]),
        ("first_sequence = 9", []),
        ("last_sequence = 'two'", []),
        ("last_sequence = 1 << 50", []),
        ("epoch = 'e'", []),
    ],
)
def test_a_drop_that_is_damaged_stops_no_upload(
    path: Path, damage: str, told: list[tuple[int, int, str]]
) -> None:
    queue = opened(path)
    epoch = queue.epoch
    append(queue, 2)
    queue.opt_out(NOW)
    queue.opt_in()
    queue.close()
    changed(path, f"UPDATE drops SET {damage}")

    queue = opened(path, seed=2)

    oldest = queue.waiting(NOW, rows_max=9).drop
    assert (drops(queue, epoch), oldest is not None) == (told, bool(told))
    queue.close()


def test_a_reason_that_is_damaged_while_the_queue_is_open_is_read_as_corrupt(path: Path) -> None:
    queue = opened(path)
    append(queue, 1)
    queue.opt_out(NOW)
    queue._store.connection.execute("UPDATE drops SET reason = 'OPTED_OUU'")

    assert drops(queue, queue.epoch) == [(1, 1, "CORRUPT")]
    queue.close()


@pytest.mark.parametrize(
    "damage",
    [
        "queued_uptime_millis = 1 << 62",
        "queued_uptime_millis = -(1 << 62)",
        "queued_uptime_millis = NULL, queued_wall_micros = -(1 << 62)",
    ],
)
def test_a_clock_that_cannot_be_is_unknown_and_costs_nothing(path: Path, damage: str) -> None:
    queue = opened(path)
    append(queue, 1)
    queue.close()
    changed(path, f"UPDATE queued SET {damage}")

    queue = opened(path)
    queue.expire(NOW)

    assert append(queue, 1) == [2]
    assert sequences(queue) == [1, 2]
    queue.close()


@pytest.mark.parametrize(
    "damage", ["DELETE FROM waits", "UPDATE queued SET wait_id = 77", "UPDATE waits SET length_micros = 'x'"]
)
def test_a_wait_that_is_lost_is_over(path: Path, damage: str) -> None:
    queue = opened(path)
    append(queue, 1)
    held = tuple(Hold(row, timedelta(hours=1)) for row in queue.waiting(NOW, rows_max=9).rows)
    queue.settle(Settlement(epoch=queue.epoch, held=held), NOW)
    assert sequences(queue) == []
    queue.close()
    changed(path, damage)

    queue = opened(path)

    assert sequences(queue) == [1]
    queue.close()


def test_a_damaged_file_begins_anew_under_its_install_and_confesses_what_is_lost(path: Path) -> None:
    queue = opened(path)
    install_id, epoch, visitor_id = queue.install_id, queue.epoch, queue.contact.visitor_id
    append(queue, 3)
    queue.append_identify("u1", "aa", body_of, NOW)
    queue.opt_out(NOW)
    queue.opt_in()
    append(queue, 2)
    damage_the_rows(path, queue)
    queue.close()

    queue = opened(path, seed=2)

    assert append(queue, 1) == [1]
    assert queue.install_id == install_id
    assert queue.epoch != epoch
    assert queue.contact == Contact(visitor_id, "u1")
    assert drops(queue, epoch) == [(1, 3, "OPTED_OUT"), (4, 5, "CORRUPT")]
    assert path.with_name("queue.db.damaged").exists()
    queue.close()


def test_damage_that_shows_in_use_refuses_one_verb_and_the_next_finds_a_file_that_works(path: Path) -> None:
    verbs: list[Callable[[Queue], object]] = [
        lambda it: it.waiting(NOW, rows_max=9),
        lambda it: append(it, 1),
    ]
    for seed, verb in enumerate(verbs):
        queue = opened(path, seed=seed)
        install_id, epoch = queue.install_id, queue.epoch
        append(queue, 2)
        last = queue.parcel(Call(epoch=epoch)).last_sequence
        damage_the_rows(path, queue)

        with pytest.raises(QueueUnavailable, match="malformed"):
            verb(queue)

        assert append(queue, 1) == [1]
        assert (queue.install_id, queue.epoch != epoch) == (install_id, True)
        assert drops(queue, epoch) == [(1, last, "CORRUPT")]
        queue.close()


def test_an_answer_that_was_on_its_way_meets_no_row_of_the_new_file(path: Path) -> None:
    queue = opened(path)
    append(queue, 3)
    sent = queue.waiting(NOW, rows_max=500).rows
    damage_the_rows(path, queue)
    with pytest.raises(QueueUnavailable):
        queue.waiting(NOW, rows_max=500)
    append(queue, 3)

    queue.settle(Settlement(epoch=queue.epoch, done=sent), NOW)

    assert queue.pending() == 3
    queue.close()


def test_an_answer_that_was_on_its_way_meets_no_drop_of_any_new_file(path: Path) -> None:
    queue = opened(path)
    told: list[int] = []
    for _ in range(3):
        append(queue, 2)
        damage_the_rows(path, queue)
        with pytest.raises(QueueUnavailable):
            queue.waiting(NOW, rows_max=500)
        found = queue._store.connection.execute("SELECT drop_id FROM drops").fetchall()
        told.append(max(drop_id for (drop_id,) in found))
        assert min(drop_id for (drop_id,) in found) not in told[:-1]

    assert told == sorted(set(told))
    assert queue.last_marks()[1] == told[-1]
    queue.close()


def test_an_answer_touches_no_other_row_that_took_the_place_of_its_own(path: Path) -> None:
    queue = opened(path)
    append(queue, 1)
    (row,) = queue.waiting(NOW, rows_max=500).rows
    foreign = replace(row, sequence=7)
    epoch = queue.epoch

    queue.settle(Settlement(epoch=epoch, done=(foreign,)), NOW)
    queue.settle(Settlement(epoch=epoch, buried=(Burial(row=foreign, reason="x"),)), NOW)
    queue.settle(Settlement(epoch=epoch, held=(Hold(foreign, timedelta(hours=1)),)), NOW)
    assert queue.parcel(Call(epoch=epoch, rows=(foreign,))).rows == ()
    assert (queue.waiting(NOW, rows_max=500).rows, queue.dead_letters()) == ((row,), [])

    queue.settle(Settlement(epoch=epoch, forked=(foreign,)), NOW)
    assert queue.waiting(NOW, rows_max=500).rows == (row,)
    queue.close()


def test_an_exchange_of_files_that_a_kill_interrupted_is_finished(path: Path) -> None:
    queue = opened(path)
    install_id = queue.install_id
    append(queue, 2)
    queue.close()
    path.rename(path.with_name("queue.db.renewed"))

    queue = opened(path, seed=2)

    assert queue.install_id == install_id
    assert sequences(queue) == [1, 2]
    queue.close()


def test_a_wal_of_the_damaged_file_that_a_kill_left_does_not_meet_the_new_one(path: Path) -> None:
    queue = opened(path)
    append(queue, 1)
    wal = Path(f"{path}-wal").read_bytes()
    append(queue, 2)
    queue.close()
    path.rename(path.with_name("queue.db.renewed"))
    Path(f"{path}-wal").write_bytes(wal)

    queue = opened(path, seed=2)

    assert sequences(queue) == [1, 2, 3]
    assert path.with_name("queue.db.damaged-wal").read_bytes() == wal
    queue.close()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk: what would make a file longer fails."""
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))


class FullDiskAtClose:
    """A connection; the disk is full from the moment it is closed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def close(self) -> None:
        with files_of_at_most(4096):
            self._connection.close()


def test_a_new_file_is_complete_before_it_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing must have nothing left to write: SQLite says nothing when a full disk fails its checkpoint."""
    monkeypatch.setattr(
        queue_recovery,
        "open_queue_file",
        lambda *args, **kwargs: FullDiskAtClose(open_queue_file(*args, **kwargs)),
    )
    queue = opened(path)
    install_id, epoch = queue.install_id, queue.epoch
    append(queue, 3)
    damage_the_rows(path, queue)
    queue.close()

    queue = opened(path, seed=2)

    assert (queue.install_id, drops(queue, epoch)) == (install_id, [(1, 3, "CORRUPT")])
    assert not list(path.parent.glob("queue.db.renewed*"))
    queue.close()


def test_a_new_file_for_which_the_disk_has_no_room_costs_nothing(path: Path) -> None:
    queue = opened(path)
    install_id, epoch = queue.install_id, queue.epoch
    append(queue, 3)
    damage_the_rows(path, queue)
    queue.close()
    damaged = path.read_bytes()

    with files_of_at_most(40_000), pytest.raises(QueueUnavailable):
        opened(path, seed=2)
    assert path.read_bytes() == damaged
    assert [file.name for file in path.parent.glob("queue.db.*")] == []

    queue = opened(path, seed=3)
    assert (queue.install_id, drops(queue, epoch)) == (install_id, [(1, 3, "CORRUPT")])
    queue.close()


def test_a_damaged_file_that_cannot_be_set_aside_is_refused(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    path.with_name("queue.db.damaged").mkdir()

    with pytest.raises(QueueUnavailable, match="could not be set aside"):
        opened(path)
    assert path.read_bytes() == b"no database" * 1000


def test_a_queue_of_the_first_version_is_brought_up_to_date(path: Path) -> None:
    """Taken apart by hand: what the second version added is removed again."""
    queue = opened(path)
    append(queue, 2)
    queue.close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "DROP VIEW sound_rows; DROP TRIGGER row_came; DROP TRIGGER row_went; DROP TABLE totals;"
        " DROP TABLE client_config; DROP TABLE tallies; DROP INDEX drops_by_end;"
        " ALTER TABLE drops DROP COLUMN name; ALTER TABLE queued DROP COLUMN checksum;"
        " ALTER TABLE device DROP COLUMN opted_out; ALTER TABLE device DROP COLUMN marker;"
        " ALTER TABLE device DROP COLUMN last_answer_wall_micros; PRAGMA user_version = 1"
    )
    connection.close()

    queue = opened(path)

    assert sequences(queue) == [1, 2]
    assert queue.counts().rows == 2
    assert queue.parcel(Call(epoch=queue.epoch, rows=queue.waiting(NOW, rows_max=9).rows)).bodies == (
        b"body",
        b"body",
    )
    assert append(queue, 1) == [3]
    queue.close()


# Restored and cloned devices (R14a), several processes


def test_a_queue_on_another_device_takes_a_new_epoch_and_queued_events_keep_theirs(tmp_path: Path) -> None:
    home, other = tmp_path / "home.marker", tmp_path / "other.marker"
    queue = opened(tmp_path / "queue.db", marker=home)
    epoch = queue.epoch
    append(queue, 2)
    queue.close()
    shutil.copy(tmp_path / "queue.db", tmp_path / "clone.db")

    clone = opened(tmp_path / "clone.db", seed=2, marker=other)
    again = opened(tmp_path / "queue.db", seed=3, marker=home)

    assert again.epoch == epoch, "at home nothing changes"
    assert clone.epoch != epoch
    assert clone.install_id == again.install_id
    append(clone, 1)
    found = clone.waiting(NOW, rows_max=500).rows
    assert [(row.sequence, row.epoch == epoch) for row in found] == [(1, True), (2, True), (1, False)]
    clone.close()
    again.close()
    clone = opened(tmp_path / "clone.db", seed=4, marker=other)
    assert sequences(clone) == [1, 2, 1]
    clone.close()


def test_the_control_without_a_marker_keeps_the_epoch_of_the_other_device(tmp_path: Path) -> None:
    queue = opened(tmp_path / "queue.db")
    epoch = queue.epoch
    queue.close()
    shutil.copy(tmp_path / "queue.db", tmp_path / "clone.db")

    clone = opened(tmp_path / "clone.db", seed=2)

    assert clone.epoch == epoch
    clone.close()


def test_a_lost_or_damaged_marker_costs_an_epoch_and_nothing_else(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    queue = opened(tmp_path / "queue.db", marker=marker)
    epochs = [queue.epoch]
    append(queue, 1)
    queue.close()
    for seed, damage in enumerate([b"", b"\xff\xfe", b"x" * 300], start=2):
        marker.write_bytes(damage)
        queue = opened(tmp_path / "queue.db", seed=seed, marker=marker)
        epochs.append(queue.epoch)
        append(queue, 1)
        queue.close()

    assert len(set(epochs)) == 4
    queue = opened(tmp_path / "queue.db", seed=9, marker=marker)
    assert (queue.epoch, queue.pending()) == (epochs[-1], 4)
    queue.close()


def test_a_queue_that_is_given_its_first_marker_goes_on(tmp_path: Path) -> None:
    queue = opened(tmp_path / "queue.db")
    epoch = queue.epoch
    queue.close()

    queue = opened(tmp_path / "queue.db", seed=2, marker=tmp_path / "marker")

    assert queue.epoch == epoch
    queue.close()


def test_several_queues_are_one_install_each_with_its_own_epoch(tmp_path: Path) -> None:
    install = tmp_path / "install"
    app = opened(tmp_path / "app.db", seed=1, install=install)
    widget = opened(tmp_path / "widget.db", seed=2, install=install)

    assert widget.install_id == app.install_id
    assert widget.epoch != app.epoch
    assert (append(app, 1), append(widget, 2)) == ([1], [1, 2])
    app.close()
    widget.close()


def test_the_install_of_a_queue_that_was_there_first_becomes_that_of_all(tmp_path: Path) -> None:
    first = opened(tmp_path / "app.db", seed=1)
    install_id = first.install_id
    first.close()

    app = opened(tmp_path / "app.db", seed=2, install=tmp_path / "install")
    widget = opened(tmp_path / "widget.db", seed=3, install=tmp_path / "install")

    assert app.install_id == widget.install_id == install_id
    app.close()
    widget.close()


def test_a_file_of_ids_that_another_process_makes_first_holds(tmp_path: Path) -> None:
    path = tmp_path / "install"

    def slowly() -> str:
        path.write_text("the other's")
        return "mine"

    assert read_or_make_id(path, slowly) == "the other's"
    assert path.read_text() == "the other's"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_ids_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()

    with pytest.raises(QueueUnavailable, match="could not be read"):
        opened(tmp_path / "queue.db", marker=tmp_path / "directory")
    with pytest.raises(QueueUnavailable, match="could not be written"):
        opened(tmp_path / "queue.db", marker=tmp_path / "missing" / "marker")
    opened(tmp_path / "queue.db").close()


TESTS = Path(__file__).parent.parent

APP_OF_ONE_PROCESS = """
import sys
from datetime import timedelta
from workevo_mobile import Tracker
from workevo_testing.mobile_fakes import FakeTransport, HonestServer

tracker = Tracker(
    sys.argv[1],
    transport=FakeTransport(HonestServer()),
    install_path=sys.argv[2],
    commit_wait=None,
    flush_event_count=1_000_000,
    flush_interval=timedelta(hours=1),
)
print(tracker.install_id, flush=True)
while True:
    print(tracker.track("tapped"), flush=True)
"""


def test_processes_that_are_killed_together_keep_every_event_under_one_install(tmp_path: Path) -> None:
    """They start together, so one of them makes the file of the install and the others find it."""
    names = ("app", "widget", "extension")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", APP_OF_ONE_PROCESS, tmp_path / f"{name}.db", tmp_path / "install"],
            cwd=TESTS,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    heard = [[process.stdout.readline() for _ in range(6)] for process in processes if process.stdout]
    for process in processes:
        process.kill()
    promised = [
        len(lines) - 1 + len(process.communicate()[0].splitlines())
        for lines, process in zip(heard, processes, strict=True)
    ]

    queues = [opened(tmp_path / f"{name}.db", install=tmp_path / "install") for name in names]

    assert {lines[0].strip() for lines in heard} == {queue.install_id for queue in queues}
    assert len({queue.install_id for queue in queues}) == 1
    assert len({queue.epoch for queue in queues}) == 3
    for queue, count in zip(queues, promised, strict=True):
        assert queue.pending() >= count >= 5
        queue.close()
