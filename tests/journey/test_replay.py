"""A recorded clickstream lived through by phones with bad networks: every event accounted for."""

import gzip
import json
import shutil
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from workevo_simulator.findings import Fate, Rules
from workevo_simulator.recorded_crew import BadNetwork
from workevo_simulator.recorded_time import zone_named
from workevo_simulator.recording import Columns, Row, read_rows
from workevo_simulator.run import Plan, recorded_plan, run
from workevo_simulator.target import Server
from workevo_testing.places import Place
from workevo_testing.server_process import ServerProcess

ECOM = Path(__file__).parents[1] / "data" / "ecom.csv.gz"
METADATA = ("platform", "acquisition_channel", "user_lifecycle")
GENERATED, STORED, DUPLICATE, PEOPLE = 31_106, 31_076, 30, 600
COLUMNS = Columns(contact="user_id", name="event", time="timestamp", device="user_id", metadata=METADATA)
RULES = Rules(metadata_keys=5, identity_window=timedelta(hours=48))


def simulator(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "workevo_simulator", *arguments], capture_output=True, text=True, check=False
    )


def replay_command(file: Path, server: ServerProcess, *options: str) -> "subprocess.CompletedProcess[str]":
    named = [option for column in METADATA for option in ("--metadata-column", column)]
    return simulator("replay", str(file), *addressed(server), "--key", server.keys.sdk_key, *named, *options)


def addressed(server: ServerProcess) -> list[str]:
    return ["--target", server.grpc_address, "--read-key", server.keys.server_key]


def some_people(directory: Path, *, row_count: int) -> Path:
    """The head of the clickstream as a plain file; its rows come person by person."""
    path = directory / "some.csv"
    with gzip.open(ECOM, "rt", encoding="utf-8") as whole, path.open("w", encoding="utf-8") as part:
        part.writelines(line for _, line in zip(range(row_count + 1), whole, strict=False))
    return path


@pytest.mark.timeout(600)
def test_every_event_of_the_clickstream_is_accounted_for(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, simulated_clock=True) as server:
        done = replay_command(ECOM, server, "--report", str(tmp_path / "report.json"))
        assert server.terminate() == 0

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    balance, calls = report["balance"], report["calls"]
    assert (balance["generated"], balance["stored"], balance["duplicate"]) == (GENERATED, STORED, DUPLICATE)
    for nothing in (
        "archived",
        "rejected",
        "dropped",
        "open",
        "wiped",
        "missing",
        "unexpected",
        "differing",
        "imbalances",
    ):
        assert balance[nothing] == 0, nothing
    assert report["findings"] == []
    assert report["device_count"] == PEOPLE
    assert min(calls["lost_requests"], calls["lost_answers"], calls["offline"], balance["resent"]) > 100
    assert f"{GENERATED:,} generated = {STORED:,} stored + {DUPLICATE} duplicate" in " ".join(
        done.stdout.split()
    )


class Killer:
    """Kills the server and starts it again on the same port, whenever so many more rows were tracked."""

    def __init__(self, server: ServerProcess, *, every: int, times: int) -> None:
        self.server = server
        self.every = every
        self.times = times
        self.kills = 0
        self._tracked = 0
        self._lock = threading.Lock()

    def on_tracked(self, count: int) -> None:
        with self._lock:
            self._tracked += count
            if self.kills < self.times and self._tracked >= self.every * (self.kills + 1):
                self.kills += 1
                self.server.restart(
                    flags=["--grpc", self.server.grpc_address, "--simulated-clock", "--drain-seconds", "0"]
                )


