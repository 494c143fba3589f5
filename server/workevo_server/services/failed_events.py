"""Rejected events: found, and judged again once the cause is mended (R13)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from workevo_server.domain import limits
from workevo_server.domain import page_token as tokens
from workevo_server.domain.errors import NotFound, PageTokenInvalid
from workevo_server.domain.events import Install, ReceivedEvent
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.replaying import Rejudging, rejudge
from workevo_server.domain.verdicts import EventVerdict, Reason
from workevo_server.ports.audit import Author
from workevo_server.ports.failed_events import (
    FailedEventReader,
    FailedEventStore,
    FailedFilter,
    FailedPlace,
    FailedRecord,
    Rejudged,
)
from workevo_server.ports.key_ring import KeyRing
from workevo_server.ports.people import ContactFinder
from workevo_server.services.claims import resolved
from workevo_server.services.pages import page_size_of

EventReader = Callable[[int, bytes], ReceivedEvent]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvent:
    failed_event_id: str
    record: FailedRecord
    name: str
    """Empty where it cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedPage:
    events: Sequence[KeptEvent]
    """Newest receipt first."""
    next_page_token: str
    counts: Mapping[Reason, int]
    """Of all that the filter means; told on the first page."""
    unkept_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPage:
    verdicts: Sequence[tuple[str, EventVerdict]]
    """By failed_event_id, oldest receipt first."""
    next_page_token: str


