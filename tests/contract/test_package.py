"""The built wheel: what it ships, and that it works where nothing else of this repository is."""

import json
import os
import signal
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
BUILD_SECONDS_MAX = 240
COMMAND_SECONDS_MAX = 60
OF_THE_SERVER_ALONE = {
    "sqlalchemy",
    "aiosqlite",
    "alembic",
    "structlog",
    "typer",
    "rich",
    "starlette",
    "uvicorn",
}

pytestmark = pytest.mark.timeout(2 * BUILD_SECONDS_MAX)


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as a release is: by hatchling, in an environment of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(REPOSITORY))
    (built,) = folder.glob("*.whl")
    return built


def install(wheel: Path, folder: Path, *, extra: str = "") -> Path:
    """An empty environment with the wheel in it; returns where its commands are."""
    venv.create(folder, symlinks=True)
    pip("--python", str(folder / "bin" / "python"), "install", f"{wheel}{extra}")
    return folder / "bin"


def run(*command: str | Path, cwd: Path) -> str:
    """What the command prints, run away from the checkout and without its paths."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=clean_environment(),
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WORKEVO_"))}


def test_the_wheel_ships_the_contract_its_typed_stubs_and_the_migrations(wheel: Path) -> None:
    shipped = set(zipfile.ZipFile(wheel).namelist())

    for package in ("workevo", "workevo_server", "workevo_mobile", "workevo_simulator"):
        assert f"{package}/py.typed" in shipped
    protos = [
        path.relative_to(REPOSITORY / "protos") for path in REPOSITORY.glob("protos/workevo/**/*.proto")
    ]
    assert protos
    for proto in protos:
        assert {str(proto), f"{proto.with_suffix('')}_pb2.py", f"{proto.with_suffix('')}_pb2.pyi"} <= shipped
    migrations = REPOSITORY / "server" / "workevo_server" / "adapters" / "sql" / "migrations"
    versions = {f"versions/{path.name}" for path in migrations.glob("versions/*.py")}
    assert versions
    for name in {"env.py", "script.py.mako", *versions}:
        assert f"workevo_server/adapters/sql/migrations/{name}" in shipped


def test_the_wheel_ships_what_the_report_is_made_of(wheel: Path) -> None:
    shipped = set(zipfile.ZipFile(wheel).namelist())

    simulator = REPOSITORY / "mobile_client" / "workevo_simulator"
    parts = [*simulator.glob("templates/*.html"), *simulator.glob("static/*")]
    assert {"report.html", "report.css", "uPlot.LICENSE"} <= {path.name for path in parts}
    assert {f"workevo_simulator/{path.relative_to(simulator)}" for path in parts} <= shipped


def test_the_wheel_ships_what_the_console_is_made_of(wheel: Path) -> None:
    shipped = set(zipfile.ZipFile(wheel).namelist())

    server = REPOSITORY / "server" / "workevo_server"
    console = server / "transport" / "http" / "console"
    parts = [*console.glob("templates/*.html"), *console.glob("static/*")]
    assert {"layout.html", "console.css", "htmx.LICENSE", "uPlot.LICENSE"} <= {path.name for path in parts}
    assert {f"workevo_server/{path.relative_to(server)}" for path in parts} <= shipped


def test_the_console_and_the_report_draw_with_the_same_library() -> None:
    """It stands in both: each is installed without the other."""
    console = REPOSITORY / "server" / "workevo_server" / "transport" / "http" / "console" / "static"
    report = REPOSITORY / "mobile_client" / "workevo_simulator" / "static"
    for name in ("uPlot.iife.min.js", "uPlot.min.css", "uPlot.LICENSE"):
        assert (console / name).read_bytes() == (report / name).read_bytes(), name


def test_the_wheel_ships_nothing_else(wheel: Path) -> None:
    folders = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    packages = {folder for folder in folders if not folder.endswith(".dist-info")}

    assert packages == {"workevo", "workevo_server", "workevo_mobile", "workevo_simulator"}


ON_A_DEVICE = """
import importlib.metadata, json, workevo_mobile, workevo.tracking.v1.tracking_pb2
from workevo_mobile import GrpcTransport, Tracker

transport = GrpcTransport("127.0.0.1:9", "key")
tracker = Tracker("queue.db", transport=transport, background=False)
tracker.track("installed")
names = [each.metadata["Name"].lower() for each in importlib.metadata.distributions()]
print(json.dumps({"pending": tracker.pending(), "installed": names}))
tracker.close()
"""


def test_the_device_side_installs_and_tracks_without_a_database_package(wheel: Path, tmp_path: Path) -> None:
    commands = install(wheel, tmp_path / "venv")

    printed = json.loads(run(commands / "python", "-c", ON_A_DEVICE, cwd=tmp_path))

    assert printed["pending"] == 1
    assert "workevo" in printed["installed"]
    assert not OF_THE_SERVER_ALONE & set(printed["installed"])


def test_the_server_runs_from_the_installed_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    commands = install(wheel, tmp_path / "venv", extra="[server]")
    data_dir = tmp_path / "data"

    assert "serve" in run(commands / "workevo", "--help", cwd=tmp_path)
    assert serve_once(commands / "workevo", data_dir, cwd=tmp_path) == 0
    assert (data_dir / "workevo.db").stat().st_size > 0
    made = run(
        commands / "workevo", "workspace", "create", "Acme", "--data-dir", data_dir, "--json", cwd=tmp_path
    )
    assert json.loads(made)["sdk_key"]


def serve_once(workevo: Path, data_dir: Path, *, cwd: Path) -> int:
    """Start a server, wait until it serves, ask it to stop; its exit code."""
    command: list[str | Path] = [
        workevo,
        "serve",
        "--data-dir",
        data_dir,
        "--grpc",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--drain-seconds",
        "0",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=cwd, env=clean_environment()
    ) as server:
        assert server.stdout is not None
        try:
            ready = json.loads(server.stdout.readline())
            assert ready["event"] == "ready"
            server.send_signal(signal.SIGTERM)
            return server.wait(COMMAND_SECONDS_MAX)
        finally:
            server.kill()
