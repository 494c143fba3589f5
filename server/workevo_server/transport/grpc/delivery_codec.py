"""Installs and their ledgers, from the domain onto the wire."""

from itertools import islice

from workevo.insight.v1 import delivery_pb2 as wire
from workevo.tracking.v1 import tracking_pb2 as wire_tracking
from workevo.tracking.v1.verdict_pb2 import REASON_UNSPECIFIED
from workevo_server.domain.events import DropReason
from workevo_server.domain.ledger import Balance, Ledger, Outcome
from workevo_server.domain.limits import LEDGER_ANSWER_RANGES_MAX
from workevo_server.ports.delivery import InstallRecord
from workevo_server.services.delivery import LedgerPage
from workevo_server.transport.grpc.answer_codec import reason_to_wire
from workevo_server.transport.grpc.time_codec import micros_to_wire

_INT64_MAX = 2**63 - 1


def install_to_wire(record: InstallRecord) -> wire.InstallSummary:
    install = record.install
    return wire.InstallSummary(
        install_id=install.install_id,
        platform=install.platform,
        app_version=install.app_version,
        os_version=install.os_version,
        sdk_name=install.sdk_name,
        sdk_version=install.sdk_version,
        locale=install.locale,
        time_zone=install.time_zone,
        first_seen_at=micros_to_wire(record.first_seen_micros),
        last_seen_at=micros_to_wire(record.last_seen_micros),
        balance=_balance_to_wire(record.balance()),
        epoch_count=record.queue_count,
    )


def ledger_to_wire(page: LedgerPage) -> wire.GetLedgerResponse:
    """Of any queues there are it fits into one message: so many in an answer, with so many ranges of each."""
    record = page.install
    return wire.GetLedgerResponse(
        install_id=record.install.install_id,
        balance=_balance_to_wire(record.balance()),
        epochs=[_epoch_to_wire(record, epoch, ledger) for epoch, ledger in record.ledgers],
        next_page_token=page.next_page_token,
    )


def _epoch_to_wire(record: InstallRecord, epoch: bytes, ledger: Ledger) -> wire.EpochLedger:
    ranges = list(islice(ledger.ranges(), LEDGER_ANSWER_RANGES_MAX + 1))
    return wire.EpochLedger(
        epoch=epoch,
        balance=_balance_to_wire(record.balance_of(epoch, ledger)),
        settled_through=ledger.settled_through,
        applied_through=ledger.applied_through,
        ranges=[_range_to_wire(*found) for found in ranges[:LEDGER_ANSWER_RANGES_MAX]],
        ranges_truncated=len(ranges) > LEDGER_ANSWER_RANGES_MAX,
    )


def _range_to_wire(first: int, last: int, outcome: Outcome) -> wire.OutcomeRange:
    return wire.OutcomeRange(
        first_sequence=first,
        last_sequence=last,
        outcome=wire.Outcome.Value(f"OUTCOME_{outcome.kind.name}"),
        reason=reason_to_wire(outcome.reason) if outcome.reason else REASON_UNSPECIFIED,
        drop_reason=_drop_reason_to_wire(outcome.drop_reason or DropReason.UNSPECIFIED),
    )


def _told(count: int) -> int:
    """A device may claim 2^53 - 1 sequences in each of any number of queues; the sum stays an int64."""
    return min(count, _INT64_MAX)


def _balance_to_wire(balance: Balance) -> wire.Balance:
    rejected_untold, dropped_untold = balance.untold()
    return wire.Balance(
        generated=_told(balance.generated),
        stored=balance.stored,
        duplicate=balance.duplicate,
        archived=balance.archived,
        rejected=balance.rejected,
        dropped=_told(balance.dropped),
        open=_told(balance.open),
        resent=balance.resent,
        erased=balance.erased,
        expired=balance.expired,
        rejected_by_reason=[
            wire.RejectedCount(reason=reason_to_wire(reason), count=count)
            for reason, count in balance.rejected_by_reason.items()
        ]
        + [wire.RejectedCount(count=rejected_untold)] * bool(rejected_untold),
        dropped_by_reason=[
            wire.DroppedCount(reason=_drop_reason_to_wire(reason), count=_told(count))
            for reason, count in balance.dropped_by_reason.items()
        ]
        + [wire.DroppedCount(count=_told(dropped_untold))] * bool(dropped_untold),
    )


def _drop_reason_to_wire(reason: DropReason) -> "wire_tracking.DropReason.ValueType":
    return wire_tracking.DropReason.Value(f"DROP_REASON_{reason.name}")
