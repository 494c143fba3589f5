"""Facts about the whole store: its secrets, and which clock it was made with."""

import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from workevo_server.adapters.sql.migrate import StoreRefused
from workevo_server.adapters.sql.schema import store_facts

_CLOCK = "clock"
_PAGE_TOKEN_SECRET = "page_token_secret"  # noqa: S105 - the name of the fact, not the secret.
_ERASURE_SECRET = "erasure_secret"  # noqa: S105
_SECRET_BYTES = 32
_SIMULATED, _REAL = b"simulated", b"real"


@dataclass(frozen=True, slots=True)
class Facts:
    page_token_secret: bytes
    erasure_secret: bytes
    """Key of the hashes that deletions leave (R32)."""


def read_or_make_facts(connection: Connection, *, simulated_clock: bool | None) -> Facts:
    """Those of the store, made when it is new. Raises StoreRefused for another kind of clock."""
    known = {row.name: row.value for row in connection.execute(select(store_facts))}
    missing = {
        _CLOCK: _SIMULATED if simulated_clock else _REAL,
        _PAGE_TOKEN_SECRET: secrets.token_bytes(_SECRET_BYTES),
        _ERASURE_SECRET: secrets.token_bytes(_SECRET_BYTES),
    }
    made = [{"name": name, "value": value} for name, value in missing.items() if name not in known]
    if made:
        connection.execute(insert(store_facts), made)
    facts = missing | known
    _refuse_other_clock(facts[_CLOCK], simulated_clock=simulated_clock)
    return Facts(facts[_PAGE_TOKEN_SECRET], facts[_ERASURE_SECRET])


def _refuse_other_clock(clock: bytes, *, simulated_clock: bool | None) -> None:
    if simulated_clock is None or simulated_clock == (clock == _SIMULATED):
        return
    remedy = (
        "Use --simulated-clock with a new, empty store."
        if simulated_clock
        else "Start it with --simulated-clock, or use another store."
    )
    raise StoreRefused(f"This store was made with a {clock.decode()} clock. {remedy}")
