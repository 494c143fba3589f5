"""Reconciliation: each way in which a server could be wrong is found, and told apart."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from workevo.insight.v1 import delivery_pb2
from workevo_simulator.findings import Fate, Reconciliation, Rules
from workevo_simulator.readback import (
    Balance,
    EpochLedger,
    OutcomeRange,
    Person,
    Readback,
    StoredEvent,
    StoredSummary,
)
from workevo_simulator.reconciliation import reconcile
from workevo_simulator.truth import ContactId, Generated, user

RULES = Rules(metadata_keys=5, identity_window=timedelta(hours=48))
EPOCH = bytes(16)
START = 1_710_325_274_000_000
SECOND = 1_000_000
HOUR = 3600 * SECOND


def tracked(sequence: int, *, name: str = "home", at: int = START, contact: str = "anna") -> Generated:
    return Generated(
        label=f"line {sequence + 1}",
        contact=user(contact),
        name=name,
        created_at_micros=at,
        occurred_at_micros=at,
        metadata=(("price", 3),),
        keys=(("i1", EPOCH, sequence),),
    )


def stored(event: Generated, *, received: int | None = None) -> StoredEvent:
    return StoredEvent(
        contact=event.contact,
        key=event.keys[0],
        name=event.name,
        display_name=event.name.capitalize(),
        created_at_micros=event.created_at_micros,
        occurred_at_micros=event.created_at_micros,
        received_at_micros=event.created_at_micros + SECOND if received is None else received,
        clock_method="UPTIME",
        metadata=event.metadata,
    )


def summaries(events: Iterable[StoredEvent]) -> list[StoredSummary]:
    moments: dict[str, list[int]] = {}
    for event in events:
        moments.setdefault(event.name, []).append(event.occurred_at_micros)
    return [
        StoredSummary(name=name, display_name=name, count=len(at), first_micros=min(at), last_micros=max(at))
        for name, at in moments.items()
    ]


def ledger(balance: Balance, *ranges: OutcomeRange) -> EpochLedger:
    return EpochLedger(balance, ranges or (OutcomeRange(1, balance.generated, delivery_pb2.OUTCOME_FOLDED),))


def read(
    events: Sequence[StoredEvent],
    told: EpochLedger,
    *,
    listed: Balance | None = None,
    summed: Sequence[StoredSummary] | None = None,
) -> Readback:
    person = Person(summaries(events) if summed is None else summed, events)
    installs = {"i1": told.balance if listed is None else listed}
    return Readback(installs, {("i1", EPOCH): told}, {user("anna"): person})


@pytest.fixture
def three() -> list[Generated]:
    return [tracked(number, at=START + number * SECOND) for number in (1, 2, 3)]


ALL_STORED = Balance(generated=3, stored=3, resent=1)


def judged(events: Sequence[Generated], readback: Readback) -> Reconciliation:
    return reconcile(events, readback, RULES)


def test_everything_stored_once_is_balanced(three: list[Generated]) -> None:
    found = judged(three, read([stored(event) for event in three], ledger(ALL_STORED)))

    assert found.balanced
    assert (found.generated, found.fates[Fate.STORED], found.resent) == (3, 3, 1)


@pytest.mark.parametrize("folded", [True, False])
def test_an_event_that_is_gone_from_the_store_is_missing(three: list[Generated], folded: bool) -> None:
    told = (
        ledger(ALL_STORED) if folded else ledger(ALL_STORED, OutcomeRange(1, 3, delivery_pb2.OUTCOME_STORED))
    )

    found = judged(three, read([stored(event) for event in three if event.keys[0][2] != 2], told))

    assert [(each.sequence, each.name) for each in found.missing] == [(2, "home")]
    assert found.fates[Fate.MISSING] == 1
    assert any("2 stored by its events, 3 by the ledger" in line for line in found.imbalances)


@pytest.mark.parametrize("folded", [True, False])
def test_a_copy_by_contact_name_and_second_is_accounted_for(folded: bool) -> None:
    events = [tracked(1), tracked(2, name="HOME")]
    balance = Balance(generated=2, stored=1, duplicate=1)
    ranges = (
        ()
        if folded
        else (
            OutcomeRange(1, 1, delivery_pb2.OUTCOME_STORED),
            OutcomeRange(2, 2, delivery_pb2.OUTCOME_DUPLICATE),
        )
    )

    found = judged(events, read([stored(events[0])], ledger(balance, *ranges)))

    assert found.balanced
    assert found.fates[Fate.DUPLICATE] == 1


@pytest.mark.parametrize("folded", [True, False])
def test_an_event_called_a_copy_of_nothing_is_missing(folded: bool) -> None:
    events = [tracked(1), tracked(2, at=START + SECOND)]
    balance = Balance(generated=2, stored=1, duplicate=1)
    ranges = (
        ()
        if folded
        else (
            OutcomeRange(1, 1, delivery_pb2.OUTCOME_STORED),
            OutcomeRange(2, 2, delivery_pb2.OUTCOME_DUPLICATE),
        )
    )

    found = judged(events, read([stored(events[0])], ledger(balance, *ranges)))

    assert [each.sequence for each in found.missing] == [2]


def test_more_copies_than_the_ledger_counts_are_missing() -> None:
    events = [tracked(1), tracked(2), tracked(3)]

    found = judged(events, read([stored(events[0])], ledger(Balance(generated=3, stored=2, duplicate=1))))

    assert len(found.missing) == 1


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [
        (delivery_pb2.OUTCOME_ARCHIVED, Fate.ARCHIVED),
        (delivery_pb2.OUTCOME_REJECTED, Fate.REJECTED),
        (delivery_pb2.OUTCOME_DROPPED, Fate.DROPPED),
        (delivery_pb2.OUTCOME_OPEN, Fate.OPEN),
    ],
)
def test_what_is_not_stored_by_the_ledgers_word_is_accounted_for(
    three: list[Generated], outcome: "delivery_pb2.Outcome.ValueType", fate: Fate
) -> None:
    balance = replace(Balance(generated=3, stored=2), **{fate.value: 1})  # type: ignore[arg-type]
    told = ledger(balance, OutcomeRange(1, 2, delivery_pb2.OUTCOME_STORED), OutcomeRange(3, 3, outcome))

    found = judged(three, read([stored(event) for event in three[:2]], told))

    assert found.balanced
    assert found.fates[fate] == 1


@pytest.mark.parametrize("fate", [Fate.ARCHIVED, Fate.REJECTED, Fate.DROPPED])
def test_a_folded_outcome_is_accounted_for_by_its_count(three: list[Generated], fate: Fate) -> None:
    balance = replace(Balance(generated=3, stored=2), **{fate.value: 1})  # type: ignore[arg-type]

    found = judged(three, read([stored(event) for event in three[:2]], ledger(balance)))

    assert found.balanced
    assert found.fates[fate] == 1


def test_an_event_the_server_never_heard_of_is_missing(three: list[Generated]) -> None:
    found = judged(three, Readback({}, {}, {user("anna"): Person((), ())}))

    assert len(found.missing) == 3
    assert "the ledger says nothing" in found.missing[0].what


def test_an_event_stored_twice_is_unexpected(three: list[Generated]) -> None:
    events = [stored(event) for event in three]

    found = judged(three, read([*events, events[1]], ledger(ALL_STORED), summed=summaries(events)))

    assert [each.what for each in found.unexpected] == ["is stored more than once"]


def test_a_stored_event_that_nobody_generated_is_unexpected(three: list[Generated]) -> None:
    events = [stored(event) for event in three]
    stranger = stored(replace(three[0], keys=(("i2", EPOCH, 1),), name="ghost"))

    found = judged(three, read([*events, stranger], ledger(ALL_STORED)))

    assert [(each.install_id, each.what) for each in found.unexpected] == [("i2", "was never generated")]


def test_a_copy_stored_within_the_window_is_unexpected_and_after_it_is_not() -> None:
    events = [tracked(1), tracked(2)]
    told = ledger(Balance(generated=2, stored=2))

    def found(received: int) -> Reconciliation:
        return judged(events, read([stored(events[0]), stored(events[1], received=received)], told))

    assert [each.sequence for each in found(START + 48 * HOUR).unexpected] == [2]
    assert found(START + SECOND + 48 * HOUR).balanced


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"name": "away"}, "was named 'home'"),
        ({"created_at_micros": START + SECOND + 1}, "created_at is off by 1 µs"),
        ({"occurred_at_micros": START + 2 * SECOND + 1}, "occurred_at is off by 1.000 s"),
        ({"metadata": (("price", 4),)}, "its metadata differs"),
    ],
)
def test_an_event_stored_otherwise_than_generated_differs(
    three: list[Generated], change: dict[str, object], what: str
) -> None:
    events = [stored(event) for event in three]
    truthful = summaries(events)
    events[0] = replace(events[0], **change)  # type: ignore[arg-type]

    found = judged(three, read(events, ledger(ALL_STORED), summed=truthful))

    assert [each.what for each in found.differing] == [what]
    assert not found.missing


def test_an_event_of_another_person_differs(three: list[Generated]) -> None:
    events = [stored(event) for event in three]
    strayed = replace(events[0], contact=user("bert"))
    told = ledger(ALL_STORED)
    readback = Readback(
        {"i1": told.balance},
        {("i1", EPOCH): told},
        {
            user("anna"): Person(summaries(events[1:]), events[1:]),
            user("bert"): Person(summaries([strayed]), [strayed]),
        },
    )

    assert [each.what for each in judged(three, readback).differing] == ["belongs to 'anna'"]


def test_only_the_keys_that_the_workspace_keeps_are_expected(three: list[Generated]) -> None:
    events = [replace(stored(event), metadata=()) for event in three]

    found = reconcile(
        three, read(events, ledger(ALL_STORED)), Rules(metadata_keys=0, identity_window=timedelta(hours=48))
    )

    assert found.balanced


@pytest.mark.parametrize(
    "change", [{"count": 4}, {"first_micros": START - SECOND}, {"last_micros": START + 9 * SECOND}]
)
def test_a_summary_that_the_truth_contradicts_is_found(
    three: list[Generated], change: dict[str, int]
) -> None:
    events = [stored(event) for event in three]
    wrong = [replace(each, **change) for each in summaries(events)]  # type: ignore[arg-type]

    found = judged(three, read(events, ledger(ALL_STORED), summed=wrong))

    assert len(found.imbalances) == 1
    assert [found.missing, found.unexpected, found.differing] == [[], [], []]


def test_a_summary_that_is_absent_or_of_nothing_is_found(three: list[Generated]) -> None:
    events = [stored(event) for event in three]
    ghost = StoredSummary(name="ghost", display_name="Ghost", count=1, first_micros=START, last_micros=START)

    assert judged(three, read(events, ledger(ALL_STORED), summed=[])).imbalances
    assert judged(three, read(events, ledger(ALL_STORED), summed=[*summaries(events), ghost])).imbalances


def test_a_ledger_that_contradicts_itself_or_the_list_of_installs_is_found(three: list[Generated]) -> None:
    events = [stored(event) for event in three]

    lost = judged(three, read(events, ledger(replace(ALL_STORED, open=1))))
    listed = judged(three, read(events, ledger(ALL_STORED), listed=replace(ALL_STORED, stored=2)))

    assert any("does not add up" in line for line in lost.imbalances)
    assert any("2 in the list" in line for line in listed.imbalances)


def test_a_ledger_of_which_nothing_was_generated_is_found_unless_it_is_empty(three: list[Generated]) -> None:
    events = [stored(event) for event in three]
    clean = read(events, ledger(ALL_STORED))

    def found(stranger: Balance) -> Reconciliation:
        installs = {**clean.installs, "i2": stranger}
        ledgers = {**clean.ledgers, ("i2", EPOCH): ledger(stranger)}
        return judged(three, Readback(installs, ledgers, clean.people))

    assert found(Balance()).balanced
    assert any("0 were generated" in line for line in found(Balance(generated=1, open=1)).imbalances)


VISITOR = ContactId("visitor", "v1")


def answered(event: Generated, verdict: str) -> Generated:
    return replace(event, answers={event.keys[0]: verdict})


def test_what_was_answered_accepted_is_missing_whatever_the_ledger_says(three: list[Generated]) -> None:
    events = [*three[:2], answered(three[2], "ACCEPTED")]
    told = ledger(
        Balance(generated=3, stored=2, dropped=1),
        OutcomeRange(1, 2, delivery_pb2.OUTCOME_STORED),
        OutcomeRange(3, 3, delivery_pb2.OUTCOME_DROPPED),
    )

    found = judged(events, read([stored(event) for event in three[:2]], told))

    assert [each.sequence for each in found.missing] == [3]
    assert "it was answered ACCEPTED" in found.missing[0].what


def test_what_went_with_a_deleted_queue_is_wiped_and_nothing_else_is(three: list[Generated]) -> None:
    told = ledger(Balance(generated=2, stored=2))
    kept = [stored(event) for event in three[:2]]

    wiped = judged([*three[:2], replace(three[2], is_wiped=True)], read(kept, told))

    assert wiped.balanced
    assert wiped.fates[Fate.WIPED] == 1
    assert len(judged(three, read(kept, told)).missing) == 1
    settled = replace(answered(three[2], "ACCEPTED"), is_wiped=True)
    assert len(judged([*three[:2], settled], read(kept, told)).missing) == 1


def test_two_phones_events_in_one_place_are_told_apart(three: list[Generated]) -> None:
    """R14a: one is stored there, the other one moved; its twin's outcome says nothing of it."""
    moved = replace(three[1], created_at_micros=START + 500 * SECOND, keys=(*three[1].keys, ("i1", b"2", 1)))
    told = {
        ("i1", EPOCH): ledger(Balance(generated=3, stored=3)),
        ("i1", b"2"): ledger(Balance(generated=1, stored=1)),
    }
    events = [stored(event) for event in three]
    other = replace(stored(moved), key=("i1", b"2", 1), occurred_at_micros=moved.occurred_at_micros)
    installs = {"i1": Balance(generated=4, stored=4)}

    def found(*kept: StoredEvent) -> Reconciliation:
        person = Person(summaries(kept), kept)
        return judged([*three, moved], Readback(installs, told, {user("anna"): person}))

    assert found(*events, other).balanced
    assert [each.name for each in found(*events).missing] == ["home"]


