"""A clone carries its own copies of what the project shares; they are the same where both are there."""

import gzip
import re
from pathlib import Path

import pytest

from conformance.case_files import CASES_DIR, FILES, cases

DOCUMENTS = {"RULES.md": "PRODUCT.md", "RELIABILITY.md": "RELIABILITY.md"}
"""Copies with a few lines of their own before, and in RULES.md what differs behind."""

ROOT = Path(__file__).parents[2]
SOURCES = ("server/workevo_server", "mobile_client")
SHARED = ROOT.parent / "shared"
CLICKSTREAM = ROOT / "tests" / "data" / "ecom.csv.gz"


def is_copy(copy: Path, original: Path) -> bool:
    """True in a clone that stands alone: there is nothing that it could differ from."""
    return not original.parent.is_dir() or copy.read_bytes() == original.read_bytes()


def test_no_case_file_is_missing_and_none_is_unknown() -> None:
    assert tuple(sorted(path.name for path in CASES_DIR.glob("*.json"))) == FILES


@pytest.mark.parametrize("file", FILES)
def test_a_case_file_has_cases_and_is_the_shared_one(file: str) -> None:
    assert len(cases(file)) > 0
    assert is_copy(CASES_DIR / file, SHARED / "conformance" / file)


def test_no_shared_case_file_lacks_a_copy() -> None:
    assert {path.name for path in (SHARED / "conformance").glob("*.json")} <= set(FILES)


@pytest.mark.parametrize(("copy", "original"), DOCUMENTS.items())
def test_a_document_holds_the_shared_one_whole(copy: str, original: str) -> None:
    told = (ROOT / "docs" / copy).read_text()
    assert (
        told.count("\n# ") == 1
    )  # Its own lines come before the title, so that nobody takes them for the copy.

    if (SHARED / original).parent.is_dir():
        assert (SHARED / original).read_text() in told


def test_every_rule_that_is_cited_is_there() -> None:
    rules = (ROOT / "docs" / "RULES.md").read_text()
    numbers = set(re.findall(r"^- \*\*(R\d+a?)\b", rules.split("\n## Where we differ\n")[0], re.MULTILINE))
    sources = [path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")]
    cited = {number for path in sources for number in re.findall(r"\bR\d{1,2}a?\b", path.read_text())}

    assert len(numbers) == 33  # R1 to R32, and R14a.
    assert cited <= numbers


def test_the_recorded_clickstream_is_whole_and_the_shared_one() -> None:
    with gzip.open(CLICKSTREAM, "rt", encoding="utf-8") as rows:
        header, *events = rows

    assert header.startswith("user_id,session_id,event,timestamp,")
    assert len(events) == 31_106
    assert is_copy(CLICKSTREAM, SHARED / "data" / "ecom.csv.gz")
