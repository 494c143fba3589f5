"""Events as they are answered, for who watches while it happens; kept in memory, and only while watched.

ingest ─▶ observe ─▶ the workspace's feed (the last lines, bounded) ─▶ since(a number) ─▶ the Live page

Nobody's upload waits for it or fails by it: what it costs is a look into a dictionary while nobody watches.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from workevo_server.domain.events import ContactClaim, Install, JsonTime, ReceivedEvent, Upload, WireTime
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.limits import ID_CODE_POINTS_MAX, METADATA_KEYS_SETTING_MAX, NAME_CODE_POINTS_MAX
from workevo_server.domain.metadata import MetadataItem
from workevo_server.domain.verdicts import EventVerdict, Verdict
from workevo_server.ports.clock import Clock
from workevo_server.ports.event_sink import UploadAnswer

WATCH_LASTS = timedelta(minutes=10)  # Who looks into another page for a while finds what came meanwhile.
WORKSPACES_MAX = 32
LINES_MAX = 500
EVENT_BYTES_MAX = 1024 * 1024  # Of a workspace's lines, as their events were sent.
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
    began_anew: bool
    """What was shown before this is to go: somebody's data was deleted, or the feed is a new one."""
    left_out: bool
    """More came since than is kept or told at once."""


@dataclass(slots=True)
class _Feed:
    watched_until: float
    began: int
    last_number: int
    evicted_through: int = 0
    event_bytes: int = 0
    lines: deque[LiveLine] = field(default_factory=deque)

    def keep(self, line: LiveLine) -> None:
        self.lines.append(line)
        self.last_number = line.number
        self.event_bytes += line.event_bytes
        while len(self.lines) > LINES_MAX or self.event_bytes > EVENT_BYTES_MAX:
            gone = self.lines.popleft()
            self.event_bytes -= gone.event_bytes
            self.evicted_through = gone.number


class LiveFeeds:
    """`monotonic` gives seconds of a clock that nobody sets; `clock` numbers the lines."""

    def __init__(self, *, clock: Clock, monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._feeds: dict[WorkspaceId, _Feed] = {}

    def observe(self, upload: Upload, answer: UploadAnswer) -> None:
        """Told of every upload once it was answered for."""
        feed = self._feeds.get(upload.workspace_id)
        if feed is None:
            return
        if feed.watched_until < self._monotonic():
            del self._feeds[upload.workspace_id]
            return
        number = feed.last_number
        for event, verdict in zip(upload.events[-LINES_MAX:], answer.verdicts[-LINES_MAX:], strict=True):
            number = max(number + 1, self._clock.now_micros())
            feed.keep(_line(number, upload, event, verdict))

    def since(
        self,
        workspace_id: WorkspaceId,
        after: int,
        narrowed: LiveFilter,
        *,
        count_max: int = STRETCH_LINES_MAX,
    ) -> LiveStretch:
        """What came after a number, 0 for all that is kept. Who asks watches the workspace from now on."""
        feed = self._watched(workspace_id)
        began_anew = after < feed.began
        found: list[LiveLine] = []
        for line in reversed(feed.lines):
            if line.number <= after or len(found) > count_max:
                break
            if narrowed.takes(line):
                found.append(line)
        return LiveStretch(
            lines=found[:count_max],
            last_number=feed.last_number,
            began_anew=began_anew,
            left_out=len(found) > count_max or (not began_anew and after < feed.evicted_through),
        )

    def forget(self, workspace_id: WorkspaceId) -> None:
        """R32: somebody's data was deleted. All lines go, since who is meant by them is not always told."""
        feed = self._feeds.get(workspace_id)
        if feed is not None:
            number = max(feed.last_number + 1, self._clock.now_micros())
            self._feeds[workspace_id] = _Feed(feed.watched_until, began=number, last_number=number)

    def _watched(self, workspace_id: WorkspaceId) -> _Feed:
        """The workspace's feed, made where there is none; the one least lately watched gives way to it."""
        now = self._monotonic()
        feed = self._feeds.pop(workspace_id, None)
        if feed is None or feed.watched_until < now:
            while len(self._feeds) >= WORKSPACES_MAX:
                del self._feeds[next(iter(self._feeds))]
            number = self._clock.now_micros()
            feed = _Feed(now, began=number, last_number=number)
        feed.watched_until = now + WATCH_LASTS.total_seconds()
        self._feeds[workspace_id] = feed
        return feed


def _line(number: int, upload: Upload, event: ReceivedEvent, verdict: EventVerdict) -> LiveLine:
    claim = ContactClaim(user_id=_cut(event.contact.user_id), visitor_id=_cut(event.contact.visitor_id))
    return LiveLine(
        number=number,
        received_at_micros=upload.received_at_micros,
        name=event.name[:NAME_CODE_POINTS_MAX],
        created_at=event.created_at,
        claim=claim,
        metadata=event.metadata[:METADATA_KEYS_SETTING_MAX],
        metadata_left_out=max(0, len(event.metadata) - METADATA_KEYS_SETTING_MAX),
        install=upload.install,
        verdict=verdict,
        event_bytes=0 if event.refusal is not None else len(event.raw),
    )


def _cut(text: str | None) -> str | None:
    return text[:ID_CODE_POINTS_MAX] if text is not None else None
