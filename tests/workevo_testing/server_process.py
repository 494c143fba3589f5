"""A real server: `workevo serve` in a process of its own, on a free port and a store of its own."""

import asyncio
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
from workevo_server.app import administer
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
    place of a file in the data directory; `command` starts another program in place of `workevo`, this
    time only. Its first workspace is there before it starts, so that it may be told to die at its first
    commit; on a simulated clock the server makes the store.
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
        command: Sequence[str] | None = None,
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
        if simulated_clock:
            self._start(command or _COMMAND)
            self.keys = self.create_workspace(workspace)
        else:
            self.keys = Keys(**self.administer("workspace.create", {"name": workspace}, is_heard=False))
            self._start(command or _COMMAND)

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
        asks = bool(self.http_address) and "--tls-cert" not in self._flags
        keys = Keys(**self.administer("workspace.create", {"name": name}, is_heard=not asks))
        if "WORKEVO_STORE" in self._environment and asks:
            self._until_known(keys.server_key)
        return keys

    def _until_known(self, key: str) -> None:
        gives_up = time.monotonic() + START_SECONDS_MAX
        headers = {"Authorization": f"Bearer {key}"}
        while request(self.http_address, "GET", "/contacts", headers=headers).status == UNKNOWN_KEY_STATUS:
            assert time.monotonic() < gives_up, self.log
            time.sleep(HEARS_WITHIN_SECONDS)

    def set(self, workspace: str, **settings: object) -> None:
        """What `workevo workspace set` does."""
        changes = {name: str(value) for name, value in settings.items()}
        self.administer("workspace.set", {"workspace": workspace, "settings": changes})

    def audit(self, workspace: str) -> list[dict[str, Any]]:
        """What `workevo workspace audit` tells, newest first."""
        asked = {"workspace": workspace, "count": 100}
        entries: list[dict[str, Any]] = self.administer("workspace.audit", asked, is_heard=False)["entries"]
        return entries

    def revoke(self, workspace: str, key: str) -> None:
        """What `workevo key revoke` does."""
        self.administer("key.revoke", {"workspace": workspace, "prefix": prefix_of(key)})

    @property
    def place(self) -> Place:
        """Where its store is, for whoever wants to look past it."""
        store = self._environment.get("WORKEVO_STORE")
        return FilePlace(self.data_dir / "workevo.db") if store is None else DatabasePlace(store)

    def administer(
        self, command: str, arguments: Mapping[str, Any], *, is_heard: bool = True
    ) -> dict[str, Any]:
        """What `workevo` does for an operator, without the time that a program of its own takes to start.

        Unless `is_heard`, a server on a PostgreSQL may hear of it a moment after this returns: for whoever
        asks it until it has. On a thread of its own, as the caller may be within a loop.
        """
        store = self._environment.get("WORKEVO_STORE")
        with ThreadPoolExecutor(1) as thread:
            if store is None:
                return thread.submit(carry_out, self.data_dir, command, arguments).result()
            if is_heard or "--workers" in self._flags:
                return thread.submit(carry_out, read_url(store), command, arguments).result()
            return thread.submit(asyncio.run, administer(read_url(store), command, arguments)).result()

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


def prefix_of(key: str) -> str:
    """What `workevo key list` shows of it."""
    return key[: len(f"wk_{key.split('_')[1]}_") + 8]


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
