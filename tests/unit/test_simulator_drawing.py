"""Where things stand in the report's drawings, and how its numbers are worded."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workevo_simulator.drawing import SPAN, TimeAxis, bars, by_fate, segments, strip
from workevo_simulator.figures import DeviceStrip, StripEvent, StripMark, StripSpell
from workevo_simulator.wording import DAY, count, moment, share, size, span, wrapped
from workevo_testing.sample_figures import START, sample_figures

SECOND = 1_000_000
WEEK = TimeAxis(START, START + 7 * DAY * SECOND)
HALFWAY = START + 7 * DAY * SECOND // 2


def event(
    fate: str = "stored", *, at: int = HALFWAY, settled: int | None = None, sequence: int = 1
) -> StripEvent:
    return StripEvent(
        tracked_micros=at, settled_micros=settled, epoch_number=1, sequence=sequence, fate=fate, attempts=1
    )


def device(
    *events: StripEvent, network: tuple[StripSpell, ...] = (), marks: tuple[StripMark, ...] = ()
) -> DeviceStrip:
    return DeviceStrip(name="n", kind="k", why="w", events=events, network=network, marks=marks)


def only_path(drawn: DeviceStrip) -> str:
    ((_, path),) = strip(drawn, WEEK).lanes[0].paths
    return path


def test_an_event_is_a_line_from_tracked_to_settled() -> None:
    path = only_path(device(event(settled=WEEK.until_micros)))

    assert path == f"M{SPAN // 2} 54h{SPAN // 2}"


def test_an_event_without_an_outcome_waits_to_the_end_and_a_lost_one_is_a_point() -> None:
    assert only_path(device(event("open"))).endswith(f"h{SPAN // 2}")
    assert only_path(device(event("wiped"))).endswith("h0")


def test_an_event_settled_before_it_was_tracked_is_a_point() -> None:
    assert only_path(device(event(settled=START))).endswith("h0")


def test_what_lies_outside_the_run_stands_at_its_edge() -> None:
    assert WEEK.percent(START - DAY * SECOND) == 0
    assert WEEK.percent(WEEK.until_micros + DAY * SECOND) == 100
    assert TimeAxis(START, START).percent(START) == 0


@pytest.mark.parametrize("each", sample_figures(busyness=5).oddities, ids=lambda each: each.name)
def test_a_strip_draws_counts_and_lists_every_event_once(each: DeviceStrip) -> None:
    drawn = strip(each, WEEK)

    assert sum(path.count("M") for lane in drawn.lanes for _, path in lane.paths) == len(each.events)
    assert dict(drawn.counts) == {fate: len(found) for fate, found in by_fate(each.events).items()}
    assert sum(number for _, number in drawn.counts) == len(each.events)
    assert sum(run.event_count for run in drawn.runs) == len(each.events) or drawn.runs_left_out
    assert {lane.epoch_number for lane in drawn.lanes} == {one.epoch_number for one in each.events}
    assert [flag.mark for flag in drawn.flags] == sorted(each.marks, key=lambda mark: mark.at_micros)


def test_sequences_run_downwards_inside_their_lane() -> None:
    drawn = strip(device(*(event(sequence=number) for number in range(1, 51))), WEEK)
    (lane,) = drawn.lanes

    downs = [float(down) for down in re.findall(r"M\d+ ([\d.]+)h", lane.paths[0][1])]

    assert downs == sorted(downs)
    assert 0 < downs[0] < downs[-1] < lane.height


def test_events_that_follow_each_other_to_one_end_make_one_row() -> None:
    fates = ["stored", "stored", "rejected", "stored"]
    drawn = strip(device(*(event(fate, sequence=place) for place, fate in enumerate(fates, start=1))), WEEK)

    assert [(run.fate, run.first_sequence, run.last_sequence) for run in drawn.runs] == [
        ("stored", 1, 2),
        ("rejected", 3, 3),
        ("stored", 4, 4),
    ]


@given(st.lists(st.integers(WEEK.from_micros, WEEK.until_micros), max_size=60))
def test_numbers_of_marks_never_cover_each_other(moments: list[int]) -> None:
    flags = strip(device(marks=tuple(StripMark(at_micros=at, what="rebooted") for at in moments)), WEEK).flags

    assert len(flags) == len(moments)
    for row in range(3):
        places = [flag.percent for flag in flags if flag.row == row]
        assert all(after - before >= 5.4 for before, after in pairwise(places))


def test_every_state_of_the_network_has_a_height_of_its_own_or_a_pattern() -> None:
    hour = 3600 * SECOND
    states = ("online", "slow", "offline")
    spells = tuple(
        StripSpell(from_micros=START + place * hour, until_micros=START + (place + 1) * hour, state=state)
        for place, state in enumerate(states)
    )

    drawn = strip(device(network=spells), WEEK)

    heights = {re.findall(r"v-(\d+)h", path)[0] for _, path in drawn.network}
    assert len(heights) == len(states)
    assert len(drawn.offline) == 1


@given(st.integers(1, 400 * 24))
def test_dates_are_few_enough_for_a_phone(hours: int) -> None:
    ticks = TimeAxis(START, START + hours * 3600 * SECOND).ticks()

    assert len(ticks) <= 16
    assert all(0 <= at <= 100 for at, _ in ticks)


def test_segments_fill_the_whole_and_leave_nothing_out_but_the_empty() -> None:
    placed = segments([("a", 1), ("none", 0), ("b", 3)])

    assert placed == [("a", 0, 25), ("b", 25, 75)]
    assert segments([("a", 0)]) == []


def test_bars_are_as_tall_as_their_share_of_the_tallest() -> None:
    assert bars([1, 4, 0]) == [(0, 33.333, 0.25), (33.333, 33.333, 1), (66.667, 33.333, 0)]
    assert bars([]) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.0001, "<1 ms"),
        (0.04, "40 ms"),
        (0.9996, "1 s"),
        (1.25, "1.2 s"),
        (9.96, "10 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (86399.9, "1 d"),
        (3 * DAY + 7300, "3 d 2 h"),
        (-90, "−1 min 30 s"),
    ],
)
def test_spans_are_told_in_two_units_at_most(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_share_is_never_rounded_to_none_or_all() -> None:
    assert [share(part, 100_000) for part in (0, 1, 3300, 50_000, 99_999, 100_000)] == [
        "0 %",
        "<0.1 %",
        "3.3 %",
        "50 %",
        ">99.9 %",
        "100 %",
    ]
    assert share(1, 0) == "0 %"


def test_counts_sizes_and_moments_are_told_as_people_read_them() -> None:
    assert count(1234567) == "1,234,567"
    assert [size(each) for each in (12, 1500, 2.5e6, 3e9)] == ["12 B", "1.5 kB", "2.5 MB", "3.0 GB"]
    assert moment(START) == "Mon 2 March 00:00"


def test_a_reason_may_be_broken_at_its_underscores_and_stays_escaped() -> None:
    assert wrapped("A_<b>") == "A_<wbr>&lt;b&gt;"
