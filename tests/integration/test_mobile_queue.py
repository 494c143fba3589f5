"""The device's queue, on a real file."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from workevo_mobile import limits
from workevo_mobile.drop_reason import DropReason
from workevo_mobile.errors import QueueUnavailable
from workevo_mobile.moments import Moment
from workevo_mobile.policy import Call, Row, RowKind, Waiting
from workevo_mobile.queue import Queue
from workevo_mobile.queue_sql import Contact
from workevo_mobile.settlement import Burial, Hold, SequenceRange, Settlement, corrupted, quarantined

NOW = Moment(wall_micros=1_700_000_000_000_000, uptime_millis=1_000_000, boot_id="boot-1")
SECOND = timedelta(seconds=1)


def later(length: timedelta) -> Moment:
    micros = length // timedelta(microseconds=1)
    return Moment(NOW.wall_micros + micros, 1_000_000 + micros // 1000, "boot-1")


def no_fault(_point: str) -> None:
    return None


def opened(path: Path, *, seed: int = 1, fault: Callable[[str], None] = no_fault) -> Queue:
    return Queue(path, chance=random.Random(seed), fault=fault)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def queue(path: Path) -> Iterator[Queue]:
    queue = opened(path)
    yield queue
    queue.close()


def body_of(contact: Contact) -> bytes:
    return f"{contact.visitor_id} {contact.user_id}".encode()


def append(queue: Queue, count: int = 1) -> list[int]:
    return [queue.append_event(body_of, NOW) for _ in range(count)]


def waiting(queue: Queue, now: Moment = NOW) -> Waiting:
    return queue.waiting(now, rows_max=500)


def rows(queue: Queue, now: Moment = NOW) -> tuple[Row, ...]:
    return waiting(queue, now).rows


def settle(queue: Queue, settlement: Settlement) -> None:
    queue.settle(settlement, NOW)


def drops(queue: Queue, epoch: bytes | None = None) -> list[tuple[int, int, str]]:
    parcel = queue.parcel(Call(epoch=queue.epoch if epoch is None else epoch))
    return [(drop.sequences.first, drop.sequences.last, drop.reason.value) for drop in parcel.drops]


def dead_letters(path: Path) -> list[tuple[str, int | None, str]]:
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT kind, sequence, reason FROM dead_letters").fetchall()
    connection.close()
    return found


def test_a_new_queue_has_an_install_an_epoch_and_a_visitor(queue: Queue) -> None:
    assert len(queue.install_id) == 36
    assert len(queue.epoch) == limits.EPOCH_BYTES
    assert queue.contact.user_id is None
    assert len({queue.install_id, queue.contact.visitor_id}) == 2


def test_two_queues_have_nothing_in_common(tmp_path: Path) -> None:
    one, other = opened(tmp_path / "one.db", seed=1), opened(tmp_path / "other.db", seed=2)

    assert one.install_id != other.install_id
    assert one.epoch != other.epoch
    one.close()
    other.close()


def test_sequences_count_from_one_and_go_on_after_reopening(path: Path) -> None:
    queue = opened(path)
    install_id, epoch, contact = queue.install_id, queue.epoch, queue.contact
    assert append(queue, 2) == [1, 2]
    queue.close()

    queue = opened(path, seed=99)
    assert (queue.install_id, queue.epoch, queue.contact) == (install_id, epoch, contact)
    assert append(queue) == [3]
    assert [row.sequence for row in rows(queue)] == [1, 2, 3]
    queue.close()


def test_a_row_knows_its_epoch_its_clocks_and_its_size(queue: Queue) -> None:
    append(queue)

    (row,) = rows(queue)
    assert row.kind is RowKind.EVENT
    assert row.epoch == queue.epoch
    assert row.queued == NOW
    assert row.upload_bytes == len(body_of(queue.contact)) + limits.ROW_OVERHEAD_BYTES


def test_the_queue_is_committed_with_full_sync_in_a_write_ahead_log(queue: Queue) -> None:
    connection = queue._store.connection

    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_only_one_may_have_the_file(queue: Queue, path: Path) -> None:
    with pytest.raises(QueueUnavailable, match="only one Tracker"):
        opened(path)
    queue.close()
    opened(path).close()


def test_a_log_in_takes_no_sequence_and_stands_in_its_place(queue: Queue) -> None:
    """R15."""
    append(queue)
    queue.append_identify("u1", None, body_of, NOW)
    append(queue)

    kinds = [(row.kind, row.sequence) for row in rows(queue)]
    assert kinds == [(RowKind.EVENT, 1), (RowKind.IDENTIFY, 0), (RowKind.EVENT, 2)]
    visitor = queue.contact.visitor_id
    assert queue.parcel(Call(epoch=queue.epoch, rows=rows(queue))).bodies == (
        f"{visitor} None".encode(),
        f"{visitor} u1".encode(),
        f"{visitor} u1".encode(),
    )


def test_who_is_logged_in_survives_reopening(path: Path) -> None:
    queue = opened(path)
    queue.append_identify("u1", None, body_of, NOW)
    contact = queue.contact
    queue.close()

    queue = opened(path)
    assert queue.contact == contact == Contact(contact.visitor_id, "u1")
    queue.close()


def test_logging_in_again_keeps_the_visitor_and_another_user_gets_a_new_one(queue: Queue) -> None:
    visitor = queue.contact.visitor_id
    queue.append_identify("u1", None, body_of, NOW)
    queue.append_identify("u1", None, body_of, NOW)
    assert queue.contact.visitor_id == visitor

    queue.append_identify("u2", None, body_of, NOW)
    assert queue.contact.user_id == "u2"
    assert queue.contact.visitor_id != visitor


def test_logging_out_makes_a_new_visitor(queue: Queue) -> None:
    visitor = queue.contact.visitor_id
    queue.append_identify("u1", None, body_of, NOW)

    queue.log_out()

    assert queue.contact.user_id is None
    assert queue.contact.visitor_id != visitor


def test_an_event_that_cannot_be_encoded_takes_no_sequence(queue: Queue) -> None:
    def refuse(_contact: Contact) -> bytes:
        raise ValueError

    with pytest.raises(ValueError):
        queue.append_event(refuse, NOW)

    assert append(queue) == [1]


def test_settled_rows_go_and_others_stay(queue: Queue) -> None:
    append(queue, 3)
    first, second, third = rows(queue)

    settle(queue, Settlement(epoch=queue.epoch, done=(first, third)))

    assert rows(queue) == (second,)
    assert queue.pending() == 1
    assert queue.pending(through=first.position) == 0


def test_places_in_the_queue_are_never_given_twice(queue: Queue) -> None:
    append(queue, 2)
    settled = rows(queue)
    settle(queue, Settlement(epoch=queue.epoch, done=settled))

    append(queue)

    assert rows(queue)[0].position > settled[-1].position


def test_an_upload_tells_the_highest_sequence_given_and_what_is_applied(queue: Queue) -> None:
    """R14."""
    call = Call(epoch=queue.epoch)
    assert (queue.parcel(call).last_sequence, queue.parcel(call).applied_through) == (0, 0)

    append(queue, 3)
    assert (queue.parcel(call).last_sequence, queue.parcel(call).applied_through) == (3, 0)

    first, second, third = rows(queue)
    settle(queue, Settlement(epoch=queue.epoch, done=(first, third)))
    assert (queue.parcel(call).last_sequence, queue.parcel(call).applied_through) == (3, 1)

    settle(queue, Settlement(epoch=queue.epoch, done=(second,)))
    assert (queue.parcel(call).last_sequence, queue.parcel(call).applied_through) == (3, 3)


def test_a_held_row_is_left_out_until_its_delay_is_over(queue: Queue) -> None:
    append(queue, 4)
    first, second, third, fourth = rows(queue)
    held = (Hold(first, 9 * SECOND), Hold(second, 9 * SECOND), Hold(third, 20 * SECOND))

    settle(queue, Settlement(epoch=queue.epoch, held=held))

    assert waiting(queue) == Waiting(rows=(fourth,), next_release=9 * SECOND)
    assert waiting(queue, later(9 * SECOND)) == Waiting(
        rows=(first, second, fourth), next_release=11 * SECOND
    )
    assert waiting(queue, later(20 * SECOND)).next_release is None
    assert queue.pending() == 4


def test_holds_survive_reopening_and_never_grow_by_a_clock_change(path: Path) -> None:
    queue = opened(path)
    append(queue)
    settle(queue, Settlement(epoch=queue.epoch, held=(Hold(rows(queue)[0], 60 * SECOND),)))
    queue.close()

    queue = opened(path)
    assert waiting(queue, later(20 * SECOND)).next_release == 40 * SECOND
    rebooted = replace(NOW, boot_id="boot-2", uptime_millis=7, wall_micros=NOW.wall_micros + 5_000_000)
    assert waiting(queue, rebooted).next_release == 55 * SECOND
    set_back = replace(rebooted, wall_micros=0)
    assert len(rows(queue, set_back)) == 1
    queue.close()


def test_the_wait_that_the_server_asks_for_survives_reopening(path: Path) -> None:
    queue = opened(path)
    queue.keep_quiet(60 * SECOND, NOW)
    queue.close()

    queue = opened(path)
    quiet = waiting(queue).quiet
    assert quiet is not None
    assert quiet.remaining(later(50 * SECOND)) == 10 * SECOND
    settle(queue, Settlement(epoch=queue.epoch, quiet=5 * SECOND))
    quiet = waiting(queue).quiet
    assert quiet is not None
    assert quiet.remaining(NOW) == 5 * SECOND
    queue.close()


def test_waits_that_hold_no_row_are_forgotten(queue: Queue) -> None:
    append(queue)
    (row,) = rows(queue)
    queue.keep_quiet(SECOND, NOW)
    settle(queue, Settlement(epoch=queue.epoch, held=(Hold(row, SECOND),)))

    settle(queue, Settlement(epoch=queue.epoch, done=(row,)))

    assert queue._store.connection.execute("SELECT wait_id FROM waits").fetchall() == [(0,)]


def test_a_rejected_row_goes_to_the_dead_letters_and_is_no_drop(path: Path) -> None:
    queue = opened(path)
    append(queue)
    settle(queue, Settlement(epoch=queue.epoch, buried=(Burial(row=rows(queue)[0], reason="NAME_INVALID"),)))

    assert queue.pending() == 0
    assert drops(queue) == []
    queue.close()
    assert dead_letters(path) == [("event", 1, "NAME_INVALID")]


def test_a_quarantined_row_is_a_dead_letter_and_a_drop_until_it_was_told(path: Path) -> None:
    queue = opened(path)
    append(queue, 2)
    row = rows(queue)[0]
    settle(queue, quarantined(row))
    settle(queue, quarantined(row))

    assert drops(queue) == [(1, 1, "QUARANTINED")]
    untold = waiting(queue).drop
    assert untold is not None
    assert (untold.epoch, untold.queued) == (queue.epoch, NOW)
    assert queue.last_marks() == (2, untold.drop_id)

    told = [drop.drop_id for drop in queue.parcel(Call(epoch=queue.epoch)).drops]
    settle(queue, Settlement(epoch=queue.epoch, told_drops=tuple(told)))
    assert drops(queue) == []
    assert waiting(queue).drop is None
    queue.close()
    assert dead_letters(path) == [("event", 1, "QUARANTINED")]


def test_a_quarantined_log_in_is_no_drop_as_it_has_no_sequence(path: Path) -> None:
    queue = opened(path)
    queue.append_identify("u1", None, body_of, NOW)
    settle(queue, quarantined(rows(queue)[0]))

    assert drops(queue) == []
    queue.close()
    assert dead_letters(path) == [("identify", None, "QUARANTINED")]


def test_drops_belong_to_their_epoch(queue: Queue) -> None:
    append(queue, 2)
    first, second = rows(queue)
    old = queue.epoch
    settle(queue, corrupted(first))
    settle(queue, Settlement(epoch=old, forked=(second,)))

    assert drops(queue, old) == [(1, 1, "CORRUPT")]
    assert drops(queue) == []


def test_an_upload_carries_at_most_a_thousand_drops(queue: Queue) -> None:
    append(queue, 2 * limits.UPLOAD_DROPPED_RANGES_MAX + 3)
    page = queue.waiting(NOW, rows_max=5000).rows
    settle(
        queue,
        Settlement(
            epoch=queue.epoch,
            buried=tuple(
                Burial(row=row, reason="QUARANTINED", drop=DropReason.QUARANTINED) for row in page[::2]
            ),
        ),
    )

    assert len(drops(queue)) == limits.UPLOAD_DROPPED_RANGES_MAX
    assert drops(queue)[0] == (1, 1, "QUARANTINED")


def test_a_gap_that_the_device_cannot_fill_is_confessed_as_corrupt(queue: Queue) -> None:
    """R14: never what is queued, confessed already, or settled by this very answer."""
    append(queue, 6)
    first, second, third, fourth, *_ = rows(queue)
    settle(queue, Settlement(epoch=queue.epoch, done=(first, second)))
    settle(queue, quarantined(third))
    answer = Settlement(epoch=queue.epoch, sent=(fourth,), done=(fourth,), gaps=(SequenceRange(1, 9),))

    settle(queue, answer)
    settle(queue, answer)

    assert drops(queue) == [(3, 3, "QUARANTINED"), (1, 2, "CORRUPT")]


def test_a_gap_that_was_just_told_is_not_confessed_again(queue: Queue) -> None:
    append(queue)
    settle(queue, quarantined(rows(queue)[0]))
    (told,) = queue.parcel(Call(epoch=queue.epoch)).drops

    gaps = (SequenceRange(1, 1),)
    settle(queue, Settlement(epoch=queue.epoch, told_drops=(told.drop_id,), gaps=gaps))

    assert drops(queue) == []


def test_a_fork_moves_the_event_and_all_new_ones_into_a_new_epoch(queue: Queue) -> None:
    """R14a: other queued rows keep their epoch, and the old sequence is not confessed."""
    append(queue, 3)
    first, second, third = rows(queue)
    old = queue.epoch

    settle(
        queue,
        Settlement(
            epoch=old, forked=(second,), done=(first,), sent=(first, second), gaps=(SequenceRange(2, 2),)
        ),
    )

    assert queue.epoch != old
    assert append(queue) == [2]
    moved, kept, new = rows(queue)
    assert (moved.position, moved.epoch, moved.sequence) == (second.position, queue.epoch, 1)
    assert kept == third
    assert (new.epoch, new.sequence) == (queue.epoch, 2)
    assert drops(queue, old) == []
    assert queue.parcel(Call(epoch=old)).last_sequence == 3
    assert queue.parcel(Call(epoch=queue.epoch)).last_sequence == 2


def test_rows_of_an_epoch_left_before_follow_into_the_current_one(queue: Queue) -> None:
    append(queue, 3)
    first, second, third = rows(queue)
    old = queue.epoch
    settle(queue, Settlement(epoch=old, forked=(first,)))
    current = queue.epoch

    settle(queue, Settlement(epoch=old, forked=(second, third)))

    assert queue.epoch == current
    assert [(row.epoch, row.sequence) for row in rows(queue)] == [(current, 1), (current, 2), (current, 3)]


def test_the_new_epoch_survives_reopening(path: Path) -> None:
    queue = opened(path)
    append(queue)
    settle(queue, Settlement(epoch=queue.epoch, forked=rows(queue)))
    epoch = queue.epoch
    queue.close()

    queue = opened(path)
    assert queue.epoch == epoch
    queue.close()


def test_beyond_the_last_sequence_a_new_epoch_begins(queue: Queue) -> None:
    old = queue.epoch
    queue._store.connection.execute("UPDATE epochs SET last_sequence = ?", (limits.SEQUENCE_MAX - 1,))

    assert append(queue, 2) == [limits.SEQUENCE_MAX, 1]
    assert queue.epoch != old


def test_each_users_proof_travels_with_their_events_until_the_last_is_settled(queue: Queue) -> None:
    """R19."""
    queue.append_identify("u1", "aa", body_of, NOW)
    append(queue, 2)
    queue.append_identify("u2", "bb", body_of, NOW)
    append(queue)
    queue.log_out()
    append(queue)
    log_in, first, second, other_log_in, third, anonymous = rows(queue)

    def proofs(*wanted: Row) -> tuple[tuple[str, str], ...]:
        return queue.parcel(Call(epoch=queue.epoch, rows=wanted)).proofs

    assert proofs(first, second) == (("u1", "aa"),)
    assert proofs(first, third, anonymous) == (("u1", "aa"), ("u2", "bb"))
    settle(queue, Settlement(epoch=queue.epoch, done=(log_in, first, other_log_in, third)))
    assert queue._store.connection.execute("SELECT user_id FROM proofs").fetchall() == [("u1",)]
    assert second.upload_bytes == anonymous.upload_bytes + len("u1") - len("None") + len("u1") + len("aa")


def test_the_proof_of_who_is_logged_in_is_kept(queue: Queue) -> None:
    queue.append_identify("u1", "aa", body_of, NOW)
    settle(queue, Settlement(epoch=queue.epoch, done=rows(queue)))
    append(queue)

    assert queue.parcel(Call(epoch=queue.epoch, rows=rows(queue))).proofs == (("u1", "aa"),)


def test_a_page_is_as_long_as_asked(queue: Queue) -> None:
    append(queue, 5)

    assert len(queue.waiting(NOW, rows_max=3).rows) == 3


def test_a_full_disk_makes_the_caller_hear_of_it_and_harms_nothing(queue: Queue) -> None:
    append(queue)
    connection = queue._store.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    def large(_contact: Contact) -> bytes:
        return b"x" * 100_000

    with pytest.raises(QueueUnavailable, match="could not be written"):
        queue.append_event(large, NOW)

    connection.execute("PRAGMA max_page_count = 100000")
    assert append(queue) == [2]
    assert queue.pending() == 2


def test_an_interrupted_transaction_leaves_nothing_behind(path: Path) -> None:
    class Killed(BaseException):
        pass

    def die_before_settle(point: str) -> None:
        if point == "before_settle":
            raise Killed

    queue = opened(path, fault=die_before_settle)
    append(queue)
    with pytest.raises(Killed):
        settle(queue, Settlement(epoch=queue.epoch, done=rows(queue)))

    assert queue.pending() == 1
    queue.close()


def test_the_faults_are_named_around_the_commits(path: Path) -> None:
    points: list[str] = []
    queue = opened(path, fault=points.append)

    append(queue)
    settle(queue, Settlement(epoch=queue.epoch))

    assert points == ["before_row", "after_row", "before_settle", "after_settle"]
    queue.close()


def test_a_closed_queue_says_so(queue: Queue) -> None:
    queue.close()
    queue.close()

    assert queue.is_closed
    with pytest.raises(QueueUnavailable, match="closed"):
        append(queue)
    with pytest.raises(QueueUnavailable, match="closed"):
        queue.pending()


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.close()
    before = path.read_bytes()

    with pytest.raises(QueueUnavailable, match="another program"):
        opened(path)
    assert path.read_bytes() == before


def test_the_queue_of_a_newer_sdk_is_refused(path: Path) -> None:
    opened(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 3")
    connection.close()

    with pytest.raises(QueueUnavailable, match="version 3"):
        opened(path)


def test_a_path_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QueueUnavailable, match="cannot be opened"):
        opened(tmp_path / "missing" / "queue.db")


def test_ids_with_nul_come_back_exactly(path: Path) -> None:
    queue = opened(path)
    queue.append_identify("a\x00b", None, body_of, NOW)
    queue.close()

    queue = opened(path)
    assert queue.contact.user_id == "a\x00b"
    queue.close()
