"""Whether the store answers, told to the log when that changes and not as often as it is met."""

from dataclasses import dataclass

import structlog

from workevo_server.adapters.sql.error_codes import error_code

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
