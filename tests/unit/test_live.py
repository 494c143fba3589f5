"""The feed of events as they are answered: kept only while watched, and never more than its bounds."""

from dataclasses import dataclass, replace

import pytest

from workevo_server.domain.events import ContactClaim, Install, ReceivedEvent, Upload
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.metadata import MetadataItem, Text
from workevo_server.domain.verdicts import EventVerdict, Verdict
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.services import live
from workevo_server.services.live import LiveFeeds, LiveFilter
from workevo_testing.uploads import PHONE, good_event, upload, user, visitor

HERE, THERE = WorkspaceId("ws_here"), WorkspaceId("ws_there")
ALL = LiveFilter()


@dataclass
class Clocks:
    """The wall stands still, so that lines are told apart by themselves; the other one is turned by hand."""

    seconds: float = 0.0
    wall_micros: int = 1_000_000

    def now_micros(self) -> int:
        return self.wall_micros

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def feeds(clocks: Clocks) -> LiveFeeds:
    return LiveFeeds(clock=clocks, monotonic=clocks.monotonic)


def sent(*names: str, workspace_id: WorkspaceId = HERE, install: Install | None = PHONE) -> Upload:
    events = [good_event(index, index + 1, user("u1"), name, 1) for index, name in enumerate(names)]
    return upload(workspace_id, events, install=install)


def answered(sent: Upload, verdict: Verdict = Verdict.ACCEPTED) -> UploadAnswer:
    return UploadAnswer(
        verdicts=tuple(
            EventVerdict(index=event.index, sequence=event.sequence, verdict=verdict) for event in sent.events
        ),
        settled_through=0,
        gaps=(),
    )


def observe(feeds: LiveFeeds, upload: Upload, verdict: Verdict = Verdict.ACCEPTED) -> None:
    feeds.observe(upload, answered(upload, verdict))


def with_event(**changes: object) -> Upload:
    made = sent("opened")
    return replace(made, events=(replace(made.events[0], **changes),))  # type: ignore[arg-type]


def names(feeds: LiveFeeds, narrowed: LiveFilter = ALL, *, after: int = 0) -> list[str]:
    return [line.name for line in feeds.since(HERE, after, narrowed).lines]


def test_nothing_is_kept_of_a_workspace_that_nobody_watches(feeds: LiveFeeds) -> None:
    observe(feeds, sent("before"))

    assert names(feeds) == []
    assert feeds._feeds.keys() == {HERE}


def test_what_comes_while_watched_is_told_newest_first_and_once(feeds: LiveFeeds) -> None:
    start = feeds.since(HERE, 0, ALL)
    observe(feeds, sent("a", "b"))

    first = feeds.since(HERE, start.last_number, ALL)
    observe(feeds, sent("c"))
    second = feeds.since(HERE, first.last_number, ALL)

    assert [line.name for line in first.lines] == ["b", "a"]
    assert [line.name for line in second.lines] == ["c"]
    assert (start.began_anew, first.began_anew, second.began_anew) == (True, False, False)
    assert not first.left_out


def test_watching_ends_by_itself_and_nothing_is_kept_from_then_on(feeds: LiveFeeds, clocks: Clocks) -> None:
    feeds.since(HERE, 0, ALL)
    clocks.seconds = live.WATCH_LASTS.total_seconds() + 1
    observe(feeds, sent("late"))

    assert HERE not in feeds._feeds
    assert names(feeds) == []


def test_a_workspace_sees_its_own_events_alone(feeds: LiveFeeds) -> None:
    feeds.since(HERE, 0, ALL)
    feeds.since(THERE, 0, ALL)
    observe(feeds, sent("theirs", workspace_id=THERE))

    assert names(feeds) == []
    assert [line.name for line in feeds.since(THERE, 0, ALL).lines] == ["theirs"]


def test_lines_are_bounded_by_their_number_and_what_was_missed_is_said(feeds: LiveFeeds) -> None:
    start = feeds.since(HERE, 0, ALL).last_number
    for number in range(live.LINES_MAX + 7):
        observe(feeds, sent(f"event {number}"))

    found = feeds.since(HERE, start, ALL, count_max=10 * live.LINES_MAX)

    assert len(found.lines) == live.LINES_MAX
    assert found.lines[-1].name == "event 7"
    assert found.left_out


