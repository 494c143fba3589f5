"""What one transaction's stored events add to the volumes of their names (decisions/0013).

Each counts in one row of each dimension; a transaction sums up first what it adds. On
PostgreSQL it takes a `part` that no other transaction has meanwhile, and with it rows
of its own: nobody waits for the row of a name that all store, and nobody in a circle.
Whoever reads adds the parts up.
"""

from collections import Counter

from sqlalchemy import Connection, text

from workevo_server.adapters.sql import statements
from workevo_server.adapters.sql.locks import is_shared
from workevo_server.domain import limits
from workevo_server.domain.events import Event, Install
from workevo_server.domain.volumes import APP_VERSION, OTHER, PLATFORM, Counted, Moment, counted, moment_of

PARTS = 64  # More than servers would write one store; beyond it some wait for each other.
_PARTS_CLASS = 0x57_50  # Apart from what else takes advisory locks in this database.
_TAKE_PART = text(
    f"""SELECT COALESCE(
        (SELECT part FROM generate_series(0, {PARTS - 1}) AS part
            WHERE pg_try_advisory_xact_lock({_PARTS_CLASS}, part) LIMIT 1),
        pg_backend_pid() % {PARTS})"""  # noqa: S608 - constants alone.
)
"""The first that is free, so that a name has as few as there are transactions at a time."""

_Stored = tuple[int, int, Moment, str, str]  # workspace_no, definition_no, when, platform, app_version
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
        self._stored: Counter[_Stored] = Counter()

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
        moment = moment_of(event.occurred_at_micros, received_at_micros)
        self._stored[workspace_no, definition_no, moment, platform, app_version] += 1

    def write(self) -> None:
        if not self._stored:
            return
        part = self._connection.execute(_TAKE_PART).scalar_one() if is_shared(self._connection) else 0
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
                    "event_count": count,
                }
                for (workspace_no, definition_no, dimension, starts_at, value), count in sorted(
                    self._sums().items()
                )
            ],
        )

    def _sums(self) -> Counter[_Key]:
        sums: Counter[_Key] = Counter()
        for (workspace_no, definition_no, moment, platform, app_version), count in self._stored.items():
            for each in counted(moment, platform=platform, app_version=app_version):
                value = self._known.admitted(workspace_no, each).encode(errors="replace")
                sums[workspace_no, definition_no, each.dimension, each.starts_at_seconds, value] += count
        return sums
