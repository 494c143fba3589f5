"""A disk that refuses to keep what was written: the server promises nothing, ends at once, and recovers."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from workevo.tracking.v1 import tracking_pb2
from workevo_server.app import FSYNC_FAILED_EXIT_CODE
from workevo_testing.oracle import NOTHING_AMISS, compare, stored_names
from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import Phone, event

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace: apt-get install strace (Debian, Ubuntu)"
)

PHONE = tracking_pb2.Install(install_id="phone", epoch=b"e" * 16)


@contextmanager
def failing_fsync(pid: int) -> Iterator[None]:
    """From now on every fsync of the process and its threads fails with EIO."""
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(pid), "-e", "inject=fsync,fdatasync:error=EIO", "-o", "/dev/null"],
        stderr=subprocess.PIPE,
    )
    try:
        assert tracer.stderr is not None
        tracer.stderr.readline()  # "attached": from here on it injects.
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=20)


def send(server: ServerProcess, *names: str) -> tracking_pb2.UploadEventsResponse:
    with grpc.insecure_channel(server.grpc_address) as channel:
        return Phone(channel, server.keys.sdk_key, PHONE).upload(
            event(sequence, name=name, user_id="u1") for sequence, name in enumerate(names, start=1)
        )


def test_after_a_failed_fsync_nothing_is_promised_and_the_process_ends(tmp_path: Path) -> None:
    """What became of pages that could not be written is unknown, so the process must not go on."""
    with ServerProcess(tmp_path) as server:
        assert send(server, "before").accepted_count == 1
        with failing_fsync(server.pid):
            with pytest.raises(grpc.RpcError) as refused:
                send(server, "before", "during")
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert server.wait() == FSYNC_FAILED_EXIT_CODE
        server.restart()
        answer = send(server, "before", "during")
        assert answer.accepted_count + len(answer.results) == 2
        assert compare(stored_names(server, "u1"), promised=["before", "during"]) == NOTHING_AMISS
