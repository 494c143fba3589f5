"""Which hours and days a page shows of an event's volume, and how they are drawn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from workevo_server.domain import limits
from workevo_server.domain.volumes import OTHER
from workevo_server.ports.catalogue import EventDefinition
from workevo_server.ports.volumes import Bar, Step
from workevo_server.services.volumes import Share

HOUR_SECONDS, DAY_SECONDS = 3600, 86_400
RANGES = {"day": "24 hours", "": "30 days", "all": "All"}
"""By the word in an address."""
SPARK_DAYS = 30
SPARK_WIDTH, SPARK_HEIGHT = 120, 28
SERIES_MAX = 5  # Lines of a chart that can be told apart; the rest are drawn together.
_MICROS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    step: Step
    from_seconds: int
    end_seconds: int
    """Not included."""
    is_past: bool
    """Whether it ends where the newest event is, as nothing is newer."""
    is_cut: bool = False
    """Whether it begins later than was asked for, as no chart shows so many days."""

    @property
    def starts(self) -> Sequence[int]:
        """Of each bar, oldest first."""
        step = HOUR_SECONDS if self.step is Step.HOUR else DAY_SECONDS
        return range(self.from_seconds, self.end_seconds, step)


def newest_of(last_day_seconds: int | None, last_seen_micros: int) -> int:
    """Up to when anything occurred, in microseconds: to the day, and never after it was last seen."""
    if last_day_seconds is None:
        return last_seen_micros
    return min(last_seen_micros, (last_day_seconds + DAY_SECONDS) * _MICROS - 1)


def range_of(word: str, *, first_day_seconds: int | None, last_seen_micros: int, now_micros: int) -> Range:
    """Ends now, or with the newest event where nothing is as new as the range is long; all of it begins with
    the first day of which anything is known."""
    step = HOUR_SECONDS if word == "day" else DAY_SECONDS
    length = DAY_SECONDS if word == "day" else SPARK_DAYS * DAY_SECONDS
    newest, now = last_seen_micros // _MICROS, now_micros // _MICROS
    is_past = newest < now - length
    last = newest if is_past else now
    end = last - last % step + step
    wanted = begin = end - length
    if word == "all" and first_day_seconds is not None:
        wanted = min(begin, first_day_seconds)
        begin = max(wanted, end - limits.VOLUME_BARS_MAX * DAY_SECONDS)
    return Range(
        step=Step.HOUR if word == "day" else Step.DAY,
        from_seconds=begin,
        end_seconds=end,
        is_past=is_past,
        is_cut=wanted < begin,
    )


def days_of(definitions: Sequence[EventDefinition], now_micros: int) -> Range:
    """The days that the sparklines of a page show, all of them the same."""
    newest = max((each.last_seen_micros for each in definitions), default=now_micros)
    return range_of("", first_day_seconds=None, last_seen_micros=newest, now_micros=now_micros)


def counts_in(shown: Range, bars: Iterable[Bar]) -> list[int]:
    """Of each bar of the range, 0 where there was none."""
    known = {bar.starts_at_seconds: bar.count for bar in bars}
    return [known.get(start, 0) for start in shown.starts]


def spark(counts: Sequence[int]) -> str:
    """The bars as a path of SVG, in SPARK_WIDTH by SPARK_HEIGHT; empty when there is nothing to see."""
    most = max(counts, default=0)
    if not most:
        return ""
    width = SPARK_WIDTH / len(counts)
    return "".join(
        f"M{place * width:.2f} {SPARK_HEIGHT}h{width - 1:.2f}v-{max(1.5, count / most * SPARK_HEIGHT):.2f}"
        f"h-{width - 1:.2f}z"
        for place, count in enumerate(counts)
        if count
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a chart, and a column of its table."""

    word: str
    counts: Sequence[int]
    total: int


def series_of(shares: Sequence[Share], shown: Range, words: Mapping[str, str]) -> list[Series]:
    """The largest by themselves, the others together, last."""
    ranked = [share for share in shares if share.value != OTHER]
    apart, rest = ranked[:SERIES_MAX], ranked[SERIES_MAX:]
    rest += [share for share in shares if share.value == OTHER]
    drawn = [
        Series(
            word=words.get(share.value, share.value), counts=counts_in(shown, share.days), total=share.count
        )
        for share in apart
    ]
    if rest:
        columns = zip(*(counts_in(shown, share.days) for share in rest), strict=True)
        counts = [sum(column) for column in columns]
        drawn.append(Series(word="others", counts=counts, total=sum(share.count for share in rest)))
    return drawn


def lateness_words() -> list[str]:
    """What each bucket is called."""
    ends = [_lasts(seconds) for seconds in limits.LATENESS_BUCKETS_SECONDS]
    between = [f"{low} to {high}" for low, high in pairwise(ends)]
    return [f"under {ends[0]}", *between, f"over {ends[-1]}"]


def lateness_of(shares: Sequence[Share]) -> list[tuple[str, int]]:
    """Every bucket in order, with how many came so late."""
    counts = {share.value: share.count for share in shares}
    return [(word, counts.get(str(number), 0)) for number, word in enumerate(lateness_words())]


def _lasts(seconds: int) -> str:
    for unit, size in (("day", DAY_SECONDS), ("h", HOUR_SECONDS), ("min", 60)):
        if seconds % size == 0:
            many = "s" if unit == "day" and seconds > size else ""
            return f"{seconds // size} {unit}{many}"
    return f"{seconds} s"


FILTERS: Mapping[str, Any] = {"spark": spark}
