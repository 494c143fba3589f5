"""How every command of `workevo` speaks: plain text, for scripts as much as for people, and one sentence when
something is wrong."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from sqlalchemy import URL

FAILED, MISUSED = 1, 2


def command_group(purpose: str) -> typer.Typer:
    """Plain text throughout: output is read by scripts as often as by people."""
    return typer.Typer(
        help=purpose,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
    )


def place_of(data_dir: Path, store: str | None) -> "Path | URL":
    """Where the store is: the data directory, or the PostgreSQL named."""
    if store is None:
        return data_dir
    from workevo_server.adapters.sql.postgres_address import read_url

    return read_url(store)


def print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def print_json(document: Mapping[str, Any]) -> None:
    print_line(json.dumps(document))


def print_rows(rows: list[tuple[str, str, str]]) -> None:
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    for first, second, third in rows:
        print_line(f"{first:<{widths[0]}}  {second:<{widths[1]}}  {third}".rstrip())


def fail(sentence: str, exit_code: int) -> NoReturn:
    typer.echo(f"workevo: {sentence}", err=True)
    raise SystemExit(exit_code)
