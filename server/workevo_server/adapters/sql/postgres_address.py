"""The address of a PostgreSQL, and the one way in which all connections to it are made.

Connections are made by the driver from the address as libpq would read it, so that
`sslmode`, `~/.pgpass` and the `PG…` variables hold for each of them alike.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from workevo_server.adapters.sql.migrate import StoreRefused

ASKED = frozenset(
    {
        "host",
        "port",
        "passfile",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "target_session_attrs",
    }
)
"""What may follow the `?`. Anything else the driver would take for a setting of the server."""
_DRIVER = "postgresql+asyncpg"
_NO_URL = "A PostgreSQL's address is postgresql+asyncpg://USER:PASSWORD@HOST:PORT/DATABASE."


def read_url(text: str) -> URL:
    """The PostgreSQL of `--store`. Raises StoreRefused; a sentence without the password in it."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise StoreRefused(_NO_URL) from None
    if url.drivername not in {"postgresql", _DRIVER} or not url.database:
        raise StoreRefused(_NO_URL)
    unknown = sorted(url.query.keys() - ASKED)
    if unknown:
        raise StoreRefused(
            f"A PostgreSQL's address takes no {unknown[0]}. "
            f"Behind its ? may stand: {', '.join(sorted(ASKED))}."
        )
    return url.set(drivername=_DRIVER)


async def connect(url: URL, *, settings: Mapping[str, str], **deadlines: float) -> Any:
    """A connection of asyncpg's with these settings of the server; `deadlines` as it names them."""
    import asyncpg  # In an extra.

    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return await asyncpg.connect(address, server_settings=dict(settings), **deadlines)


def engine(
    url: URL, *, settings: Mapping[str, str], deadlines: Mapping[str, float], **options: Any
) -> AsyncEngine:
    """An engine over `connect`; `options` as `create_async_engine` names them."""
    return create_async_engine(
        f"{_DRIVER}://",
        async_creator=partial(connect, url, settings=settings, **deadlines),
        hide_parameters=True,
        **options,
    )
