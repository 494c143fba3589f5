"""A shop that has the snippet in its page, the server it tells, and what arrived there."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from playwright.sync_api import BrowserContext, Page, Playwright

from workevo.insight.v1 import delivery_pb2, delivery_pb2_grpc, people_pb2, people_pb2_grpc
from workevo_testing.http_calls import HttpAnswer, request
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import bearer

ARRIVES_SECONDS_MAX = 30
_STATE = """(key) => new Promise((resolve) => {
    const asked = indexedDB.open("workevo:" + key);
    asked.onupgradeneeded = () => asked.transaction.abort();  // There is none yet: leave none behind.
    asked.onerror = () => resolve(null);
    asked.onsuccess = () => {
        const read = asked.result.transaction("state").objectStore("state").get(0);
        read.onsuccess = () => { asked.result.close(); resolve(read.result); };
    };
})"""


class PageServer(ThreadingHTTPServer):
    """Serves one page, whatever is asked, and one script that may be waited for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.html = ""
        self.script = b""
        self.script_may_come = threading.Event()
        self.origin = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        if self.path == "/held.js":
            self.server.script_may_come.wait(ARRIVES_SECONDS_MAX)
            self._answer("text/javascript", self.server.script)
        else:
            self._answer("text/html", self.server.html.encode())

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


@dataclass(frozen=True)
class Profile:
    """A browser whose storage outlives it."""

    playwright: Playwright
    chromium_path: str
    arguments: Sequence[str]
    directory: Path
    temporary: Path
    """For what it lays there and a killed one leaves; its path is short, as a socket's has to be."""

    def start(self) -> BrowserContext:
        return self.playwright.chromium.launch_persistent_context(
            self.directory,
            executable_path=self.chromium_path,
            args=list(self.arguments),
            env={**os.environ, "TMPDIR": str(self.temporary)},
        )

    def kill(self) -> None:
        """SIGKILL for the browser and all its processes, and wait until they are gone: its lock goes too."""
        wait_until(None, lambda: not self._killed())

    def _killed(self) -> list[int]:
        """Those that name this profile."""
        killed = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if str(self.directory).encode() in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(int(process.name))
        return killed


@dataclass
class Shop:
    server: ServerProcess
    pages: PageServer
    key: str
    context: BrowserContext
    warnings: list[str] = field(default_factory=list)
    server_key: str = ""
    """Of the workspace that the key belongs to; by default the server's first."""

    def open(
        self,
        *,
        boot: Mapping[str, Any] | None = None,
        head: str = "",
        body: str = "",
        api: str = "",
    ) -> Page:
        """A page with the snippet as the server hands it out; `boot` are further options."""
        self.write_page(boot=boot, head=head, body=body, api=api)
        page = self.context.new_page()
        page.on("console", lambda message: self.warnings.append(message.text))
        page.on("pageerror", lambda error: self.warnings.append(str(error)))
        page.goto(self.pages.origin)
        return page

    def write_page(
        self, *, boot: Mapping[str, Any] | None = None, head: str = "", body: str = "", api: str = ""
    ) -> None:
        options = {"app_id": self.key} | ({"api_base": f"http://{api}"} if api else {}) | dict(boot or {})
        told = self.snippet()
        assert '{ app_id: "BROWSER_KEY" }' in told
        snippet = told.replace('{ app_id: "BROWSER_KEY" }', json.dumps(options))
        self.pages.html = f"<!doctype html><title>Shop</title>{head}{snippet}{body}"

    def snippet(self) -> str:
        return get(self.server, "/browser/snippet").body.decode()

    def state(self, page: Page) -> dict[str, Any]:
        """What the queue knows: install, visitor, user, the last sequence. Empty while there is none."""
        return dict(page.evaluate(_STATE, self.key) or {})

    def settled(self, install_id: str) -> int:
        """How many of its sequences have an outcome; 0 while the server does not know the install."""
        try:
            balance = self.back_end().balance(install_id)
        except grpc.RpcError:
            return 0
        return int(balance.generated - balance.open)

    def back_end(self) -> "Arrivals":
        return Arrivals(self.server.grpc_address, self.server_key or self.server.keys.server_key)


def get(server: ServerProcess, path: str, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    return request(server.http_address, "GET", path, headers=headers)


def browser_key(server: ServerProcess, workspace_id: str, origin: str) -> str:
    asked = {"workspace": workspace_id, "kind": "browser", "origins": [origin]}
    return str(server.administer("key.create", asked)["key"])


class Arrivals:
    """What a back end reads."""

    def __init__(self, address: str, key: str) -> None:
        self._address = address
        self._metadata = bearer(key)

    def events(self, **whom: str) -> list[people_pb2.Activity]:
        """Of `user_id` or `visitor_id`; none of somebody who is not known."""
        request = people_pb2.ListActivitiesRequest(page_size=500, **whom)
        with grpc.insecure_channel(self._address) as channel:
            try:
                answer = people_pb2_grpc.PeopleServiceStub(channel).ListActivities(
                    request, metadata=self._metadata, timeout=10
                )
            except grpc.RpcError as error:
                if "NOT_FOUND" not in str(error):
                    raise
                return []
        return [activity for activity in answer.activities if activity.HasField("event")]

    def names(self, **whom: str) -> Counter[str]:
        return Counter(activity.event.name for activity in self.events(**whom))

    def balance(self, install_id: str) -> delivery_pb2.Balance:
        with grpc.insecure_channel(self._address) as channel:
            answer = delivery_pb2_grpc.DeliveryServiceStub(channel).GetLedger(
                delivery_pb2.GetLedgerRequest(install_id=install_id),
                metadata=self._metadata,
                timeout=10,
            )
        return answer.balance

    def failed(self) -> list[delivery_pb2.FailedEvent]:
        with grpc.insecure_channel(self._address) as channel:
            answer = delivery_pb2_grpc.DeliveryServiceStub(channel).ListFailedEvents(
                delivery_pb2.ListFailedEventsRequest(page_size=500),
                metadata=self._metadata,
                timeout=10,
            )
        return list(answer.failed_events)


def wait_until(
    page: Page | None, condition: Callable[[], bool], *, seconds: float = ARRIVES_SECONDS_MAX
) -> None:
    """Let the browser go on until it is so; with a page its events are heard meanwhile."""
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last, "it did not come to be in time"
        if page is None:
            time.sleep(0.05)
        else:
            page.wait_for_timeout(50)
