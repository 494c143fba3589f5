"""What a device may claim of its sequences still fits into an answer."""

from workevo_server.domain.events import DropReason
from workevo_server.domain.ledger import Balance, Ledger
from workevo_server.domain.limits import SEQUENCE_MAX
from workevo_server.ports.delivery import InstallRecord
from workevo_server.services.delivery import LedgerPage
from workevo_server.transport.grpc.delivery_codec import install_to_wire, ledger_to_wire
from workevo_testing.uploads import PHONE

INT64_MAX = 2**63 - 1


def test_a_sum_of_claims_beyond_int64_is_told_as_the_largest_and_breaks_no_list() -> None:
    ledgers = []
    for number in range(1_100):
        ledger = Ledger(generated=SEQUENCE_MAX)
        if number % 2:
            ledger.drop([(1, SEQUENCE_MAX, DropReason.EXPIRED)])
        ledgers.append((number.to_bytes(16), ledger))
    ledgers += [(bytes(16), ledger) for _, ledger in ledgers] * 2
    record = InstallRecord(
        install_no=1,
        install=PHONE,
        first_seen_micros=0,
        last_seen_micros=0,
        ledgers=ledgers,
        totals=sum((ledger.balance() for _, ledger in ledgers), Balance()),
        queue_count=len(ledgers),
    )
    told = install_to_wire(record)
    assert (told.balance.generated, told.epoch_count) == (INT64_MAX, 3_300)
    assert told.balance.dropped == told.balance.dropped_by_reason[0].count == INT64_MAX
    assert ledger_to_wire(LedgerPage(install=record, next_page_token="")).balance.open == INT64_MAX
