"""Stored copies of what a group of uploads brings, found in one go (R6).

Of the person's own contact, and of every contact merged into it (R16). Each database
is asked in the way in which it looks every one up by the key of the events.
"""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    Column,
    Connection,
    FromClause,
    MetaData,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    union_all,
)
from sqlalchemy import column as name

from workevo_server.adapters.sql.schema import contacts, events
from workevo_server.adapters.sql.types import Whole

WANTED = ("workspace_no", "person_no", "definition_no", "created_at_seconds")
Wanted = tuple[int, int, int, int]
"""In the order of `WANTED`."""

wanted_copies = Table(
    "wanted_copies", MetaData(), *(Column(each, Whole) for each in WANTED), prefixes=["TEMPORARY"]
)
"""What to look for, on SQLite; made with its writing connection. SQLite scans the whole table for an IN
list of several columns, and looks each row of a joined table up by the key."""

_arrays = (
    func.unnest(*(bindparam(each, type_=ARRAY(BigInteger)) for each in WANTED))
    .table_valued(*(name(each, BigInteger) for each in WANTED))
    .render_derived(name="wanted_copies")
)
"""The same on PostgreSQL, which joins arrays without a table."""


def stored_copies(connection: Connection, wanted: Collection[Wanted]) -> Iterable[Any]:
    """Person, contact, definition and second of each copy, then its ordinal, receipt and install."""
    if connection.dialect.name == "postgresql":
        columns = dict(zip(WANTED, map(list, zip(*sorted(wanted), strict=True)), strict=True))
        return connection.execute(COPIES_BY_ARRAYS, columns)
    connection.execute(FORGET_WANTED)
    connection.execute(WANT, [dict(zip(WANTED, row, strict=True)) for row in wanted])
    return connection.execute(COPIES_BY_TABLE)


def _of_person(wanted: FromClause) -> CTE:
    """Materialized, or SQLite may go through all events of the workspace and ask of each whose it is."""
    columns = [wanted.c[each] for each in WANTED]
    return (
        union_all(
            select(*columns, wanted.c.person_no.label("contact_no")),
            select(*columns, contacts.c.contact_no).join_from(
                wanted, contacts, contacts.c.person_no == wanted.c.person_no
            ),
        )
        .cte("wanted_of_contact")
        .prefix_with("MATERIALIZED")
    )


def _copies(wanted: FromClause) -> Select[Any]:
    of_person = _of_person(wanted)
    same = ("workspace_no", "contact_no", "created_at_seconds", "definition_no")
    return select(
        of_person.c.person_no,
        events.c.contact_no,
        events.c.definition_no,
        events.c.created_at_seconds,
        events.c.ordinal,
        events.c.received_at,
        events.c.install_no,
    ).join_from(of_person, events, and_(*(events.c[each] == of_person.c[each] for each in same)))


FORGET_WANTED = delete(wanted_copies)
WANT = insert(wanted_copies)
COPIES_BY_TABLE = _copies(wanted_copies)
COPIES_BY_ARRAYS = _copies(_arrays)