@pytest.mark.usefixtures("on_each_store")
@pytest.mark.parametrize(
    ("on_each_store", "row_count"),
    [
        ("sqlite", 6_000),
        ("postgresql", 3_000),
        pytest.param("sqlite", GENERATED, marks=pytest.mark.long),
        pytest.param("postgresql", GENERATED, marks=pytest.mark.long),
    ],
    indirect=["on_each_store"],
)
@pytest.mark.timeout(900)
def test_nothing_is_lost_when_answers_are_and_the_server_is_killed_three_times(
    tmp_path: Path, row_count: int
) -> None:
    file = ECOM if row_count == GENERATED else some_people(tmp_path, row_count=row_count)
    with ServerProcess(tmp_path, simulated_clock=True) as server:
        address = server.grpc_address
        killer = Killer(server, every=row_count // 4, times=3)

        made = run(
            plan(read_rows(file, columns=COLUMNS, zone=zone_named("UTC")), lost_answers=0.2),
            Server(target=address, sdk_key=server.keys.sdk_key, server_key=server.keys.server_key),
            monotonic=time.monotonic,
            on_lived=killer.on_tracked,
            on_read=lambda _count: None,
        )

        assert server.grpc_address == address
    assert killer.kills == 3
    assert made.found.balanced, made.found
    assert set(made.found.fates) <= {Fate.STORED, Fate.DUPLICATE}
    assert sum(made.found.fates.values()) == row_count
    if row_count == GENERATED:
        assert made.found.fates == {Fate.STORED: STORED, Fate.DUPLICATE: DUPLICATE}
    calls = made.figures.calls
    assert calls.server_down > 0
    assert calls.lost_answers > (calls.calls - calls.offline - calls.lost_requests) // 6


def plan(rows: list[Row], *, lost_answers: float, patience: timedelta = timedelta(seconds=60)) -> Plan:
    return recorded_plan(
        "ecom",
        rows,
        network=BadNetwork(lost_requests=0.05, lost_answers=lost_answers, offline_spells_per_week=2.0),
        seed=2,
        flush_interval=timedelta(minutes=5),  # Half the calls; the other journey has the interval of the SDK.
        lanes=32,
        patience=patience,
        queue_dir=None,
        rules=RULES,
    )


@pytest.mark.usefixtures("on_each_store")
def test_an_event_taken_from_the_store_afterwards_is_found_missing(tmp_path: Path) -> None:
    """The control: an audit that finds nothing here would be worth nothing above."""
    file, truth = some_people(tmp_path, row_count=600), tmp_path / "truth.ndjson"
    with ServerProcess(tmp_path, simulated_clock=True) as server:
        done = replay_command(file, server, "--truth", str(truth))
        assert done.returncode == 0, done.stdout + done.stderr
        assert simulator("reconcile", str(truth), *addressed(server)).returncode == 0
        assert server.terminate() == 0
        take_one_event(server.place)
        server.restart()

        audit = simulator(
            "reconcile", str(truth), *addressed(server), "--report", str(tmp_path / "audit.json")
        )

    assert audit.returncode == 1, audit.stdout + audit.stderr
    report = json.loads((tmp_path / "audit.json").read_text())
    balance = report["balance"]
    assert (balance["generated"], balance["missing"]) == (600, 1)
    assert balance["stored"] + balance["duplicate"] == 599
    assert balance["imbalances"] > 0
    assert "Not every event is accounted for." in audit.stdout


def take_one_event(place: Place) -> None:
    """One that occurs but once in its person's life, so that nothing could be taken for its twin."""
    ((before,),) = place.rows("SELECT count(*) FROM events")
    place.execute("DELETE FROM events WHERE receipt_no = (SELECT max(receipt_no) FROM events)")
    assert place.rows("SELECT count(*) FROM events") == [(before - 1,)]


@pytest.fixture
def one_person(tmp_path: Path) -> Path:
    return some_people(tmp_path, row_count=20)


@pytest.mark.usefixtures("on_each_store")
def test_a_workspace_that_holds_anything_is_refused(tmp_path: Path, one_person: Path) -> None:
    with ServerProcess(tmp_path, simulated_clock=True) as server:
        assert replay_command(one_person, server).returncode == 0
        again = replay_command(one_person, server)

    assert again.returncode == 2
    assert "already has installs" in again.stderr


@pytest.mark.usefixtures("on_each_store")
def test_a_server_on_its_own_clock_is_refused(tmp_path: Path, one_person: Path) -> None:
    with ServerProcess(tmp_path) as server:
        done = replay_command(one_person, server)

    assert done.returncode == 2
    assert "--simulated-clock" in done.stderr


@pytest.mark.usefixtures("on_each_store")
def test_a_wrong_key_is_refused_with_a_sentence(tmp_path: Path, one_person: Path) -> None:
    with ServerProcess(tmp_path, simulated_clock=True) as server:
        target = ["--target", server.grpc_address]
        unreadable = simulator("replay", str(one_person), *target, "--key", "x", "--read-key", "wrong")
        unwritable = simulator(
            "replay", str(one_person), *target, "--key", "wrong", "--read-key", server.keys.server_key
        )

    assert (unreadable.returncode, unwritable.returncode) == (2, 2)
    assert "does not know the server key" in unreadable.stderr
    assert "does not know the sdk key" in unwritable.stderr


@pytest.mark.usefixtures("on_each_store")
def test_a_server_that_stays_away_ends_the_run_with_a_sentence(tmp_path: Path, one_person: Path) -> None:
    with ServerProcess(tmp_path, simulated_clock=True) as server:
        never = replay_command(one_person, server, "--queue-dir", str(tmp_path / "queues"), "--patience", "0")
        address, keys = addressed(server), server.keys
        server.kill()
        gone = simulator("replay", str(one_person), *address, "--key", keys.sdk_key)

    assert never.returncode == 0, never.stderr
    assert len(list((tmp_path / "queues").iterdir())) >= 1
    assert gone.returncode == 2
    assert "no server answers there" in gone.stderr


@pytest.mark.usefixtures("on_each_store")
def test_devices_of_one_person_share_what_is_recognised_as_a_copy(tmp_path: Path) -> None:
    """Two devices, one person, the same name and second on both: one is stored, the other is its copy."""
    log = tmp_path / "two.ndjson"
    log.write_text(
        "".join(
            json.dumps(
                {"who": who, "what": "opened", "at": 1_710_325_274 + 3600 * hour, "phone": phone, "n": hour}
            )
            + "\n"
            for hour in range(40)
            for who, phone in (("anna", "a1"), ("anna", "a2"), ("bert", "b1"))
        )
    )
    with ServerProcess(tmp_path, simulated_clock=True) as server:
        done = simulator(
            *("replay", str(log), *addressed(server), "--key", server.keys.sdk_key),
            *("--contact-column", "who", "--name-column", "what", "--time-column", "at"),
            *(
                "--device-column",
                "phone",
                "--metadata-columns",
                "all",
                "--report",
                str(tmp_path / "report.json"),
            ),
        )

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    balance = report["balance"]
    assert (balance["generated"], balance["stored"], balance["duplicate"]) == (120, 80, 40)
    assert report["device_count"] == 3


def test_the_demo_shows_the_balance_and_a_person_and_leaves_nothing_behind(tmp_path: Path) -> None:
    file = some_people(tmp_path, row_count=120)
    (tmp_path / "tmp").mkdir()

    done = subprocess.run(
        [sys.executable, "-m", "workevo_simulator.demo", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={"TMPDIR": str(tmp_path / "tmp"), "PATH": str(Path(shutil.which("sh") or "/bin/sh").parent)},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "120 generated = 120 stored" in " ".join(done.stdout.split())
    assert "did, as read back" in done.stdout
    assert "acquisition_channel" in done.stdout
    assert not list((tmp_path / "tmp").iterdir())
