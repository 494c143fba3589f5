"""`workevo serve` as a person would run it, on a store that is thrown away: for the demo and for fleets.

Another program: this one only starts it, kills it where a scenario says so, and ends it.
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from workevo_simulator.errors import ServerUnusable
from workevo_simulator.limits import SHUTDOWN_GRACE
from workevo_simulator.target import Server

CRASH_POINTS = ("before_commit", "after_commit", "before_answer")
_WORKSPACE = "fleet"
_CRASHED = 137  # The exit code of a server that reached its crash point, as of one killed by SIGKILL.


@dataclass(slots=True)
class OwnServer:
    """Safe from any thread. A server that dies is started again at once, on the same port and store."""

    directory: Path
    """Empty; the store and the log are made in it."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of its workspace."""
    http: str = "off"
    """Where its console and REST are, as HOST:PORT; port 0 picks a free one."""
    workevo: Sequence[str] = (sys.executable, "-m", "workevo_server")
    """The command; another one is for tests that take a guarantee away."""
    _armed: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _target: str = field(default="127.0.0.1:0", init=False)
    _ending: bool = field(default=False, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _revived: threading.Condition = field(default_factory=threading.Condition, init=False)

    @contextmanager
    def running(self) -> Iterator[Server]:
        """A server on loopback with a workspace of its own, ended on leaving."""
        try:
            self._start()
            yield self._workspace()
        finally:
            self._end()

    @property
    def is_dead(self) -> bool:
        """Whether it has died since it was armed."""
        return self._armed is not None and self._armed.poll() is not None

    def console_link(self) -> str:
        """A link that signs in to its console, once and soon."""
        return self._said("console", "link", _WORKSPACE).decode().strip()

    def arm(self, point: str) -> None:
        """`kill -9`, and start it so that it dies by itself when it reaches the crash point."""
        with self._lock:
            self._kill()
            self._armed = self._start("--crash-at", point)
            armed = self._armed
        threading.Thread(target=self._revive, args=(armed,), name="reviver", daemon=True).start()

    def disarm(self) -> None:
        """Start it anew without a crash point."""
        with self._lock:
            self._kill()
            self._start()

    def await_revival(self, timeout: timedelta) -> bool:
        """Whether it answers again."""
        with self._revived:
            return self._revived.wait_for(lambda: self._process is not self._armed, timeout.total_seconds())

    def _revive(self, armed: "subprocess.Popen[bytes]") -> None:
        if armed.wait() != _CRASHED:
            return
        with self._lock:
            if self._ending or armed is not self._process:
                return
            self._start()
        with self._revived:
            self._revived.notify_all()

    def _start(self, *options: str) -> "subprocess.Popen[bytes]":
        command = [*self.workevo, "serve", "--data-dir", str(self._store), "--simulated-clock"]
        command += ["--grpc", self._target, "--http", self.http, "--drain-seconds", "0", *options]
        with self._log.open("ab") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)  # noqa: S603 - Our own program.
        self._target = self._ready_target(process)
        self._process = process
        return process

    def _ready_target(self, process: "subprocess.Popen[bytes]") -> str:
        """The address of the ready line; without one the server has ended, and its log says why."""
        assert process.stdout is not None
        for line in process.stdout:
            ready = json.loads(line)
            if ready.get("event") == "ready":
                return str(ready["grpc"])
        raise ServerUnusable(f"The server did not start: {self._log.read_text(encoding='utf-8').strip()}")

    def _workspace(self) -> Server:
        keys = json.loads(self._said("workspace", "create", _WORKSPACE, "--json"))
        if self.settings:
            chosen = [f"{key}={value}" for key, value in self.settings.items()]
            self._said("workspace", "set", keys["workspace_id"], *chosen)
        return Server(target=self._target, sdk_key=keys["sdk_key"], server_key=keys["server_key"])

    def _said(self, *arguments: str) -> bytes:
        command = [*self.workevo, *arguments, "--data-dir", str(self._store)]
        done = subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - Our own program.
        if done.returncode:
            sentence = done.stderr.decode(errors="replace").strip()
            raise ServerUnusable(f"`workevo {' '.join(arguments)}` failed: {sentence}")
        return done.stdout

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _end(self) -> None:
        with self._lock:
            self._ending = True
            process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.communicate(timeout=SHUTDOWN_GRACE.total_seconds())
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    @property
    def _store(self) -> Path:
        return self.directory / "store"

    @property
    def _log(self) -> Path:
        return self.directory / "server.log"


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the program as Ctrl-C does, so that its server is ended on the way out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