def test_lines_are_bounded_by_their_bytes(feeds: LiveFeeds) -> None:
    feeds.since(HERE, 0, ALL)
    large = with_event(raw=b"x" * (live.EVENT_BYTES_MAX // 4))
    for _ in range(9):
        observe(feeds, large)

    assert len(feeds.since(HERE, 0, ALL).lines) == 4
    assert feeds._feeds[HERE].event_bytes <= live.EVENT_BYTES_MAX


def test_workspaces_are_bounded_and_the_one_least_lately_watched_gives_way(feeds: LiveFeeds) -> None:
    workspaces = [WorkspaceId(f"ws_{number}") for number in range(live.WORKSPACES_MAX)]
    for workspace_id in [*workspaces, workspaces[0]]:
        feeds.since(workspace_id, 0, ALL)
    feeds.since(HERE, 0, ALL)

    assert len(feeds._feeds) == live.WORKSPACES_MAX
    assert workspaces[0] in feeds._feeds
    assert workspaces[1] not in feeds._feeds


def test_one_look_is_answered_with_so_many_lines_and_says_that_there_were_more(feeds: LiveFeeds) -> None:
    start = feeds.since(HERE, 0, ALL).last_number
    observe(feeds, sent(*(f"event {number}" for number in range(live.STRETCH_LINES_MAX + 1))))

    found = feeds.since(HERE, start, ALL)

    assert len(found.lines) == live.STRETCH_LINES_MAX
    assert found.lines[0].name == f"event {live.STRETCH_LINES_MAX}"
    assert found.left_out


def test_what_was_sent_is_cut_before_it_is_kept(feeds: LiveFeeds) -> None:
    feeds.since(HERE, 0, ALL)
    items = tuple(MetadataItem(f"key {number}", Text("x")) for number in range(500))
    observe(
        feeds, with_event(name="n" * 30_000, contact=ContactClaim(visitor_id="v" * 30_000), metadata=items)
    )

    (line,) = feeds.since(HERE, 0, ALL).lines
    assert len(line.name) == 255
    assert len(line.claim.visitor_id or "") == 255
    assert (len(line.metadata), line.metadata_left_out) == (20, 480)


def test_lines_are_found_by_person_by_install_and_by_verdict(feeds: LiveFeeds) -> None:
    feeds.since(HERE, 0, ALL)
    observe(feeds, with_event(name="a user's"))
    observe(feeds, with_event(name="a visitor's", contact=visitor("v1")))
    observe(feeds, sent("other phone", install=replace(PHONE, install_id=InstallId("tablet 7"))))
    observe(feeds, replace(sent("back end"), install=None), Verdict.DUPLICATE)

    assert names(feeds, LiveFilter(contact_ids=frozenset({"v1"}))) == ["a visitor's"]
    assert names(feeds, LiveFilter(contact_ids=frozenset())) == []
    assert names(feeds, LiveFilter(install_id="tab")) == ["other phone"]
    assert names(feeds, LiveFilter(verdict=Verdict.DUPLICATE)) == ["back end"]
    assert names(feeds, LiveFilter(install_id="phone", contact_ids=frozenset({"v1"}))) == ["a visitor's"]


def test_who_is_deleted_leaves_the_feed_and_open_pages_are_told(feeds: LiveFeeds) -> None:
    feeds.since(HERE, 0, ALL)
    feeds.since(THERE, 0, ALL)
    observe(feeds, sent("erased"))
    observe(feeds, sent("kept", workspace_id=THERE))
    shown = feeds.since(HERE, 0, ALL).last_number

    feeds.forget(HERE)
    observe(feeds, sent("after"))
    found = feeds.since(HERE, shown, ALL)

    assert [line.name for line in found.lines] == ["after"]
    assert found.began_anew
    assert len(feeds.since(THERE, 0, ALL).lines) == 1
    feeds.forget(WorkspaceId("ws_unwatched"))


def test_a_server_that_started_anew_tells_pages_of_the_old_one_so(clocks: Clocks) -> None:
    old = LiveFeeds(clock=clocks, monotonic=clocks.monotonic)
    shown = old.since(HERE, 0, ALL).last_number
    observe(old, sent("before"))
    clocks.wall_micros += 5_000_000
    new = LiveFeeds(clock=clocks, monotonic=clocks.monotonic)

    assert new.since(HERE, shown, ALL).began_anew


def test_an_upload_larger_than_the_feed_keeps_its_newest(feeds: LiveFeeds) -> None:
    feeds.since(HERE, 0, ALL)
    many: tuple[ReceivedEvent, ...] = sent(*map(str, range(live.LINES_MAX + 100))).events
    observe(feeds, upload(HERE, many))

    assert names(feeds)[0] == str(live.LINES_MAX + 99)
    assert len(feeds._feeds[HERE].lines) == live.LINES_MAX
