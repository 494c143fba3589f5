"""Every sink that must obey the rules: the pure functions alone, and each store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from workevo_testing.sinks import PureSink, RuledSink, open_sql_sink


@pytest.fixture(params=["pure", "sqlite", "postgresql"])
async def sink(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RuledSink]:
    if request.param == "pure":
        yield PureSink()
        return
    where = (
        tmp_path / "workevo.db"
        if request.param == "sqlite"
        else make_url(request.getfixturevalue("postgres").make_database())
    )
    async with open_sql_sink(where) as sql_sink:
        yield sql_sink
