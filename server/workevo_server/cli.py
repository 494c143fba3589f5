"""The `workevo` command: arguments in, one sentence out when something is wrong.

What is heavy is imported by the command that needs it, so that `--help` is quick.
"""

import asyncio
import json
import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from workevo_server import settings as options
from workevo_server.settings import ServeSettings
from workevo_server.store_cli import store_app

if TYPE_CHECKING:
    from sqlalchemy import URL

FAILED, MISUSED = 1, 2
_CRASH_AT = re.compile(r"(before_commit|after_commit|before_answer)(:[1-9][0-9]{0,8})?")


def _commands(purpose: str) -> typer.Typer:
    """Plain text throughout: output is read by scripts as often as by people."""
    return typer.Typer(
        help=purpose,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
    )


app = _commands("Event tracking that loses nothing and stores nothing twice.")
workspace_app = _commands("Tenants: everything belongs to exactly one.")
key_app = _commands("Keys of a workspace. Shown once, stored hashed.")
app.add_typer(workspace_app, name="workspace")
app.add_typer(key_app, name="key")
secret_app = _commands("Identity secrets of a workspace, by which its users prove who they are (R19).")
app.add_typer(secret_app, name="secret")
app.add_typer(store_app, name="store")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Workspace = Annotated[str, typer.Argument(help="Id of the workspace, or its name where only one has it.")]

KEY_PURPOSES = {
    "sdk": "in a mobile app; public: it writes events",
    "browser": "for web pages; public: one made with --origin serves the pages of that origin",
    "server": "on your servers; secret: it reads and writes",
    "admin": "for operators; secret: it manages the workspace",
}


def run() -> None:
    """The whole command. Nothing but a sentence ever reaches the terminal from an error."""
    try:
        app()
    except Exception as error:  # noqa: BLE001 - a traceback tells an operator nothing.
        _fail(_sentence(error), MISUSED if _is_misuse(error) else FAILED)


@app.command()
def serve(
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    grpc: options.GrpcAddress = options.GRPC_DEFAULT,
    http: options.HttpAddress = options.HTTP_DEFAULT,
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
        metrics_token=metrics_token,
        log_level=log_level,
        crash_at=crash_at,
    )
    _check(settings)
    _serve(settings)


@app.command()
def check(data_dir: options.DataDir = options.DATA_DIR_DEFAULT, store: options.Store = None) -> None:
    """Read the whole store and say whether it adds up. Changes nothing; may run beside a server.

    Exit status 1 when it does not: keep a copy of the store before anything else.
    """
    from workevo_server.adapters.data_directory import DATABASE_NAME
    from workevo_server.adapters.sql.integrity import inspect

    place = _place(data_dir, store)
    if isinstance(place, Path):
        place = place / DATABASE_NAME
        if not place.is_file():
            _fail(f"There is no store in {data_dir}. Name another with --data-dir or --store.", MISUSED)
    report = inspect(place)
    for problem in report.problems:
        typer.echo(problem)
    if report.problems:
        raise typer.Exit(FAILED)
    typer.echo(f"{report.events:,} events: the store is sound.")


