"""Bytes that begin with a text, as a range that an index has in one piece."""

from typing import Any

from sqlalchemy import ColumnElement, and_

_BEHIND = b"\xff"
"""No UTF-8 has this byte, so whatever begins with a text stands before the text followed by it."""


def begins_with(column: ColumnElement[Any], prefix: str | bytes) -> ColumnElement[bool]:
    """What is no Unicode begins nothing that is stored: its surrogates become question marks."""
    start = prefix.encode(errors="replace") if isinstance(prefix, str) else prefix
    return and_(column >= start, column < start + _BEHIND)
