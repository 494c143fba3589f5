"""Journeys whose outcome the store decides are made on both: servers take it from the environment."""

import pytest

from workevo_testing.postgres import PostgresCluster


@pytest.fixture(params=["sqlite", "postgresql"])
def on_each_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the servers of this test keep their events in, as `WORKEVO_STORE` would say for a user's."""
    if request.param == "postgresql":
        cluster: PostgresCluster = request.getfixturevalue("postgres")
        monkeypatch.setenv("WORKEVO_STORE", cluster.make_database())
