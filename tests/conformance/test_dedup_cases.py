"""R6 by its cases, the merges among them included, over every sink."""

from dataclasses import replace
from datetime import timedelta

import pytest

from conformance.case_files import Case, parameters
from workevo_server.domain.events import ContactClaim
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_testing.sinks import RuledSink
from workevo_testing.uploads import PHONE, good_event, upload, user, visitor


def contact(external_id: str) -> ContactClaim:
    return visitor(external_id) if external_id.startswith("v") else user(external_id)


@pytest.mark.parametrize("case", parameters("dedup.json"))
async def test_copies_are_told_by_contact_name_and_second(case: Case, sink: RuledSink) -> None:
    settings = WorkspaceSettings()
    if "window" in case:
        settings = replace(settings, product_identity_window=timedelta(seconds=case["window"]))
    sequence = 0
    for step in case["steps"]:
        if "merge" in step:
            visitor_id, user_id = step["merge"]
            await sink.merge(visitor_id=visitor_id, user_id=user_id, at_seconds=step["at"])
            continue
        events = []
        for index, (external_id, name, created_at) in enumerate(step["events"]):
            sequence += 1
            events.append(good_event(index, sequence, contact(external_id), name, created_at))
        sent = upload(sink.workspace_id, events, at_seconds=step["at"])
        answer = await sink.append(sent, settings)
        assert [verdict.verdict.value for verdict in answer.verdicts] == step["verdicts"]
    assert (await sink.balance(PHONE)).stored == case["stored"]
