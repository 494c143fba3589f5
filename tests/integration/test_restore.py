"""A file put back from a backup (docs/OPERATING.md): what is lost is told, what came back is done again."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from workevo.tracking.v1.tracking_pb2 import DropReason
from workevo_mobile import AppInfo, GrpcTransport, Tracker
from workevo_testing.oracle import balance
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import ServerProcess, run_command

FILES = ("workevo.db", "workevo.db-wal", "workevo.db-shm")


def back_up(store: Path, copy: Path) -> None:
    """Beside the server, which goes on writing."""
    with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as reader:
        reader.execute("VACUUM INTO ?", (str(copy),))


def put_back(copy: Path, data_dir: Path, aside: Path) -> None:
    aside.mkdir(mode=0o700)
    for name in FILES:
        if (data_dir / name).exists():
            (data_dir / name).rename(aside / name)
    shutil.copy(copy, data_dir / FILES[0])
    (data_dir / FILES[0]).chmod(0o600)


class Phone:
    """Tracks and uploads, each time in a process of its own as far as its queue can tell."""

    def __init__(self, queue: Path) -> None:
        self._queue = queue
        self.install_id = ""

    def send(self, server: ServerProcess, *names: str) -> None:
        transport = GrpcTransport(server.grpc_address, server.keys.sdk_key)
        app = AppInfo(platform="python", app_version="1")
        with closing(Tracker(self._queue, transport=transport, app=app)) as tracker:
            for name in names:
                tracker.track(name)
            tracker.flush()
            self.install_id = tracker.install_id


def test_a_file_put_back_from_a_backup_is_told_by_its_devices_what_it_has_lost(tmp_path: Path) -> None:
    phone, copy, aside = Phone(tmp_path / "queue.db"), tmp_path / "copy.db", tmp_path / "aside"
    with ServerProcess(tmp_path) as server:
        phone.send(server, "a", "b", "c")
        back_up(server.data_dir / FILES[0], copy)
        phone.send(server, "d", "e")
        assert balance(server, phone.install_id).stored == 5
        server.terminate()

        put_back(copy, server.data_dir, aside)
        assert server.command("check") == "3 events: the store is sound.\n"
        server.restart()
        phone.send(server, "f")
        phone.send(server, "g")

        told = balance(server, phone.install_id)
        assert (told.generated, told.stored, told.dropped, told.open) == (7, 5, 2, 0)
        assert [(each.reason, each.count) for each in told.dropped_by_reason] == [
            (DropReason.DROP_REASON_CORRUPT, 2)
        ]
        assert server.command("check") == "5 events: the store is sound.\n"


def test_what_a_backup_brings_back_stands_in_the_store_that_was_moved_away_and_is_done_again(
    tmp_path: Path,
) -> None:
    copy, aside = tmp_path / "copy.db", tmp_path / "aside"
    with ServerProcess(tmp_path) as server:
        rest = Rest(address=server.http_address, key=server.keys.server_key)
        contact_id = rest.make_user("user-42")["id"]
        back_up(server.data_dir / FILES[0], copy)
        assert rest.call("DELETE", f"/contacts/{contact_id}").status == 200
        server.terminate()

        put_back(copy, server.data_dir, aside)
        server.restart()

        moved_away = run_command("workspace", "audit", "Test", "--json", "--data-dir", str(aside))
        deleted = [
            each["subject"]
            for each in json.loads(moved_away)["entries"]
            if each["action"] == "contact.delete"
        ]
        assert deleted == [contact_id]
        rest = Rest(address=server.http_address, key=server.keys.server_key)
        assert rest.get(f"/contacts/{contact_id}").status == 200
        assert rest.call("DELETE", f"/contacts/{contact_id}").status == 200
        assert rest.get(f"/contacts/{contact_id}").status == 404
