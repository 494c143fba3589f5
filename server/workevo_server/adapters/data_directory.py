"""The data directory and its lock: one process writes a store, ever.

    DIR/            0700
    DIR/lock        held with flock while a process owns the store; says which, and its control socket
    DIR/workevo.db  0600
    DIR/control.sock

The lock belongs to the process and not to the file, so that one which was killed
blocks nobody; what its file says then is simply written over.
"""

import fcntl
import json
import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

DATABASE_NAME = "workevo.db"
_SOCKET_PATH_BYTES_MAX = 100  # Linux takes 107 and macOS 103.


class DataDirectoryRefused(Exception):
    """A directory that cannot be used; the text is a sentence for the operator."""


class DataDirectoryLocked(DataDirectoryRefused):
    """Another process owns the directory."""

    def __init__(self, path: Path, *, pid: int | None, control: Path | None) -> None:
        by = f"process {pid}" if pid is not None else "a process that is just starting"
        super().__init__(
            f"The data directory {path} is in use by {by}. Stop it, or choose another --data-dir."
        )
        self.control = control
        """Where that process takes commands; None when it takes none (yet)."""


@dataclass(slots=True)
class DataDirectory:
    """A directory that this process owns until `release`, or until it ends in whatever way."""

    path: Path
    _lock_fd: int
    _socket: Path | None = None
    _private: Path | None = None

    @classmethod
    def lock(cls, path: Path) -> "DataDirectory":
        """Make the directory if need be and own it. Raises DataDirectoryLocked or DataDirectoryRefused."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock_fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataDirectoryRefused(
                f"Cannot use the data directory {path}: {error.strerror}. Choose another --data-dir."
            ) from None
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock_fd)
            raise _locked(path) from None
        directory = cls(path, lock_fd)
        directory._write(control=None)
        return directory

    @property
    def database(self) -> Path:
        return self.path / DATABASE_NAME

    def control_socket(self) -> Path:
        """Where to listen for commands: in the directory, or in a private one when that path is too long."""
        path = (self.path / "control.sock").absolute()
        if len(os.fsencode(path)) > _SOCKET_PATH_BYTES_MAX:
            self._private = Path(tempfile.mkdtemp(prefix="workevo-"))
            path = self._private / "control.sock"
        path.unlink(missing_ok=True)  # Left behind by a process that was killed: the lock is ours.
        self._socket = path
        return path

    def announce(self, control: Path) -> None:
        """Tell other processes where this one takes commands."""
        self._write(control=control)

    def release(self) -> None:
        self._write(control=None)
        if self._socket is not None:
            self._socket.unlink(missing_ok=True)
        if self._private is not None:
            self._private.rmdir()
        os.close(self._lock_fd)

    def _write(self, *, control: Path | None) -> None:
        holder = {"pid": os.getpid(), "control": str(control) if control else None}
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, json.dumps(holder).encode(), 0)


def private_socket(path: Path) -> socket.socket:
    """A listening-to-be socket that only the owner can connect to, from its first moment on."""
    bound = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        bound.bind(str(path))
    finally:
        os.umask(mask)
    return bound


def _locked(path: Path) -> DataDirectoryLocked:
    """What the holder wrote; half a line or none when it is just starting."""
    try:
        holder = json.loads((path / "lock").read_bytes())
        pid, control = holder["pid"], holder["control"]
    except (OSError, ValueError, TypeError, KeyError):
        return DataDirectoryLocked(path, pid=None, control=None)
    return DataDirectoryLocked(path, pid=pid, control=Path(control) if control else None)
