"""The order of receipt over the whole store: what breaks ties in timelines (R8)."""

from sqlalchemy import Connection

from workevo_server.adapters.sql import statements
from workevo_server.adapters.sql.locks import is_shared

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
