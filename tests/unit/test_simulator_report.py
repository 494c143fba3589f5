"""The report: the same figures for people and for programs, and the truth kept for later."""

import json
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from workevo_simulator.errors import RecordingUnusable
from workevo_simulator.findings import Fate, Finding, Reconciliation
from workevo_simulator.limits import LISTED_MAX
from workevo_simulator.page import write_audit
from workevo_simulator.report import print_audit
from workevo_simulator.tally import balance_figures
from workevo_simulator.truth import Generated, load_truth, save_truth, user

START = 1_710_325_274_000_000
EVENT = Generated(
    label="line 2 of the log",
    contact=user("änna [bold]"),
    name="home\x00",
    created_at_micros=START,
    occurred_at_micros=START,
    metadata=(("price", 3), ("share", 0.5), ("platform", "ios")),
    keys=(("i1", bytes(range(16)), 1),),
)


def printed(found: Reconciliation) -> str:
    console = Console(file=StringIO(), width=160)
    print_audit(found, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_balanced_run_says_so_in_one_line() -> None:
    found = Reconciliation(fates=Counter({Fate.STORED: 31_076, Fate.DUPLICATE: 30}), generated=31_106)

    text = printed(found)

    assert "31,106 generated = 31,076 stored + 30 duplicate; nothing missing, nothing unexpected." in text


def test_what_is_missing_is_listed_up_to_a_bound_and_counted_beyond_it(tmp_path: Path) -> None:
    missing = [Finding("is gone", "i1", number, "anna", "[red]home") for number in range(1, LISTED_MAX + 6)]
    found = Reconciliation(generated=30, missing=missing, imbalances=["install i1: [x]"])

    text = printed(found)
    write_audit(balance_figures(found), found.sentences(LISTED_MAX), tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())

    assert f"missing (first {LISTED_MAX} of {LISTED_MAX + 5})" in text
    assert "[red]home" in text
    assert "install i1: [x]" in text
    assert "Not every event is accounted for." in text
    assert written["balance"]["missing"] == LISTED_MAX + 5
    assert written["balance"]["balanced"] is False
    assert len(written["findings"]) == LISTED_MAX + 1
    assert "is gone" in written["findings"][0]


def test_the_truth_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    save_truth([EVENT], tmp_path / "truth")

    assert load_truth(tmp_path / "truth") == [EVENT]


@pytest.mark.parametrize("content", ["{", "{}", '{"install_id": 7}', "[]"])
def test_a_file_that_is_no_truth_is_refused_with_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "truth").write_text(content)

    with pytest.raises(RecordingUnusable, match="truth is no file that"):
        load_truth(tmp_path / "truth")
