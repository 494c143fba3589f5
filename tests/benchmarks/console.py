"""How soon each page of the console begins to come, of a large store and a small: `scripts/bench console`.

Both are filled by uploads through the store itself, so that everything a page reads is there, and are then
served by `workevo serve`. The pages are found by following links from a person with very many events on; each
is asked for by turns from both servers, and the time to the first byte of its answer is taken.
"""

import argparse
import asyncio
import http.client
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.events import DroppedRange, DropReason, Install, ReceivedEvent
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.judging import JudgedUpload, judge_upload
from workevo_server.domain.metadata import MetadataItem, Monetary, Text
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.services.workspaces import Workspaces
from workevo_testing.console import Visit, one_of_each
from workevo_testing.server_process import ServerProcess
from workevo_testing.sinks import FixedClock, end_of_test
from workevo_testing.uploads import good_event, upload, user

NAMES = 200
EVENTS_AN_UPLOAD = 500
LANES = 16
SPREAD_SECONDS = 60 * 86_400
FIRST_BYTE_SECONDS_MAX = 0.1
BUSIEST = "user-0"
_PLATFORMS = ("android", "ios", "web")
_LINK = re.compile(r'(?:href|hx-get)="(/console[^"]*)"')
_METADATA = (MetadataItem("source", Text("mail")), MetadataItem("price", Monetary(2999, "usd")))


@dataclass(kw_only=True)
class Size:
    events: int
    installs: int
    of_busiest: int


async def fill(path: Path, size: Size, progress: Progress) -> None:
    """One install a user, some of it rejected, dropped or open; a tenth of it the busiest one's."""
    store = await SqlStore.open(path, simulated_clock=False, fatal=end_of_test)
    try:
        made = await Workspaces(store=store.workspaces, clock=FixedClock()).create("bench")
        task = progress.add_task(f"{size.events:,} events", total=size.events)
        waiting = _uploads(made.workspace.workspace_id, size, int(time.time()))

        async def lane() -> None:
            for judged in waiting:
                await store.sink.append(judged)
                progress.advance(task, len(judged.upload.events))

        await asyncio.gather(*(lane() for _ in range(LANES)))
    finally:
        await store.close()


def _uploads(of: WorkspaceId, size: Size, now: int) -> Iterator[JudgedUpload]:
    others = (size.events - size.of_busiest) // size.installs
    for number, share in enumerate([size.of_busiest, *[others] * size.installs]):
        for first in range(0, share, EVENTS_AN_UPLOAD):
            yield _upload(of, number, range(first, min(share, first + EVENTS_AN_UPLOAD)), share, now)


def _upload(of: WorkspaceId, number: int, places: range, share: int, now: int) -> JudgedUpload:
    """Of one install, its events spread over two months, some of them hours late."""
    begin, step = now - SPREAD_SECONDS, SPREAD_SECONDS / max(1, share)
    events = [_event(number, place, places.start, begin + int(place * step)) for place in places]
    install = Install(
        install_id=InstallId(f"install-{number}"),
        epoch=number.to_bytes(16, "big"),
        platform=_PLATFORMS[number % len(_PLATFORMS)],
        app_version=f"4.{number % 8}.0",
    )
    is_last = places.stop == share and number % 10 == 0
    dropped = DroppedRange(first_sequence=share + 1, last_sequence=share + 3, reason=DropReason.QUEUE_FULL)
    sent = upload(
        of,
        events,
        install=install,
        at_seconds=min(now, begin + int(places.stop * step) + number * 997 % 20_000),
        last_sequence=share + 5 if is_last else places.stop,
        dropped=[dropped] if is_last else [],
    )
    return judge_upload(sent, WorkspaceSettings())


def _event(number: int, place: int, first: int, at: int) -> ReceivedEvent:
    name = f"event {(number * 7 + place) % NAMES}"
    event = good_event(place - first, place + 1, user(f"user-{number}"), name, at)
    is_bad = place % 100 == 50
    return replace(event, metadata=(MetadataItem("long", Text("x" * 300)),) if is_bad else _METADATA)


