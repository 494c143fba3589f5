"""R7, R14 and R14a by their cases, over every sink."""

from typing import Any

import pytest

from conformance.case_files import Case, parameters
from workevo_server.domain.events import DroppedRange, DropReason, ReceivedEvent
from workevo_server.domain.ledger import Balance
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_testing.sinks import RuledSink
from workevo_testing.uploads import PHONE, bad_event, good_event, upload, user

ARCHIVED_NAME = "archived name"


def event_of(index: int, sequence: int, kind: str, label: str) -> ReceivedEvent:
    """`label` is what happened: the same one means the same contact, name and created_at."""
    if kind == "bad":
        return bad_event(index, sequence)
    name = ARCHIVED_NAME if kind == "archived" else f"event {label}"
    return good_event(index, sequence, user("u1"), name, 900_000)


def fresh_events(step: dict[str, Any]) -> tuple[list[ReceivedEvent], list[int]]:
    """The events to send; those of kind retry are what the server cannot take now, so never reach a sink."""
    events: list[ReceivedEvent] = []
    retried: list[int] = []
    for place, (sequence, kind, *label) in enumerate(step["send"]):
        if kind == "retry":
            retried.append(place)
        else:
            events.append(event_of(len(events), sequence, kind, label[0] if label else str(sequence)))
    return events, retried


def plain(balance: Balance) -> dict[str, Any]:
    columns = ("generated", "stored", "duplicate", "archived", "rejected", "dropped", "open", "resent")
    told: dict[str, Any] = {name: getattr(balance, name) for name in columns if getattr(balance, name)}
    return told


@pytest.mark.parametrize("case", parameters("ledger.json"))
async def test_every_sequence_has_one_outcome_and_the_balance_holds(case: Case, sink: RuledSink) -> None:
    await sink.archive(ARCHIVED_NAME)
    for step in case["steps"]:
        events, retried = fresh_events(step)
        answer = await sink.append(
            upload(
                sink.workspace_id,
                events,
                last_sequence=step.get("last_sequence", 0),
                applied_through=step.get("applied_through", 0),
                dropped=[
                    DroppedRange(first_sequence=first, last_sequence=last, reason=DropReason(reason))
                    for first, last, reason in step.get("dropped", ())
                ],
            ),
            WorkspaceSettings(),
        )
        verdicts = [verdict.verdict.value for verdict in answer.verdicts]
        for place in retried:
            verdicts.insert(place, "RETRY")
        assert verdicts == step["verdicts"]
        assert answer.settled_through == step["settled_through"]
        assert [list(gap) for gap in answer.gaps] == step["gaps"]
    expected = dict(case["balance"])
    by_reason = expected.pop("dropped_by_reason", None)
    balance = await sink.balance(PHONE)
    assert plain(balance) == expected
    if by_reason is not None:
        assert {reason.value: n for reason, n in balance.dropped_by_reason.items()} == by_reason
