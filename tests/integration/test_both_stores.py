"""What is tested on one store alone is named here with its reason; all else runs on both."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
KEEPS_EVENTS = re.compile(r"\b(ServerProcess|SqlStore\.open|opened_store|OwnServer)\(")
ON_BOTH = re.compile(
    r"\bon_each_store\b|\bplace: Place\b|\bstore_of\b|\bPostgresCluster\b|^pytestmark = on_postgres$",
    re.MULTILINE,
)
ON_ONE = {
    "browser/test_console_pages.py": "layout, policy and contrast of pages whose content is tested on both",
    "contract/test_metrics.py": "what a process counts of its calls, whatever they are about",
    "integration/test_cli.py": "the command line's own words; what it does is tested where it is done",
    "integration/test_control.py": "the control socket of a data directory, which a PostgreSQL has none of",
    "integration/test_disk_faults.py": "fsyncs of a file by this process; PostgreSQL's are its own",
    "integration/test_failed_event_pages.py": "SQLite's plans; PostgreSQL's are in test_plans.py",
    "integration/test_migrations.py": "stores of old, of which there were none on PostgreSQL",
    "integration/test_restore.py": "a file that is put back; a dump is in test_postgres_rights.py",
    "integration/test_serve.py": "how a process owns a data directory, starts and is refused",
    "integration/test_shutdown.py": "how doors close; the store is closed after them",
    "integration/test_tls.py": "certificates",
    "journey/test_deletion_kills.py": "what a deletion leaves in pages of a file (decisions/0006, 0012)",
}
"""By file; a test that comes to run on both has to leave this list."""
SHARED = {"contract", "browser"}
"""Directories whose own `server` is of both; further servers there are for flags that no store sees."""


def modules() -> list[Path]:
    return sorted(
        path for path in TESTS.glob("*/test_*.py") if path.parent.name not in {"unit", "benchmarks"}
    )


def keeps_events_on_one(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    is_shared = path.parent.name in SHARED and "Iterator[ServerProcess]" not in text
    return bool(KEEPS_EVENTS.search(text)) and not ON_BOTH.search(text) and not is_shared


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(TESTS)))
def test_what_keeps_events_runs_on_both_stores_or_says_why_not(path: Path) -> None:
    name = str(path.relative_to(TESTS))
    assert keeps_events_on_one(path) == (name in ON_ONE), name
