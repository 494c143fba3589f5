"""What a log line may hold: fields from a closed list, of which none is dropped by mistake."""

import ast
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

import workevo_server
from workevo_server.adapters.sql.absence import Absence
from workevo_server.adapters.sql.error_codes import error_code
from workevo_server.logs import FIELDS

PACKAGE = Path(workevo_server.__file__).parent
OPERATING = Path(__file__).parents[2] / "docs/OPERATING.md"
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


def calls_of_the_log(source: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr in LEVELS and ast.unparse(node.func.value) == "log":
            yield node


def fields_given(source: str) -> set[str]:
    """By their names; of `**fields` those of each dictionary that the module calls so."""
    given = {keyword for call in calls_of_the_log(source) for keyword in call.keywords}
    unpacked = {ast.unparse(keyword.value) for keyword in given if keyword.arg is None}
    shown = [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign) and {ast.unparse(target) for target in node.targets} & unpacked
    ]
    keys = [
        key for value in shown for each in ast.walk(value) if isinstance(each, ast.Dict) for key in each.keys
    ]
    named = {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return named | {keyword.arg for keyword in given if keyword.arg is not None}


def test_every_field_that_is_given_to_the_log_is_written() -> None:
    given = {module: fields_given(module.read_text()) for module in PACKAGE.rglob("*.py")}

    assert set().union(*given.values()) > {"error", "exit_code", "grpc"}  # By name, and in either dictionary.
    assert {module: fields - FIELDS for module, fields in given.items() if fields - FIELDS} == {}


def test_every_line_that_may_wake_somebody_is_explained() -> None:
    table = OPERATING.read_text().split("\n## At three in the morning\n")[1].split("\n## ")[0]
    explained = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE))
    logged = {
        (call.args[0].value, call.func.attr)
        for module in PACKAGE.rglob("*.py")
        for call in calls_of_the_log(module.read_text())
        if isinstance(call.args[0], ast.Constant) and isinstance(call.func, ast.Attribute)
    }

    assert {(event, level) for event, level in logged if level != "info"} <= explained.items()
    assert explained.items() <= logged  # And none that nobody writes.


@pytest.mark.parametrize(
    "source",
    [
        "log.info('it_happened', secret=1)",
        "how = {'secret': 1} if odd else {}\nlog.info('it_happened', **how)",
    ],
)
def test_a_field_that_would_be_dropped_is_found(source: str) -> None:
    assert fields_given(source) - FIELDS == {"secret"}


def test_a_store_that_goes_and_comes_back_is_told_of_once_each() -> None:
    absence, refused = Absence(), ConnectionRefusedError()
    with capture_logs() as lines:
        absence.end()  # It had not been away.
        for _ in range(3):
            absence.begin(refused)
        absence.end()
        absence.end()
        absence.begin(refused)

    assert [line["event"] for line in lines] == ["store_unreachable", "store_is_back", "store_unreachable"]


def test_an_error_is_called_what_its_database_calls_it() -> None:
    class Refused(Exception):
        sqlstate = "53300"

    with sqlite3.connect(":memory:") as connection, pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("SELECT 1 FROM somebody")

    assert error_code(OperationalError("SELECT", None, caught.value)) == "SQLITE_ERROR"
    assert error_code(OperationalError("SELECT", None, Refused())) == error_code(Refused()) == "53300"
    assert error_code(TimeoutError()) is None
