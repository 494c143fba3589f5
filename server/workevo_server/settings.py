"""What can be set, each as a flag and as `WORKEVO_…`. The only reader of the environment."""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

GRPC_DEFAULT = "127.0.0.1:7575"
HTTP_DEFAULT = "127.0.0.1:7576"
HTTP_OFF = "off"
TRUSTED_PROXIES_DEFAULT = "127.0.0.1,::1"
DATA_DIR_DEFAULT = Path("workevo-data")
WORKING_MAX_DEFAULT = 512
ARRIVING_MAX_DEFAULT = 2048
MEMORY_MEBIBYTES_DEFAULT = 512
DRAIN_SECONDS_DEFAULT = 1.0
GRACE_SECONDS_DEFAULT = 10.0
LOG_LEVEL_DEFAULT = "info"
WORKERS_DEFAULT = 1
WORKERS_MAX = 64
AUDIT_ENTRIES_MAX = 10_000  # Of one command: all are read before the first is printed.

_MADE = "Directory of the store; made when missing. Owned by one process at a time."
_MISSED = "Directory of the store, which has to be there."
DataDir = Annotated[Path, typer.Option("--data-dir", envvar="WORKEVO_DATA_DIR", help=_MADE)]
KnownDataDir = Annotated[Path, typer.Option("--data-dir", envvar="WORKEVO_DATA_DIR", help=_MISSED)]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="WORKEVO_STORE",
        metavar="URL",
        help="A PostgreSQL that holds the store, as postgresql+asyncpg://USER:PASSWORD@HOST:PORT/DATABASE; "
        "without it a file in the data directory does. A command line can be read by others, so give a "
        "password in the variable, in PGPASSWORD or in ~/.pgpass.",
    ),
]
GrpcAddress = Annotated[
    str,
    typer.Option(
        "--grpc",
        envvar="WORKEVO_GRPC",
        metavar="HOST:PORT",
        help="Where devices and back ends connect by gRPC. Port 0 picks a free one.",
    ),
]
HttpAddress = Annotated[
    str,
    typer.Option(
        "--http",
        envvar="WORKEVO_HTTP",
        metavar="HOST:PORT|off",
        help="Where back ends and browsers connect by HTTP. Port 0 picks a free one, `off` opens none.",
    ),
]
ConsoleUrl = Annotated[
    str | None,
    typer.Option(
        "--console-url",
        envvar="WORKEVO_CONSOLE_URL",
        metavar="URL",
        help="Where people reach the HTTP port, for example https://events.example.org; without it the "
        "address that the server listens on.",
    ),
]
TrustedProxies = Annotated[
    str,
    typer.Option(
        "--trusted-proxies",
        envvar="WORKEVO_TRUSTED_PROXIES",
        metavar="ADDRESSES|*",
        help="Whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or networks with commas "
        "between, or * for whoever connects.",
    ),
]
TlsCert = Annotated[
    Path | None,
    typer.Option(envvar="WORKEVO_TLS_CERT", help="Certificate chain, PEM. Needs --tls-key."),
]
TlsKey = Annotated[
    Path | None,
    typer.Option(envvar="WORKEVO_TLS_KEY", help="Private key of --tls-cert, PEM."),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        envvar="WORKEVO_INSECURE",
        help="Listen beyond this machine without TLS, for when something in front ends it.",
    ),
]
ReflectionOn = Annotated[
    bool,
    typer.Option("--reflection", envvar="WORKEVO_REFLECTION", help="Show the contract by gRPC reflection."),
]
SimulatedClock = Annotated[
    bool,
    typer.Option(
        "--simulated-clock",
        envvar="WORKEVO_SIMULATED_CLOCK",
        help="Take the time of receipt from request metadata, for the simulator. Only on loopback, and only "
        "on a store that was made with it.",
    ),
]
WorkingMax = Annotated[
    int,
    typer.Option(
        "--calls-max",
        envvar="WORKEVO_CALLS_MAX",
        min=1,
        max=1000,
        help="Calls worked on at once; over it a call is refused and told when to come back.",
    ),
]
ArrivingMax = Annotated[
    int,
    typer.Option(
        "--arriving-max",
        envvar="WORKEVO_ARRIVING_MAX",
        min=1,
        max=100_000,
        help="Calls at once whose body is still on its way; over it a call is refused.",
    ),
]
MemoryMebibytes = Annotated[
    int,
    typer.Option(
        "--memory-mib",
        envvar="WORKEVO_MEMORY_MIB",
        min=1,
        help="Memory in MiB that the calls worked on may come to, at worst; over it a call is refused.",
    ),
]
DrainSeconds = Annotated[
    float,
    typer.Option(
        "--drain-seconds",
        envvar="WORKEVO_DRAIN_SECONDS",
        min=0,
        max=600,
        help="Seconds between NOT_SERVING and the end of listening, so that load balancers look away first.",
    ),
]
GraceSeconds = Annotated[
    float,
    typer.Option(
        "--grace-seconds",
        envvar="WORKEVO_GRACE_SECONDS",
        min=0,
        max=600,
        help="Seconds that calls in progress get to finish when the server stops.",
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        envvar="WORKEVO_WORKERS",
        min=1,
        max=WORKERS_MAX,
        help="Processes that share the ports, restarted when one dies, replaced one by one on SIGHUP. More "
        "than one needs --store.",
    ),
]
IsWorker = Annotated[
    bool,
    typer.Option(
        "--worker",
        hidden=True,
        help="For the supervisor of --workers: share the ports, and end when standard input does.",
    ),
]
ShowsConsole = Annotated[
    bool,
    typer.Option(
        "--show-console",
        hidden=True,
        help="For the supervisor of --workers: of its workers the first one writes links to the log.",
    ),
]
MetricsToken = Annotated[
    str | None,
    typer.Option(
        "--metrics-token",
        envvar="WORKEVO_METRICS_TOKEN",
        metavar="TOKEN",
        help="Who asks for /metrics from another machine has to send it as a bearer token; without one none "
        "may. Give it as the variable: a command line can be read by others.",
    ),
]
LogLevel = Annotated[
    str,
    typer.Option(
        "--log-level",
        envvar="WORKEVO_LOG_LEVEL",
        metavar="debug|info|warning|error",
        help="From which level on lines are written to standard error.",
    ),
]
CrashAt = Annotated[
    str,
    typer.Option(
        "--crash-at",
        envvar="WORKEVO_CRASH_AT",
        hidden=True,
        help="For fault tests: POINT[:N] ends the process when that point is reached the N-th time.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """What `workevo serve` was told; every field as its flag says."""

    data_dir: Path
    store: str | None
    """A PostgreSQL URL; None for the file in the data directory."""
    grpc: str
    http: str
    """An address, or `HTTP_OFF`."""
    console_url: str | None
    trusted_proxies: str
    tls_cert: Path | None
    tls_key: Path | None
    insecure: bool
    reflection: bool
    simulated_clock: bool
    working_max: int
    arriving_max: int
    memory_mebibytes: int
    drain: timedelta
    grace: timedelta
    workers: int
    is_worker: bool
    """One of several that a supervisor has started."""
    shows_console: bool
    """Whether it writes links to the console to its log: of several workers the first."""
    metrics_token: str | None
    log_level: str
    crash_at: str


def quieten_grpc_core() -> None:
    """The core's own lines are not JSON and may quote a peer; to be called before grpc is imported."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # noqa: TID251 - this is the place for it.
