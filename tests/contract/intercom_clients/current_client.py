"""What python-intercom 5 does with a server of ours. Reads where and with which keys, prints what it saw.

Run by an environment of its own: this client and its legacy share a name.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from intercom import (
    CreateContactRequestWithExternalId,
    CreateContactRequestWithRole,
    CreateDataEventRequestWithUserId,
    CreateDataEventSummariesRequestEventSummaries,
    Intercom,
    SingleFilterSearchRequest,
)
from intercom.core.api_error import ApiError

told = json.load(sys.stdin)
client = Intercom(token=told["key"], base_url=told["url"])
eager = Intercom(token=told["eagerKey"], base_url=told["url"])
stranger = Intercom(token="no such key", base_url=told["url"])


def refused(call: Callable[[], Any]) -> dict[str, Any]:
    try:
        call()
    except ApiError as error:
        body = error.body if isinstance(error.body, dict) else error.body.model_dump()
        return {"kind": type(error).__name__, "status": error.status_code, "errors": body["errors"]}
    raise AssertionError("it was not refused")


def event(name: str, second: int, user_id: str = "python-5") -> None:
    client.events.create(
        request=CreateDataEventRequestWithUserId(
            user_id=user_id,
            event_name=name,
            created_at=1_700_000_000 + second,
            metadata={"order_date": "1392036272", "plan": "team"},
        )
    )


def list_of_eager(retries: int) -> None:
    eager.events.list(type="user", user_id="nobody", request_options={"max_retries": retries})


def until_rate_limited() -> None:
    while True:
        try:
            list_of_eager(0)
        except ApiError as error:
            if error.status_code != 404:
                raise


user = client.contacts.create(
    request=CreateContactRequestWithExternalId(
        external_id="python-5", email="python5@example.org", name="Python", custom_attributes={"plan": "team"}
    )
)
for second in (1, 2, 3):
    event("invited-friend", second)
event("invited-friend", 1)
client.events.create(
    request={  # type: ignore[arg-type] # The typed request takes strings alone as metadata.
        "user_id": "python-5",
        "event_name": "paid",
        "metadata": {"price": {"amount": 2999, "currency": "usd"}},
        "created_at": 1_700_000_000,
    }
)
first = client.events.list(type="user", user_id="python-5", per_page=2).model_dump()
cursor = dict(pair.split("=") for pair in first["pages"]["next"].partition("?")[2].split("&"))
second_page = client.events.list(
    type="user",
    user_id="python-5",
    per_page=2,
    request_options={"additional_query_parameters": {"cursor": cursor["cursor"], "before": cursor["before"]}},
).model_dump()
called = CreateDataEventSummariesRequestEventSummaries(
    event_name="called", count=7, first=1_600_000_000, last=1_650_000_000
)
for again in (called, called):
    client.events.summaries(user_id="python-5", event_summaries=again)
summary = client.events.list(type="user", user_id="python-5", summary=True).model_dump()

query = SingleFilterSearchRequest(field="email", operator="=", value="python5@example.org")
lead = client.contacts.create(request=CreateContactRequestWithRole(role="lead"))
merged = client.contacts.merge_lead_in_user(lead_id=lead.id, contact_id=user.id)
gone = client.contacts.create(request=CreateContactRequestWithExternalId(external_id="python-5-gone"))

refusals = {
    "unauthorized": refused(lambda: stranger.events.list(type="user", user_id="nobody")),
    "notFound": refused(lambda: event("a", 1, "nobody")),
    "rejected": refused(lambda: event(" ", 1)),
    "uncounted": refused(
        lambda: client.events.summaries(
            user_id="python-5",
            event_summaries=CreateDataEventSummariesRequestEventSummaries(event_name="a"),
        )
    ),
    "rateLimited": refused(until_rate_limited),
}
begun = time.monotonic()
retried = refused(lambda: list_of_eager(3))

json.dump(
    {
        "user": user.model_dump(mode="json"),
        "pages": [first, second_page],
        "summary": summary,
        "found": [contact.external_id for contact in client.contacts.list(per_page=1)],
        "shown": client.contacts.show_contact_by_external_id("python-5").id,
        "searched": [contact.id for contact in client.contacts.search(query=query)],
        "updated": client.contacts.update(user.id, name="Python 5").model_dump(mode="json"),
        "merged": merged.model_dump(mode="json"),
        "deleted": client.contacts.delete(gone.id).model_dump(mode="json"),
        "refusals": refusals,
        "retried": retried,
        "retriedAfter": 1000 * (time.monotonic() - begun),
    },
    sys.stdout,
)
