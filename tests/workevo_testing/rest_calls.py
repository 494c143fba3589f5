"""REST as a back end calls it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from workevo_testing.http_calls import HttpAnswer, Json, request

SIMULATED_TIME = "Workevo-Simulated-Time-Micros"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """`at_seconds` is the time of receipt, where the server takes it from its callers."""

    address: str
    key: str
    at_seconds: int | None = None

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        sent = {"Authorization": f"Bearer {self.key}"}
        if body is not None:
            sent["Content-Type"] = content_type
        if self.at_seconds is not None:
            sent[SIMULATED_TIME] = str(self.at_seconds * 1_000_000)
        return request(self.address, method, path, headers={**sent, **(headers or {})}, body=body)

    def get(self, path: str, **query: Any) -> HttpAnswer:
        return self.call("GET", f"{path}?{urlencode(query)}" if query else path)

    def send(self, method: str, path: str, **members: Any) -> HttpAnswer:
        return self.call(method, path, json.dumps(members).encode())

    def post(self, path: str, **members: Any) -> HttpAnswer:
        return self.send("POST", path, **members)

    def event(self, name: str, **members: Any) -> HttpAnswer:
        return self.post("/events", event_name=name, **members)

    def batch(self, events: Sequence[Json]) -> HttpAnswer:
        return self.post("/events/batch", events=events)

    def events(self, user_id: str, **query: Any) -> list[Json]:
        """All of a page's."""
        events: list[Json] = self.get("/events", type="user", user_id=user_id, **query).json["events"]
        return events

    def make_user(self, user_id: str, **members: Any) -> Json:
        answer = self.post("/contacts", role="user", external_id=user_id, **members)
        assert answer.status == 200, answer.body
        made: Json = answer.json
        return made


def pairs(members: Sequence[Sequence[Any]]) -> str:
    """A JSON object of these members, repeated ones kept, as no dictionary could."""
    return "{" + ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in members) + "}"
