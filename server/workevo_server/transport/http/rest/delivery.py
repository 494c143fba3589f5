"""What became of every generated event, and of rejected ones, over REST (R13, R14)."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from starlette.responses import Response

from workevo_server.domain import ledger as rules
from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.events import DropReason
from workevo_server.domain.identifiers import InstallId
from workevo_server.domain.limits import LEDGER_ANSWER_RANGES_MAX, LEDGER_QUEUES_MAX
from workevo_server.domain.naming import is_well_formed, name_key
from workevo_server.domain.verdicts import EventVerdict, Reason
from workevo_server.ports.audit import Author
from workevo_server.ports.delivery import InstallRecord
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.services.delivery import Delivery
from workevo_server.services.failed_events import FailedEvents, KeptEvent
from workevo_server.transport.http.guard import HttpCall
from workevo_server.transport.http.rest import delivery_shapes as shapes
from workevo_server.transport.http.rest.lists import pages, size_of
from workevo_server.transport.http.rest.operations import Operation, json_answer
from workevo_server.transport.http.rest.requests import body_of, query_of, well_formed
from workevo_server.transport.http.rest.shapes import ListQuery
from workevo_server.transport.http.rest.times import micros_of_seconds, seconds_of
from workevo_server.transport.receipt import Receipt

_TAG = "Delivery"
_UNSPECIFIED = DropReason.UNSPECIFIED.value


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryApi:
    delivery: Delivery
    failed_events: FailedEvents
    receipt: Receipt

    def operations(self) -> list[Operation]:
        return [
            Operation(
                operation_id="listInstalls",
                method="GET",
                path="/installs",
                summary="Installs with the balance of what each generated.",
                tag=_TAG,
                answer=self._installs,
                query=ListQuery,
                result=shapes.InstallList,
            ),
            Operation(
                operation_id="getLedger",
                method="GET",
                path="/ledger",
                summary="The outcome of every sequence of an install, newest queues on the first page.",
                tag=_TAG,
                answer=self._ledger,
                query=shapes.LedgerQuery,
                result=shapes.Ledger,
                refusals=(404,),
            ),
            Operation(
                operation_id="listFailedEvents",
                method="GET",
                path="/failed_events",
                summary="Rejected events whole, with why, newest first.",
                tag=_TAG,
                answer=self._failed,
                query=shapes.FailedEventQuery,
                result=shapes.FailedEventList,
            ),
            Operation(
                operation_id="replayFailedEvents",
                method="POST",
                path="/failed_events/replay",
                summary="Judge rejected events again, once the cause is mended.",
                tag=_TAG,
                answer=self._replay,
                body=shapes.Replay,
                result=shapes.ReplayAnswer,
                refusals=(404,),
            ),
        ]

    async def _installs(self, call: HttpCall) -> Response:
        query = query_of(call, ListQuery)
        size = size_of(query.per_page)
        page = await self.delivery.installs(
            call.principal.workspace_id, page_size=size, page_token=query.starting_after or ""
        )
        data = [_install(record) for record in page.installs]
        return json_answer(shapes.InstallList(data=data, pages=pages(size, page.next_page_token)))

    async def _ledger(self, call: HttpCall) -> Response:
        query = query_of(call, shapes.LedgerQuery)
        page = await self.delivery.ledger(
            call.principal.workspace_id,
            InstallId(well_formed("install_id", query.install_id)),
            page_token=query.starting_after or "",
        )
        record = page.install
        return json_answer(
            shapes.Ledger(
                install_id=record.install.install_id,
                balance=_balance(record.balance()),
                epochs=[_epoch(record, epoch, ledger) for epoch, ledger in record.ledgers],
                pages=pages(LEDGER_QUEUES_MAX, page.next_page_token),
            )
        )

    async def _failed(self, call: HttpCall) -> Response:
        query = query_of(call, shapes.FailedEventQuery)
        size = size_of(query.per_page)
        page = await self.failed_events.page(
            call.principal.workspace_id,
            _filter(query),
            page_size=size,
            page_token=query.starting_after or "",
        )
        return json_answer(
            shapes.FailedEventList(
                data=[_kept(kept) for kept in page.events],
                pages=pages(size, page.next_page_token),
                counts_by_reason={reason.value: count for reason, count in page.counts.items()},
                unkept_count=page.unkept_count,
            )
        )

    async def _replay(self, call: HttpCall) -> Response:
        told, workspace_id = body_of(call, shapes.Replay), call.principal.workspace_id
        author = Author(made_by=call.principal.key_prefix, made_at_micros=self.receipt(call.headers))
        size = size_of(told.per_page)
        if told.id is not None:
            done = await self.failed_events.replay_one(workspace_id, told.id, author=author)
        else:
            done = await self.failed_events.replay(
                workspace_id,
                _filter(told),
                page_size=size,
                page_token=told.starting_after or "",
                author=author,
            )
        return json_answer(
            shapes.ReplayAnswer(results=_replayed(done.verdicts), pages=pages(size, done.next_page_token))
        )


def _filter(told: shapes.FailedEventQuery | shapes.Replay) -> FailedFilter:
    """What is not given narrows nothing. Raises RequestInvalid."""
    name = well_formed("event_name", told.event_name) if told.event_name else None
    install_id = well_formed("install_id", told.install_id) if told.install_id else None
    return FailedFilter(
        reason=_reason(told.reason) if told.reason else None,
        name_key=name_key(name) if name else None,
        install_id=InstallId(install_id) if install_id else None,
        received_from_micros=_micros(told.received_from),
        received_before_micros=_micros(told.received_before),
    )


def _micros(seconds: object) -> int | None:
    return micros_of_seconds(seconds) if isinstance(seconds, int) else None


def _reason(text: str) -> Reason:
    try:
        return Reason(text)
    except ValueError:
        raise RequestInvalid(FieldViolation("reason", "This server knows no such reason.")) from None


def _install(record: InstallRecord) -> shapes.Install:
    install = record.install
    return shapes.Install(
        install_id=install.install_id,
        platform=install.platform,
        app_version=install.app_version,
        os_version=install.os_version,
        sdk_name=install.sdk_name,
        sdk_version=install.sdk_version,
        locale=install.locale,
        time_zone=install.time_zone,
        first_seen_at=seconds_of(record.first_seen_micros),
        last_seen_at=seconds_of(record.last_seen_micros),
        epoch_count=record.queue_count,
        balance=_balance(record.balance()),
    )


def _balance(balance: rules.Balance) -> shapes.Balance:
    rejected_untold, dropped_untold = balance.untold()
    return shapes.Balance(
        generated=balance.generated,
        stored=balance.stored,
        duplicate=balance.duplicate,
        archived=balance.archived,
        rejected=balance.rejected,
        dropped=balance.dropped,
        open=balance.open,
        resent=balance.resent,
        erased=balance.erased,
        expired=balance.expired,
        rejected_by_reason=_by_reason(balance.rejected_by_reason, rejected_untold),
        dropped_by_reason=_by_reason(balance.dropped_by_reason, dropped_untold),
    )


def _by_reason(told: Mapping[Reason, int] | Mapping[DropReason, int], untold: int) -> dict[str, int]:
    """What is not told one by one stands under UNSPECIFIED, as do drops that had no reason."""
    counts = Counter({reason.value: count for reason, count in told.items()})
    counts[_UNSPECIFIED] += untold
    return dict(+counts)


def _epoch(record: InstallRecord, epoch: bytes, ledger: rules.Ledger) -> shapes.EpochLedger:
    ranges = list(islice(ledger.ranges(), LEDGER_ANSWER_RANGES_MAX + 1))
    return shapes.EpochLedger(
        epoch=epoch.hex(),
        balance=_balance(record.balance_of(epoch, ledger)),
        settled_through=ledger.settled_through,
        applied_through=ledger.applied_through,
        ranges=[_range(*each) for each in ranges[:LEDGER_ANSWER_RANGES_MAX]],
        ranges_truncated=len(ranges) > LEDGER_ANSWER_RANGES_MAX,
    )


def _range(first: int, last: int, outcome: rules.Outcome) -> shapes.OutcomeRange:
    reason = outcome.reason or outcome.drop_reason
    return shapes.OutcomeRange(
        first_sequence=first,
        last_sequence=last,
        outcome=outcome.kind.name,
        reason=reason.value if reason is not None else None,
    )


def _kept(kept: KeptEvent) -> shapes.FailedEvent:
    record = kept.record
    return shapes.FailedEvent(
        id=kept.failed_event_id,
        install_id=record.install_id,
        sequence=record.place.sequence if record.install_id is not None else None,
        reason=record.reason.value,
        field=record.field,
        message=record.message,
        received_at=seconds_of(record.place.received_at_micros),
        event_name=kept.name if kept.name and is_well_formed(kept.name) else None,
        event=base64.b64encode(record.raw).decode(),
    )


def _replayed(verdicts: Sequence[tuple[str, EventVerdict]]) -> list[shapes.Replayed]:
    return [
        shapes.Replayed(
            id=failed_event_id,
            verdict=verdict.verdict.value,
            reason=verdict.refusal.reason.value if verdict.refusal is not None else None,
            field=verdict.refusal.field if verdict.refusal is not None else None,
            message=verdict.refusal.message if verdict.refusal is not None else None,
        )
        for failed_event_id, verdict in verdicts
    ]
