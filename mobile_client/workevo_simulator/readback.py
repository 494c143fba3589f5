"""What the server says it holds, asked through the public read API alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from workevo.insight.v1 import delivery_pb2, delivery_pb2_grpc, people_pb2, people_pb2_grpc
from workevo.tracking.v1 import event_pb2, tracking_pb2
from workevo_simulator.errors import ServerUnusable
from workevo_simulator.limits import PAGE_SIZE, READ_TIMEOUT, READERS_MAX
from workevo_simulator.recording import Scalar
from workevo_simulator.truth import ContactId, EventKey

_TIMEOUT_SECONDS = READ_TIMEOUT.total_seconds()
_REFUSALS = {
    grpc.StatusCode.UNAUTHENTICATED: "the server does not know the server key",
    grpc.StatusCode.PERMISSION_DENIED: "the key may not read; give a server key",
    grpc.StatusCode.UNAVAILABLE: "no server answers there",
    grpc.StatusCode.UNIMPLEMENTED: "the server speaks no workevo.insight.v1",
}

Outcome = delivery_pb2.Outcome
Page = TypeVar("Page")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """R14: generated = stored + duplicate + archived + rejected + dropped + open; resent stands outside."""

    generated: int = 0
    stored: int = 0
    duplicate: int = 0
    archived: int = 0
    rejected: int = 0
    dropped: int = 0
    open: int = 0
    resent: int = 0
    dropped_by_reason: tuple[tuple[str, int], ...] = ()
    """Adds up to dropped."""


@dataclass(frozen=True, slots=True)
class OutcomeRange:
    first_sequence: int
    last_sequence: int
    outcome: "delivery_pb2.Outcome.ValueType"


@dataclass(frozen=True, slots=True)
class EpochLedger:
    balance: Balance
    ranges: Sequence[OutcomeRange]
    """Lowest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event as the timeline of `contact` shows it."""

    contact: ContactId
    """As asked for: the person, merges resolved."""
    key: EventKey
    name: str
    display_name: str
    created_at_micros: int
    occurred_at_micros: int
    received_at_micros: int
    clock_method: str
    """UPTIME, SKEW or DEVICE (R8)."""
    metadata: tuple[tuple[str, Scalar], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSummary:
    name: str
    display_name: str
    count: int
    first_micros: int
    last_micros: int


@dataclass(frozen=True, slots=True)
class Person:
    """Both empty when the server does not know the person."""

    summaries: Sequence[StoredSummary]
    events: Sequence[StoredEvent]
    """Newest first."""


@dataclass(frozen=True, slots=True)
class Readback:
    """Everything that reconciliation is held against."""

    installs: Mapping[str, Balance]
    ledgers: Mapping[tuple[str, bytes], EpochLedger]
    people: Mapping[ContactId, Person]


class ReadApi(Protocol):
    """The four questions of `workevo.insight.v1`, paged through. Each raises ServerUnusable when refused."""

    def installs(self) -> Iterator[tuple[str, Balance]]:
        """(install_id, balance) of every install of the workspace."""

    def ledger(self, install_id: str) -> Sequence[tuple[bytes, EpochLedger]]:
        """(epoch, ledger) of every queue the install has had; none when it is unknown."""

    def person(self, contact: ContactId) -> Person:
        """The whole timeline and summary of a person."""


def read_back(api: ReadApi, people: Iterable[ContactId], *, on_progress: Callable[[int], None]) -> Readback:
    """All installs of the workspace and the people named. `on_progress` is told of each person read."""

    def person(contact: ContactId) -> tuple[ContactId, Person]:
        found = api.person(contact)
        on_progress(1)
        return contact, found

    def ledgers(install_id: str) -> list[tuple[tuple[str, bytes], EpochLedger]]:
        return [((install_id, epoch), ledger) for epoch, ledger in api.ledger(install_id)]

    installs = dict(api.installs())
    with ThreadPoolExecutor(READERS_MAX, thread_name_prefix="reader") as threads:
        found_ledgers = [each for found in threads.map(ledgers, installs) for each in found]
        found_people = dict(threads.map(person, people))
    return Readback(installs, dict(found_ledgers), found_people)


@dataclass(slots=True)
class GrpcReadApi:
    """`ReadApi` over a channel, with a server key."""

    channel: grpc.Channel
    key: str

    def installs(self) -> Iterator[tuple[str, Balance]]:
        stub = delivery_pb2_grpc.DeliveryServiceStub(self.channel)
        token = ""
        while True:
            request = delivery_pb2.ListInstallsRequest(page_size=PAGE_SIZE, page_token=token)
            page = self._ask(stub.ListInstalls, request)
            if page is None:
                return
            yield from ((install.install_id, _balance(install.balance)) for install in page.installs)
            token = page.next_page_token
            if not token:
                return

    def ledger(self, install_id: str) -> Sequence[tuple[bytes, EpochLedger]]:
        stub = delivery_pb2_grpc.DeliveryServiceStub(self.channel)
        found: list[tuple[bytes, EpochLedger]] = []
        token = ""
        while True:
            request = delivery_pb2.GetLedgerRequest(install_id=install_id, page_token=token)
            page = self._ask(stub.GetLedger, request)
            if page is None:
                return found
            found += [(each.epoch, _epoch_ledger(each)) for each in page.epochs]
            token = page.next_page_token
            if not token:
                return found

    def person(self, contact: ContactId) -> Person:
        stub = people_pb2_grpc.PeopleServiceStub(self.channel)
        request = people_pb2.GetEventSummaryRequest()
        setattr(request, f"{contact.kind}_id", contact.id)
        answer = self._ask(stub.GetEventSummary, request)
        if answer is None:
            return Person((), ())
        summaries = [_summary(each) for each in answer.summaries]
        return Person(summaries, list(self._events(stub, contact)))

    def _events(self, stub: "people_pb2_grpc.PeopleServiceStub", contact: ContactId) -> Iterator[StoredEvent]:
        request = people_pb2.ListActivitiesRequest(page_size=PAGE_SIZE)
        setattr(request, f"{contact.kind}_id", contact.id)
        token = ""
        while True:
            request.page_token = token
            page = self._ask(stub.ListActivities, request)
            if page is None:
                return
            yield from (_event(contact, each) for each in page.activities if each.HasField("event"))
            token = page.next_page_token
            if not token:
                return

    def _ask(self, method: Callable[..., Page], request: object) -> Page | None:
        """The answer, or None for NOT_FOUND."""
        metadata = (("authorization", f"Bearer {self.key}"),)
        try:
            return method(request, timeout=_TIMEOUT_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            code = error.code()
            if code is grpc.StatusCode.NOT_FOUND:
                return None
            reason = _REFUSALS.get(code, f"{code.name} ({error.details()})")
            raise ServerUnusable(f"Reading back failed: {reason}.") from error


def _balance(balance: delivery_pb2.Balance) -> Balance:
    return Balance(
        generated=balance.generated,
        stored=balance.stored,
        duplicate=balance.duplicate,
        archived=balance.archived,
        rejected=balance.rejected,
        dropped=balance.dropped,
        open=balance.open,
        resent=balance.resent,
        dropped_by_reason=tuple(
            (tracking_pb2.DropReason.Name(each.reason).removeprefix("DROP_REASON_"), each.count)
            for each in balance.dropped_by_reason
        ),
    )


def _epoch_ledger(epoch: delivery_pb2.EpochLedger) -> EpochLedger:
    ranges = [OutcomeRange(each.first_sequence, each.last_sequence, each.outcome) for each in epoch.ranges]
    return EpochLedger(_balance(epoch.balance), ranges)


def _summary(summary: people_pb2.EventSummary) -> StoredSummary:
    return StoredSummary(
        name=summary.name,
        display_name=summary.display_name,
        count=summary.count,
        first_micros=_micros(summary.first_occurred_at),
        last_micros=_micros(summary.last_occurred_at),
    )


def _event(contact: ContactId, activity: people_pb2.Activity) -> StoredEvent:
    event = activity.event
    return StoredEvent(
        contact=contact,
        key=(event.install_id, event.epoch, event.sequence),
        name=event.name,
        display_name=event.display_name,
        created_at_micros=_micros(event.created_at),
        occurred_at_micros=_micros(activity.occurred_at),
        received_at_micros=_micros(event.received_at),
        clock_method=people_pb2.ClockMethod.Name(event.clock_method).removeprefix("CLOCK_METHOD_"),
        metadata=tuple((entry.key, _value(entry)) for entry in event.metadata),
    )


def _micros(moment: Timestamp) -> int:
    return moment.ToMicroseconds()


def _value(entry: event_pb2.MetadataEntry) -> Scalar:
    """As `truth.comparable`."""
    match entry.WhichOneof("value"):
        case "text":
            return entry.text
        case "number":
            return entry.number
        case "integer":
            return entry.integer
        case "date":
            return f"<date {entry.date.seconds}>"
        case "link":
            return f"<link {entry.link}>"
        case "image":
            return f"<image {entry.image}>"
        case "rich_link":
            return f"<rich_link {entry.rich_link.url} {entry.rich_link.title}>"
        case "stripe":
            kind = event_pb2.Stripe.Kind.Name(entry.stripe.kind).removeprefix("KIND_")
            return f"<stripe {kind} {entry.stripe.id}>"
        case "monetary":
            return f"<monetary {entry.monetary.amount} {entry.monetary.currency}>"
        case other:
            return f"<{other}>"
