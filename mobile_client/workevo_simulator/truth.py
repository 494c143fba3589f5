"""What the fleet generated: the truth that the server's contents are held against."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from workevo_mobile import Image, Link, MetadataInput, Monetary, RichLink, Stripe
from workevo_simulator.errors import RecordingUnusable
from workevo_simulator.recording import Scalar

EventKey = tuple[str, bytes, int]
"""(install_id, epoch, sequence): R7."""

Metadata = tuple[tuple[str, Scalar], ...]
"""In the order tracked, richer types as `comparable` says."""


class ContactId(NamedTuple):
    """Whom an event names."""

    kind: str
    """user or visitor."""
    id: str


def user(user_id: str) -> ContactId:
    return ContactId("user", user_id)


def comparable(value: MetadataInput) -> Scalar:
    """A value as it is held against what the server has: scalars as they are, the others spelled out."""
    match value:
        case Link(url):
            return f"<link {url}>"
        case Image(url):
            return f"<image {url}>"
        case RichLink(url, title):
            return f"<rich_link {url} {title}>"
        case Stripe(kind, of):
            return f"<stripe {kind.value} {of}>"
        case Monetary(amount, currency):
            return f"<monetary {amount} {currency.upper()}>"
        case datetime():
            return f"<date {round(value.timestamp())}>"
        case bool():
            return str(value).lower()
        case None:
            raise ValueError("None is no value: its entry is ignored (R4).")
        case _:
            return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """One event as a device tracked it, and what is known of its way."""

    label: str
    """Where it comes from, for people: a line of a log, a phone and its count."""
    contact: ContactId
    name: str
    created_at_micros: int
    """By the device's wall clock."""
    occurred_at_micros: int
    """The truth."""
    metadata: Metadata
    keys: tuple[EventKey, ...]
    """Its places in queues: one, more where cloned phones both moved it, none where it is not known."""
    left_keys: tuple[EventKey, ...] = ()
    """Places that it left for another queue (R14a): they were generated, by a phone or its clone."""
    unplaced: int = 0
    """How many queues have, or had, it in a place that is not known."""
    device: str = ""
    """Which one, where its word is needed."""
    clock_is_right: bool = True
    """occurred_at is the truth whatever the clock method; else only by UPTIME."""
    wire_micros: int = 0
    """How long its upload was on its way to the server."""
    answers: Mapping[EventKey, str] = field(default_factory=dict)
    """The first settling verdict it got in each place, as heard on the wire; empty where nobody listened."""
    is_wiped: bool = False
    """A queue that held it was deleted or replaced before it was settled."""


def save_truth(events: Iterable[Generated], path: Path) -> None:
    """One JSON object a line, in the order given; `reconcile` reads it again. Of a replay only."""
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
    (install_id, epoch, sequence), *_ = event.keys
    return {
        "label": event.label,
        "install_id": install_id,
        "epoch": epoch.hex(),
        "sequence": sequence,
        "contact": list(event.contact),
        "name": event.name,
        "created_at_micros": event.created_at_micros,
        "metadata": event.metadata,
    }


def _from_json(record: dict[str, object]) -> Generated:
    created_at_micros = _integer(record["created_at_micros"])
    epoch, sequence = bytes.fromhex(_text(record["epoch"])), _integer(record["sequence"])
    contact = record["contact"]
    if not isinstance(contact, list) or len(contact) != 2:
        raise TypeError(f"{contact!r} is no contact")
    return Generated(
        label=_text(record["label"]),
        contact=ContactId(_text(contact[0]), _text(contact[1])),
        name=_text(record["name"]),
        created_at_micros=created_at_micros,
        occurred_at_micros=created_at_micros,
        metadata=_pairs(record["metadata"]),
        keys=((_text(record["install_id"]), epoch, sequence),),
    )


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is no text")


def _integer(value: object) -> int:
    if isinstance(value, int):
        return value
    raise TypeError(f"{value!r} is no whole number")


def _pairs(value: object) -> Metadata:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return tuple((_text(key), _scalar(entry)) for key, entry in value)


def _scalar(value: object) -> Scalar:
    if isinstance(value, str | int | float):
        return value
    raise TypeError(f"{value!r} is neither text nor number")
