"""A person as the server shows them: the side bar and the head of the timeline."""

from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from workevo_simulator.limits import ACTIVITIES_SHOWN_MAX
from workevo_simulator.readback import Person


def print_profile(user_id: str, person: Person, console: Console) -> None:
    """The summary (R20) and the newest activities (R21)."""
    console.print(_summary_table(user_id, person))
    console.print(_timeline_table(user_id, person))


def _summary_table(user_id: str, person: Person) -> Table:
    table = Table(title=f"What {escape(user_id)} did, as read back")
    table.add_column("event")
    table.add_column("count", justify="right")
    table.add_column("first")
    table.add_column("last")
    for each in person.summaries:
        table.add_row(
            escape(each.display_name),
            f"{each.count:,}",
            shown_time(each.first_micros),
            shown_time(each.last_micros),
        )
    return table


def _timeline_table(user_id: str, person: Person) -> Table:
    table = Table(title=f"The newest of {len(person.events):,} activities of {escape(user_id)}")
    table.add_column("occurred")
    table.add_column("event")
    table.add_column("metadata")
    for each in person.events[:ACTIVITIES_SHOWN_MAX]:
        metadata = ", ".join(f"{key}: {value}" for key, value in each.metadata)
        table.add_row(shown_time(each.occurred_at_micros), escape(each.display_name), escape(metadata))
    return table


def shown_time(micros: int) -> str:
    """UTC, to the second."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
