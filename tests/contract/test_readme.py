"""What the documents say is so: code runs, tests and options that they name exist, links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.core
import typer.main

from workevo_server import cli
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.services.workspaces import settings_text
from workevo_testing.server_process import ServerProcess, run_command

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"
SERVER_README = REPOSITORY / "server" / "README.md"
RUN_SECONDS_MAX = 60


def is_ours(path: Path) -> bool:
    """And not of what is installed below the repository."""
    parts = path.relative_to(REPOSITORY).parts
    return "node_modules" not in parts and not any(part.startswith(".") for part in parts)


def documents() -> list[Path]:
    return sorted(path for path in REPOSITORY.rglob("*.md") if is_ours(path))


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)


def test_the_readmes_python_tracks_and_reads_back(server: ServerProcess, tmp_path: Path) -> None:
    code = "\n".join(blocks(README, "python"))
    for told, real in (
        ("127.0.0.1:7575", server.grpc_address),
        ("SDK_KEY", server.keys.sdk_key),
        ("SERVER_KEY", server.keys.server_key),
    ):
        assert told in code
        code = code.replace(told, real)

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["Invited friend: 1", "Opened app: 1"]


def test_every_option_that_the_readme_gives_to_workevo_exists() -> None:
    shell = "\n".join(blocks(README, "sh"))
    told = re.findall(r"^workevo (serve|workspace create)\b(.*)$", shell, re.MULTILINE)
    assert {command for command, _ in told} == {"serve", "workspace create"}

    for command, arguments in told:
        offered = run_command(*command.split(), "--help")
        for option in re.findall(r"--[a-z-]+", arguments):
            assert option in offered


def test_every_test_that_a_document_names_exists() -> None:
    source = "\n".join(path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"def (test_\w+)\(", source))

    for document in documents():
        named = set(re.findall(r"`(test_\w+)`", document.read_text()))
        assert named <= defined, document


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


COPIES = {"docs/RULES.md", "docs/RELIABILITY.md", "tests/conformance/test_copies.py"}
"""As they are elsewhere, where other documents lie beside them, and what compares them with those."""


def test_every_document_that_code_or_a_document_names_is_there() -> None:
    readable = [path for ending in ("py", "proto", "md") for path in REPOSITORY.rglob(f"*.{ending}")]
    ours = [path for path in readable if is_ours(path) and str(path.relative_to(REPOSITORY)) not in COPIES]
    there = {str(path.relative_to(REPOSITORY)) for path in documents()}

    assert len(ours) > 100
    for path in ours:
        for name in re.findall(r"(?<![\w./-])(?:[\w-]+/)*[A-Z]{2,}\.md\b", path.read_text()):
            beside = str((path.parent / name).resolve().relative_to(REPOSITORY))
            assert {name, beside} & there, f"{path}: {name}"


def rows(document: Path, heading: str) -> list[list[str]]:
    """The rows of all tables under a heading, without back ticks; header and ruler left out."""
    section = document.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in section.splitlines() if "|" in line
    ]
    return [row for row in cells if row[0] not in {"flag", "key", "---"}]


def test_the_table_of_settings_is_what_serve_takes() -> None:
    commands = typer.main.get_command(cli.app)
    assert isinstance(commands, typer.core.TyperGroup)
    options = [each for each in commands.commands["serve"].params if isinstance(each, typer.core.TyperOption)]
    taken = {(each.opts[0], each.envvar, shown(each.default)) for each in options if not each.hidden}

    told = {tuple(row[:3]) for row in rows(SERVER_README, "Settings") if row[0].startswith("--")}

    assert told == taken


def shown(default: object) -> str:
    if default is None:
        return "–"
    return "off" if default is False else str(default)


def test_the_table_of_a_workspaces_settings_is_what_it_has() -> None:
    told = {row[0]: row[1] for row in rows(SERVER_README, "Settings") if not row[0].startswith("--")}

    assert told == settings_text(WorkspaceSettings())