class FailedEvents:
    """`read_event` and `read_json_event` translate an event's own bytes, as the channel does that they
    came by: a device's, or a back end's."""

    def __init__(
        self,
        *,
        reader: FailedEventReader,
        store: FailedEventStore,
        key_ring: KeyRing,
        people: ContactFinder,
        read_event: EventReader,
        read_json_event: EventReader,
        page_token_secret: bytes,
    ) -> None:
        self._reader = reader
        self._store = store
        self._key_ring = key_ring
        self._people = people
        self._read_event = read_event
        self._read_json_event = read_json_event
        self._secret = page_token_secret

    async def page(
        self, workspace_id: WorkspaceId, narrowed: FailedFilter, *, page_size: int, page_token: str
    ) -> FailedPage:
        """Raises PageTokenInvalid for a token of another list or filter."""
        scope = f"failed events {workspace_id} {narrowed!r}"
        found, next_page_token = await self._read_page(
            workspace_id, narrowed, page_size, page_token, scope=scope, oldest_first=False
        )
        counts, unkept_count = (
            ({}, 0) if page_token else await self._reader.failed_counts(workspace_id, narrowed)
        )
        return FailedPage(
            events=[kept async for kept, _ in self.shown(workspace_id, found)],
            next_page_token=next_page_token,
            counts=counts,
            unkept_count=unkept_count,
        )

    async def shown(
        self, workspace_id: WorkspaceId, records: Sequence[FailedRecord]
    ) -> AsyncIterator[tuple[KeptEvent, ReceivedEvent]]:
        """Each as it is shown, and as its channel reads it."""
        async for record, event in self._read_events(records):
            failed_event_id = self._id(workspace_id, record.place)
            yield KeptEvent(failed_event_id=failed_event_id, record=record, name=event.name), event

    async def replay(
        self,
        workspace_id: WorkspaceId,
        narrowed: FailedFilter,
        *,
        page_size: int,
        page_token: str,
        author: Author,
    ) -> ReplayPage:
        """Judge a page of them again, a bounded number in each transaction.

        What is rejected again stays and is passed by the token, so that a caller who
        goes on until there is none has had each judged once. Raises PageTokenInvalid.
        """
        scope = f"replay {workspace_id} {narrowed!r}"
        found, next_page_token = await self._read_page(
            workspace_id, narrowed, page_size, page_token, scope=scope, oldest_first=True
        )
        verdicts: list[tuple[str, EventVerdict]] = []
        for start in range(0, len(found), limits.REPLAY_TRANSACTION_EVENTS_MAX):
            chunk = found[start : start + limits.REPLAY_TRANSACTION_EVENTS_MAX]
            verdicts += await self._replay(workspace_id, chunk, author)
        return ReplayPage(verdicts=verdicts, next_page_token=next_page_token)

    async def replay_one(
        self, workspace_id: WorkspaceId, failed_event_id: str, *, author: Author
    ) -> ReplayPage:
        """Raises NotFound when there is no such event among the failed ones, or not any more."""
        record = await self._record(workspace_id, failed_event_id)
        verdicts = await self._replay(workspace_id, [record], author)
        if not verdicts:
            raise NotFound("failed event")
        return ReplayPage(verdicts=verdicts, next_page_token="")

    async def one(self, workspace_id: WorkspaceId, failed_event_id: str) -> tuple[KeptEvent, ReceivedEvent]:
        """One as it is shown, and as its channel reads it. Raises NotFound as `replay_one`."""
        record = await self._record(workspace_id, failed_event_id)
        (shown,) = [each async for each in self.shown(workspace_id, [record])]
        return shown

    async def _record(self, workspace_id: WorkspaceId, failed_event_id: str) -> FailedRecord:
        try:
            position = tokens.decode(
                failed_event_id, scope=_id_scope(workspace_id), secret=self._secret, length=_ID_PARTS
            )
        except PageTokenInvalid:
            raise NotFound("failed event") from None
        received_at, failed_no, sequence = position
        place = FailedPlace(received_at_micros=received_at, failed_no=failed_no, sequence=sequence)
        record = await self._reader.failed_event(workspace_id, place)
        if record is None:
            raise NotFound("failed event")
        return record

    async def _replay(
        self, workspace_id: WorkspaceId, found: Sequence[FailedRecord], author: Author
    ) -> Sequence[tuple[str, EventVerdict]]:
        settings = self._key_ring.settings(workspace_id)
        read = [each async for each in self._read_events(found)]
        named = await resolved([event for _, event in read], self._people, workspace_id)
        events = [
            Rejudged(
                place=record.place,
                judged=rejudge(
                    Rejudging(
                        workspace_id=workspace_id,
                        install=_install_of(record),
                        received_at_micros=record.place.received_at_micros,
                        send_clock=record.send_clock,
                        verified=record.verified,
                        received=event,
                    ),
                    settings,
                ),
            )
            for (record, _), event in zip(read, named, strict=True)
        ]
        replayed = await self._store.replay(workspace_id, events, author=author)
        return [(self._id(workspace_id, each.place), each.verdict) for each in replayed]

    async def _read_events(
        self, found: Sequence[FailedRecord]
    ) -> AsyncIterator[tuple[FailedRecord, ReceivedEvent]]:
        """Giving way to other calls: anybody with a public key can make events that are slow to read."""
        bytes_read = 0
        for record in found:
            read_event = self._read_json_event if record.install_id is None else self._read_event
            yield record, read_event(0, record.raw)
            bytes_read += len(record.raw)
            if bytes_read >= limits.FAILED_TURN_BYTES:
                bytes_read = 0
                await asyncio.sleep(0)

    async def _read_page(
        self,
        workspace_id: WorkspaceId,
        narrowed: FailedFilter,
        page_size: int,
        page_token: str,
        *,
        scope: str,
        oldest_first: bool,
    ) -> tuple[Sequence[FailedRecord], str]:
        size = page_size_of(page_size)
        beyond = None
        if page_token:
            received_at, failed_no = tokens.decode(page_token, scope=scope, secret=self._secret, length=2)
            beyond = FailedPlace(received_at_micros=received_at, failed_no=failed_no, sequence=0)
        found = await self._reader.failed_events(
            workspace_id, narrowed, beyond=beyond, count_max=size, oldest_first=oldest_first
        )
        if found.last is None:
            return found.records, ""
        position = [found.last.received_at_micros, found.last.failed_no]
        return found.records, tokens.encode(position, scope=scope, secret=self._secret)

    def _id(self, workspace_id: WorkspaceId, place: FailedPlace) -> str:
        """Sealed, so that nobody can name what was not shown; another workspace's is unknown here."""
        position = [place.received_at_micros, place.failed_no, place.sequence]
        return tokens.encode(position, scope=_id_scope(workspace_id), secret=self._secret)


def _install_of(record: FailedRecord) -> Install | None:
    if record.install_id is None:
        return None
    return Install(install_id=record.install_id, epoch=record.epoch)


_ID_PARTS = 3


def _id_scope(workspace_id: WorkspaceId) -> str:
    return f"failed event {workspace_id}"
