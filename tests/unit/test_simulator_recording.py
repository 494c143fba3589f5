"""Reading recorded logs: what is told apart, what is refused and how."""

import gzip
from datetime import UTC
from pathlib import Path

import pytest

from workevo_simulator.errors import RecordingUnusable
from workevo_simulator.recorded_time import recorded_micros, zone_named
from workevo_simulator.recording import Columns, Row, read_rows

HEADER = "user_id,event,timestamp,platform\n"
MARCH_13 = 1_710_325_274


def columns(
    *, metadata: tuple[str, ...] | None = (), device: str = "user_id", contact: str = "user_id"
) -> Columns:
    return Columns(contact=contact, name="event", time="timestamp", device=device, metadata=metadata)


def written(directory: Path, content: str | bytes, name: str = "log") -> Path:
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows_of(path: Path, chosen: Columns | None = None) -> list[Row]:
    return read_rows(path, columns=chosen or columns(), zone=UTC)


def refusal(path: Path, chosen: Columns | None = None) -> str:
    with pytest.raises(RecordingUnusable) as raised:
        rows_of(path, chosen)
    return str(raised.value)


def test_csv_plain_or_gzipped_and_ndjson_tell_the_same(tmp_path: Path) -> None:
    csv = HEADER + "anna,home,2024-03-13 10:21:14,ios\n"
    ndjson = '{"user_id": "anna", "event": "home", "timestamp": 1710325274, "platform": "ios"}\n'
    chosen = columns(metadata=("platform",))

    plain = rows_of(written(tmp_path, csv), chosen)
    packed = rows_of(written(tmp_path, gzip.compress(csv.encode())), chosen)
    objects = rows_of(written(tmp_path, ndjson), chosen)
    packed_objects = rows_of(written(tmp_path, gzip.compress(ndjson.encode())), chosen)

    assert plain == packed
    assert objects == packed_objects
    assert plain[0].line == 2
    for rows in (plain, objects):
        assert (rows[0].contact, rows[0].device, rows[0].name) == ("anna", "anna", "home")
        assert rows[0].at_micros == MARCH_13 * 1_000_000
        assert rows[0].metadata == (("platform", "ios"),)


def test_a_byte_order_mark_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeff" + HEADER + "\nanna,home,2024-03-13,ios\n\n")

    assert [row.name for row in rows_of(path)] == ["home"]


def test_quoted_cells_keep_commas_and_line_breaks(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + 'anna,"home, sweet\nhome",2024-03-13,ios\n')

    assert rows_of(path)[0].name == "home, sweet\nhome"


def test_a_missing_column_is_named_together_with_those_that_exist(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "anna,home,2024-03-13,ios\n")

    assert refusal(path, columns(contact="who", device="who")) == (
        "log has no column 'who'. It has: user_id, event, timestamp, platform."
    )
    assert "no column 'colour'" in refusal(path, columns(metadata=("colour",)))
    assert "no column 'phone'" in refusal(path, columns(device="phone"))


def test_a_metadata_column_that_no_object_has_is_refused_but_a_sparse_one_is_not(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '{"user_id": "anna", "event": "home", "timestamp": 1710325274}\n'
        '{"user_id": "anna", "event": "home", "timestamp": 1710325275, "platform": "ios"}\n',
    )

    assert [row.metadata for row in rows_of(path, columns(metadata=("platform",)))] == [
        (),
        (("platform", "ios"),),
    ]
    assert "no column 'platfrom'" in refusal(path, columns(metadata=("platfrom",)))


def test_all_other_columns_become_metadata_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "b,user_id,event,timestamp,a,phone\n1,anna,home,2024-03-13,2,p1\n")

    assert rows_of(path, columns(metadata=None, device="phone"))[0].metadata == (("b", "1"), ("a", "2"))


def test_more_metadata_columns_than_any_workspace_keeps_are_refused(tmp_path: Path) -> None:
    extra = ",".join(f"c{number}" for number in range(21))
    path = written(tmp_path, f"user_id,event,timestamp,{extra}\n")

    assert "21 columns of metadata" in refusal(path, columns(metadata=None))


def test_values_of_json_keep_their_type_and_booleans_become_words(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '{"user_id": 7, "event": "e", "timestamp": 1710325274, "a": 2, "b": 2.5, "c": true, "d": null}\n',
    )

    row = rows_of(path, columns(metadata=None))[0]

    assert row.contact == "7"
    assert row.metadata == (("a", 2), ("b", 2.5), ("c", "true"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "no column 'user_id'. It has: none"),
        (HEADER, "holds no events"),
        (HEADER + "anna,home,2024-03-13\n", "line 2: it has 3 cells, the header names 4 columns"),
        (HEADER + ",home,2024-03-13,ios\n", "line 2: column 'user_id' is empty or missing"),
        (HEADER + "anna,home,yesterday,ios\n", "line 2: column 'timestamp' is no time: 'yesterday'"),
        (HEADER + "anna,home,1969-12-31,ios\n", "before 1970 or beyond 9999"),
        (HEADER + 'anna,"home,2024-03-13,ios\n', "line 2: unexpected end of data"),
        ("user_id,event,timestamp,event\n", "names a column twice"),
        ('{"user_id": "anna"\n', "line 1: it is no JSON"),
        ('{"user_id": NaN}\n', "NaN is no JSON"),
        ('{"user_id": "anna", "event": "e", "timestamp": true}\n', "is no time: True"),
        (
            '{"user_id": "a", "event": "e", "timestamp": 1, "m": [1]}\n',
            "metadata: a list is neither text nor number",
        ),
        ('{"user_id": 1.5, "event": "e", "timestamp": 1}\n', "must be a text or a whole number"),
        (
            '{"event": "e", "timestamp": 1}\n',
            "column 'user_id' is empty or missing; the line has: event, timestamp",
        ),
        ('{"event": "e"}\n[]\n', "column 'user_id'"),
        (b"\x1f\x8b\x08 cut off", "damaged or cut-off gzip"),
        (b"user_id,event\xff\n", "not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(
    tmp_path: Path, content: str | bytes, sentence: str
) -> None:
    assert sentence in refusal(written(tmp_path, content), columns(metadata=None))


def test_a_file_that_is_not_there_is_refused_with_a_sentence(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    "value",
    [
        "2024-03-13 10:21:14",
        "2024-03-13T10:21:14Z",
        "2024-03-13T11:21:14+01:00",
        MARCH_13,
        float(MARCH_13),
        str(MARCH_13),
        MARCH_13 * 1000,
        MARCH_13 * 1_000_000,
        MARCH_13 * 1_000_000_000,
    ],
)
def test_a_moment_is_the_same_however_it_is_written(value: str | int | float) -> None:
    assert recorded_micros(value, zone=UTC) == MARCH_13 * 1_000_000


def test_a_time_without_a_zone_is_read_in_the_zone_given() -> None:
    zurich = zone_named("Europe/Zurich")

    assert recorded_micros("2024-03-13 11:21:14", zone=zurich) == MARCH_13 * 1_000_000


def test_an_unknown_zone_is_refused_with_a_sentence() -> None:
    with pytest.raises(RecordingUnusable, match="'Mars/Olympus' is not known"):
        zone_named("Mars/Olympus")
