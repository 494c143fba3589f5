"""A small file with one random id: what makes several queues one install, and a device itself (R14a).

Made in one step that exactly one of several processes wins; nobody waits for a lock.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from workevo_mobile import limits
from workevo_mobile.errors import QueueUnavailable


def read_id(path: Path) -> str | None:
    """None when there is no file, or it is damaged."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        return None
    except OSError as error:
        raise QueueUnavailable(f"The file {path.name} could not be read: {error}.") from error
    return text if 0 < len(text) <= limits.ID_CODE_POINTS_MAX and text.isprintable() else None


def read_or_make_id(path: Path, make: Callable[[], str]) -> str:
    """The id in the file; a file that is missing or damaged is made with a new one."""
    known = read_id(path)
    if known is not None:
        return known
    made = make()
    own = path.with_name(f"{path.name}.{made}.new")
    try:
        _write_durably(own, made)
        try:
            os.link(own, path)  # Fails where another process was faster; then its id holds.
        except FileExistsError:
            if read_id(path) is None:
                own.replace(path)
        finally:
            own.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise QueueUnavailable(f"The file {path.name} could not be written: {error}.") from error
    return read_id(path) or made


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """What was renamed in it stays so through a power cut."""
    with suppress(OSError):  # Not every platform can open a directory.
        directory = os.open(path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
