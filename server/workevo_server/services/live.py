"""Events as they are answered, for who watches while it happens; kept in memory, and only while watched.

ingest ─▶ observe ─┬─▶ the workspace's feed (the last lines, bounded) ─▶ since(a number) ─▶ the Live page
                   └─▶ relay ─▶ the feeds of other processes on this store, while somebody watches there

Nobody's upload waits for it or fails by it: what it costs is a look into a dictionary while nobody watches.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from workevo_server.domain.events import ContactClaim, Install, JsonTime, Upload, WireTime
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.limits import ID_CODE_POINTS_MAX, METADATA_KEYS_SETTING_MAX, NAME_CODE_POINTS_MAX
from workevo_server.domain.metadata import MetadataItem
from workevo_server.domain.verdicts import EventVerdict, Verdict
from workevo_server.ports.clock import Clock
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.ports.live_relay import Alone, LiveRelay
from workevo_server.services import live_messages
from workevo_server.services.live_messages import Answered, EventReader

WATCH_LASTS = timedelta(minutes=10)  # Who looks into another page for a while finds what came meanwhile.
WORKSPACES_MAX = 32
LINES_MAX = 1_000
UPLOAD_LINES_MAX = 100  # The newest of it; more is the catching up of a phone that was away.
LINES_A_SECOND_MAX = 500  # Making them may take a hundredth of a core, and nobody reads so many.
EVENT_BYTES_MAX = 1024 * 1024  # Of a workspace's lines, as their events were sent.
WATCH_SAID_EVERY_SECONDS = 5.0
WANTED_SECONDS = 15.0  # Lines are passed on to other processes for so long after somebody looked there.
PASSED_ON_BYTES_MAX = 64 * 1024
OTHERS_CLOCK_AHEAD_MICROS_MAX = 10_000_000  # What another process says does not carry a feed into the future.
STRETCH_LINES_MAX = 200  # What one look is answered with; more arrives in a second than anybody reads.


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLine:
    """One event and the answer it was given. Texts that were sent are cut; nothing was judged good."""

    number: int
    """When it was answered, in microseconds since 1970, and later than the line before."""
    received_at_micros: int
    name: str
    created_at: WireTime | JsonTime | None
    claim: ContactClaim
    metadata: tuple[MetadataItem, ...]
    metadata_left_out: int
    install: Install | None
    """None when a back end sent it; then its sequence says nothing."""
    verdict: EventVerdict
    is_whole: bool
    """False when another process answered it, and it was too large to be told here whole."""
    key: str
    """The same in every process."""
    event_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFilter:
    """All that is given has to hold; None and empty narrow nothing."""

    contact_ids: frozenset[str] | None = None
    """User ids and visitor ids of one contact."""
    install_id: str = ""
    """How it begins."""
    verdict: Verdict | None = None

    def takes(self, line: LiveLine) -> bool:
        if self.verdict is not None and line.verdict.verdict is not self.verdict:
            return False
        if self.install_id and not (line.install and line.install.install_id.startswith(self.install_id)):
            return False
        return self.contact_ids is None or not self.contact_ids.isdisjoint(
            {line.claim.user_id or "", line.claim.visitor_id or ""}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStretch:
    lines: Sequence[LiveLine]
    """Newest first."""
    last_number: int
    """To be asked from next time."""
    began: int
    """To be told next time."""
    began_anew: bool
    """What was shown before this is to go: somebody's data was deleted, or the feed is a new one."""
    left_out: bool
    """More came since than is kept or told at once."""


