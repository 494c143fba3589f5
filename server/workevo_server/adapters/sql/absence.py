"""Whether the store answers, told to the log when that changes and not as often as it is met."""

from dataclasses import dataclass

import structlog

log = structlog.get_logger()


@dataclass(slots=True)
class Absence:
    """Of one store. Begun and ended by whoever meets it: the writer, and the task that watches."""

    is_going_on: bool = False

    def begin(self, error: BaseException) -> None:
        if not self.is_going_on:
            self.is_going_on = True
            log.warning("store_unreachable", error=type(error).__name__, reason=error_code(error))

    def end(self) -> None:
        if self.is_going_on:
            self.is_going_on = False
            log.warning("store_is_back")  # As loud as its going: nobody sees the one alone.


def error_code(error: BaseException) -> str | None:
    """What a database calls its error: SQLite's name (`SQLITE_FULL`), or PostgreSQL's five characters
    (`53100`). Words of closed lists, which quote nobody; None where it is no database's."""
    original = getattr(error, "orig", None) or error
    code = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None)
    return code if isinstance(code, str) else None
