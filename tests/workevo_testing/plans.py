"""How each database finds the rows of the statements that a store runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event, text

from workevo_server.adapters.sql.postgres_database import PostgresDatabase
from workevo_server.adapters.sql.sqlite_database import SqliteDatabase
from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.identifiers import WorkspaceId

Statement = tuple[str, Any]
_READS = ("SELECT", "WITH")


@dataclass(frozen=True, slots=True)
class Access:
    """How a statement gets at the rows of one table."""

    table: str
    by_key: bool
    """Whether it looks them up in an index; False for a scan of the table or of a whole index."""
    index: str
    condition: str
    statement: str


@contextmanager
def noted(store: SqlStore) -> Iterator[list[Statement]]:
    """The statements that read, with their parameters, on all connections of the store meanwhile."""
    statements: list[Statement] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith(_READS) and "set_config" not in statement:
            statements.append((statement, parameters))

    engines = list(_engines(store))
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


def _engines(store: SqlStore) -> Iterator[Engine]:
    database = store._database
    if isinstance(database, SqliteDatabase):
        yield database._engine
        yield database._reader.sync_engine
    else:
        assert isinstance(database, PostgresDatabase)
        yield database._readers.sync_engine
        yield database._writer.sync_engine


async def accesses(store: SqlStore, workspace_id: WorkspaceId, statements: list[Statement]) -> list[Access]:
    """As the databases themselves plan them, for readers behind the wall of their workspace."""
    found: list[Access] = []
    async with store._database.reading(workspace_id) as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if not is_sqlite:  # A table of a test is so small that reading it whole is the cheapest.
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
            # Nor the head of an index, as far as the few rows of the other side reach.
            await connection.execute(text("SET LOCAL enable_mergejoin = off"))
        for statement, parameters in statements:
            if is_sqlite:
                rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                found += [_sqlite_access(row.detail, statement) for row in rows]
            else:
                explained = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
                (plan,) = explained.scalar_one()
                found += _postgres_accesses(plan["Plan"], statement)
    return [access for access in found if access.table]


async def sorts(store: SqlStore, workspace_id: WorkspaceId, statements: list[Statement]) -> int:
    """How often rows are put in order, as no index has them so."""
    count = 0
    async with store._database.reading(workspace_id) as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        for statement, parameters in statements:
            rows = await connection.exec_driver_sql(f"{explain} {statement}", parameters)
            count += sum(str(row).count("TEMP B-TREE" if is_sqlite else "Sort") for row in rows)
    return count


def _sqlite_access(detail: str, statement: str) -> Access:
    verb, _, rest = detail.partition(" ")
    table, _, how = rest.partition(" ")
    is_table = verb in {"SCAN", "SEARCH"} and table not in {"CONSTANT", "SUBQUERY"}
    return Access(
        table=table if is_table else "",
        by_key=verb == "SEARCH",
        index=how.partition("INDEX ")[2].partition(" ")[0],
        condition=how.partition("(")[2],
        statement=statement,
    )


def _postgres_accesses(node: dict[str, Any], statement: str) -> Iterator[Access]:
    if "Relation Name" in node:
        inner = node if "Index Cond" in node else next(iter(node.get("Plans", ())), node)
        yield Access(
            table=node["Relation Name"],
            by_key="Index Cond" in node or "Recheck Cond" in node,
            index=inner.get("Index Name", ""),
            condition=str(inner.get("Index Cond", "")),
            statement=statement,
        )
    for child in node.get("Plans", ()):
        yield from _postgres_accesses(child, statement)
