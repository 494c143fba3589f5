"""Which bars a page shows of an event's volume, and how they are drawn."""

from workevo_server.domain import limits
from workevo_server.domain.volumes import OTHER
from workevo_server.ports.volumes import Bar, Step
from workevo_server.services.volumes import Share
from workevo_server.transport.http.console.event_volumes import (
    DAY_SECONDS,
    HOUR_SECONDS,
    SERIES_MAX,
    SPARK_HEIGHT,
    counts_in,
    lateness_of,
    lateness_words,
    newest_of,
    range_of,
    series_of,
    spark,
)

DAY = DAY_SECONDS * 1_000_000
NOW = 20_000 * DAY + 5 * HOUR_SECONDS * 1_000_000


def test_thirty_days_end_today_while_anything_is_as_new() -> None:
    shown = range_of("", first_day_seconds=0, last_seen_micros=NOW - 29 * DAY, now_micros=NOW)
    assert (shown.step, len(shown.starts), shown.is_past) == (Step.DAY, 30, False)
    assert shown.starts[-1] == 20_000 * DAY_SECONDS


def test_a_store_that_lies_in_the_past_ends_where_its_newest_event_is() -> None:
    shown = range_of("", first_day_seconds=0, last_seen_micros=NOW - 500 * DAY, now_micros=NOW)
    assert shown.is_past
    assert shown.starts[-1] == 19_500 * DAY_SECONDS


def test_a_day_is_shown_by_its_hours_up_to_this_one() -> None:
    shown = range_of("day", first_day_seconds=0, last_seen_micros=NOW, now_micros=NOW)
    assert (shown.step, len(shown.starts)) == (Step.HOUR, 24)
    assert shown.starts[-1] == NOW // 1_000_000


def test_all_begins_with_the_first_and_is_bounded() -> None:
    short = range_of("all", first_day_seconds=19_997 * DAY_SECONDS, last_seen_micros=NOW, now_micros=NOW)
    long = range_of("all", first_day_seconds=19_910 * DAY_SECONDS, last_seen_micros=NOW, now_micros=NOW)
    endless = range_of("all", first_day_seconds=0, last_seen_micros=NOW, now_micros=NOW)
    none = range_of("all", first_day_seconds=None, last_seen_micros=NOW, now_micros=NOW)
    assert [len(each.starts) for each in (short, long, endless, none)] == [30, 91, limits.VOLUME_BARS_MAX, 30]


def test_a_range_that_is_cut_says_so() -> None:
    first = 20_001 * DAY_SECONDS - limits.VOLUME_BARS_MAX * DAY_SECONDS
    whole = range_of("all", first_day_seconds=first, last_seen_micros=NOW, now_micros=NOW)
    cut = range_of("all", first_day_seconds=first - DAY_SECONDS, last_seen_micros=NOW, now_micros=NOW)
    assert (whole.is_cut, cut.is_cut) == (False, True)
    assert whole.starts == cut.starts


def test_the_newest_is_what_occurred_last_and_not_what_came_last() -> None:
    assert newest_of(19_500 * DAY_SECONDS, NOW) == 19_501 * DAY - 1
    assert newest_of(20_000 * DAY_SECONDS, NOW) == NOW
    assert newest_of(None, NOW) == NOW


def test_a_spark_is_as_high_as_its_busiest_day_and_shows_the_quietest() -> None:
    drawn = spark([0, 1, 1000])
    assert drawn.count("M") == 2
    assert f"v-{SPARK_HEIGHT:.2f}" in drawn
    assert "v-1.50" in drawn
    assert spark([0, 0]) == spark([]) == ""


def test_the_smallest_shares_stand_together_last() -> None:
    shown = range_of("", first_day_seconds=0, last_seen_micros=NOW, now_micros=NOW)
    today = shown.starts[-1]
    shares = [Share(value=str(n), count=100 - n, days=[Bar(today, 100 - n)]) for n in range(SERIES_MAX + 2)]
    shares.append(Share(value=OTHER, count=1, days=[Bar(today - DAY_SECONDS, 1)]))
    series = series_of(shares, shown, {"0": "zero"})
    assert [each.word for each in series] == ["zero", "1", "2", "3", "4", "others"]
    assert sum(each.total for each in series) == sum(share.count for share in shares)
    assert series[-1].counts[-2:] == [1, 95 + 94]
    assert counts_in(shown, shares[0].days)[-1] == 100


def test_every_bucket_of_lateness_has_its_words() -> None:
    assert lateness_words() == [
        "under 10 s",
        "10 s to 1 min",
        "1 min to 10 min",
        "10 min to 1 h",
        "1 h to 6 h",
        "6 h to 1 day",
        "1 day to 7 days",
        "over 7 days",
    ]
    assert len(lateness_words()) == len(limits.LATENESS_BUCKETS_SECONDS) + 1
    told = lateness_of([Share(value="7", count=3, days=[])])
    assert told[-1] == ("over 7 days", 3)
    assert sum(count for _, count in told) == 3