def test_a_visitors_events_are_looked_for_with_the_user_they_became() -> None:
    event = replace(tracked(1), contact=VISITOR)
    rules = replace(RULES, person_of={VISITOR: user("anna")}, merged_at_micros={VISITOR: START})
    readback = read([replace(stored(event), contact=user("anna"))], ledger(Balance(generated=1, stored=1)))

    assert reconcile([event], readback, rules).balanced
    assert reconcile([event], readback, RULES).differing


def test_copies_across_a_merge_are_no_fault_where_they_were_stored_before_it() -> None:
    events = [replace(tracked(1), contact=VISITOR), tracked(2)]
    kept = [replace(stored(event), contact=user("anna")) for event in events]
    told = ledger(Balance(generated=2, stored=2))

    def found(merged_at: int) -> Reconciliation:
        rules = replace(RULES, person_of={VISITOR: user("anna")}, merged_at_micros={VISITOR: merged_at})
        return reconcile(events, read(kept, told), rules)

    assert found(START + 2 * SECOND).balanced
    assert len(found(START).unexpected) == 1


def test_only_uptime_and_right_clocks_are_held_to_the_truth() -> None:
    event = replace(tracked(1), clock_is_right=False, wire_micros=3 * SECOND)
    told = ledger(Balance(generated=1, stored=1))

    def found(method: str, off: int) -> Reconciliation:
        kept = replace(stored(event), clock_method=method, occurred_at_micros=START + off)
        return judged([event], read([kept], told))

    assert found("DEVICE", 500 * SECOND).balanced
    assert found("UPTIME", 4 * SECOND).balanced
    assert found("UPTIME", 4 * SECOND + 1).differing


