"""`workevo store`: what is done to a store as a whole, while no server runs on it."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workevo_server.terminal import command_group

if TYPE_CHECKING:
    from workevo_server.adapters.sql.copying import Progress, TableReport, Telling

LINE_EVERY_SECONDS = 5.0

store_app = command_group("The store as a whole.")


@store_app.callback()
def _store() -> None:
    """Keeps `copy` a command of its own, though it is the only one."""


@store_app.command("copy")
def copy(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="Data directory of the SQLite store.")],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TO",
            help="postgresql+asyncpg://USER@HOST/DATABASE: an empty database, or one that an earlier copy "
            "of the same store did not finish. The password may stand in PGPASSWORD or ~/.pgpass instead.",
        ),
    ],
    batch_rows: Annotated[
        int, typer.Option("--batch-rows", min=1, max=1_000_000, help="Rows written in one transaction.")
    ] = 10_000,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: one object, and progress by line.")
    ] = False,
) -> None:
    """Move a SQLite store to PostgreSQL: copy it, and verify by counts and digests that all of it is there.

    Stop the server first; the data directory is locked meanwhile, and stays as it is. Whatever interrupts
    the copy, the same command goes on where it stands. `workevo serve --store TO` refuses to start on a copy
    that has not been verified.
    """
    with _telling(as_json=as_json) as tell:
        verified = _copy(source, target, tell, batch_rows)
    rows = sum(table.rows for table in verified.values())
    if as_json:
        tables = {name: {"rows": table.rows, "digest": table.digest} for name, table in verified.items()}
        _print(sys.stdout, json.dumps({"rows": rows, "tables": tables}))
        return
    _print(
        sys.stdout,
        f"{rows:,} rows in {len(verified)} tables, {verified['events'].rows:,} of them events, are the same "
        "on both sides. Start the servers with --store, and keep the directory as a backup only.",
    )


def _copy(source: Path, target: str, tell: "Telling", batch_rows: int) -> Mapping[str, "TableReport"]:
    """Raises DataDirectoryRefused, StoreRefused."""
    from workevo_server.adapters.data_directory import DATABASE_NAME, DataDirectory
    from workevo_server.adapters.sql.postgres_address import read_url
    from workevo_server.adapters.sql.store import NO_DRIVER, StoreRefused

    url = read_url(target)
    if not (source / DATABASE_NAME).is_file():
        raise StoreRefused(f"There is no store in {source}. Name the data directory of one.")
    try:
        from workevo_server.adapters.sql.copying import copy_store
    except ModuleNotFoundError:
        raise StoreRefused(NO_DRIVER) from None
    directory = DataDirectory.lock(source)
    try:
        return asyncio.run(copy_store(directory.database, url, tell=tell, batch_rows=batch_rows))
    finally:
        directory.release()


@contextmanager
def _telling(*, as_json: bool) -> Iterator["Telling"]:
    """How far it is, on standard error: a bar on a terminal, a line now and then elsewhere."""
    if as_json or not sys.stderr.isatty():
        yield _Lines(as_json=as_json)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield _Bars(bars)


class _Bars:
    """One bar for each step of each table that has rows."""

    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._tasks: dict[tuple[str, str], Any] = {}

    def __call__(self, progress: "Progress") -> None:
        key = progress.step.value, progress.table
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(" ".join(key), total=progress.rows_total)
        self._bars.update(self._tasks[key], completed=progress.rows)


class _Lines:
    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._told_at = float("-inf")

    def __call__(self, progress: "Progress") -> None:
        """The end of each table, and between whenever some seconds have passed."""
        now = time.monotonic()
        if progress.rows < progress.rows_total and now - self._told_at < LINE_EVERY_SECONDS:
            return
        self._told_at = now
        step, table, rows, total = progress.step.value, progress.table, progress.rows, progress.rows_total
        if self._as_json:
            line = json.dumps({"step": step, "table": table, "rows": rows, "rows_total": total})
        else:
            line = f"{step} {table}: {rows:,} of {total:,} rows"
        _print(sys.stderr, line)


def _print(stream: Any, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()
