"""A recorded log: CSV or NDJSON, plain or gzipped, told apart by content."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import tzinfo
from io import TextIOWrapper
from pathlib import Path
from typing import IO, NoReturn, TextIO, cast

from workevo_simulator.errors import RecordingUnusable
from workevo_simulator.limits import COLUMNS_SHOWN_MAX, METADATA_COLUMNS_MAX, ROWS_MAX
from workevo_simulator.recorded_time import recorded_micros

_GZIP_MAGIC = b"\x1f\x8b"

Scalar = str | int | float
Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column says what. Metadata columns are sent in the order given (R4)."""

    contact: str
    name: str
    time: str
    device: str
    metadata: tuple[str, ...] | None
    """None: all columns that are nothing else, in the order of the file."""

    def metadata_of(self, existing: Sequence[str]) -> tuple[str, ...]:
        if self.metadata is not None:
            return self.metadata
        taken = {self.contact, self.name, self.time, self.device}
        return tuple(column for column in existing if column not in taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One recorded event."""

    line: int
    """In the file, from 1; a CSV's header is line 1."""
    device: str
    contact: str
    name: str
    at_micros: int
    metadata: tuple[tuple[str, Scalar], ...]


def read_rows(path: Path, *, columns: Columns, zone: tzinfo) -> list[Row]:
    """Every row of the file, in its order. Raises RecordingUnusable, naming the line and the column."""
    try:
        with _text_of(path) as text:
            rows = [_row(line, fields, columns, zone, path) for line, fields in _records(text, columns, path)]
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise RecordingUnusable(f"{path.name} is a damaged or cut-off gzip file.") from error
    except UnicodeDecodeError as error:
        raise RecordingUnusable(f"{path.name} is not UTF-8 text.") from error
    except OSError as error:
        raise RecordingUnusable(f"{path} cannot be read: {error.strerror or error}.") from error
    if not rows:
        raise RecordingUnusable(f"{path.name} holds no events.")
    return rows


@contextmanager
def _text_of(path: Path) -> Iterator[TextIO]:
    with path.open("rb") as raw:
        packed = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if packed else nullcontext(raw) as content:
            yield TextIOWrapper(cast("IO[bytes]", content), encoding="utf-8-sig", newline="")


def _records(text: TextIO, columns: Columns, path: Path) -> Iterator[tuple[int, Fields]]:
    first = text.readline()
    while first and not first.strip():
        first = text.readline()
    text.seek(0)
    records = _objects(text, columns, path) if first.lstrip().startswith("{") else _table(text, columns, path)
    for count, record in enumerate(records, start=1):
        if count > ROWS_MAX:
            raise RecordingUnusable(f"{path.name} holds more than {ROWS_MAX:,} events: replay it in parts.")
        yield record


def _table(text: TextIO, columns: Columns, path: Path) -> Iterator[tuple[int, Fields]]:
    reader = csv.reader(text, strict=True)
    try:
        header = next(reader, [])
        _require(columns, header, where=path.name)
        if len(set(header)) != len(header):
            raise RecordingUnusable(f"{path.name} names a column twice: {_listed(header)}.")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                _fail(
                    path,
                    reader.line_num,
                    f"it has {len(cells)} cells, the header names {len(header)} columns",
                )
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        _fail(path, reader.line_num, str(error))


def _objects(text: TextIO, columns: Columns, path: Path) -> Iterator[tuple[int, Fields]]:
    seen: dict[str, None] = {}
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            _fail(path, number, f"it is no JSON ({error})")
        if not isinstance(record, dict):
            _fail(path, number, "it is no JSON object")
        seen.update(dict.fromkeys(record))
        yield number, record
    if seen:  # A line may lack a metadata column; a column that no line has is a slip of the pen.
        _require(columns, list(seen), where=path.name)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _require(columns: Columns, existing: Sequence[str], *, where: str) -> None:
    wanted = (columns.contact, columns.name, columns.time, columns.device, *(columns.metadata or ()))
    for column in wanted:
        if column not in existing:
            raise RecordingUnusable(f"{where} has no column {column!r}. It has: {_listed(existing)}.")
    metadata_count = len(columns.metadata_of(existing))
    if metadata_count > METADATA_COLUMNS_MAX:
        raise RecordingUnusable(
            f"{where} has {metadata_count} columns of metadata; no workspace keeps more than "
            f"{METADATA_COLUMNS_MAX}: name those to send with --metadata-column."
        )


def _listed(existing: Sequence[str]) -> str:
    shown = ", ".join(existing[:COLUMNS_SHOWN_MAX]) or "none"
    return shown + (", …" if len(existing) > COLUMNS_SHOWN_MAX else "")


def _row(line: int, fields: Fields, columns: Columns, zone: tzinfo, path: Path) -> Row:
    for column in (columns.contact, columns.name, columns.time, columns.device):
        if fields.get(column) in (None, ""):
            _fail(path, line, f"column {column!r} is empty or missing; the line has: {_listed(list(fields))}")
    moment = fields[columns.time]
    try:
        at_micros = recorded_micros(_scalar(moment), zone=zone)
    except (ValueError, OverflowError) as error:
        _fail(path, line, f"column {columns.time!r} is no time: {moment!r} ({error})")
    return Row(
        line=line,
        device=_id(fields, columns.device, path, line),
        contact=_id(fields, columns.contact, path, line),
        name=str(fields[columns.name]),
        at_micros=at_micros,
        metadata=_metadata(fields, columns, path, line),
    )


def _id(fields: Fields, column: str, path: Path, line: int) -> str:
    value = fields[column]
    if isinstance(value, bool) or not isinstance(value, str | int):
        _fail(path, line, f"column {column!r} must be a text or a whole number")
    return str(value)


def _metadata(fields: Fields, columns: Columns, path: Path, line: int) -> tuple[tuple[str, Scalar], ...]:
    chosen = columns.metadata_of(list(fields))
    present = [(column, fields.get(column)) for column in chosen if fields.get(column) not in (None, "")]
    try:
        return tuple((column, _scalar(value)) for column, value in present)
    except ValueError as error:
        _fail(path, line, f"metadata: {error}")


def _scalar(value: object) -> Scalar:
    if isinstance(value, bool):
        return str(value).lower()  # R5 keeps booleans as these strings.
    if isinstance(value, str | int | float):
        return value
    raise ValueError(f"a {type(value).__name__} is neither text nor number")


def _fail(path: Path, line: int, what: str) -> NoReturn:
    raise RecordingUnusable(f"{path.name}, line {line}: {what}.")
