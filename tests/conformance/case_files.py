"""The conformance cases as test parameters: one test a case, told apart by place and gist."""

import json
from pathlib import Path
from typing import Any

import pytest

CASES_DIR = Path(__file__).parent / "cases"
FILES = ("clocks.json", "created_at.json", "dedup.json", "ledger.json", "metadata.json", "names.json")

Case = dict[str, Any]


def cases(file: str) -> list[Case]:
    loaded: list[Case] = json.loads((CASES_DIR / file).read_text(encoding="utf-8"))["cases"]
    return loaded


def parameters(file: str, *columns: str) -> list[Any]:
    """The cases of a file that have one of the columns (all, without any), ready for parametrize."""
    return [
        pytest.param(case, id=_gist(place, case))
        for place, case in enumerate(cases(file))
        if not columns or not case.keys().isdisjoint(columns)
    ]


def _gist(place: int, case: Case) -> str:
    note = case.get("note")
    return f"{place:02}-{note if note else ascii(next(iter(_told(case).values()), ''))[:40]}"


def _told(case: Case) -> Case:
    """Without the columns that hardly differ from case to case."""
    return {column: value for column, value in case.items() if column not in ("now", "received_at")}
