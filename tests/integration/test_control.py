"""Commands reach the one process that may write the store, whether a server runs or not."""

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from workevo_testing.server_process import Keys, ServerProcess, run_command


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as running:
        yield running


def _ids(listed: str) -> set[str]:
    return {workspace["workspace_id"] for workspace in json.loads(listed)["workspaces"]}


def _ask(path: Path, line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(line)
        with connection.makefile("rb") as answers:
            return answers.readline()


def test_a_workspace_made_beside_a_running_server_is_known_to_it_and_stays(server: ServerProcess) -> None:
    made = server.create_workspace("Second")

    assert _ids(server.command("workspace", "list", "--json")) == {
        server.keys.workspace_id,
        made.workspace_id,
    }

    server.terminate()

    assert _ids(server.command("workspace", "list", "--json")) == {
        server.keys.workspace_id,
        made.workspace_id,
    }


def test_commands_work_before_the_first_server_and_after_a_killed_one(tmp_path: Path) -> None:
    where = ["--data-dir", str(tmp_path / "data")]
    first = Keys(**json.loads(run_command("workspace", "create", "First", "--json", *where)))

    with ServerProcess(tmp_path) as server:
        server.kill()
        assert (server.data_dir / "control.sock").exists()
        assert _ids(server.command("workspace", "list", "--json")) >= {first.workspace_id}
        server.restart()


def test_commands_at_the_same_time_wait_for_each_other(tmp_path: Path) -> None:
    where = ["--data-dir", str(tmp_path / "data")]
    made: list[str] = []
    threads = [
        threading.Thread(
            target=lambda name: made.append(run_command("workspace", "create", name, *where)),
            args=(f"W{number}",),
        )
        for number in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 3
    assert len(_ids(run_command("workspace", "list", "--json", *where))) == 3


def test_commands_work_on_the_store_of_a_simulated_clock(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, simulated_clock=True) as server:
        server.terminate()

        assert _ids(server.command("workspace", "list", "--json")) == {server.keys.workspace_id}


def test_a_data_directory_with_a_long_path_is_controlled_from_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    with ServerProcess(deep) as server:
        control = Path(json.loads((server.data_dir / "lock").read_text())["control"])

        assert control.parent.stat().st_mode & 0o777 == 0o700
        assert not control.is_relative_to(server.data_dir)
        assert server.terminate() == 0
        assert not control.parent.exists()


BAD_LINES = {
    "no JSON": b"hello\n",
    "no object": b"[]\n",
    "no command": b"{}\n",
    "an unknown command": b'{"command": "drop", "arguments": {}}\n',
    "a command that is no text": b'{"command": 1, "arguments": {}}\n',
    "arguments that are none": b'{"command": "workspace.list", "arguments": 3}\n',
    "a missing argument": b'{"command": "workspace.create", "arguments": {}}\n',
    "an argument of another type": b'{"command": "workspace.create", "arguments": {"name": 5}}\n',
    "settings of another type": b'{"command": "workspace.set", "arguments": {"settings": [1]}}\n',
    "a lone surrogate": b'{"command": "workspace.create", "arguments": {"name": "\\ud800"}}\n',
    "deep nesting": b"[" * 50_000 + b"\n",
    "bad UTF-8": b'{"command": "\xff", "arguments": {}}\n',
}


def test_lines_that_are_no_commands_get_a_sentence_and_do_no_harm(server: ServerProcess) -> None:
    control = server.data_dir / "control.sock"
    for line in BAD_LINES.values():
        assert "error" in json.loads(_ask(control, line)), line
    assert _ask(control, b"x" * 200_000 + b"\n") == b""

    assert _ids(server.command("workspace", "list", "--json")) == {server.keys.workspace_id}


def test_who_only_connects_keeps_nobody_out_and_no_server_up(server: ServerProcess) -> None:
    connections = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for connection in connections:
        connection.connect(str(server.data_dir / "control.sock"))

    assert server.command("workspace", "list")
    for connection in connections[1:]:
        connection.close()
    assert server.terminate() == 0
    connections[0].close()


def test_a_directory_that_is_not_ours_to_use_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")

    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_command("workspace", "create", "X", "--data-dir", str(tmp_path / "file"))

    assert caught.value.returncode == 1
    assert "Choose another --data-dir" in caught.value.stderr


def test_a_lock_file_of_a_process_that_is_gone_blocks_nobody(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "lock").write_text(
        json.dumps({"pid": os.getpid(), "control": str(tmp_path / "nowhere.sock")})
    )

    assert run_command("workspace", "create", "X", "--data-dir", str(data_dir))
