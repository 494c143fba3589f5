"""The command line of the simulator: arguments in, an exit status out."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from workevo_simulator.audit import audit
from workevo_simulator.errors import SimulatorError
from workevo_simulator.findings import Rules
from workevo_simulator.households import act_count
from workevo_simulator.limits import (
    DAYS_DEFAULT,
    DEVICES_DEFAULT,
    FLEET_LANES_DEFAULT,
    FLUSH_INTERVAL_DEFAULT,
    IDENTITY_WINDOW_HOURS_DEFAULT,
    LANES_DEFAULT,
    LISTED_MAX,
    LOSS_SHARE_DEFAULT,
    METADATA_KEYS_DEFAULT,
    OFFLINE_SPELLS_DEFAULT,
    PATIENCE_DEFAULT,
)
from workevo_simulator.options import (
    ConnectUrl,
    ContactColumn,
    Days,
    DeviceColumn,
    Devices,
    FleetLanes,
    FleetReadKey,
    FleetSdkKey,
    FleetTarget,
    FlushInterval,
    IdentityWindow,
    Lanes,
    LostAnswers,
    LostRequests,
    MetadataColumn,
    MetadataColumns,
    MetadataKeys,
    NameColumn,
    OfflineSpells,
    PageFile,
    PatienceSeconds,
    QueueDir,
    ReadKey,
    Recording,
    ReportFile,
    ScenarioName,
    SdkKey,
    Seed,
    Target,
    TimeColumn,
    TimeZone,
    Truth,
    TruthFile,
)
from workevo_simulator.own_server import OwnServer
from workevo_simulator.page import write_audit, write_figures, write_page
from workevo_simulator.recorded_crew import BadNetwork
from workevo_simulator.recorded_time import zone_named
from workevo_simulator.recording import Columns, read_rows
from workevo_simulator.report import print_audit, print_run
from workevo_simulator.run import Plan, Run, recorded_plan, run, scenario_plan
from workevo_simulator.scenario import Scenario, load_scenario
from workevo_simulator.tally import balance_figures
from workevo_simulator.target import Server
from workevo_simulator.truth import load_truth, save_truth

_NO_RUN = 2
_FLUSH_INTERVAL_SECONDS = FLUSH_INTERVAL_DEFAULT.total_seconds()
_PATIENCE_SECONDS = PATIENCE_DEFAULT.total_seconds()

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Phones with bad networks, lived through on virtual time, and an audit of every event.",
)


@app.command("replay")
def replay_command(
    file: Recording,
    target: Target,
    key: SdkKey,
    read_key: ReadKey,
    contact_column: ContactColumn = "user_id",
    name_column: NameColumn = "event",
    time_column: TimeColumn = "timestamp",
    device_column: DeviceColumn = None,
    metadata_column: MetadataColumn = None,
    metadata_columns: MetadataColumns = None,
    time_zone: TimeZone = "UTC",
    seed: Seed = 1,
    lost_requests: LostRequests = LOSS_SHARE_DEFAULT,
    lost_answers: LostAnswers = LOSS_SHARE_DEFAULT,
    offline_spells: OfflineSpells = OFFLINE_SPELLS_DEFAULT,
    flush_interval: FlushInterval = _FLUSH_INTERVAL_SECONDS,
    lanes: Lanes = LANES_DEFAULT,
    patience: PatienceSeconds = _PATIENCE_SECONDS,
    queue_dir: QueueDir = None,
    metadata_keys: MetadataKeys = METADATA_KEYS_DEFAULT,
    identity_window_hours: IdentityWindow = IDENTITY_WINDOW_HOURS_DEFAULT,
    connect_url: ConnectUrl = None,
    truth: TruthFile = None,
    report: ReportFile = None,
    page: PageFile = None,
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
        plan = recorded_plan(
            file.name,
            read_rows(file, columns=columns, zone=zone_named(time_zone)),
            network=BadNetwork(
                lost_requests=lost_requests, lost_answers=lost_answers, offline_spells_per_week=offline_spells
            ),
            seed=seed,
            flush_interval=timedelta(seconds=flush_interval),
            lanes=lanes,
            patience=timedelta(seconds=patience),
            queue_dir=queue_dir,
            rules=_rules(metadata_keys, identity_window_hours),
        )
        server = Server(target=target, sdk_key=key, server_key=read_key, connect_url=connect_url)
        made = lived(plan, server)
        if truth is not None:
            save_truth(made.life.generated, truth)
        _finish(made, report, page)


@app.command("reconcile")
def reconcile_command(
    truth: Truth,
    target: Target,
    read_key: ReadKey,
    metadata_keys: MetadataKeys = METADATA_KEYS_DEFAULT,
    identity_window_hours: IdentityWindow = IDENTITY_WINDOW_HOURS_DEFAULT,
    report: ReportFile = None,
) -> None:
    """Account for every event of an earlier replay again, for example after the server was restored."""
    with sentences(), _progress() as bars:
        generated = load_truth(truth)
        reading = bars.add_task("reading back", total=len({event.contact for event in generated}))
        rules = _rules(metadata_keys, identity_window_hours)
        server = Server(target=target, sdk_key="", server_key=read_key)
        audited = audit(generated, server, rules, on_progress=lambda count: bars.advance(reading, count))
        bars.stop()
        found = audited.reconciliation
        if report is not None:
            write_audit(balance_figures(found), found.sentences(LISTED_MAX), report)
        print_audit(found, Console())
        raise typer.Exit(0 if found.balanced else 1)


@app.command("run")
def run_command(
    target: FleetTarget = None,
    key: FleetSdkKey = None,
    read_key: FleetReadKey = None,
    scenario: ScenarioName = "commuter",
    devices: Devices = DEVICES_DEFAULT,
    days: Days = DAYS_DEFAULT,
    seed: Seed = 1,
    lanes: FleetLanes = FLEET_LANES_DEFAULT,
    patience: PatienceSeconds = _PATIENCE_SECONDS,
    queue_dir: QueueDir = None,
    metadata_keys: MetadataKeys = METADATA_KEYS_DEFAULT,
    identity_window_hours: IdentityWindow = IDENTITY_WINDOW_HOURS_DEFAULT,
    report: ReportFile = None,
    page: PageFile = None,
) -> None:
    """Let a fleet live through a scenario on virtual time, then account for every event.

    Without --target a server of its own is started on a store that is thrown away, and killed where the
    scenario says so. The same seed gives the same events and the same figures. Exit status: 0 every event
    is accounted for; 1 one is not; 2 the run could not be made or finished.
    """
    with sentences():
        name, loaded = load_scenario(scenario)
        plan = scenario_plan(
            name,
            loaded,
            seed=seed,
            device_count=devices,
            days=days,
            lanes=lanes,
            patience=timedelta(seconds=patience),
            queue_dir=queue_dir,
            rules=_rules(metadata_keys, identity_window_hours),
        )
        with _served(target, key, read_key, loaded) as (server, mortal):
            typer.echo(f"{name}: {loaded.about}", err=True)
            made = lived(plan, server, mortal)
        _finish(made, report, page)


@contextmanager
def _served(
    target: str | None, key: str | None, read_key: str | None, scenario: Scenario
) -> Iterator[tuple[Server, OwnServer | None]]:
    """The server named, which is not ours to kill, or one of our own."""
    if target is None:
        with tempfile.TemporaryDirectory(prefix="workevo-run-") as directory:
            own = OwnServer(Path(directory), settings=scenario.workspace)
            with own.running() as server:
                yield server, own
    elif key is None or read_key is None:
        raise typer.BadParameter("--target needs --key and --read-key beside it.")
    else:
        yield Server(target=target, sdk_key=key, server_key=read_key), None


def lived(plan: Plan, server: Server, mortal: OwnServer | None = None) -> Run:
    with _progress() as bars:
        living = bars.add_task("living", total=act_count(plan.households))
        reading = bars.add_task("reading back", total=None)
        return run(
            plan,
            server,
            mortal,
            monotonic=time.monotonic,
            on_lived=lambda count: bars.advance(living, count),
            on_read=lambda count: bars.advance(reading, count),
        )


def _rules(metadata_keys: int, identity_window_hours: float) -> Rules:
    return Rules(metadata_keys=metadata_keys, identity_window=timedelta(hours=identity_window_hours))


def _metadata_columns(named: list[str] | None, shortcut: str | None) -> tuple[str, ...] | None:
    if shortcut is None:
        return tuple(named or ())
    if shortcut != "all" or named:
        raise typer.BadParameter("--metadata-columns takes `all`, and then no --metadata-column beside it.")
    return None


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
    except OSError as error:
        typer.echo(f"workevo-simulator: {error}.", err=True)
        raise typer.Exit(_NO_RUN) from error


def _finish(made: Run, report: Path | None, page: Path | None) -> None:
    if report is not None:
        write_figures(made.figures, report)
    if page is not None:
        write_page(made.figures, page)
    print_run(made, Console())
    raise typer.Exit(0 if made.found.balanced else 1)
