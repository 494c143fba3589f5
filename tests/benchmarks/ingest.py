"""Two ratios about taking events in, on real SQLite files: `scripts/bench ingest`.

1. Does an upload cost more in a large store? Uploads of 100 events for random
   contacts go in turn into a small store and a large one.
2. What does group commit give? Uploads of one event one after another, and many at once.
"""

import argparse
import asyncio
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import connect

from rich.console import Console
from rich.table import Table

from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.events import Install
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.judging import JudgedUpload, judge_upload
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.services.workspaces import Workspaces
from workevo_testing.sinks import FixedClock, end_of_test
from workevo_testing.uploads import good_event, upload, user

NAMES = 20
EVENTS_AN_UPLOAD = 100
START_SECONDS = 1_700_000_000


@dataclass
class Bench:
    store: SqlStore
    path: Path
    workspace_id: WorkspaceId
    contacts: int


async def opened(directory: Path, *, events: int, contacts: int) -> Bench:
    """A store that holds so many events of so many contacts already, laid in as uploads would have."""
    path = directory / f"{events}.db"
    store = await SqlStore.open(path, simulated_clock=False, fatal=end_of_test)
    made = await Workspaces(store=store.workspaces, clock=FixedClock()).create("bench")
    bench = Bench(store, path, made.workspace.workspace_id, contacts)
    for name in range(NAMES):
        await store.sink.append(_judged(bench, contact=0, first_second=name, names=[name]))
    await asyncio.to_thread(_fill, path, events, contacts)
    return bench


def _fill(path: Path, events: int, contacts: int) -> None:
    each = max(1, events // contacts)
    with closing(connect(path)) as other:
        other.execute(
            """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
            INSERT INTO contacts (workspace_no, contact_id, kind, id_kind, external_id, attributes, shared,
            created_at) SELECT 1, 'c' || i, 'USER', 'user', CAST('u' || i AS BLOB), '{}', 0, 0 FROM n""",
            (contacts,),
        )
        other.execute(
            """WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
            INSERT INTO events SELECT 1, contact_no, ? - 1 - i * 60, 1 + i % ?, 0, (? - 1 - i * 60) * 1000000,
            (? - 1 - i * 60) * 1000000, 0, contact_no * ? + i, 'UPTIME', 'USER', 1, x'00', i + 1,
            '{"source":"desktop","price":{"monetary":{"amount":2999,"currency":"USD"}}}'
            FROM contacts CROSS JOIN n WHERE contact_id LIKE 'c%'""",
            (each, START_SECONDS, NAMES, START_SECONDS, START_SECONDS, each),
        )
        other.commit()


def _judged(bench: Bench, *, contact: int, first_second: int, names: list[int]) -> JudgedUpload:
    events = [
        good_event(n, n + 1, user(f"u{contact}"), f"event {name}", START_SECONDS + first_second + n)
        for n, name in enumerate(names)
    ]
    install = Install(install_id=InstallId(f"phone {contact} {first_second}"), epoch=b"e" * 16)
    sent = upload(bench.workspace_id, events, install=install)
    return judge_upload(sent, WorkspaceSettings())


def uploads(
    bench: Bench, count: int, *, seed: int, events_each: int = EVENTS_AN_UPLOAD
) -> Iterator[JudgedUpload]:
    chance = random.Random(seed)
    names = [n % NAMES for n in range(events_each)]
    for number in range(count):
        contact = 1 + chance.randrange(bench.contacts)
        yield _judged(bench, contact=contact, first_second=(seed * count + number) * 1000, names=names)


async def seconds_each(bench: Bench, count: int, *, seed: int) -> list[float]:
    taken = []
    for judged in uploads(bench, count, seed=seed):
        began = time.perf_counter()
        await bench.store.sink.append(judged)
        taken.append(time.perf_counter() - began)
    return taken


async def uploads_a_second(bench: Bench, count: int, *, seed: int, at_once: int) -> float:
    waiting = uploads(bench, count, seed=seed, events_each=1)

    async def lane() -> None:
        for judged in waiting:
            await bench.store.sink.append(judged)

    began = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(at_once)))
    return count / (time.perf_counter() - began)


async def run(arguments: argparse.Namespace) -> None:
    console = Console()
    with tempfile.TemporaryDirectory() as directory:
        contacts = min(arguments.contacts, arguments.small)
        small = await opened(Path(directory), events=arguments.small, contacts=contacts)
        console.print(f"Filling a store with {arguments.large:,} events …")
        large = await opened(Path(directory), events=arguments.large, contacts=contacts)
        in_small: list[float] = []
        in_large: list[float] = []
        for turn in range(arguments.turns):
            in_small += await seconds_each(small, arguments.uploads, seed=turn)
            in_large += await seconds_each(large, arguments.uploads, seed=turn)
        alone = await uploads_a_second(small, 10 * arguments.uploads, seed=100, at_once=1)
        together = await uploads_a_second(small, 10 * arguments.uploads, seed=101, at_once=32)
        await small.store.close()
        await large.store.close()
    _show(console, arguments, in_small, in_large, alone, together)


def _show(
    console: Console,
    arguments: argparse.Namespace,
    in_small: list[float],
    in_large: list[float],
    alone: float,
    together: float,
) -> None:
    table = Table(title="Taking events in on SQLite (WAL, FULL)")
    for heading in ("what", "one", "other", "ratio"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    one, other = statistics.median(in_small), statistics.median(in_large)
    table.add_row(  # Medians.
        f"an upload of {EVENTS_AN_UPLOAD} events, {arguments.small:,} against {arguments.large:,} stored",
        f"{one * 1000:.1f} ms",
        f"{other * 1000:.1f} ms",
        f"{other / one:.2f}",
    )
    table.add_row(
        "uploads of one event a second, 1 at a time against 32",
        f"{alone:,.0f}",
        f"{together:,.0f}",
        f"{together / alone:.2f}",
    )
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(f"Peak memory of this process: {peak:,.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench ingest", description=__doc__)
    parser.add_argument("--small", type=int, default=100_000, help="events in the small store (%(default)s)")
    parser.add_argument("--large", type=int, default=3_000_000, help="events in the large one (%(default)s)")
    parser.add_argument("--contacts", type=int, default=20_000, help="contacts in each (%(default)s)")
    parser.add_argument("--uploads", type=int, default=100, help="uploads a turn (%(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="turns, small and large by turns (%(default)s)")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
