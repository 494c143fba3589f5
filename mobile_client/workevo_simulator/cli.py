"""The command line of the simulator: arguments in, an exit status out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from workevo_simulator.errors import SimulatorError
from workevo_simulator.limits import (
    LANES_DEFAULT,
    LANES_MAX,
    LOSS_SHARE_MAX,
    METADATA_COLUMNS_MAX,
    OFFLINE_SPELLS_DEFAULT,
    OFFLINE_SPELLS_PER_WEEK_MAX,
    PATIENCE_DEFAULT,
)
from workevo_simulator.network import Faults
from workevo_simulator.reconciliation import Rules
from workevo_simulator.recorded_time import zone_named
from workevo_simulator.recording import Columns, read_rows
from workevo_simulator.replay import Plan, Server, audit, replay
from workevo_simulator.report import Report, print_report, write_report
from workevo_simulator.truth import load_truth, save_truth

_NO_RUN = 2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Phones with bad networks, lived through on virtual time, and an audit of every event.",
)

Target = Annotated[
    str,
    typer.Option(
        help="Where the server answers gRPC, HOST:PORT.", envvar="WORKEVO_TARGET", show_default=False
    ),
]
ReadKey = Annotated[
    str, typer.Option(help="A server key of the workspace, to read back.", envvar="WORKEVO_READ_KEY")
]
MetadataKeys = Annotated[
    int,
    typer.Option(
        help="How many metadata keys the workspace keeps of an event.", min=0, max=METADATA_COLUMNS_MAX
    ),
]
IdentityWindow = Annotated[
    float,
    typer.Option(help="Hours in which the workspace recognises copies; 0: it does not.", min=0, max=90 * 24),
]
ReportFile = Annotated[Path | None, typer.Option(help="Write the report there, as JSON.", dir_okay=False)]


@app.callback()
def _commands() -> None:
    """Keeps the name of the command in use when there is but one."""


@app.command("replay")
def replay_command(
    file: Annotated[Path, typer.Argument(help="CSV or NDJSON, plain or gzipped.", show_default=False)],
    target: Target,
    key: Annotated[str, typer.Option(help="An sdk key of an empty workspace.", envvar="WORKEVO_KEY")],
    read_key: ReadKey,
    contact_column: Annotated[str, typer.Option(help="Who did it; sent as user_id.")] = "user_id",
    name_column: Annotated[str, typer.Option(help="What was done.")] = "event",
    time_column: Annotated[
        str, typer.Option(help="When: ISO 8601, or Unix time in s, ms, µs or ns, told apart by size.")
    ] = "timestamp",
    device_column: Annotated[
        str | None, typer.Option(help="On which device.", show_default="one device a contact")
    ] = None,
    metadata_column: Annotated[
        list[str] | None,
        typer.Option(help="Sent as metadata, in the order given; repeatable.", show_default="none"),
    ] = None,
    metadata_columns: Annotated[
        str | None, typer.Option(help="`all`: every column that is nothing else.", show_default="none")
    ] = None,
    time_zone: Annotated[str, typer.Option(help="IANA name; for times that state no zone.")] = "UTC",
    seed: Annotated[int, typer.Option(help="The same seed gives every device the same life again.")] = 1,
    lost_requests: Annotated[
        float, typer.Option(help="Share of calls that never reach the server.", min=0, max=LOSS_SHARE_MAX)
    ] = 0.05,
    lost_answers: Annotated[
        float, typer.Option(help="Share of handled calls whose answer gets lost.", min=0, max=LOSS_SHARE_MAX)
    ] = 0.05,
    offline_spells: Annotated[
        float,
        typer.Option(
            help="Mean a week and device; each lasts a minute to 23 hours.",
            min=0,
            max=OFFLINE_SPELLS_PER_WEEK_MAX,
        ),
    ] = OFFLINE_SPELLS_DEFAULT,
    lanes: Annotated[
        int,
        typer.Option(
            help="Threads, each with one connection for its share of the devices.", min=1, max=LANES_MAX
        ),
    ] = LANES_DEFAULT,
    patience: Annotated[
        float, typer.Option(help="Real seconds to wait for a server that went away.", min=0, max=3600)
    ] = PATIENCE_DEFAULT.total_seconds(),
    queue_dir: Annotated[
        Path | None,
        typer.Option(
            help="Keep the devices' queues there.",
            file_okay=False,
            show_default="thrown away; in memory (/dev/shm) if there is any: phones' disks are not measured",
        ),
    ] = None,
    metadata_keys: MetadataKeys = 5,
    identity_window_hours: IdentityWindow = 48,
    truth: Annotated[
        Path | None, typer.Option(help="Write what was generated there, for `reconcile`.", dir_okay=False)
    ] = None,
    report: ReportFile = None,
) -> None:
    """Let devices live through a recorded log, then account for every event.

    The server must run with --simulated-clock, so that the log is judged at its own time, and the
    workspace must be empty. Exit status: 0 every event is accounted for; 1 one is not; 2 the run could
    not be made or finished.
    """
    with sentences():
        columns = Columns(
            contact=contact_column,
            name=name_column,
            time=time_column,
            device=device_column or contact_column,
            metadata=_metadata_columns(metadata_column, metadata_columns),
        )
        plan = Plan(
            rows=read_rows(file, columns=columns, zone=zone_named(time_zone)),
            seed=seed,
            faults=Faults(
                lost_requests=lost_requests, lost_answers=lost_answers, offline_spells_per_week=offline_spells
            ),
            lanes=lanes,
            patience=timedelta(seconds=patience),
            queue_dir=queue_dir,
            rules=Rules(metadata_keys=metadata_keys, identity_window=timedelta(hours=identity_window_hours)),
        )
        made = replayed(plan, Server(target=target, sdk_key=key, server_key=read_key))
        if truth is not None and made.life is not None:
            save_truth(made.life.generated, truth)
    _finish(made, report)


@app.command("reconcile")
def reconcile_command(
    truth: Annotated[Path, typer.Argument(help="What `replay --truth` wrote.", show_default=False)],
    target: Target,
    read_key: ReadKey,
    metadata_keys: MetadataKeys = 5,
    identity_window_hours: IdentityWindow = 48,
    report: ReportFile = None,
) -> None:
    """Account for every event of an earlier replay again, for example after the server was restored."""
    with sentences(), _progress() as bars:
        generated = load_truth(truth)
        reading = bars.add_task("reading back", total=len({event.contact for event in generated}))
        rules = Rules(metadata_keys=metadata_keys, identity_window=timedelta(hours=identity_window_hours))
        server = Server(target=target, sdk_key="", server_key=read_key)
        found = audit(generated, server, rules, on_progress=lambda count: bars.advance(reading, count))
    _finish(Report(found=found), report)


def _metadata_columns(named: list[str] | None, shortcut: str | None) -> tuple[str, ...] | None:
    if shortcut is None:
        return tuple(named or ())
    if shortcut != "all" or named:
        raise typer.BadParameter("--metadata-columns takes `all`, and then no --metadata-column beside it.")
    return None


def replayed(plan: Plan, server: Server) -> Report:
    with _progress() as bars:
        living = bars.add_task("replaying", total=len(plan.rows))
        reading = bars.add_task("reading back", total=len({row.contact for row in plan.rows}))
        return replay(
            plan,
            server,
            monotonic=time.monotonic,
            on_tracked=lambda count: bars.advance(living, count),
            on_read=lambda count: bars.advance(reading, count),
        )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


@contextmanager
def sentences() -> Iterator[None]:
    """A person at a terminal gets a sentence and no traceback."""
    try:
        yield
    except SimulatorError as error:
        typer.echo(f"workevo-simulator: {error}", err=True)
        raise typer.Exit(_NO_RUN) from error


def _finish(report: Report, path: Path | None) -> None:
    if path is not None:
        write_report(report, path)
    print_report(report, Console())
    raise typer.Exit(0 if report.balanced else 1)
