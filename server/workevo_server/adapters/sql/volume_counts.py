"""What one transaction's stored events add to the volumes of their names (decisions/0013).

Each is added to one row of each dimension; a transaction sums them up first and writes
the rows in the order of their key, the last thing it does, so that no two wait for each
other in a circle. On PostgreSQL every server connection has rows of its own by a part,
so that servers that store the same names seldom wait at all; whoever reads adds up.
"""

from collections import Counter

from sqlalchemy import Connection, func, select

from workevo_server.adapters.sql import statements
from workevo_server.adapters.sql.locks import is_shared
from workevo_server.domain import limits
from workevo_server.domain.events import Event, Install
from workevo_server.domain.volumes import APP_VERSION, OTHER, PLATFORM, Counted, counted

PARTS = 16
_PART = select(func.pg_backend_pid() % PARTS)

_Key = tuple[int, int, str, int, bytes]  # workspace_no, definition_no, dimension, starts_at, value


class KnownValues:
    """Which platforms and versions were told apart on which day: devices may tell any number of them.

    In memory: each process and each start has its own, so that a few more than the limit may be kept.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, str, int], set[str]] = {}

    def admitted(self, workspace_no: int, each: Counted) -> str:
        """The value, or OTHER where the day has as many of the dimension as are told apart."""
        if each.dimension not in (PLATFORM, APP_VERSION) or not each.value:
            return each.value
        place = workspace_no, each.dimension, each.starts_at_seconds
        known = self._known.get(place)
        if known is None:
            if len(self._known) >= limits.FACET_DAYS_KNOWN_MAX:
                self._known.pop(next(iter(self._known)))
            known = self._known[place] = set()
        if each.value not in known:
            if len(known) >= limits.FACET_VALUES_MAX or len(each.value) > limits.FACET_CODE_POINTS_MAX:
                return OTHER
            known.add(each.value)
        return each.value


class VolumeCounts:
    def __init__(self, connection: Connection, known: KnownValues) -> None:
        self._connection = connection
        self._known = known
        self._counts: Counter[_Key] = Counter()

    def count(
        self,
        workspace_no: int,
        definition_no: int,
        event: Event,
        install: Install | None,
        *,
        received_at_micros: int,
    ) -> None:
        """One stored event."""
        platform, app_version = ("", "") if install is None else (install.platform, install.app_version)
        for each in counted(
            event.occurred_at_micros, received_at_micros, platform=platform, app_version=app_version
        ):
            value = self._known.admitted(workspace_no, each).encode(errors="replace")
            self._counts[workspace_no, definition_no, each.dimension, each.starts_at_seconds, value] += 1

    def write(self) -> None:
        if not self._counts:
            return
        part = self._connection.execute(_PART).scalar_one() if is_shared(self._connection) else 0
        self._connection.execute(
            statements.ADD_TO_VOLUME,
            [
                {
                    "workspace_no": workspace_no,
                    "definition_no": definition_no,
                    "dimension": dimension,
                    "starts_at": starts_at,
                    "value": value,
                    "part": part,
                    "event_count": self._counts[key],
                }
                for key in sorted(self._counts)
                for workspace_no, definition_no, dimension, starts_at, value in [key]
            ],
        )
