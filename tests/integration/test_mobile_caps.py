"""What the device's queue gives up at its caps, and how it confesses it (R14)."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from workevo_mobile import limits
from workevo_mobile.caps import Caps
from workevo_mobile.client_config import ClientConfig
from workevo_mobile.errors import QueueFull
from workevo_mobile.moments import Moment
from workevo_mobile.policy import Call, Row
from workevo_mobile.queue import Draft, Queue
from workevo_mobile.queue_sql import Contact
from workevo_mobile.settlement import Burial, Settlement, corrupted

DAY = timedelta(days=1)
NOW = Moment(wall_micros=1_700_000_000_000_000, uptime_millis=1_000_000, boot_id="boot-1")


def later(length: timedelta) -> Moment:
    micros = length // timedelta(microseconds=1)
    return Moment(NOW.wall_micros + micros, 1_000_000 + micros // 1000, "boot-1")


def opened(path: Path, caps: Caps) -> Queue:
    return Queue(path, chance=random.Random(1), fault=lambda _point: None, caps=caps)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Queue]:
    queue = opened(tmp_path / "queue.db", Caps(count=3))
    yield queue
    queue.close()


def body_of(_contact: Contact) -> bytes:
    return b"body"


def append(queue: Queue, count: int = 1, now: Moment = NOW) -> list[int]:
    return [queue.append_event(body_of, now) for _ in range(count)]


def rows(queue: Queue, now: Moment = NOW) -> tuple[Row, ...]:
    return queue.waiting(now, rows_max=500).rows


def drops(queue: Queue) -> list[tuple[int, int, str]]:
    parcel = queue.parcel(Call(epoch=queue.epoch))
    return [(drop.sequences.first, drop.sequences.last, drop.reason.value) for drop in parcel.drops]


def test_at_the_cap_of_events_the_oldest_go_and_are_confessed_as_one_range(small: Queue) -> None:
    append(small, 8)

    assert [row.sequence for row in rows(small)] == [6, 7, 8]
    assert drops(small) == [(1, 5, "QUEUE_FULL")]
    assert small.counts().dropped == {"QUEUE_FULL": 5}


def test_the_caps_are_ten_thousand_events_twenty_megabytes_and_thirty_days() -> None:
    assert Caps() == Caps(count=10_000, bytes=20 * 1024 * 1024, age=timedelta(days=30), refuse_new=False)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"bytes": 1000}, {"age": timedelta(0)}])
def test_a_cap_that_leaves_no_room_for_one_event_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must have room"):
        Caps(**wrong)  # type: ignore[arg-type]


def test_at_the_cap_of_bytes_as_many_go_as_the_new_one_needs(tmp_path: Path) -> None:
    queue = opened(tmp_path / "queue.db", Caps(bytes=limits.EVENT_BYTES_MAX + limits.ROW_OVERHEAD_BYTES))
    append(queue, 3)

    queue.append_event(lambda _contact: b"x" * (limits.EVENT_BYTES_MAX - 40), NOW)

    assert [row.sequence for row in rows(queue)] == [3, 4]
    assert drops(queue) == [(1, 2, "QUEUE_FULL")]
    assert queue.counts().row_bytes == limits.EVENT_BYTES_MAX - 40 + 4 + 2 * limits.ROW_OVERHEAD_BYTES
    queue.close()


def test_an_app_may_choose_to_hear_that_the_new_one_is_refused(tmp_path: Path) -> None:
    queue = opened(tmp_path / "queue.db", Caps(count=2, refuse_new=True))
    append(queue, 2)

    with pytest.raises(QueueFull, match="refuse what is new"):
        append(queue)

    assert [row.sequence for row in rows(queue)] == [1, 2]
    assert drops(queue) == []
    assert queue.parcel(Call(epoch=queue.epoch)).last_sequence == 2, "the refused one took no sequence"
    queue.close()


def test_one_that_is_refused_costs_no_other_of_the_same_commit(tmp_path: Path) -> None:
    queue = opened(tmp_path / "queue.db", Caps(bytes=40_000, refuse_new=True))
    drafts = [Draft(body=b"x" * size, user_id=None, moment=NOW) for size in (30_000, 30_000, 100)]

    first, second, third = queue.append(drafts)

    assert isinstance(second, QueueFull)
    assert [row.sequence for row in rows(queue)] == [1, 2]
    assert not isinstance(first, QueueFull)
    assert not isinstance(third, QueueFull)
    queue.close()


def test_log_ins_stay_as_long_as_an_event_can_go(small: Queue) -> None:
    """R15, R16."""
    append(small)
    small.append_identify("u1", None, body_of, NOW)
    append(small, 3)

    assert [row.sequence for row in rows(small)] == [0, 3, 4]
    assert drops(small) == [(1, 2, "QUEUE_FULL")]


def test_among_log_ins_alone_the_oldest_goes(small: Queue) -> None:
    for number in range(5):
        small.append_identify(f"u{number}", None, body_of, NOW)

    assert small.pending() == 3
    assert drops(small) == []
    assert small.counts().dropped == {"QUEUE_FULL": 2}


def test_an_event_larger_than_all_room_is_taken_by_an_empty_queue(tmp_path: Path) -> None:
    """Log-ins are not bounded as events are; a queue that holds nothing has nothing to give up."""
    queue = opened(tmp_path / "queue.db", Caps(bytes=limits.EVENT_BYTES_MAX + limits.ROW_OVERHEAD_BYTES))

    queue.append_identify("u1", None, lambda _contact: b"x" * 50_000, NOW)

    assert queue.pending() == 1
    queue.close()


def test_what_is_too_old_goes_with_the_next_event_in_the_same_commit(small: Queue) -> None:
    append(small, 2)
    append(small, now=later(20 * DAY))

    append(small, now=later(31 * DAY))

    assert [row.sequence for row in rows(small)] == [3, 4]
    assert drops(small) == [(1, 2, "EXPIRED")]


def test_what_is_too_old_is_not_sent_when_the_app_comes_back(small: Queue) -> None:
    append(small, 2)

    small.expire(later(29 * DAY))
    assert drops(small) == []
    small.expire(later(31 * DAY))

    assert rows(small) == ()
    assert drops(small) == [(1, 2, "EXPIRED")]
    small.expire(later(60 * DAY))
    assert drops(small) == [(1, 2, "EXPIRED")]


def test_where_no_clock_can_tell_nothing_is_too_old(small: Queue) -> None:
    append(small)

    small.expire(Moment(wall_micros=0, uptime_millis=1, boot_id="boot-2"))

    assert small.pending() == 1


def test_a_range_that_grows_while_it_is_told_is_told_again(small: Queue) -> None:
    append(small, 4)
    told = [drop.drop_id for drop in small.parcel(Call(epoch=small.epoch)).drops]
    append(small)

    small.settle(Settlement(epoch=small.epoch, told_drops=tuple(told)), NOW)

    assert drops(small) == [(1, 2, "QUEUE_FULL")]


def test_ranges_of_other_reasons_and_with_a_sequence_between_stay_apart(small: Queue) -> None:
    append(small, 3)
    first, second, third = rows(small)
    small.settle(corrupted(first), NOW)
    small.settle(Settlement(epoch=small.epoch, done=(second,)), NOW)
    append(small, 3)
    small.settle(corrupted(third), NOW)

    assert drops(small) == [(1, 1, "CORRUPT"), (3, 3, "QUEUE_FULL")]


def test_a_row_that_is_given_up_on_its_way_is_left_out_of_the_parcel(small: Queue) -> None:
    append(small, 3)
    call = Call(epoch=small.epoch, rows=rows(small))
    append(small, 2)

    parcel = small.parcel(call)

    assert [row.sequence for row in parcel.rows] == [3]
    assert parcel.bodies == (b"body",)


def test_the_answer_to_a_row_that_was_given_up_on_its_way_changes_nothing(small: Queue) -> None:
    append(small, 3)
    first, second, _third = rows(small)
    append(small, 2)

    buried = Burial(row=second, reason="NAME_INVALID")
    small.settle(Settlement(epoch=small.epoch, done=(first,), buried=(buried,)), NOW)

    assert drops(small) == [(1, 2, "QUEUE_FULL")]
    assert small.counts().dead_letters == 0


def test_a_forked_row_that_was_given_up_on_its_way_is_confessed_in_the_new_epoch(small: Queue) -> None:
    """R14a: its old sequence is another device's event, so the drop there changes nothing."""
    append(small, 3)
    first, second, _third = rows(small)
    append(small)

    small.settle(Settlement(epoch=small.epoch, forked=(first, second)), NOW)

    assert drops(small) == [(1, 1, "QUEUE_FULL")]
    assert [row.sequence for row in rows(small) if row.epoch == small.epoch] == [2]


