"""The `workevo` command: arguments in, one sentence out when something is wrong.

What is heavy is imported by the command that needs it, so that `--help` is quick.
"""

import asyncio
import gc
import re
import sys
from datetime import timedelta
from pathlib import Path

import typer

from workevo_server import settings as options
from workevo_server.settings import ServeSettings
from workevo_server.store_cli import store_app
from workevo_server.terminal import FAILED, MISUSED, command_group, fail, place_of, print_line
from workevo_server.workspace_cli import console_app, key_app, secret_app, workspace_app

_CRASH_AT = re.compile(r"(before_commit|after_commit|before_answer)(:[1-9][0-9]{0,8})?")

app = command_group("Event tracking that loses nothing and stores nothing twice.")
app.add_typer(workspace_app, name="workspace")
app.add_typer(key_app, name="key")
app.add_typer(secret_app, name="secret")
app.add_typer(console_app, name="console")
app.add_typer(store_app, name="store")


def run() -> None:
    """The whole command. Nothing but a sentence ever reaches the terminal from an error."""
    try:
        app()
    except Exception as error:  # noqa: BLE001 - a traceback tells an operator nothing.
        fail(_sentence(error), MISUSED if _is_misuse(error) else FAILED)


@app.command()
def serve(
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    grpc: options.GrpcAddress = options.GRPC_DEFAULT,
    http: options.HttpAddress = options.HTTP_DEFAULT,
    console_url: options.ConsoleUrl = None,
    trusted_proxies: options.TrustedProxies = options.TRUSTED_PROXIES_DEFAULT,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    insecure: options.Insecure = False,
    reflection: options.ReflectionOn = False,
    simulated_clock: options.SimulatedClock = False,
    calls_max: options.WorkingMax = options.WORKING_MAX_DEFAULT,
    arriving_max: options.ArrivingMax = options.ARRIVING_MAX_DEFAULT,
    memory_mib: options.MemoryMebibytes = options.MEMORY_MEBIBYTES_DEFAULT,
    drain_seconds: options.DrainSeconds = options.DRAIN_SECONDS_DEFAULT,
    grace_seconds: options.GraceSeconds = options.GRACE_SECONDS_DEFAULT,
    workers: options.Workers = options.WORKERS_DEFAULT,
    worker: options.IsWorker = False,
    show_console: options.ShowsConsole = False,
    metrics_token: options.MetricsToken = None,
    log_level: options.LogLevel = options.LOG_LEVEL_DEFAULT,
    crash_at: options.CrashAt = "",
) -> None:
    """Take events until SIGTERM.

    Prints one JSON line on standard output when it can serve; its log goes to standard error.
    """
    settings = ServeSettings(
        data_dir=data_dir,
        store=store,
        grpc=grpc,
        http=http,
        console_url=console_url,
        trusted_proxies=trusted_proxies,
        tls_cert=tls_cert,
        tls_key=tls_key,
        insecure=insecure,
        reflection=reflection,
        simulated_clock=simulated_clock,
        working_max=calls_max,
        arriving_max=arriving_max,
        memory_mebibytes=memory_mib,
        drain=timedelta(seconds=drain_seconds),
        grace=timedelta(seconds=grace_seconds),
        workers=workers,
        is_worker=worker,
        shows_console=show_console or not worker,
        metrics_token=metrics_token,
        log_level=log_level,
        crash_at=crash_at,
    )
    _check(settings)
    _serve(settings)


@app.command()
def check(data_dir: options.KnownDataDir = options.DATA_DIR_DEFAULT, store: options.Store = None) -> None:
    """Read the whole store and say whether it adds up. Changes nothing; may run beside a server.

    Exit status 1 when it does not: keep a copy of the store before anything else.
    """
    from workevo_server.adapters.data_directory import DATABASE_NAME
    from workevo_server.adapters.sql.integrity import inspect

    place = place_of(data_dir, store)
    if isinstance(place, Path):
        place = place / DATABASE_NAME
        if not place.is_file():
            fail(f"There is no store in {data_dir}. Name another with --data-dir or --store.", MISUSED)
    report = inspect(place)
    for problem in report.problems:
        typer.echo(problem)
    if report.problems:
        raise typer.Exit(FAILED)
    typer.echo(f"{report.events:,} events: the store is sound.")


