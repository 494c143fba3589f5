"""The order of receipt over the whole store: what breaks ties in timelines (R8)."""

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from workevo_server.adapters.sql.schema import store_facts

_COUNTER = "next_receipt_no"


def take_receipt_numbers(connection: Connection, count: int) -> int:
    """Reserve `count` numbers in this transaction and return the first of them."""
    found = connection.execute(select(store_facts.c.value).where(store_facts.c.name == _COUNTER)).scalar()
    first = int(found) if found is not None else 1
    counter = {"name": _COUNTER, "value": str(first + count).encode()}
    if found is None:
        connection.execute(upsert(store_facts), counter)
    else:
        connection.execute(
            update(store_facts).where(store_facts.c.name == _COUNTER).values(value=counter["value"])
        )
    return first
