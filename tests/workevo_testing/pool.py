"""Looking at `workevo serve --workers N` from outside, by what Linux tells of processes and connections."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from workevo_testing.server_process import ServerProcess

WAIT_SECONDS_MAX = 60
_ESTABLISHED = "01"
_ENDED = "ZX"


def worker_pids(server: ServerProcess) -> set[int]:
    """All its processes, those too that are starting or ending."""
    return children(server.pid)


def children(pid: int) -> set[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in found if is_alive(int(child))}


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in _ENDED


def connections(server: ServerProcess, address: str) -> Counter[int]:
    """How many connections to an address each worker holds, by its pid."""
    port = int(address.rpartition(":")[2])
    inodes = _inodes_at(port)
    return Counter({pid: len(_sockets_of(pid) & inodes) for pid in worker_pids(server)})


def landed_on(server: ServerProcess, address: str, connect: Callable[[], object]) -> int:
    """The pid of the worker that took the one connection that `connect` makes; nobody else may make any."""
    before = connections(server, address)
    connect()
    wait_until(lambda: bool(connections(server, address) - before))
    ((pid, _count),) = (connections(server, address) - before).items()
    return pid


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not is_so():
        assert time.monotonic() < deadline, "It never came to be so."
        time.sleep(0.05)


def _inodes_at(port: int) -> set[str]:
    tables = (Path("/proc/net") / name for name in ("tcp", "tcp6"))  # gRPC's are of the latter, always.
    rows = [row.split() for table in tables for row in table.read_text().splitlines()[1:]]
    return {row[9] for row in rows if int(row[1].rpartition(":")[2], 16) == port and row[3] == _ESTABLISHED}


def _sockets_of(pid: int) -> set[str]:
    found = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = _target(descriptor)
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return found


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""
