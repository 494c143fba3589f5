"""What the fleet generated: the truth that the server's contents are held against."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workevo_simulator.errors import RecordingUnusable
from workevo_simulator.recording import Scalar

EventKey = tuple[str, bytes, int]
"""(install_id, epoch, sequence): R7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """One event as a device tracked it. As devices' clocks are right, it occurred at created_at."""

    install_id: str
    epoch: bytes
    sequence: int
    contact: str
    name: str
    created_at_micros: int
    metadata: tuple[tuple[str, Scalar], ...]
    line: int
    """In the recorded log."""

    @property
    def key(self) -> EventKey:
        return self.install_id, self.epoch, self.sequence


def save_truth(events: Iterable[Generated], path: Path) -> None:
    """One JSON object a line, in the order given; `reconcile` reads it again."""
    with path.open("w", encoding="utf-8") as file:
        for event in events:
            file.write(json.dumps(_as_json(event), ensure_ascii=False) + "\n")


def load_truth(path: Path) -> list[Generated]:
    """What `save_truth` wrote. Raises RecordingUnusable when the file is something else."""
    try:
        with path.open(encoding="utf-8") as file:
            return [_from_json(json.loads(line)) for line in file]
    except OSError as error:
        raise RecordingUnusable(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RecordingUnusable(f"{path.name} is no file that `replay --truth` wrote ({error}).") from error


def _as_json(event: Generated) -> dict[str, object]:
    return {
        "install_id": event.install_id,
        "epoch": event.epoch.hex(),
        "sequence": event.sequence,
        "contact": event.contact,
        "name": event.name,
        "created_at_micros": event.created_at_micros,
        "metadata": event.metadata,
        "line": event.line,
    }


def _from_json(record: dict[str, object]) -> Generated:
    return Generated(
        install_id=_text(record["install_id"]),
        epoch=bytes.fromhex(_text(record["epoch"])),
        sequence=_integer(record["sequence"]),
        contact=_text(record["contact"]),
        name=_text(record["name"]),
        created_at_micros=_integer(record["created_at_micros"]),
        metadata=_pairs(record["metadata"]),
        line=_integer(record["line"]),
    )


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is no text")


def _integer(value: object) -> int:
    if isinstance(value, int):
        return value
    raise TypeError(f"{value!r} is no whole number")


def _pairs(value: object) -> tuple[tuple[str, Scalar], ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return tuple((_text(key), _scalar(entry)) for key, entry in value)


def _scalar(value: object) -> Scalar:
    if isinstance(value, str | int | float):
        return value
    raise TypeError(f"{value!r} is neither text nor number")
