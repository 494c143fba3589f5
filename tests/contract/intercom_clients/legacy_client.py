"""What python-intercom 3.1.0 does with a server of ours: Basic authentication, trailing slashes."""

import json
import sys
from collections.abc import Callable
from itertools import islice
from typing import Any

from intercom import errors
from intercom.client import Client

told = json.load(sys.stdin)


def client_of(key: str) -> Any:
    client = Client(personal_access_token=key)
    client.base_url = told["url"]
    return client


def refused(call: Callable[[], Any]) -> dict[str, Any]:
    try:
        call()
    except errors.IntercomError as error:
        return {"kind": type(error).__name__, "message": error.message, "context": error.context}
    raise AssertionError("it was not refused")


def until_rate_limited() -> None:
    while True:
        try:
            eager.get("/events", {"type": "user", "user_id": "nobody"})
        except errors.ResourceNotFound:
            continue


client, eager = client_of(told["key"]), client_of(told["eagerKey"])
for second in (1, 2, 3):
    client.events.create(
        event_name="invited-friend",
        created_at=1_700_000_000 + second,
        user_id=told["userId"],
        metadata={"order_date": 1392036272, "seats": 3, "found": {"url": "https://x.org/", "value": "X"}},
    )
called = {"event_name": "called", "count": 7, "first": 1_600_000_000, "last": 1_650_000_000}
for again in (called, called):  # It has no method of its own for counts, but one for whatever else there is.
    client.post("/events/summaries/", {"user_id": told["userId"], "event_summaries": again})
listed = client.events.find_all(type="user", user_id=told["userId"], per_page=2)
json.dump(
    {
        "listed": [event.created_at.timestamp() for event in islice(listed, 3)],
        "summary": client.get("/events", {"type": "user", "user_id": told["userId"], "summary": "true"}),
        "limit": client.rate_limit_details["limit"],
        "refusals": {
            "unauthorized": refused(lambda: client_of("no such key").events.create(event_name="a")),
            "notFound": refused(lambda: client.events.create(event_name="a", user_id="nobody")),
            "uncounted": refused(
                lambda: client.post(
                    "/events/summaries", {"user_id": told["userId"], "event_summaries": {"event_name": "a"}}
                )
            ),
            "rejected": refused(lambda: client.events.create(event_name=" ", user_id=told["userId"])),
            "rateLimited": refused(until_rate_limited),
        },
    },
    sys.stdout,
)