# Serving ---------------------------------------------------------------------


def _check(settings: ServeSettings) -> None:
    """Wrong use is told before anything is touched."""
    from workevo_server.logs import LEVELS
    from workevo_server.transport.address import Address, AddressInvalid, proxy_addresses, web_address

    try:
        if settings.console_url is not None:
            web_address(settings.console_url)
        proxy_addresses(settings.trusted_proxies)
        addresses = [
            Address.parse(text) for text in (settings.grpc, settings.http) if text != options.HTTP_OFF
        ]
    except AddressInvalid as error:
        fail(str(error), MISUSED)
    if (settings.tls_cert is None) != (settings.tls_key is None):
        fail("Give --tls-cert and --tls-key together.", MISUSED)
    reachable = [address for address in addresses if not address.is_loopback]
    if reachable and not (settings.tls_cert or settings.insecure):
        fail(
            f"{reachable[0]} can be reached from other machines, and without TLS keys and events would "
            "travel in plain text. Give --tls-cert and --tls-key, or --insecure if something in front ends "
            "TLS.",
            MISUSED,
        )
    if settings.simulated_clock and reachable:
        fail("With --simulated-clock anybody who connects sets the time; use it on loopback only.", MISUSED)
    if settings.workers > 1 and settings.store is None:
        fail(
            f"--workers {settings.workers} needs a PostgreSQL: one process writes a SQLite store, ever. Give "
            "--store postgresql+asyncpg://USER:PASSWORD@HOST:PORT/DATABASE; `workevo store copy` moves the "
            "data there.",
            MISUSED,
        )
    if settings.log_level not in LEVELS:
        fail(f"--log-level is one of {', '.join(LEVELS)}.", MISUSED)
    if settings.crash_at and not _CRASH_AT.fullmatch(settings.crash_at):
        fail("--crash-at is before_commit, after_commit or before_answer, and :N if you like.", MISUSED)


def _serve(settings: ServeSettings) -> None:
    from workevo_server import logs

    logs.configure(settings.log_level, sys.stderr, is_shared=settings.is_worker)
    if settings.workers > 1:
        from workevo_server.supervisor import supervise  # And no gRPC in its process, ever.

        asyncio.run(supervise(settings, sys.argv[1:], announce=print_line))
        return
    gc.disable()  # What is imported stays: to look for garbage in it, now or ever, takes time and finds none.
    from workevo_server import app as server

    gc.freeze()
    gc.enable()
    asyncio.run(server.serve(settings, announce=print_line))


def _is_misuse(error: Exception) -> bool:
    from workevo_server.domain.errors import RequestInvalid
    from workevo_server.transport.control_call import ControlRefused

    return isinstance(error, RequestInvalid) or (isinstance(error, ControlRefused) and error.is_misuse)


def _sentence(error: Exception) -> str:
    """Our own refusals are sentences already; anything else is named by its kind alone."""
    from workevo_server.adapters.data_directory import DataDirectoryRefused
    from workevo_server.adapters.sql.migrate import StoreRefused
    from workevo_server.domain.errors import WorkevoError
    from workevo_server.supervisor import WorkersRefused
    from workevo_server.transport.control_call import ControlRefused
    from workevo_server.transport.tls import ServerRefused

    refusals = (
        DataDirectoryRefused,
        StoreRefused,
        WorkevoError,
        ControlRefused,
        ServerRefused,
        WorkersRefused,
    )
    if isinstance(error, refusals):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}: {error.filename or 'an operation of the system'}."
    return f"It failed for a reason that nobody foresaw ({type(error).__name__}). Please report this."
