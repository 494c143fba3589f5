"""What the definitions count of one transaction's uploads, written at its end (R6, R23, R24)."""

from collections import Counter, defaultdict

from sqlalchemy import Connection

from workevo_server.adapters.sql import statements
from workevo_server.adapters.sql.known_world import KnownWorld
from workevo_server.adapters.sql.locks import is_shared
from workevo_server.domain.admission import Decision
from workevo_server.domain.events import ContactKind, DropReason
from workevo_server.domain.identifiers import NameKey
from workevo_server.domain.limits import SEQUENCE_MAX

SIGHT_OF_KIND = {
    ContactKind.VISITOR: "seen_visitors",
    ContactKind.LEAD: "seen_leads",
    ContactKind.USER: "seen_users",
}
_UNSENT_COLUMNS = {
    DropReason.ARCHIVED: "dropped_archived_count",
    DropReason.DISABLED: "dropped_disabled_count",
}


class CatalogueCounts:
    def __init__(self, connection: Connection, world: KnownWorld) -> None:
        self._connection = connection
        self._world = world
        self._counts: dict[int, Counter[str]] = defaultdict(Counter)
        self._sights: dict[int, set[str]] = defaultdict(set)
        self._seen_at: dict[int, int] = {}
        self._workspace_of: dict[int, int] = {}

    def definition_no(self, workspace_no: int, name_key: NameKey, name: str, received_at: int) -> int:
        """The entry of a name, made by whoever tells it first, whose spelling stands (R1)."""
        known = self._world.definitions.get((workspace_no, name_key))
        if known is not None:
            return known.definition_no
        definition_no: int = self._connection.execute(
            statements.NEW_DEFINITION,
            {
                "workspace_no": workspace_no,
                "name_key": name_key.encode(),
                "name": name.encode(),
                "created_at": received_at,
                "last_received_at": received_at,
            },
        ).scalar_one()
        self._world.add_definition(workspace_no, name_key, definition_no)
        return definition_no

    def see(self, definition_no: int, kind: ContactKind) -> None:
        """A stored event of the name was tracked by a contact of this kind (R24)."""
        self._sights[definition_no].add(SIGHT_OF_KIND[kind])

    def hear(self, workspace_no: int, definition_no: int, kind: ContactKind, received_at: int) -> None:
        """Of the name was told that a contact of this kind did it; no event is counted by that."""
        self.see(definition_no, kind)
        self._counts.setdefault(definition_no, Counter())
        self._workspace_of[definition_no] = workspace_no
        self._seen_at[definition_no] = max(self._seen_at.get(definition_no, 0), received_at)

    def count(self, workspace_no: int, received_at: int, decision: Decision) -> None:
        """What was stored, copies and archived ones apart, and what devices did not send."""
        definitions = self._world.definitions
        for column, counted in (
            ("stored_count", decision.stored),
            ("duplicate_count", decision.duplicates),
            ("archived_count", decision.archived),
        ):
            for event in counted:
                no = definitions[workspace_no, event.identity.name_key].definition_no
                self._counts[no][column] += 1
                self._workspace_of[no] = workspace_no
                self._seen_at[no] = max(self._seen_at.get(no, 0), received_at)
        for (name_key, reason), count in decision.unsent.items():
            known = definitions.get((workspace_no, name_key))
            if known is not None:
                self._counts[known.definition_no][_UNSENT_COLUMNS[reason]] += count
                self._workspace_of[known.definition_no] = workspace_no

    def write(self) -> None:
        if not self._counts:
            return
        if is_shared(self._connection):
            self._connection.execute(statements.NEW_DEFINITION_COUNT, [*map(self._row, sorted(self._counts))])
            return
        self._connection.execute(
            statements.COUNT_DEFINITION,
            [
                {"no": no, "seen": self._seen_at.get(no, 0)}
                | {f"more_{name}": min(counts[name], SEQUENCE_MAX) for name in statements.DEFINITION_COUNTS}
                | {f"now_{name}": name in self._sights[no] for name in statements.DEFINITION_SIGHTS}
                for no, counts in self._counts.items()
            ],
        )

    def _row(self, no: int) -> dict[str, int | bool]:
        row: dict[str, int | bool] = {
            "workspace_no": self._workspace_of[no],
            "definition_no": no,
            "last_received_at": self._seen_at.get(no, 0),
        }
        row |= {name: min(self._counts[no][name], SEQUENCE_MAX) for name in statements.DEFINITION_COUNTS}
        return row | {name: name in self._sights[no] for name in statements.DEFINITION_SIGHTS}
