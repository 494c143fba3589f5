"""What a run found, for people at a terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from workevo_simulator.findings import COUNTED, Finding, Reconciliation
from workevo_simulator.limits import LISTED_MAX
from workevo_simulator.run import Run


def print_run(run: Run, console: Console) -> None:
    """Tables: the balance, what the fleet lived through, and what is not as it should be."""
    console.print(_balance_table(run.found))
    console.print(_run_table(run))
    _print_findings(run.found, console)


def print_audit(found: Reconciliation, console: Console) -> None:
    """As `print_run`, where only the audit was made again."""
    console.print(_balance_table(found))
    _print_findings(found, console)


def _print_findings(found: Reconciliation, console: Console) -> None:
    for title, findings in _lists(found):
        if findings:
            console.print(_findings_table(title, findings))
    for line in found.imbalances[:LISTED_MAX]:
        console.print(f"[red]{escape(line)}[/red]")
    console.print(_conclusion(found))


def _figures(found: Reconciliation) -> dict[str, int]:
    return {
        "generated": found.generated,
        **{fate.value: found.fates[fate] for fate in COUNTED},
        "resent": found.resent,
        **{title: len(findings) for title, findings in _lists(found)},
        "imbalances": len(found.imbalances),
    }


def _lists(found: Reconciliation) -> Sequence[tuple[str, list[Finding]]]:
    return (("missing", found.missing), ("unexpected", found.unexpected), ("differing", found.differing))


def _balance_table(found: Reconciliation) -> Table:
    table = Table(title="Where the events went", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, count in _figures(found).items():
        bad = name in ("missing", "unexpected", "differing", "imbalances") and count
        table.add_row(
            name,
            f"[bold red]{count:,}[/]" if bad else f"{count:,}",
            end_section=name in ("generated", "open"),
        )
    return table


def _run_table(run: Run) -> Table:
    table = Table(title="The run", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    figures, calls = run.figures, run.figures.calls
    for name, value in (
        ("devices", figures.device_count),
        ("people", figures.person_count),
        (
            "restarts of the app",
            sum(phone.reopened_count for phone in run.life.phones) - figures.device_count,
        ),
        ("events the SDK refused", len(run.life.refused)),
        ("server killed", figures.server_kills),
        ("calls", calls.calls),
        ("without a network", calls.offline),
        ("requests lost", calls.lost_requests),
        ("answers lost", calls.lost_answers),
        ("requests delivered twice", calls.duplicated),
        ("calls timed out", calls.timed_out),
        ("calls pushed back", sum(hour.pushed_back for hour in figures.hours)),
    ):
        table.add_row(name, f"{value:,}")
    for clock in figures.clocks:
        table.add_row(
            f"placed by {clock.method}",
            f"{clock.share:.1%}, off by {clock.p50_seconds:g} s (median) to {clock.max_seconds:,.0f} s",
        )
    table.add_row("virtual span", f"{_moment(figures.from_micros)} to {_moment(figures.until_micros)}")
    seconds = run.took.total_seconds()
    rate = run.found.generated / max(seconds, 0.001)
    table.add_row("real time", f"{seconds:.1f} s, {rate:,.0f} events a second")
    return table


def _findings_table(title: str, findings: Sequence[Finding]) -> Table:
    shown = f"first {LISTED_MAX} of {len(findings):,}" if len(findings) > LISTED_MAX else str(len(findings))
    table = Table(title=f"{title} ({shown})", title_style="bold red")
    for heading in ("contact", "event", "sequence", "install", "what"):
        table.add_column(heading)
    for each in findings[:LISTED_MAX]:
        table.add_row(
            escape(each.contact),
            escape(each.name),
            str(each.sequence),
            escape(each.install_id),
            escape(each.what),
        )
    return table


def _conclusion(found: Reconciliation) -> str:
    if not found.balanced:
        return "[bold red]Not every event is accounted for.[/]"
    parts = " + ".join(f"{found.fates[fate]:,} {fate.value}" for fate in COUNTED if found.fates[fate])
    return (
        f"[bold green]{found.generated:,} generated = {parts or '0'}; nothing missing, nothing unexpected.[/]"
    )


def _moment(micros: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat(timespec="seconds")