def test_dead_letters_are_bounded_and_the_oldest_give_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DEAD_LETTERS_MAX", 3)
    monkeypatch.setattr(limits, "DEAD_LETTER_BYTES_MAX", 100)
    queue = opened(tmp_path / "queue.db", Caps())
    for size in (10, 10, 10, 10, 95):
        queue.append_event(lambda _contact, size=size: b"x" * size, NOW)  # type: ignore[misc]

    for row in rows(queue):
        queue.settle(Settlement(epoch=queue.epoch, buried=(Burial(row=row, reason="NAME_INVALID"),)), NOW)

    assert [letter.sequence for letter in queue.dead_letters()] == [5]
    assert queue.counts().overwritten == 4
    queue.clear_dead_letters()
    assert queue.counts().dead_letters == 0
    queue.close()


def test_opting_out_empties_the_queue_and_confesses_every_epoch(small: Queue) -> None:
    """R32."""
    append(small, 2)
    small.append_identify("u1", "aa", body_of, NOW)
    (first, _second, _log_in) = rows(small)
    small.settle(Settlement(epoch=small.epoch, buried=(Burial(row=first, reason="NAME_INVALID"),)), NOW)

    small.opt_out(NOW)

    assert small.pending() == 0
    assert small.counts().dead_letters == 0
    assert drops(small) == [(2, 2, "OPTED_OUT")]
    assert append(small, 2) == [0, 0]
    small.append_identify("u2", None, body_of, NOW)
    assert small.pending() == 0
    small.opt_in()
    assert append(small) == [3]
    assert small.contact.user_id == "u2"


