"""What can be said on the command line, each with its unit, its range and what it is for."""

from pathlib import Path
from typing import Annotated

import typer

from workevo_simulator.limits import (
    DAYS_MAX,
    DEVICES_MAX,
    FLUSH_INTERVAL_MAX,
    IDENTITY_WINDOW_HOURS_MAX,
    LANES_MAX,
    LOSS_SHARE_MAX,
    METADATA_COLUMNS_MAX,
    OFFLINE_SPELLS_PER_WEEK_MAX,
    PATIENCE_MAX,
)
from workevo_simulator.scenario import preset_names

Target = Annotated[
    str,
    typer.Option(
        help="Where the server answers gRPC, HOST:PORT.", envvar="WORKEVO_TARGET", show_default=False
    ),
]
ConnectUrl = Annotated[
    str | None,
    typer.Option(
        help="Upload over HTTP/1.1 (the Connect protocol) to this URL; reading back stays on --target.",
        show_default="uploads over gRPC",
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
    typer.Option(
        help="Hours in which the workspace recognises copies; 0: it does not.",
        min=0,
        max=IDENTITY_WINDOW_HOURS_MAX,
    ),
]
ReportFile = Annotated[Path | None, typer.Option(help="Write the report there, as JSON.", dir_okay=False)]
PageFile = Annotated[
    Path | None,
    typer.Option(help="Write the report there as one HTML page.", dir_okay=False),
]
FleetTarget = Annotated[
    str | None,
    typer.Option(
        help="Where the server answers gRPC, HOST:PORT; it must run with --simulated-clock.",
        envvar="WORKEVO_TARGET",
        show_default="a server of its own, on a store that is thrown away",
    ),
]
FleetSdkKey = Annotated[
    str | None,
    typer.Option(help="With --target: an sdk key of an empty workspace.", envvar="WORKEVO_KEY"),
]
FleetReadKey = Annotated[
    str | None,
    typer.Option(help="With --target: a server key of the workspace.", envvar="WORKEVO_READ_KEY"),
]
ScenarioName = Annotated[
    str, typer.Option("--scenario", help=f"One of {', '.join(preset_names())}; or a .toml file.")
]
Devices = Annotated[int, typer.Option(help="How many phones.", min=1, max=DEVICES_MAX)]
Days = Annotated[float, typer.Option(help="Virtual days to live through.", min=0.01, max=DAYS_MAX)]
FleetLanes = Annotated[
    int,
    typer.Option(
        help="Threads, each with one connection for its share of the phones; changes no figure.",
        min=1,
        max=LANES_MAX,
    ),
]
Recording = Annotated[Path, typer.Argument(help="CSV or NDJSON, plain or gzipped.", show_default=False)]
SdkKey = Annotated[str, typer.Option(help="An sdk key of an empty workspace.", envvar="WORKEVO_KEY")]
ContactColumn = Annotated[str, typer.Option(help="Who did it; sent as user_id.")]
NameColumn = Annotated[str, typer.Option(help="What was done.")]
TimeColumn = Annotated[
    str, typer.Option(help="When: ISO 8601, or Unix time in s, ms, µs or ns, told apart by size.")
]
DeviceColumn = Annotated[
    str | None, typer.Option(help="On which device.", show_default="one device a contact")
]
MetadataColumn = Annotated[
    list[str] | None,
    typer.Option(help="Sent as metadata, in the order given; repeatable.", show_default="none"),
]
MetadataColumns = Annotated[
    str | None, typer.Option(help="`all`: every column that is nothing else.", show_default="none")
]
TimeZone = Annotated[str, typer.Option(help="IANA name; for times that state no zone.")]
Seed = Annotated[int, typer.Option(help="The same seed gives every device the same life again.")]
LostRequests = Annotated[
    float, typer.Option(help="Share of calls that never reach the server.", min=0, max=LOSS_SHARE_MAX)
]
LostAnswers = Annotated[
    float, typer.Option(help="Share of handled calls whose answer gets lost.", min=0, max=LOSS_SHARE_MAX)
]
OfflineSpells = Annotated[
    float,
    typer.Option(
        help="Mean a week and device; each lasts a minute to 23 hours.",
        min=0,
        max=OFFLINE_SPELLS_PER_WEEK_MAX,
    ),
]
FlushInterval = Annotated[
    float,
    typer.Option(
        help="Seconds that an event waits for others to be uploaded with.",
        min=1,
        max=FLUSH_INTERVAL_MAX.total_seconds(),
    ),
]
Lanes = Annotated[
    int,
    typer.Option(
        help="Threads, each with one connection for its share of the devices.", min=1, max=LANES_MAX
    ),
]
PatienceSeconds = Annotated[
    float,
    typer.Option(
        help="Real seconds to wait for a server that went away.", min=0, max=PATIENCE_MAX.total_seconds()
    ),
]
QueueDir = Annotated[
    Path | None,
    typer.Option(
        help="Keep the devices' queues there.",
        file_okay=False,
        show_default="thrown away; in memory (/dev/shm) if there is any: phones' disks are not measured",
    ),
]
TruthFile = Annotated[
    Path | None, typer.Option(help="Write what was generated there, for `reconcile`.", dir_okay=False)
]
Truth = Annotated[Path, typer.Argument(help="What `replay --truth` wrote.", show_default=False)]
