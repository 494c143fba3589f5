"""What holds for every test."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from workevo_testing.places import STORES, DatabasePlace, FilePlace, Place, store_of
from workevo_testing.postgres import INSTALL, PostgresCluster, programs

TESTS = Path(__file__).parent
TRACED = (
    "unit/",
    "conformance/",
    "integration/test_mobile_",
    "integration/test_back_end_events",
    "integration/test_erasing",
    "integration/test_people.py",
    "integration/test_sql_store",
    "integration/test_told_counts",
)
"""Whose code is watched line by line: together they reach every line that has to be reached (scripts/test
says which), and watching takes its time."""


settings.register_profile("workevo", deadline=None)  # How busy the machine is says nothing of a rule.
settings.load_profile("workevo")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Journeys begin first, as they take longest, and nobody waits for the last of them alone.

    Without --long the long tests are left out, not skipped: a skip says that something is missing.
    """
    items.sort(key=lambda item: item.path.parent.name != "journey")
    for item in items:
        if not item.path.relative_to(TESTS).as_posix().startswith(TRACED):
            item.add_marker("no_cover")
    if config.getoption("--long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """In CI every component is there, so a skipped test is one that did not run: a failure."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """What a cancelled task of SQLAlchemy left ends here: Python 3.11 miscounts its own depth where that
    happens amid a parse, and plugins import modules after this."""
    gc.collect()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """One for all tests of a worker, each in a database of its own."""
    if programs() is None:
        pytest.skip(f"There is no PostgreSQL here. Install it: {INSTALL}")
    with PostgresCluster() as cluster:
        yield cluster


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where to make a store: every rule holds on both."""
    store = store_of(request)
    return FilePlace(tmp_path / "workevo.db") if store is None else DatabasePlace(store)


@pytest.fixture(params=STORES)
def on_each_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the servers of this test keep their events in, as `WORKEVO_STORE` would say for a user's."""
    store = store_of(request)
    if store is not None:
        monkeypatch.setenv("WORKEVO_STORE", store)
