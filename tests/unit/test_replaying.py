"""R13 over the pure functions alone: a replay's verdicts, and how a ledger moves."""

from dataclasses import replace

import pytest

from workevo_server.domain.admission import decide
from workevo_server.domain.events import ClockReading, ContactClaim, DroppedRange, DropReason, ReceivedEvent
from workevo_server.domain.identifiers import NameKey
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.ledger import DUPLICATE, FOLDED, OPEN, STORED, Ledger, Outcome, OutcomeKind
from workevo_server.domain.replaying import Rejudging, decide_again, rejudge
from workevo_server.domain.verdicts import Reason, Refusal, Verdict
from workevo_server.domain.workspace import IdentityVerification, KeyCharset, WorkspaceSettings
from workevo_testing.sinks import PureSink, _PureView
from workevo_testing.uploads import PHONE, good_event, upload, user, visitor

DEFAULTS = WorkspaceSettings()
ENFORCED = WorkspaceSettings(identity_verification=IdentityVerification.ENFORCED)
REJECTED = Outcome(OutcomeKind.REJECTED, reason=Reason.NAME_INVALID)
HOUR = 3600


def failed(received: ReceivedEvent, *, at_seconds: int = 1_000_000, verified: bool = False) -> Rejudging:
    return Rejudging(
        workspace_id=PureSink.workspace_id,
        install=PHONE,
        received_at_micros=at_seconds * 1_000_000,
        send_clock=ClockReading(),
        verified=verified,
        received=received,
    )


def replay(
    sink: PureSink, rejected: Rejudging, settings: WorkspaceSettings = DEFAULTS
) -> tuple[Verdict, Outcome]:
    decision, outcome = decide_again(
        rejudge(rejected, settings), _PureView(sink, PHONE.install_id, PHONE.epoch)
    )
    return decision.verdicts[0].verdict, outcome


@pytest.mark.parametrize(
    ("hours_later", "expected"),
    [
        (-49, (Verdict.ACCEPTED, STORED)),
        (-47, (Verdict.DUPLICATE, DUPLICATE)),
        (47, (Verdict.DUPLICATE, DUPLICATE)),
        (49, (Verdict.ACCEPTED, STORED)),
    ],
)
async def test_copies_are_looked_for_around_the_original_receipt(
    hours_later: int, expected: tuple[Verdict, Outcome]
) -> None:
    sink = PureSink()
    copy = good_event(0, 2, user("u1"), "Opened", 5)
    await sink.append(upload(sink.workspace_id, [copy], at_seconds=1_000_000 + hours_later * HOUR), DEFAULTS)

    assert replay(sink, failed(good_event(0, 1, user("u1"), "opened", 5))) == expected


@pytest.mark.parametrize(
    ("contact", "verified", "expected"),
    [
        (user("u1"), True, Verdict.ACCEPTED),
        (user("u1"), False, Verdict.RETRY),
        (visitor("v1"), True, Verdict.ACCEPTED),
    ],
)
def test_the_identity_that_was_verified_at_its_receipt_is_kept(
    contact: ContactClaim,
    verified: bool,
    expected: Verdict,
) -> None:
    rejected = failed(replace(good_event(0, 1, user("u1"), "opened", 5), contact=contact), verified=verified)

    verdict, outcome = replay(PureSink(), rejected, ENFORCED)

    assert verdict is expected
    assert (outcome == OPEN) == (expected is Verdict.RETRY)


def test_a_sequence_that_is_none_is_rejected_again_and_has_no_outcome() -> None:
    assert replay(PureSink(), failed(good_event(0, 0, user("u1"), "opened", 5))) == (Verdict.REJECTED, OPEN)


def test_a_moved_sequence_has_its_new_outcome_and_the_balance_holds() -> None:
    ledger = Ledger(ranges=[(1, 2, STORED), (3, 5, REJECTED)], generated=5)

    ledger.move(4, REJECTED, STORED)

    assert [ledger.outcome_of(sequence) for sequence in range(1, 6)] == [
        STORED,
        STORED,
        REJECTED,
        STORED,
        REJECTED,
    ]
    balance = ledger.balance()
    assert (balance.generated, balance.stored, balance.rejected) == (5, 3, 2)


def test_where_the_sequence_was_folded_the_counts_move_alone() -> None:
    ledger = Ledger(ranges=[(1, 3, FOLDED)], generated=3, folded={REJECTED: 1, STORED: 2})

    ledger.move(2, REJECTED, DUPLICATE)

    assert ledger.known_ranges == ((1, 3, FOLDED),)
    assert dict(ledger.folded) == {STORED: 2, DUPLICATE: 1}


async def test_what_devices_did_not_send_is_counted_by_name_where_it_had_no_outcome() -> None:
    told = [
        DroppedRange(first_sequence=1, last_sequence=4, reason=DropReason.DISABLED, name="Noisy"),
        DroppedRange(first_sequence=3, last_sequence=6, reason=DropReason.ARCHIVED, name="old"),
        DroppedRange(first_sequence=7, last_sequence=7, reason=DropReason.EXPIRED, name="old"),
        DroppedRange(first_sequence=8, last_sequence=8, reason=DropReason.ARCHIVED, name="x" * 256),
    ]
    sent = upload(PureSink.workspace_id, [good_event(0, 2, user("u1"), "noisy", 5)], dropped=told)
    sink = PureSink()

    decision = decide(
        judge_upload(sent, DEFAULTS), ledger=Ledger(), view=_PureView(sink, PHONE.install_id, PHONE.epoch)
    )

    assert decision.unsent == {
        (NameKey("noisy"), DropReason.DISABLED): 3,
        (NameKey("old"), DropReason.ARCHIVED): 2,
    }


async def test_a_failed_event_tells_its_name_where_it_can_be_read_and_whether_it_holds_its_sequence() -> None:
    sink = PureSink()
    events = [
        good_event(0, 1, user(""), "Opened", 5),
        good_event(1, 0, user("u1"), "x" * 256, 5),
        good_event(2, 3, user("u1"), "a.b", 5),
    ]
    await sink.append(upload(sink.workspace_id, events), WorkspaceSettings(key_charset=KeyCharset.STRICT))

    told = [(each.name_key, each.settled) for each in sink.failed]
    assert told == [("opened", True), (None, False), ("a.b", True)]


async def test_a_failed_event_under_a_sequence_of_another_one_does_not_hold_it() -> None:
    sink = PureSink()
    first = good_event(0, 1, user("u1"), "opened", 5)
    unreadable = Refusal(reason=Reason.EVENT_MALFORMED, message="Its bytes do not parse.")
    await sink.append(upload(sink.workspace_id, [first]), DEFAULTS)
    await sink.append(upload(sink.workspace_id, [replace(first, refusal=unreadable)]), DEFAULTS)

    (kept,) = sink.failed
    assert (kept.name_key, kept.settled) == (None, False)