class Served:
    """A store behind a real server, looked at by somebody who is signed in."""

    def __init__(self, directory: Path) -> None:
        self.server = ServerProcess(directory, workspace="another")
        link = self.server.command("console", "link", "bench").strip()
        self.visit = Visit(self.server.http_address)
        self.visit.get(urlsplit(link).path)

    def first_byte_seconds(self, path: str) -> float:
        connection = http.client.HTTPConnection(self.server.http_address, timeout=60)
        with closing(connection):
            connection.connect()
            began = time.perf_counter()
            connection.request("GET", path, headers={"cookie": f"workevo_session={self.visit.cookie}"})
            answer = connection.getresponse()
            taken = time.perf_counter() - began
            answer.read()
        assert answer.status == 200, (path, answer.status)
        return taken

    def pages(self) -> dict[str, str]:
        """The address of one page of each kind."""
        return one_of_each([self._link_to_busiest(), "/console/people", "/console/start"], self._links)

    def _links(self, path: str) -> list[str]:
        answer = self.visit.get(path)
        assert answer.status == 200, (path, answer.status)
        return [unescape(link) for link in _LINK.findall(answer.body.decode())]

    def _link_to_busiest(self) -> str:
        page = self.visit.get(f"/console/people?q={BUSIEST}").body.decode()
        found = re.search(r'href="(/console/people/[^"]+)"', page)
        assert found is not None, "The busiest person is not found."
        return found.group(1)


def run(arguments: argparse.Namespace) -> bool:
    """Whether every page began to come in time."""
    console = Console()
    sizes = {
        "small": Size(events=arguments.small, installs=100, of_busiest=10),
        "large": Size(events=arguments.large, installs=arguments.installs, of_busiest=arguments.large // 10),
    }
    with tempfile.TemporaryDirectory() as directory, ExitStack() as running:
        served: dict[str, Served] = {}
        with Progress(console=console) as progress:
            for name, size in sizes.items():
                place = Path(directory) / name
                (place / "data").mkdir(mode=0o700, parents=True)
                asyncio.run(fill(place / "data" / "workevo.db", size, progress))
        for name in sizes:
            served[name] = Served(Path(directory) / name)
            running.callback(served[name].server.kill)
        pages = {name: each.pages() for name, each in served.items()}
        kinds = [kind for kind in pages["large"] if kind in pages["small"]]
        only_large = [kind for kind in pages["large"] if kind not in pages["small"]]
        taken: dict[str, dict[str, list[float]]] = {
            kind: {name: [] for name in sizes} for kind in [*kinds, *only_large]
        }
        for _ in range(arguments.turns):
            for kind, by_size in taken.items():
                for name in sizes:
                    if kind in pages[name]:
                        by_size[name].append(served[name].first_byte_seconds(pages[name][kind]))
    return _show(console, arguments, taken)


def _show(console: Console, arguments: argparse.Namespace, taken: dict[str, dict[str, list[float]]]) -> bool:
    table = Table(
        "page", *_COLUMNS, title=f"First byte, ms, {arguments.large:,} against {arguments.small:,} events"
    )
    slowest = 0.0
    for kind, by_size in taken.items():
        large, small = by_size["large"], by_size["small"]
        middle, worst = statistics.median(large), _ninetieth(large)
        slowest = max(slowest, middle)
        of_small = statistics.median(small) if small else None
        table.add_row(
            kind,
            f"{middle * 1000:.1f}",
            f"{worst * 1000:.1f}",
            f"{of_small * 1000:.1f}" if of_small else "–",
            f"{middle / of_small:.2f}" if of_small else "–",
        )
    console.print(table)
    fits = slowest <= FIRST_BYTE_SECONDS_MAX
    console.print(
        f"The slowest page begins to come after {slowest * 1000:.1f} ms (median of {arguments.turns}); "
        f"{'within' if fits else 'NOT within'} {FIRST_BYTE_SECONDS_MAX * 1000:.0f} ms."
    )
    return fits


_COLUMNS = ("median", "nine in ten", "small store", "ratio")


def _ninetieth(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.9)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--large", type=int, default=1_000_000, help="events in the large store")
    parser.add_argument("--small", type=int, default=10_000, help="events in the small store")
    parser.add_argument("--installs", type=int, default=10_000, help="installs of the large store")
    parser.add_argument("--turns", type=int, default=20, help="how often each page is asked for")
    raise SystemExit(0 if run(parser.parse_args()) else 1)


if __name__ == "__main__":
    main()