def test_having_opted_out_survives_reopening(tmp_path: Path) -> None:
    queue = opened(tmp_path / "queue.db", Caps())
    queue.opt_out(NOW)
    queue.close()

    queue = opened(tmp_path / "queue.db", Caps())
    assert queue.opted_out
    assert append(queue) == [0]
    queue.close()


CONFIG = ClientConfig(version="v7", archived_names=("Old Thing",), disabled_names=("noise",))


def configured(queue: Queue) -> None:
    queue.settle(Settlement(epoch=queue.epoch, config=CONFIG), NOW)


def named(queue: Queue, name: str, now: Moment = NOW) -> int:
    return queue.append_event(body_of, now, name=name)


def named_drops(queue: Queue) -> list[tuple[int, int, str, str]]:
    found = queue.parcel(Call(epoch=queue.epoch)).drops
    return [(drop.sequences.first, drop.sequences.last, drop.reason.value, drop.name) for drop in found]


def test_names_that_the_workspace_does_not_want_are_counted_and_not_queued(small: Queue) -> None:
    """R23; R1 says which spellings are one name."""
    configured(small)

    assert [named(small, name) for name in (" OLD thing", "noise", "noise", "wanted")] == [1, 2, 3, 4]

    assert [row.sequence for row in rows(small)] == [4]
    assert named_drops(small) == [(1, 1, "ARCHIVED", " OLD thing"), (2, 3, "DISABLED", "noise")]


def test_an_order_not_to_send_is_obeyed_for_a_day_unless_it_is_confirmed(small: Queue) -> None:
    configured(small)
    named(small, "noise", later(timedelta(hours=24)))
    assert small.pending() == 1

    small.settle(Settlement(epoch=small.epoch, config_confirmed=True), later(timedelta(hours=24)))
    named(small, "noise", later(timedelta(hours=47)))

    assert small.pending() == 1


def test_orders_survive_reopening_and_damaged_ones_are_asked_for_again(tmp_path: Path) -> None:
    queue = opened(tmp_path / "queue.db", Caps())
    configured(queue)
    queue.close()

    queue = opened(tmp_path / "queue.db", Caps())
    assert queue.parcel(Call(epoch=queue.epoch)).config_version == "v7"
    queue._store.connection.execute("UPDATE client_config SET body = '[]'")
    queue.close()

    queue = opened(tmp_path / "queue.db", Caps())
    assert queue.parcel(Call(epoch=queue.epoch)).config_version == ""
    queue.close()


def test_when_too_many_ranges_wait_unwanted_events_are_queued_like_others(
    small: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UPLOAD_DROPPED_RANGES_MAX", 2)
    configured(small)
    for name in ("noise", "Old Thing", "noise"):
        named(small, name)

    assert [row.sequence for row in rows(small)] == [3]


def test_the_names_of_dropped_ranges_leave_room_in_the_envelope(
    small: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DROPPED_RANGES_BYTES_MAX", 80)
    configured(small)
    for name in ("noise", "Old Thing", "noise"):
        named(small, name)

    assert len(named_drops(small)) == 2
