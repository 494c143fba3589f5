"""What a run found, for people and for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from workevo_simulator.fleet import Life
from workevo_simulator.limits import LISTED_MAX
from workevo_simulator.reconciliation import COUNTED, Finding, Reconciliation
from workevo_simulator.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    found: Reconciliation
    life: Life | None = None
    """None when only the reconciliation was made again."""
    took: timedelta = timedelta(0)
    """Real time from the first event to the last answer."""
    seed: int | None = None

    @property
    def balanced(self) -> bool:
        """Every generated event is accounted for, and nothing else is there."""
        return self.found.balanced


def write_report(report: Report, path: Path) -> None:
    """One JSON object; the lists are cut at `LISTED_MAX`, their counts are not."""
    path.write_text(json.dumps(_as_json(report), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def print_report(report: Report, console: Console) -> None:
    """Tables: the balance, the run, and what is not as it should be."""
    console.print(_balance_table(report.found))
    if report.life is not None:
        console.print(_run_table(report, report.life))
    _print_findings(report.found, console)


def _print_findings(found: Reconciliation, console: Console) -> None:
    for title, findings in _lists(found):
        if findings:
            console.print(_findings_table(title, findings))
    for line in found.imbalances[:LISTED_MAX]:
        console.print(f"[red]{escape(line)}[/red]")
    console.print(_conclusion(found))


def print_run(run: Run, console: Console) -> None:
    """Tables: the balance, what the fleet lived through, and what is not as it should be."""
    console.print(_balance_table(run.found))
    console.print(_fleet_table(run))
    _print_findings(run.found, console)


def _as_json(report: Report) -> dict[str, object]:
    found = report.found
    return {
        "balanced": report.balanced,
        "seed": report.seed,
        **_figures(found),
        **_run_figures(report),
        "lists": {
            title: [asdict(each) for each in each_list[:LISTED_MAX]] for title, each_list in _lists(found)
        },
        "imbalance_list": found.imbalances[:LISTED_MAX],
    }


def _figures(found: Reconciliation) -> dict[str, int]:
    return {
        "generated": found.generated,
        **{fate.value: found.fates[fate] for fate in COUNTED},
        "resent": found.resent,
        **{title: len(findings) for title, findings in _lists(found)},
        "imbalances": len(found.imbalances),
    }


def _run_figures(report: Report) -> dict[str, object]:
    life = report.life
    if life is None:
        return {}
    return {
        "devices": life.device_count,
        "device_restarts": life.restart_count,
        "refused_by_tracker": len(life.refused),
        "calls": life.counts.calls,
        "lost_requests": life.counts.lost_requests,
        "lost_answers": life.counts.lost_answers,
        "offline_attempts": life.counts.offline,
        "failed_calls": life.counts.failed,
        "first_event_at": _moment(min(event.created_at_micros for event in life.generated)),
        "last_event_at": _moment(max(event.created_at_micros for event in life.generated)),
        "took_seconds": round(report.took.total_seconds(), 3),
        "events_per_second": round(_rate(report, life)),
        "refused_rows": [{"line": each.row.line, "why": each.why} for each in life.refused[:LISTED_MAX]],
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


def _run_table(report: Report, life: Life) -> Table:
    table = Table(title="The run", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    counts = life.counts
    for name, value in (
        ("devices", life.device_count),
        ("restarts of devices", life.restart_count),
        ("rows the tracker refused", len(life.refused)),
        ("calls answered by the server", counts.calls),
        ("requests lost", counts.lost_requests),
        ("answers lost", counts.lost_answers),
        ("attempts while offline", counts.offline),
        ("calls the server failed", counts.failed),
        ("events a second", round(_rate(report, life))),
    ):
        table.add_row(name, f"{value:,}")
    times = [event.created_at_micros for event in life.generated]
    table.add_row("virtual span", f"{_moment(min(times))} to {_moment(max(times))}")
    table.add_row("real time", f"{report.took.total_seconds():.1f} s")
    return table


def _fleet_table(run: Run) -> Table:
    table = Table(title="The run", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    figures, calls = run.figures, run.figures.calls
    for name, value in (
        ("devices", figures.device_count),
        ("people", figures.person_count),
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
    table.add_row("real time", f"{run.took.total_seconds():.1f} s")
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


def _rate(report: Report, life: Life) -> float:
    return len(life.generated) / max(report.took.total_seconds(), 0.001)


def _moment(micros: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat(timespec="seconds")
