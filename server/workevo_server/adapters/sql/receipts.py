"""The order of receipt over the whole store: what breaks ties in timelines (R8)."""

from sqlalchemy import Connection, func, select, text

from workevo_server.adapters.sql import statements
from workevo_server.adapters.sql.locks import is_shared
from workevo_server.adapters.sql.schema import activities, events

_COUNTER = "next_receipt_no"

BLOCK = 8192
"""Numbers of one block on PostgreSQL, more than a transaction stores: nobody waits for another's commit to
know its own numbers, as for a row that counts. A block that is not used up leaves a gap, which is none to
anybody: numbers order and do not count, and 2^50 blocks are enough."""


def take_receipt_numbers(connection: Connection, count: int) -> int:
    """Reserve `count` numbers in this transaction, `BLOCK` at most, and return the first of them."""
    assert count <= BLOCK, "The writer bounds what one transaction stores."
    if is_shared(connection):
        return int(connection.execute(statements.NEXT_RECEIPTS).scalar_one()) * BLOCK
    found = connection.execute(statements.FACT, {"fact": _COUNTER}).scalar()
    first = int(found) if found is not None else 1
    connection.execute(statements.KEEP_FACT, {"name": _COUNTER, "value": str(first + count).encode()})
    return first


def next_receipt(connection: Connection) -> bytes:
    """As SQLite's row has it that counts; empty when nothing was ever received."""
    found: bytes | None = connection.execute(statements.FACT, {"fact": _COUNTER}).scalar()
    return found or b""


def number_behind_what_is_there(connection: Connection) -> None:
    """On PostgreSQL, after a copy from SQLite: what is received from now on comes after all that was."""
    given_out = int(next_receipt(connection) or 1) - 1
    found = [
        connection.execute(select(func.max(table.c.receipt_no))).scalar() for table in (events, activities)
    ]
    last = max(given_out, *(number or 0 for number in found))
    connection.execute(text("SELECT setval('receipt_blocks', :block, FALSE)"), {"block": last // BLOCK + 1})