def test_a_place_that_was_left_for_another_queue_was_generated_all_the_same(three: list[Generated]) -> None:
    """R14a: a clone gave its copy up, so the ledger has a drop there, and the event is stored elsewhere."""
    moved = replace(three[2], keys=(("i1", b"2", 1),), left_keys=three[2].keys)
    told = {
        ("i1", EPOCH): ledger(Balance(generated=3, stored=2, dropped=1)),
        ("i1", b"2"): ledger(Balance(generated=1, stored=1)),
    }
    kept = [stored(event) for event in (*three[:2], moved)]
    installs = {"i1": Balance(generated=4, stored=3, dropped=1)}
    readback = Readback(installs, told, {user("anna"): Person(summaries(kept), kept)})

    assert judged([*three[:2], moved], readback).balanced
    assert judged([*three[:2], replace(moved, left_keys=())], readback).imbalances


def test_a_refused_event_whose_repeat_was_called_a_duplicate_is_accounted_for(three: list[Generated]) -> None:
    """R14: of a folded sequence the server knows no more than that it is settled."""
    events = [*three[:2], answered(three[2], "DUPLICATE")]
    kept = [stored(event) for event in three[:2]]

    def found(balance: Balance) -> Reconciliation:
        return judged(events, read(kept, ledger(balance)))

    refused = found(Balance(generated=3, stored=2, rejected=1))
    assert refused.balanced
    assert refused.fates[Fate.REJECTED] == 1
    assert [each.sequence for each in found(Balance(generated=3, stored=2, dropped=1)).missing] == [3]
