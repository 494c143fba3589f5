"""The order of receipt over the whole store: what breaks ties in timelines (R8)."""

from sqlalchemy import Connection

from workevo_server.adapters.sql import statements

_COUNTER = "next_receipt_no"


def take_receipt_numbers(connection: Connection, count: int) -> int:
    """Reserve `count` numbers in this transaction and return the first of them."""
    found = connection.execute(statements.FACT, {"fact": _COUNTER}).scalar()
    first = int(found) if found is not None else 1
    connection.execute(statements.KEEP_FACT, {"name": _COUNTER, "value": str(first + count).encode()})
    return first
