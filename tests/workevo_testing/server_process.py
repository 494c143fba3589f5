"""A real server: `workevo serve` in a process of its own, on a free port and a store of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from workevo_server.adapters.sql.postgres_address import read_url
from workevo_server.commands import carry_out
from workevo_testing.http_calls import request
from workevo_testing.places import DatabasePlace, FilePlace, Place

START_SECONDS_MAX = 60
HEARS_WITHIN_SECONDS = 0.02
UNKNOWN_KEY_STATUS = 401
STOP_SECONDS_MAX = 60
_TESTS = Path(__file__).parent.parent
_COMMAND = (sys.executable, "-m", "workevo_server")
_FREE_PORTS = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A workspace's names and keys, as `workspace create --json` prints them."""

    workspace_id: str
    app_id: str
    sdk_key: str
    browser_key: str
    server_key: str
    admin_key: str


class ServerProcess:
    """Running from construction on; `with` ends it. Everything it writes is in `directory`.

    `flags` go to `serve`; `environment` is added to this process's own; `store` is a PostgreSQL URL, in
    place of a file in the data directory.
    """

    def __init__(
        self,
        directory: Path,
        *,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        simulated_clock: bool = False,
        workspace: str = "Test",
        store: str | None = None,
    ) -> None:
        self.store = store
        self.data_dir = directory / "data"
        self.log_path = directory / "server.log"
        self._flags = [*flags, *(["--simulated-clock"] if simulated_clock else [])]
        if not any(flag.startswith("--drain-seconds") for flag in self._flags):
            self._flags += ["--drain-seconds", "0"]
        self._environment = self._with(environment)
        self.grpc_address = ""
        self.http_address = ""
        self._start(_COMMAND)
        self.keys = self.create_workspace(workspace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    @property
    def log(self) -> str:
        """All it has written to standard error so far, over restarts."""
        return self.log_path.read_text()

    def create_workspace(self, name: str) -> Keys:
        """The server knows it when this returns, though on a PostgreSQL it only hears of it."""
        keys = Keys(**self.administer("workspace.create", {"name": name}))
        speaks_http = self.http_address and "--tls-cert" not in self._flags
        if "WORKEVO_STORE" in self._environment and speaks_http:
            self._until_known(keys.server_key)
        return keys

    def _until_known(self, key: str) -> None:
        gives_up = time.monotonic() + START_SECONDS_MAX
        headers = {"Authorization": f"Bearer {key}"}
        while request(self.http_address, "GET", "/contacts", headers=headers).status == UNKNOWN_KEY_STATUS:
            assert time.monotonic() < gives_up, self.log
            time.sleep(HEARS_WITHIN_SECONDS)

    @property
    def place(self) -> Place:
        """Where its store is, for whoever wants to look past it."""
        store = self._environment.get("WORKEVO_STORE")
        return FilePlace(self.data_dir / "workevo.db") if store is None else DatabasePlace(store)

    def administer(self, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What `workevo` does for an operator, without the time that a program of its own takes to start.

        On a thread of its own, as the caller may be within a loop.
        """
        store = self._environment.get("WORKEVO_STORE")
        place = self.data_dir if store is None else read_url(store)
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(carry_out, place, command, arguments).result()

    def command(self, *arguments: str) -> str:
        """What `workevo ARGUMENTS --data-dir …` prints; raises CalledProcessError when it fails."""
        return run_command(*arguments, "--data-dir", str(self.data_dir), environment=self._environment)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self._process.kill()
        self._reap()

    def terminate(self) -> int:
        """SIGTERM, and wait for the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """The exit code, once the process has ended by itself."""
        self._process.wait(STOP_SECONDS_MAX)
        return self._reap()

    def restart(
        self,
        *,
        flags: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """SIGKILL if it runs, and start again on the same store; the port is a new one.

        `command` starts another program in place of `workevo`, this time only.
        """
        self.kill()
        if flags is not None:
            self._flags = [*flags]
        if environment is not None:
            self._environment = self._with(environment)
        self._start(command or _COMMAND)

    def _start(self, command: Sequence[str]) -> None:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "serve", "--data-dir", str(self.data_dir), *_FREE_PORTS, *self._flags],
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                cwd=_TESTS,
            )
        try:
            ready = _ready(self._process)
            self.grpc_address, self.http_address = ready["grpc"] or "", ready["http"] or ""
        except ValueError:
            self.kill()
            raise AssertionError(f"The server did not start. Its log:\n{self.log}") from None

    def _with(self, environment: Mapping[str, str] | None) -> dict[str, str]:
        stored = {"WORKEVO_STORE": self.store} if self.store is not None else {}
        return {**os.environ, **stored, **(environment or {})}

    def _reap(self) -> int:
        code = self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code


def run_command(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """What `workevo ARGUMENTS` prints; raises CalledProcessError, with its `stderr`, when it fails."""
    done = subprocess.run(
        [*_COMMAND, *arguments],
        capture_output=True,
        check=True,
        env=environment,
        text=True,
        timeout=START_SECONDS_MAX,
    )
    return done.stdout


def _ready(process: subprocess.Popen[bytes]) -> Mapping[str, str | None]:
    """The line in which a server says that it can serve."""
    output = process.stdout
    assert output is not None
    timer = threading.Timer(START_SECONDS_MAX, process.kill)
    timer.start()
    try:
        return _ready_line(output)
    finally:
        timer.cancel()


def _ready_line(output: IO[bytes]) -> Mapping[str, str | None]:
    ready: dict[str, str | None] = json.loads(output.readline())
    assert ready["event"] == "ready"
    return ready
