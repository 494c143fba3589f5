"""What a merge costs, however much a visitor has done (R16): `scripts/bench merge`.

In one store a visitor with few events and one with many are merged into a user and split off again,
by turns. Triggers count every row of events and summaries that is written meanwhile, and after each
split what anybody sees of both must be what it was.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import connect
from typing import Any

from rich.console import Console
from rich.table import Table

from workevo_server.ports.people import ContactRef
from workevo_testing.people import NOW, SECOND, Town, open_town, operator, phone, user_ref, visitor_ref
from workevo_testing.places import FilePlace
from workevo_testing.uploads import good_event, user, visitor

NAMES = 20
START_SECONDS = NOW // SECOND - 40_000_000  # 462 days ago; more than a million events, a second each, fit.
FEW, MANY, USER = visitor_ref("few"), visitor_ref("many"), user_ref("u1")


@dataclass
class Bench:
    town: Town
    path: Path
    merges: dict[ContactRef, list[float]] = field(default_factory=lambda: defaultdict(list))
    splits: dict[ContactRef, list[float]] = field(default_factory=lambda: defaultdict(list))

    def written(self) -> int:
        """Rows of events and summaries since the counting began."""
        ((count,),) = self.town.rows("SELECT count(*) FROM written")
        return int(count)


async def prepare(bench: Bench, *, few: int, many: int) -> None:
    """Each visitor and the user by an upload, and the rest of their events laid in as uploads would have."""
    for number, who in enumerate((visitor("few"), visitor("many"), user("u1"))):
        events = [
            good_event(n, n + 1, who, f"event {n}", START_SECONDS - 1000 + 100 * number + n)
            for n in range(NAMES)
        ]
        await bench.town.send(*events, install=phone(number))
    await asyncio.to_thread(_fill, bench.path, {"few": few - NAMES, "many": many - NAMES})


def _fill(path: Path, counts: dict[str, int]) -> None:
    with closing(connect(path)) as other:
        for visitor_id, count in counts.items():
            other.execute(
                """WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)
                INSERT INTO events (workspace_no, contact_no, created_at_seconds, definition_no, ordinal,
                occurred_at, created_at, received_at, receipt_no, clock_method, contact_kind, metadata)
                SELECT workspace_no, contact_no, :start + i, 1 + i % :names, 0, (:start + i) * 1000000,
                (:start + i) * 1000000, 0, 1000000000 * contact_no + i, 'UPTIME', 'VISITOR',
                '{"source":"desktop"}'
                FROM contacts CROSS JOIN n WHERE external_id = CAST(:visitor AS BLOB)""",
                {"count": count, "start": START_SECONDS, "names": NAMES, "visitor": visitor_id},
            )
        other.execute("DELETE FROM summaries")
        other.execute(
            """INSERT INTO summaries SELECT workspace_no, contact_no, definition_no, count(*),
            min(occurred_at), max(occurred_at) FROM events GROUP BY 1, 2, 3"""
        )
        other.execute("CREATE TABLE written (what TEXT)")
        for table in ("events", "summaries"):
            for verb in ("INSERT", "UPDATE", "DELETE"):
                other.execute(
                    f"CREATE TRIGGER {table}_{verb} AFTER {verb} ON {table}"
                    f" BEGIN INSERT INTO written VALUES ('{verb}'); END"
                )
        other.commit()


async def turn(bench: Bench, ref: ContactRef) -> None:
    """Merge and split once, timed, with what is seen of both compared."""
    town = bench.town
    before = await seen(town, ref)
    merged = await timed(
        bench.merges[ref],
        lambda: town.contacts.merge(town.workspace_id, ref, USER, preview=False, author=operator()),
    )
    assert await seen(town, ref) != before, "a merge must show"
    await timed(
        bench.splits[ref],
        lambda: town.contacts.split(town.workspace_id, merged.joining.merge_id, author=operator()),
    )
    assert await seen(town, ref) == before, "a split must restore what is seen"


async def timed(taken: list[float], work: Callable[[], Awaitable[Any]]) -> Any:
    began = time.perf_counter()
    result = await work()
    taken.append(time.perf_counter() - began)
    return result


async def seen(town: Town, ref: ContactRef) -> list[Any]:
    """The summaries of both, and the newest 500 of their timelines."""
    shown: list[Any] = []
    for each in (ref, USER):
        page = await town.people.activities(town.workspace_id, each, page_size=500, page_token="")
        shown += [await town.summary(each), page.entries]
    return shown


async def run(arguments: argparse.Namespace) -> None:
    console = Console()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "workevo.db"
        async with open_town(FilePlace(path)) as town:
            bench = Bench(town, path)
            console.print(f"Laying in {arguments.few:,} and {arguments.many:,} events …")
            await prepare(bench, few=arguments.few, many=arguments.many)
            for _ in range(arguments.turns):
                for ref in (FEW, MANY):
                    await turn(bench, ref)
            written = bench.written()
            await town.send(good_event(0, 10_000, user("u1"), "event 1", NOW // SECOND))
            control = bench.written() - written
    _show(console, arguments, bench, written=written, control=control)


def _show(
    console: Console, arguments: argparse.Namespace, bench: Bench, *, written: int, control: int
) -> None:
    table = Table(title="Merging a visitor into a user on SQLite (WAL, FULL), medians")
    for heading in ("what", f"{arguments.few:,} events", f"{arguments.many:,} events", "ratio", "longest"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for what, taken in (("merge", bench.merges), ("split", bench.splits)):
        few, many = statistics.median(taken[FEW]), statistics.median(taken[MANY])
        longest = max(taken[MANY])
        table.add_row(
            what,
            f"{few * 1000:.1f} ms",
            f"{many * 1000:.1f} ms",
            f"{many / few:.2f}",
            f"{longest * 1000:.1f} ms",
        )
    console.print(table)
    console.print(
        f"Rows of events and summaries that {2 * arguments.turns} merges and as many splits wrote: {written} "
        f"(by one upload of one event: {control}). Each split restored both profiles."
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench merge", description=__doc__)
    parser.add_argument("--few", type=int, default=1_000, help="events of the one visitor (%(default)s)")
    parser.add_argument("--many", type=int, default=1_000_000, help="events of the other (%(default)s)")
    parser.add_argument("--turns", type=int, default=30, help="turns, few and many by turns (%(default)s)")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
