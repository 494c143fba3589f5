"""Every journey is made on both stores: servers take the second from the environment, as a user's would."""

import pytest

from workevo_testing.postgres import PostgresCluster


@pytest.fixture(params=["sqlite", "postgresql"], autouse=True)
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the servers of this test keep their events in."""
    if request.param == "postgresql":
        cluster: PostgresCluster = request.getfixturevalue("postgres")
        monkeypatch.setenv("WORKEVO_STORE", cluster.make_database())
