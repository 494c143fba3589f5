"""Every sink that must obey the rules: the pure functions alone, and each store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from workevo_testing.sinks import PureSink, RuledSink, open_sql_sink


@pytest.fixture(params=["pure", "sqlite"])
async def sink(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RuledSink]:
    if request.param == "pure":
        yield PureSink()
        return
    async with open_sql_sink(tmp_path / "workevo.db") as sql_sink:
        yield sql_sink
