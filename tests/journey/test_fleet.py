"""A fleet lives through what phones live through, against a server that dies: every event accounted for."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pytest

from workevo_server.transport.limits import OVERLOAD_RETRY_FIRST, OVERLOAD_RETRY_LAST
from workevo_simulator import limits, phone_network
from workevo_simulator.figures import Figures
from workevo_simulator.findings import Rules
from workevo_simulator.own_server import OwnServer
from workevo_simulator.run import Plan, Run, run, scenario_plan
from workevo_simulator.scenario import (
    Clock,
    Faults,
    Kind,
    Network,
    Overload,
    People,
    Scenario,
    load_scenario,
)
from workevo_testing.places import on_postgres_when_long

TESTS = Path(__file__).parents[1]
SABOTAGED = (sys.executable, "-m", "workevo_testing.sabotaged_server")
LOSSY = Scenario(
    about="Answers get lost, and the server dies.",
    kinds={"phone": Kind(network=Network(lost_answers=0.3), sessions_per_day=3)},
    server_kills_per_day=2,
)
TWINS = Scenario(
    about="Every phone is cloned, and no marker tells.",
    kinds={"phone": Kind(sessions_per_day=3, faults=Faults(clones=1, marker=0), people=People(logged_in=1))},
)
ALL_AT_ONCE = Scenario(
    about="Everyone calls at one moment, and is pushed back.",
    kinds={"phone": Kind(sessions_per_day=0.3)},
    overloads=(Overload(after_hours=2, for_minutes=0.25, everyone_at_once=True),),
)
LOST_TIME = Scenario(
    about="Clocks are set to and fro.",
    kinds={"phone": Kind(clock=Clock(jumps_per_week=20), sessions_per_day=3)},
)


def plan(scenario: Scenario, *, devices: int, days: float = 7, seed: int = 1, lanes: int = 4) -> Plan:
    return scenario_plan(
        "test",
        scenario,
        seed=seed,
        device_count=devices,
        days=days,
        lanes=lanes,
        patience=timedelta(seconds=60),
        queue_dir=None,
        rules=Rules(metadata_keys=5, identity_window=timedelta(hours=48)),
    )


def lived(
    directory: Path,
    planned: Plan,
    *,
    settings: Mapping[str, str] = MappingProxyType({}),
    sabotage: str | None = None,
) -> Run:
    directory.mkdir(exist_ok=True)
    own = OwnServer(directory, settings=settings)
    if sabotage is not None:
        own.workevo = (*SABOTAGED, sabotage)
    with own.running() as server:
        return run(
            planned,
            server,
            own,
            monotonic=time.monotonic,
            on_lived=lambda _count: None,
            on_read=lambda _count: None,
        )


@pytest.fixture
def tests_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))


def hostile() -> Scenario:
    return load_scenario("hostile")[1]


@pytest.mark.usefixtures("on_each_store")
@pytest.mark.timeout(600)
def test_a_hostile_week_ends_with_every_event_accounted_for(tmp_path: Path) -> None:
    scenario = replace_kills(hostile(), per_day=0.5)
    made = lived(tmp_path, plan(scenario, devices=120), settings=scenario.workspace)

    assert made.found.balanced, made.found
    balance, calls = made.figures.balance, made.figures.calls
    assert made.figures.server_kills >= 2
    assert balance.generated == sum(
        (balance.stored, balance.duplicate, balance.rejected, balance.dropped, balance.open, balance.wiped)
    )
    for lived_through in (balance.stored, balance.duplicate, balance.rejected, balance.resent):
        assert lived_through > 0
    for trouble in (
        calls.lost_requests,
        calls.lost_answers,
        calls.duplicated,
        calls.offline,
        calls.server_down,
    ):
        assert trouble > 0
    assert {each.method for each in made.figures.clocks} >= {"UPTIME", "DEVICE"}
    assert [each.over_bound for each in made.figures.clocks if each.method == "UPTIME"] == [0]
    assert any(each.reason == "EPOCH_FORKED" for each in made.figures.verdicts)


def replace_kills(scenario: Scenario, *, per_day: float) -> Scenario:
    return Scenario(
        about=scenario.about,
        kinds=scenario.kinds,
        server_kills_per_day=per_day,
        overloads=scenario.overloads,
        workspace=scenario.workspace,
    )


@on_postgres_when_long
@pytest.mark.usefixtures("on_each_store")
@pytest.mark.timeout(600)
def test_a_seed_gives_the_same_figures_on_any_number_of_lanes(tmp_path: Path) -> None:
    scenario = replace_kills(hostile(), per_day=1)

    once = lived(tmp_path / "1", plan(scenario, devices=40, days=3)).figures
    again = lived(tmp_path / "2", plan(scenario, devices=40, days=3, lanes=1)).figures
    other = lived(tmp_path / "3", plan(scenario, devices=40, days=3, seed=2)).figures

    assert once == again
    assert once.server_kills > 0
    assert once != other


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(1, 21))
def test_twenty_hostile_weeks_are_accounted_for(tmp_path: Path, seed: int) -> None:
    made = lived(tmp_path, plan(hostile(), devices=200, seed=seed), settings=hostile().workspace)

    assert made.found.balanced, made.found
    assert made.figures.server_kills > 0


@pytest.mark.usefixtures("on_each_store")
@pytest.mark.parametrize("seed", [1, 2])
def test_cloned_phones_lose_nothing_and_store_nothing_twice(tmp_path: Path, seed: int) -> None:
    made = lived(tmp_path, plan(TWINS, devices=20, seed=seed))

    assert made.found.balanced, made.found
    assert forks(made.figures) > 0


@pytest.mark.usefixtures("on_each_store")
def test_the_control_a_server_that_sees_no_forks_loses_events(tmp_path: Path, tests_on_path: None) -> None:
    made = lived(tmp_path, plan(TWINS, devices=20), sabotage="forks-unnoticed")

    assert made.found.missing


@pytest.mark.usefixtures("on_each_store")
def test_the_control_a_server_that_recognises_nothing_stores_twice(
    tmp_path: Path, tests_on_path: None
) -> None:
    made = lived(tmp_path, plan(LOSSY, devices=15, days=2), sabotage="identity-checks-off")

    assert made.found.unexpected


@pytest.mark.usefixtures("on_each_store")
def test_the_control_a_server_that_answers_too_early_loses_what_it_answered(
    tmp_path: Path, tests_on_path: None
) -> None:
    """Where it is killed before the commit; so the scenario kills until one of the kills is there."""
    made = lived(tmp_path, plan(LOSSY, devices=3, days=2), sabotage="answer-before-commit")

    assert made.found.missing
    assert any("it was answered ACCEPTED" in each.what for each in made.found.missing)


@on_postgres_when_long
@pytest.mark.usefixtures("on_each_store")
def test_what_uptime_places_is_right_whatever_was_done_to_the_clock(tmp_path: Path) -> None:
    made = lived(tmp_path, plan(LOST_TIME, devices=15))

    assert made.found.balanced, made.found
    (uptime,) = [each for each in made.figures.clocks if each.method == "UPTIME"]
    assert uptime.share > 0.9
    assert uptime.over_bound == 0


@on_postgres_when_long
@pytest.mark.usefixtures("on_each_store")
def test_the_control_a_server_that_misreads_uptime_is_found_out(tmp_path: Path, tests_on_path: None) -> None:
    made = lived(tmp_path, plan(LOST_TIME, devices=15), sabotage="uptime-misread")

    assert made.found.differing
    assert sum(each.over_bound for each in made.figures.clocks) > 0


@on_postgres_when_long
@pytest.mark.usefixtures("on_each_store")
def test_a_fleet_that_was_pushed_back_returns_spread_out(tmp_path: Path) -> None:
    herd = lived(tmp_path, plan(ALL_AT_ONCE, devices=120, days=0.1)).figures.calls

    assert sum(herd.returns) > 100
    assert max(herd.returns) < 4 * sum(herd.returns) / len(herd.returns)


@on_postgres_when_long
@pytest.mark.usefixtures("on_each_store")
def test_the_control_one_delay_for_all_brings_the_herd_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phone_network, "PUSH_BACK_SHORTEST", timedelta(seconds=3))
    monkeypatch.setattr(phone_network, "PUSH_BACK_LONGEST", timedelta(seconds=3))

    herd = lived(tmp_path, plan(ALL_AT_ONCE, devices=120, days=0.1)).figures.calls

    assert max(herd.returns) > 8 * sum(herd.returns) / len(herd.returns)


def test_the_simulated_push_back_is_the_servers_own() -> None:
    assert (limits.PUSH_BACK_SHORTEST, limits.PUSH_BACK_LONGEST) == (
        OVERLOAD_RETRY_FIRST,
        OVERLOAD_RETRY_LAST,
    )


def forks(figures: Figures) -> int:
    return sum(each.count for each in figures.verdicts if each.reason == "EPOCH_FORKED")


def simulator(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "workevo_simulator", "run", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("on_each_store")
def test_the_command_writes_its_report_and_says_how_it_ended(tmp_path: Path) -> None:
    report, page = tmp_path / "report.json", tmp_path / "report.html"
    done = simulator(
        "--devices", "10", "--days", "2", "--scenario", "steady", "--report", str(report), "--page", str(page)
    )

    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(report.read_text())
    assert figures["balance"]["balanced"]
    assert figures["balance"]["generated"] == figures["balance"]["stored"] > 0
    assert page.read_text().startswith("<!doctype html>") or "<!DOCTYPE html>" in page.read_text()[:200]
    assert f"{figures['balance']['generated']:,} generated" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--scenario", "nightmare"), "There is no scenario 'nightmare'"),
        (("--target", "127.0.0.1:1"), "--target needs --key and --read-key"),
        (("--target", "127.0.0.1:1", "--key", "k", "--read-key", "r"), "no server answers there"),
        (("--devices", "0"), "--devices"),
    ],
)
def test_a_run_that_cannot_be_made_says_why(arguments: tuple[str, ...], sentence: str) -> None:
    done = simulator(*arguments)

    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_early_ends_its_server_too(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "workevo_simulator", "run", "--devices", "500"]
    run = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # A shell's `&` has it ignored.
    )
    assert run.stderr is not None
    assert "commuter" in run.stderr.readline()  # The server answers by now.
    (server_pid,) = children(run.pid)

    run.send_signal(number)
    run.communicate(timeout=60)

    assert run.returncode in {-number, 128 + number}
    assert not Path(f"/proc/{server_pid}").exists()


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
