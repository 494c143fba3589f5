"""Zeroes what SQLite leaves in the unused middle of its pages (decisions/0006-what-a-deletion-leaves.md).

`secure_delete` overwrites what is deleted, but when cells move to a neighbouring page
their old bytes may stay in the gap of the page they left, where a later deletion does
not find them. The layout is SQLite's documented file format, section 1.6: a b-tree page
is its header, the array of cell pointers, the gap, and the cells from its end upwards.

Only to be called while the log is empty and no connection that writes is open: a page
in a writer's memory would bring its old gap back.
"""

import os
import struct
from collections.abc import Iterator

_HEADER_BYTES = 100  # At the start of the file, before the first page's own header.
_LEAF_HEADER, _INTERIOR_HEADER = 8, 12
_BTREE_HEADER_BYTES = {2: _INTERIOR_HEADER, 5: _INTERIOR_HEADER, 10: _LEAF_HEADER, 13: _LEAF_HEADER}
_PAGES_AT_ONCE = 256

PAGES_MAX = 2 << 24
"""From here on the first byte of an overflow page may look like a b-tree page's; 128 GiB at 4 KiB a page."""


def scrub(file: int) -> int:
    """Zero the gaps of all pages of an open database file, fsync, and say how many pages that changed.

    Raises OSError, or ValueError for a file that is too large to tell its pages apart.
    """
    page_size, usable = _sizes(os.pread(file, _HEADER_BYTES, 0))
    if os.fstat(file).st_size // page_size >= PAGES_MAX:
        raise ValueError
    scrubbed = 0
    for offset, page in _pages(file, page_size):
        start, end = _gap(page, usable, first=offset == 0)
        if page.count(0, start, end) != end - start:
            os.pwrite(file, bytes(end - start), offset + start)
            scrubbed += 1
    os.fsync(file)
    return scrubbed


def _sizes(header: bytes) -> tuple[int, int]:
    """Bytes of a page, and of its usable part."""
    (told,) = struct.unpack_from(">H", header, 16)
    page_size = 65_536 if told == 1 else told
    return page_size, page_size - header[20]


def _pages(file: int, page_size: int) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while block := os.pread(file, page_size * _PAGES_AT_ONCE, offset):
        for at in range(0, len(block), page_size):
            yield offset + at, block[at : at + page_size]
        offset += len(block)


def _gap(page: bytes, usable: int, *, first: bool) -> tuple[int, int]:
    """Where the gap of a b-tree page starts and ends; empty for a page of another kind."""
    header = _HEADER_BYTES if first else 0
    header_bytes = _BTREE_HEADER_BYTES.get(page[header]) if len(page) > header else None
    if header_bytes is None:
        return 0, 0
    cells, content = struct.unpack_from(">HH", page, header + 3)
    start, end = header + header_bytes + 2 * cells, content or 65_536
    return (start, end) if start <= end <= usable else (0, 0)