@dataclass(slots=True)
class _Feed:
    watched_until: float
    began: int
    """Nothing answered before it is kept."""
    last_number: int
    wanted_until: float = 0.0
    """By who watches in another process."""
    announced_at: float = -WATCH_SAID_EVERY_SECONDS
    second: int = 0
    lines_this_second: int = 0
    evicted_through: int = 0
    event_bytes: int = 0
    lines: deque[LiveLine] = field(default_factory=deque)

    def room(self, count: int, second: int) -> int:
        """How many of an upload's events become lines, which are taken for made."""
        if second != self.second:
            self.second, self.lines_this_second = second, 0
        room = min(count, UPLOAD_LINES_MAX, LINES_A_SECOND_MAX - self.lines_this_second)
        self.lines_this_second += room
        return room

    def leave_out(self) -> None:
        """Something came now that is not kept."""
        self.last_number += 1
        self.evicted_through = self.last_number

    def keep(self, line: LiveLine) -> None:
        self.lines.append(line)
        self.last_number = line.number
        self.event_bytes += line.event_bytes
        while len(self.lines) > LINES_MAX or self.event_bytes > EVENT_BYTES_MAX:
            gone = self.lines.popleft()
            self.event_bytes -= gone.event_bytes
            self.evicted_through = gone.number


