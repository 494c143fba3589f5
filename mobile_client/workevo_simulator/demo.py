"""The demo: a server of its own, phones with bad networks, the audit, and one person as read back.

Run by `scripts/demo` as `python -m workevo_simulator.demo FILE`. The server is another program: this one only
starts it, on a store that is thrown away, and ends it.
"""

import sys
import tempfile
import threading
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from workevo_simulator.cli import lived, sentences
from workevo_simulator.findings import Rules
from workevo_simulator.limits import (
    DEMO_FLUSH_INTERVAL,
    IDENTITY_WINDOW_HOURS_DEFAULT,
    LANES_DEFAULT,
    METADATA_KEYS_DEFAULT,
    OFFLINE_SPELLS_DEFAULT,
    PATIENCE_DEFAULT,
)
from workevo_simulator.own_server import OwnServer, end_on_sigterm
from workevo_simulator.person_tables import print_profile
from workevo_simulator.recorded_crew import BadNetwork
from workevo_simulator.recorded_time import zone_named
from workevo_simulator.recording import Columns, read_rows
from workevo_simulator.report import print_run
from workevo_simulator.run import recorded_plan
from workevo_simulator.target import Server
from workevo_simulator.truth import user

_COLUMNS = Columns(
    contact="user_id",
    name="event",
    time="timestamp",
    device="user_id",
    metadata=("platform", "acquisition_channel", "user_lifecycle"),
)
_NETWORK = BadNetwork(lost_requests=0.1, lost_answers=0.1, offline_spells_per_week=OFFLINE_SPELLS_DEFAULT)
_RULES = Rules(
    metadata_keys=METADATA_KEYS_DEFAULT, identity_window=timedelta(hours=IDENTITY_WINDOW_HOURS_DEFAULT)
)


def demo(
    file: Annotated[Path, typer.Argument(help="The recorded clickstream.")],
    seed: Annotated[int, typer.Option(help="Another seed gives the phones another life.")] = 1,
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the server running with its console, until Ctrl-C.")
    ] = False,
) -> None:
    """Replay a clickstream through phones with bad networks, and account for every event."""
    console = Console()
    with sentences(), tempfile.TemporaryDirectory(prefix="workevo-demo-") as directory:
        rows = read_rows(file, columns=_COLUMNS, zone=zone_named("UTC"))
        plan = recorded_plan(
            file.name,
            rows,
            network=_NETWORK,
            seed=seed,
            flush_interval=DEMO_FLUSH_INTERVAL,
            lanes=LANES_DEFAULT,
            patience=PATIENCE_DEFAULT,
            queue_dir=None,
            rules=_RULES,
        )
        own = OwnServer(Path(directory), http="127.0.0.1:0")
        with own.running() as server:
            console.print(_introduction(len(rows), len({row.device for row in rows}), server))
            made = lived(plan, server)
            print_run(made, console)
            busiest = Counter(row.contact for row in rows).most_common(1)[0][0]
            with server.read_api() as api:
                print_profile(busiest, api.person(user(busiest)), console)
            _show_console(own, console, keep=keep)
    raise typer.Exit(0 if made.found.balanced else 1)


def _show_console(own: OwnServer, console: Console, *, keep: bool) -> None:
    """Where the same can be looked at; the server goes on for as long as somebody may want to."""
    if not (keep or (sys.stdin.isatty() and sys.stdout.isatty())):
        console.print("\nTo see these people and events in the console, with a link that signs in: --keep")
        return
    console.print("\n[bold]The console[/bold], with all of this in it. The link signs in once, and soon:")
    console.print(own.console_link(), style="blue", soft_wrap=True)
    with suppress(KeyboardInterrupt, EOFError):
        if keep:
            console.print("The server runs until Ctrl-C.")
            threading.Event().wait()
        else:
            console.input("Press Enter to end the server (--keep leaves it running). ")


def main() -> None:
    end_on_sigterm()
    typer.run(demo)


def _introduction(row_count: int, device_count: int, server: Server) -> str:
    minutes = DEMO_FLUSH_INTERVAL.total_seconds() / 60
    return (
        f"A server on {server.target}, its store empty. {device_count:,} phones live through {row_count:,} "
        f"recorded events and upload after {minutes:g} minutes or 20 events. Each is offline for minutes to "
        f"hours {_NETWORK.offline_spells_per_week:g} times a week, {_NETWORK.lost_requests:.0%} of its calls "
        f"never reach the server, and {_NETWORK.lost_answers:.0%} of the answers never reach the phone."
    )


if __name__ == "__main__":
    main()
