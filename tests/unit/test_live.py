"""The feed of events as they are answered: kept only while watched, and never more than its bounds."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from workevo_server.domain.events import ContactClaim, Install, Upload
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.metadata import MetadataItem, Text
from workevo_server.domain.verdicts import (
    EventVerdict,
    EventWarning,
    Reason,
    Refusal,
    Verdict,
    WarningCode,
)
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.ports.live_relay import MESSAGE_CHARACTERS_MAX, LiveRelay
from workevo_server.services import live, live_messages
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
    return process(clocks)


def process(clocks: Clocks, relay: LiveRelay | None = None, speaker: str = "") -> LiveFeeds:
    """Whose events are never read: they name themselves by their bytes."""
    return LiveFeeds(
        clock=clocks,
        monotonic=clocks.monotonic,
        read_event=lambda _index, raw: good_event(0, 0, user("as sent"), raw.decode(), 1),
        read_json_event=lambda _index, raw: good_event(0, 0, user("as sent"), raw.decode(), 1),
        relay=relay,
        speaker=speaker,
    )


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

    first = feeds.since(HERE, start.last_number, ALL, began=start.began)
    observe(feeds, sent("c"))
    second = feeds.since(HERE, first.last_number, ALL, began=first.began)

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


def test_lines_are_bounded_by_their_number_and_what_was_missed_is_said(
    feeds: LiveFeeds, clocks: Clocks
) -> None:
    start = feeds.since(HERE, 0, ALL)
    for number in range(live.LINES_MAX + 7):
        clocks.seconds = number // 100
        observe(feeds, sent(f"event {number}"))

    found = feeds.since(HERE, start.last_number, ALL, began=start.began, count_max=10 * live.LINES_MAX)

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
    start = feeds.since(HERE, 0, ALL)
    for number in range(live.STRETCH_LINES_MAX + 1):
        observe(feeds, sent(f"event {number}"))

    found = feeds.since(HERE, start.last_number, ALL, began=start.began)

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
    shown = feeds.since(HERE, 0, ALL)

    feeds.forget(HERE)
    observe(feeds, sent("after"))
    found = feeds.since(HERE, shown.last_number, ALL, began=shown.began)

    assert [line.name for line in found.lines] == ["after"]
    assert found.began_anew
    assert len(feeds.since(THERE, 0, ALL).lines) == 1
    feeds.forget(WorkspaceId("ws_unwatched"))


def test_a_server_that_started_anew_tells_pages_of_the_old_one_so(clocks: Clocks) -> None:
    old = process(clocks)
    shown = old.since(HERE, 0, ALL)
    observe(old, sent("before"))
    clocks.wall_micros += 5_000_000
    new = process(clocks)

    assert new.since(HERE, shown.last_number, ALL, began=shown.began).began_anew


def test_of_a_large_upload_the_newest_are_shown_and_the_others_said_to_be_left_out(feeds: LiveFeeds) -> None:
    start = feeds.since(HERE, 0, ALL)
    observe(feeds, sent(*map(str, range(500))))

    found = feeds.since(HERE, start.last_number, ALL, began=start.began)

    assert [line.name for line in found.lines] == [
        str(number) for number in range(499, 499 - live.UPLOAD_LINES_MAX, -1)
    ]
    assert found.left_out
    assert not feeds.since(HERE, found.last_number, ALL, began=found.began).left_out


def test_a_flood_costs_so_many_lines_a_second_and_no_more(feeds: LiveFeeds, clocks: Clocks) -> None:
    start = feeds.since(HERE, 0, ALL)
    for _ in range(100):
        observe(feeds, sent(*map(str, range(20))))

    assert len(feeds._feeds[HERE].lines) == live.LINES_A_SECOND_MAX
    assert feeds.since(HERE, start.last_number, ALL, began=start.began).left_out
    clocks.seconds += 1
    observe(feeds, sent("the next second"))
    assert names(feeds)[0] == "the next second"


# Several processes on one store ----------------------------------------------


@dataclass
class Bus:
    """Carries what is said to everybody at once, the speaker included, as PostgreSQL does."""

    has_others: bool = True
    is_full: bool = False
    said: list[str] = field(default_factory=list)
    listeners: list[Callable[[str], None]] = field(default_factory=list)
    missed: list[Callable[[], None]] = field(default_factory=list)

    def say(self, message: str) -> bool:
        if self.is_full:
            return False
        self.said.append(message)
        for heard in self.listeners:
            heard(message)
        return True

    def listen(self, heard: Callable[[str], None], missed: Callable[[], None]) -> None:
        self.listeners.append(heard)
        self.missed.append(missed)


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def processes(clocks: Clocks, bus: Bus) -> tuple[LiveFeeds, LiveFeeds]:
    return process(clocks, bus, "first"), process(clocks, bus, "second")


def said_by(name: str) -> Upload:
    return with_event(name=name, raw=name.encode())


def test_what_another_process_answers_is_told_while_somebody_watches(
    processes: tuple[LiveFeeds, LiveFeeds], clocks: Clocks
) -> None:
    here, there = processes
    observe(there, said_by("before anybody watched"))
    here.since(HERE, 0, ALL)
    observe(there, said_by("answered there"), Verdict.DUPLICATE)
    observe(here, said_by("answered here"))

    found = here.since(HERE, 0, ALL).lines

    assert [line.name for line in found] == ["answered here", "answered there"]
    assert found[1].verdict.verdict is Verdict.DUPLICATE
    assert found[1].claim == user("u1")
    assert found[1].install == PHONE
    assert len({line.key for line in found}) == 2


def test_a_line_has_one_key_in_every_process(processes: tuple[LiveFeeds, LiveFeeds]) -> None:
    here, there = processes
    here.since(HERE, 0, ALL)
    observe(there, said_by("a"))
    observe(there, said_by("b"))

    keys = [line.key for line in there.since(HERE, 0, ALL).lines]

    assert [line.key for line in here.since(HERE, 0, ALL).lines] == keys
    assert len(set(keys)) == 2


def test_nothing_is_passed_on_once_nobody_looks(
    processes: tuple[LiveFeeds, LiveFeeds], clocks: Clocks, bus: Bus
) -> None:
    here, there = processes
    here.since(HERE, 0, ALL)
    clocks.seconds = live.WANTED_SECONDS + 1
    bus.said.clear()
    observe(there, said_by("unseen"))

    assert bus.said == []
    assert here.since(THERE, 0, ALL).lines == []


def test_who_is_deleted_in_one_process_leaves_the_feeds_of_all(
    processes: tuple[LiveFeeds, LiveFeeds], clocks: Clocks
) -> None:
    here, there = processes
    shown = here.since(HERE, 0, ALL)
    observe(there, said_by("erased"))
    late = live_messages.Lines(
        by="third",
        workspace_id=HERE,
        left_out=False,
        answered=[answered_event("late word of who was erased", at=clocks.wall_micros)],
    )
    clocks.wall_micros += 1_000

    there.forget(HERE)
    here._take(late)
    found = here.since(HERE, shown.last_number, ALL, began=shown.began)

    assert found.lines == []
    assert found.began_anew
    assert there.since(HERE, 0, ALL).lines == []


def test_a_process_that_may_have_missed_a_deletion_begins_anew(
    processes: tuple[LiveFeeds, LiveFeeds], bus: Bus
) -> None:
    here, _ = processes
    shown = here.since(HERE, 0, ALL)
    observe(here, sent("may be erased"))

    bus.missed[0]()

    assert here.since(HERE, 0, ALL, began=shown.began).lines == []


def test_what_cannot_be_said_fails_no_upload(processes: tuple[LiveFeeds, LiveFeeds], bus: Bus) -> None:
    here, there = processes
    here.since(HERE, 0, ALL)
    bus.is_full = True
    observe(there, said_by("kept there"))
    there.forget(HERE)

    assert here.since(HERE, 0, ALL).lines == []


def test_of_a_large_upload_the_newest_are_passed_on_too(
    processes: tuple[LiveFeeds, LiveFeeds], bus: Bus
) -> None:
    here, there = processes
    start = here.since(HERE, 0, ALL)
    observe(there, upload(HERE, sent(*map(str, range(400))).events, install=PHONE))

    found = here.since(HERE, start.last_number, ALL, began=start.began)

    assert [line.name for line in found.lines] == [
        str(number) for number in range(399, 399 - live.UPLOAD_LINES_MAX, -1)
    ]
    assert found.left_out
    assert all(len(message) <= MESSAGE_CHARACTERS_MAX for message in bus.said)


WIDEST = "\x00" + "\U0001f600" * 254


@pytest.mark.parametrize("raw", [b"", b"x" * 30_000, bytes(range(256)) * 20])
def test_every_line_fits_into_a_message_however_wide_its_texts(
    processes: tuple[LiveFeeds, LiveFeeds], bus: Bus, raw: bytes
) -> None:
    here, there = processes
    here.since(HERE, 0, ALL)
    refusal = Refusal(reason=Reason.METADATA_VALUE_INVALID, field=WIDEST, message="A sentence.")
    widest = replace(PHONE, install_id=InstallId(WIDEST), platform=WIDEST, app_version=WIDEST)
    warnings = (EventWarning(code=WarningCode.METADATA_KEYS_DROPPED, fields=(WIDEST,) * 20),)
    made = with_event(name=WIDEST * 9, contact=visitor(WIDEST), raw=b"y" * len(raw))
    verdict = EventVerdict(index=0, sequence=7, verdict=Verdict.REJECTED, refusal=refusal, warnings=warnings)

    there.observe(
        replace(made, install=widest), UploadAnswer(verdicts=(verdict,), settled_through=0, gaps=())
    )

    assert all(len(message) <= MESSAGE_CHARACTERS_MAX for message in bus.said)
    (line,) = here.since(HERE, 0, ALL).lines
    assert (line.name, line.claim.visitor_id) == (WIDEST, WIDEST)
    assert line.verdict.refusal == refusal
    assert line.install is not None
    assert line.install.install_id == WIDEST


@pytest.mark.parametrize(
    "message",
    [
        "",
        "no base64",
        "AAAA",
        live_messages._packed({}),
        live_messages._packed({"by": "x", "lines": "ws_here"}),
        live_messages._packed({"by": "x", "lines": "ws_here", "told": [{}], "left_out": 0}),
        live_messages._packed({"by": "x", "watch": "ws_here", "began": "soon"}),
        live_messages._packed({"by": "x", "bomb": "0" * 3_000_000}),
    ],
)
def test_what_is_no_message_means_nothing(feeds: LiveFeeds, message: str) -> None:
    feeds.since(HERE, 0, ALL)

    feeds.heard(message)

    assert names(feeds) == []


def test_another_process_clock_does_not_carry_a_feed_into_the_future(
    feeds: LiveFeeds, clocks: Clocks
) -> None:
    feeds.since(HERE, 0, ALL)

    feeds.heard(live_messages.forgotten("other", HERE, 10**30))
    feeds.heard(live_messages.watching("other", THERE, 10**30))

    assert feeds.since(HERE, 0, ALL).last_number < clocks.wall_micros + 60_000_000
    assert feeds.since(THERE, 0, ALL).began <= clocks.wall_micros


def answered_event(name: str, *, at: int) -> live_messages.Answered:
    return live_messages.Answered(
        answered_at_micros=at,
        received_at_micros=at,
        event=good_event(0, 1, user("u1"), name, 1),
        install=PHONE,
        verdict=EventVerdict(index=0, sequence=1, verdict=Verdict.ACCEPTED),
    )