@workspace_app.command("create")
def create_workspace(
    name: Annotated[str, typer.Argument(help="What people call it, 1 to 255 characters.")],
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """Make a workspace with one key of each kind. The keys are shown now and never again."""
    made = _administer(_place(data_dir, store), "workspace.create", {"name": name}, may_make=True)
    if as_json:
        _print_json(made)
        return
    names = [("workspace_id", made["workspace_id"], ""), ("app_id", made["app_id"], "")]
    keys = [(f"{kind}_key", made[f"{kind}_key"], purpose) for kind, purpose in KEY_PURPOSES.items()]
    _print_rows([*names, *keys])


@workspace_app.command("list")
def list_workspaces(
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """All workspaces, oldest first."""
    found = _administer(_place(data_dir, store), "workspace.list", {})
    if as_json:
        _print_json(found)
        return
    _print_rows([(each["workspace_id"], each["created_at"], each["name"]) for each in found["workspaces"]])


@workspace_app.command("show")
def show_workspace(
    workspace: Workspace,
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """A workspace and its settings."""
    shown = _administer(_place(data_dir, store), "workspace.show", {"workspace": workspace})
    if as_json:
        _print_json(shown)
        return
    _print_rows([(name, shown[name], "") for name in ("workspace_id", "app_id", "name", "created_at")])
    _print_settings(shown["settings"])


@workspace_app.command("set")
def set_workspace(
    workspace: Workspace,
    changes: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE...", help="Settings as `show` names them.")
    ],
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """Change settings of a workspace. They apply from the next upload on."""
    arguments = {"workspace": workspace, "settings": dict(_change(text) for text in changes)}
    changed = _administer(_place(data_dir, store), "workspace.set", arguments)
    if as_json:
        _print_json(changed)
        return
    _print_settings(changed["settings"])


@workspace_app.command("audit")
def audit_workspace(
    workspace: Workspace,
    count: Annotated[int, typer.Option(help="How many entries, the newest.")] = 100,
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """Who changed what of a workspace, and when, newest first."""
    found = _administer(_place(data_dir, store), "workspace.audit", {"workspace": workspace, "count": count})
    if as_json:
        _print_json(found)
        return
    for entry in found["entries"]:
        values = [f"{name}={entry[name]}" for name in ("old", "new") if entry[name] is not None]
        subject = entry["subject"] if entry["subject"].isprintable() else json.dumps(entry["subject"])
        told = [entry["made_at"], entry["made_by"], entry["action"], subject, *values]
        _print_line("  ".join(told))


@key_app.command("create")
def create_key(
    workspace: Workspace,
    kind: Annotated[str, typer.Argument(help="sdk, browser, server or admin.")],
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Whose pages a browser key serves, for example https://example.org; give each one. "
            "Without any it serves no page.",
        ),
    ] = None,
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """Make one more key. It is shown now and never again."""
    arguments = {"workspace": workspace, "kind": kind, "origins": origin or []}
    made = _administer(_place(data_dir, store), "key.create", arguments)
    if as_json:
        _print_json(made)
        return
    _print_rows([(f"{made['kind']}_key", made["key"], KEY_PURPOSES[made["kind"]])])


@key_app.command("list")
def list_keys(
    workspace: Workspace,
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """The keys of a workspace by their prefixes, revoked ones included."""
    found = _administer(_place(data_dir, store), "key.list", {"workspace": workspace})
    if as_json:
        _print_json(found)
        return
    _print_rows([(key["prefix"], key["created_at"], _about_key(key)) for key in found["keys"]])


@key_app.command("revoke")
def revoke_key(
    workspace: Workspace,
    prefix: Annotated[str, typer.Argument(help="As `key list` shows it.")],
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """End a key. When this returns it opens nothing."""
    revoked = _administer(_place(data_dir, store), "key.revoke", {"workspace": workspace, "prefix": prefix})
    if as_json:
        _print_json(revoked)
        return
    _print_rows([("revoked", revoked["revoked"], "")])


@secret_app.command("create")
def create_secret(
    workspace: Workspace,
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """Make one more identity secret, for your own servers. It is shown now and never again.

    user_hash = HMAC-SHA256(secret, user_id) in lower-case hexadecimal
    """
    made = _administer(_place(data_dir, store), "secret.create", {"workspace": workspace})
    if as_json:
        _print_json(made)
        return
    _print_rows([("secret_id", made["secret_id"], ""), ("secret", made["secret"], "on your servers; secret")])


@secret_app.command("list")
def list_secrets(
    workspace: Workspace,
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """The identity secrets of a workspace by name, revoked ones included."""
    found = _administer(_place(data_dir, store), "secret.list", {"workspace": workspace})
    if as_json:
        _print_json(found)
        return
    _print_rows(
        [
            (
                each["secret_id"],
                each["created_at"],
                f"revoked {each['revoked_at']}" if each["revoked_at"] else "",
            )
            for each in found["secrets"]
        ]
    )


@secret_app.command("revoke")
def revoke_secret(
    workspace: Workspace,
    secret_id: Annotated[str, typer.Argument(help="As `secret list` shows it.")],
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """End an identity secret. When this returns it proves nothing."""
    revoked = _administer(
        _place(data_dir, store), "secret.revoke", {"workspace": workspace, "secret_id": secret_id}
    )
    if as_json:
        _print_json(revoked)
        return
    _print_rows([("revoked", revoked["revoked"], "")])


@secret_app.command("report")
def report_unverified(
    workspace: Workspace,
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """Who claimed to be a user without a valid proof, while proofs are reported or enforced."""
    found = _administer(_place(data_dir, store), "secret.report", {"workspace": workspace})
    if as_json:
        _print_json(found)
        return
    _print_rows(
        [(each["user_id"], str(each["claims"]), f"last {each['last_at']}") for each in found["users"]]
    )
    if found["beyond"]:
        _print_line(f"and {found['beyond']} claims of further users")


# Serving ---------------------------------------------------------------------


def _check(settings: ServeSettings) -> None:
    """Wrong use is told before anything is touched."""
    from workevo_server.logs import LEVELS
    from workevo_server.transport.address import Address, AddressInvalid

    try:
        addresses = [
            Address.parse(text) for text in (settings.grpc, settings.http) if text != options.HTTP_OFF
        ]
    except AddressInvalid as error:
        _fail(str(error), MISUSED)
    if (settings.tls_cert is None) != (settings.tls_key is None):
        _fail("Give --tls-cert and --tls-key together.", MISUSED)
    reachable = [address for address in addresses if not address.is_loopback]
    if reachable and not (settings.tls_cert or settings.insecure):
        _fail(
            f"{reachable[0]} can be reached from other machines, and without TLS keys and events would "
            "travel in plain text. Give --tls-cert and --tls-key, or --insecure if something in front ends "
            "TLS.",
            MISUSED,
        )
    if settings.simulated_clock and reachable:
        _fail("With --simulated-clock anybody who connects sets the time; use it on loopback only.", MISUSED)
    if settings.workers > 1 and settings.store is None:
        _fail(
            f"--workers {settings.workers} needs a PostgreSQL: one process writes a SQLite store, ever. Give "
            "--store postgresql+asyncpg://USER:PASSWORD@HOST:PORT/DATABASE; `workevo store copy` moves the "
            "data there.",
            MISUSED,
        )
    if settings.log_level not in LEVELS:
        _fail(f"--log-level is one of {', '.join(LEVELS)}.", MISUSED)
    if settings.crash_at and not _CRASH_AT.fullmatch(settings.crash_at):
        _fail("--crash-at is before_commit, after_commit or before_answer, and :N if you like.", MISUSED)


def _serve(settings: ServeSettings) -> None:
    from workevo_server import logs

    logs.configure(settings.log_level, sys.stderr, is_shared=settings.is_worker)
    if settings.workers > 1:
        from workevo_server.supervisor import supervise  # And no gRPC in its process, ever.

        asyncio.run(supervise(settings, sys.argv[1:], announce=_print_line))
        return
    from workevo_server import app as server

    asyncio.run(server.serve(settings, announce=_print_line))


# Administering ---------------------------------------------------------------


def _administer(
    place: "Path | URL", command: str, arguments: Mapping[str, Any], *, may_make: bool = False
) -> dict[str, Any]:
    from workevo_server.commands import carry_out

    if isinstance(place, Path) and not (may_make or place.is_dir()):
        _fail(f"There is no data directory {place}. Make a workspace first, or give --data-dir.", FAILED)
    return carry_out(place, command, arguments)


def _place(data_dir: Path, store: str | None) -> "Path | URL":
    """Where the store is: the data directory, or the PostgreSQL named."""
    if store is None:
        return data_dir
    from workevo_server.adapters.sql.store import read_url

    return read_url(store)


def _change(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        _fail(f"{text!r} is no change. Give KEY=VALUE, for example metadata_keys_max=10.", MISUSED)
    return key, value


# Telling ---------------------------------------------------------------------


def _about_key(key: Mapping[str, Any]) -> str:
    revoked = [f"revoked {key['revoked_at']}"] if key["revoked_at"] else []
    return " ".join([*key["origins"], *revoked])


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _print_json(document: Mapping[str, Any]) -> None:
    _print_line(json.dumps(document))


def _print_rows(rows: list[tuple[str, str, str]]) -> None:
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    for first, second, third in rows:
        _print_line(f"{first:<{widths[0]}}  {second:<{widths[1]}}  {third}".rstrip())


def _print_settings(values: Mapping[str, str]) -> None:
    from workevo_server.services.workspaces import settings_help

    sentences = settings_help()
    _print_rows([(name, value, sentences.get(name, "")) for name, value in values.items()])


def _fail(sentence: str, exit_code: int) -> NoReturn:
    typer.echo(f"workevo: {sentence}", err=True)
    raise SystemExit(exit_code)


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