class LiveFeeds:
    """`monotonic` gives seconds of a clock that nobody sets; `clock` numbers the lines.

    With a `relay` this process, called `speaker` by nobody else, and the others on its store show what each
    other answers. `read_event` and `read_json_event` translate an event's own bytes, as for `FailedEvents`.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        monotonic: Callable[[], float],
        read_event: EventReader,
        read_json_event: EventReader,
        relay: LiveRelay | None = None,
        speaker: str = "",
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._read_event = read_event
        self._read_json_event = read_json_event
        self._relay = relay or Alone()
        self._speaker = speaker
        self._feeds: dict[WorkspaceId, _Feed] = {}
        self._relay.listen(self.heard, self.forget_all)

    @property
    def has_others(self) -> bool:
        """Whether numbers may come from another process: not quite in this one's order."""
        return self._relay.has_others

    def observe(self, upload: Upload, answer: UploadAnswer) -> None:
        """Told of every upload once it was answered for."""
        feed = self._feeds.get(upload.workspace_id)
        if feed is None:
            return
        now = self._monotonic()
        if feed.watched_until < now:
            del self._feeds[upload.workspace_id]
            return
        room = feed.room(len(upload.events), int(now))
        if room < len(upload.events):
            feed.leave_out()
        first = len(upload.events) - room
        answered = [
            Answered(
                answered_at_micros=self._clock.now_micros(),
                received_at_micros=upload.received_at_micros,
                event=event,
                install=upload.install,
                verdict=verdict,
            )
            for event, verdict in zip(upload.events[first:], answer.verdicts[first:], strict=True)
        ]
        lines = [self._keep(feed, each, by=self._speaker) for each in answered]
        if feed.wanted_until >= now:
            numbers = [line.number for line in lines]
            self._pass_on(upload.workspace_id, answered, numbers, left_out=first > 0)

    def since(
        self,
        workspace_id: WorkspaceId,
        after: int,
        narrowed: LiveFilter,
        *,
        began: int = 0,
        count_max: int = STRETCH_LINES_MAX,
    ) -> LiveStretch:
        """What came after a number, 0 for all that is kept. Who asks watches the workspace from now on.

        `began` is what the last answer told, 0 before there was one.
        """
        feed = self._watched(workspace_id)
        self._say_that_somebody_watches(workspace_id, feed)
        found: list[LiveLine] = []
        for line in reversed(feed.lines):
            if line.number <= after or len(found) > count_max:
                break
            if narrowed.takes(line):
                found.append(line)
        began_anew = feed.began > began
        return LiveStretch(
            lines=found[:count_max],
            last_number=feed.last_number,
            began=feed.began,
            began_anew=began_anew,
            left_out=len(found) > count_max or (not began_anew and after < feed.evicted_through),
        )

    def forget(self, workspace_id: WorkspaceId) -> None:
        """R32: somebody's data was deleted. All lines go, since who is meant by them is not always told."""
        now = self._clock.now_micros()
        self._begin_anew(workspace_id, now)
        self._relay.say(live_messages.forgotten(self._speaker, workspace_id, now))

    def forget_all(self) -> None:
        """Other processes may have said that something is to be forgotten, and were not heard."""
        for workspace_id in list(self._feeds):
            self._begin_anew(workspace_id, self._clock.now_micros())

    def heard(self, message: str) -> None:
        """What another process says. Never raises: anybody in the database may say something."""
        told = live_messages.read(
            message,
            speaker=self._speaker,
            read_event=self._read_event,
            read_json_event=self._read_json_event,
        )
        match told:
            case live_messages.Watching():
                feed = self._watched(told.workspace_id, began=told.began)
                feed.wanted_until = self._monotonic() + WANTED_SECONDS
            case live_messages.Forgotten():
                soon = self._clock.now_micros() + OTHERS_CLOCK_AHEAD_MICROS_MAX
                self._begin_anew(told.workspace_id, min(told.at_micros, soon))
            case live_messages.Lines():
                self._take(told)
            case None:
                pass

    def _take(self, told: live_messages.Lines) -> None:
        feed = self._feeds.get(told.workspace_id)
        if feed is None:
            return
        if told.left_out:
            feed.leave_out()
        for each in told.answered:
            if each.answered_at_micros >= feed.began:
                self._keep(feed, each, by=told.by, number_there=each.answered_at_micros)

    def _keep(self, feed: _Feed, answered: Answered, *, by: str, number_there: int = 0) -> LiveLine:
        number = max(feed.last_number + 1, self._clock.now_micros())
        line = _line(number, answered, key=f"{by}:{number_there or number}")
        feed.keep(line)
        return line

    def _pass_on(
        self,
        workspace_id: WorkspaceId,
        answered: Sequence[Answered],
        numbers: Sequence[int],
        *,
        left_out: bool,
    ) -> None:
        """Newest first as far as it is allowed, each with its number here, by which pages know it again."""
        budget = PASSED_ON_BYTES_MAX
        passed: list[Answered] = []
        for each, number in zip(reversed(answered), reversed(numbers), strict=True):
            budget -= len(each.event.raw)
            if budget < 0:
                break
            passed.append(replace(each, answered_at_micros=number))
        left_out = left_out or len(passed) < len(answered)
        for message in live_messages.lines(self._speaker, workspace_id, passed[::-1], left_out=left_out):
            if not self._relay.say(message):
                return

    def _begin_anew(self, workspace_id: WorkspaceId, at_micros: int) -> None:
        feed = self._feeds.get(workspace_id)
        if feed is not None:
            feed.began = feed.last_number = max(feed.last_number + 1, at_micros)
            feed.lines.clear()
            feed.event_bytes = feed.evicted_through = 0

    def _say_that_somebody_watches(self, workspace_id: WorkspaceId, feed: _Feed) -> None:
        now = self._monotonic()
        if now - feed.announced_at >= WATCH_SAID_EVERY_SECONDS:
            feed.announced_at = now
            self._relay.say(live_messages.watching(self._speaker, workspace_id, feed.began))

    def _watched(self, workspace_id: WorkspaceId, *, began: int = 0) -> _Feed:
        """The workspace's feed, made where there is none; the one least lately watched gives way to it."""
        now = self._monotonic()
        feed = self._feeds.pop(workspace_id, None)
        if feed is None or feed.watched_until < now:
            while len(self._feeds) >= WORKSPACES_MAX:
                del self._feeds[next(iter(self._feeds))]
            number = self._clock.now_micros()
            feed = _Feed(now, began=min(began or number, number), last_number=number)
        feed.watched_until = now + WATCH_LASTS.total_seconds()
        self._feeds[workspace_id] = feed
        return feed


def _line(number: int, answered: Answered, *, key: str) -> LiveLine:
    event = answered.event
    claim = ContactClaim(user_id=_cut(event.contact.user_id), visitor_id=_cut(event.contact.visitor_id))
    return LiveLine(
        number=number,
        received_at_micros=answered.received_at_micros,
        name=event.name[:NAME_CODE_POINTS_MAX],
        created_at=event.created_at,
        claim=claim,
        metadata=event.metadata[:METADATA_KEYS_SETTING_MAX],
        metadata_left_out=max(0, len(event.metadata) - METADATA_KEYS_SETTING_MAX),
        install=answered.install,
        verdict=answered.verdict,
        is_whole=answered.is_whole,
        key=key,
        event_bytes=0 if event.refusal is not None else len(event.raw),
    )


def _cut(text: str | None) -> str | None:
    return text[:ID_CODE_POINTS_MAX] if text is not None else None
