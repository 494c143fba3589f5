"""What the role of `--store` must be able to do, and how it is reached: on each version that is here."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from workevo_server.adapters.sql.postgres_address import read_url
from workevo_server.adapters.sql.store import SqlStore, StoreRefused
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.verdicts import Verdict
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.key_ring import KeyKind
from workevo_server.services.workspaces import Workspaces
from workevo_testing.places import DatabasePlace
from workevo_testing.postgres import INSTALL, PostgresCluster, all_programs
from workevo_testing.sinks import FixedClock, end_of_test
from workevo_testing.uploads import good_event, upload, user

TLS = Path(__file__).parent / "tls"
PROGRAMS: list[Path | None] = [*all_programs()]
CERTIFICATE = TLS / "localhost-cert.pem"


def _version(programs: Path | None) -> str:
    return "none" if programs is None else "/".join(programs.parts[-3:-1])


@pytest.fixture(scope="module", params=PROGRAMS or [None], ids=_version)
def cluster(request: pytest.FixtureRequest) -> Iterator[PostgresCluster]:
    """One that no store was ever in: roles are of a whole cluster."""
    if request.param is None:
        pytest.skip(f"There is no PostgreSQL here. Install it: {INSTALL}")
    with PostgresCluster(request.param, tls=(CERTIFICATE, TLS / "localhost-key.pem")) as made:
        yield made


def owned_by(cluster: PostgresCluster, role: str, rights: str = "") -> DatabasePlace:
    """A new database of a new role, as that role reaches it."""
    place = DatabasePlace(cluster.make_database(is_empty=True))
    place.execute(
        f"CREATE ROLE {role} LOGIN {rights}", f"ALTER DATABASE {place.where.database} OWNER TO {role}"
    )
    return DatabasePlace(place.where.set(username=role).render_as_string())


async def works(place: DatabasePlace) -> None:
    """What the URL's role does, and what is done as `workevo_app`."""
    store = await SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test)
    try:
        workspaces = Workspaces(store=store.workspaces, clock=FixedClock())
        workspace_id = (await workspaces.create("acme")).workspace.workspace_id
        await workspaces.create_key(workspace_id, KeyKind.SDK)
        sent = upload(workspace_id, [good_event(0, 1, user("u1"), "opened", 1)])
        (verdict,) = (await store.sink.append(judge_upload(sent, WorkspaceSettings()))).verdicts
        assert verdict.verdict is Verdict.ACCEPTED
    finally:
        await store.close()


async def test_an_owner_needs_the_right_to_make_roles_or_an_administrator_once(
    cluster: PostgresCluster,
) -> None:
    """The sentence that refuses it says what the administrator has to run, and that is enough."""
    poor = owned_by(cluster, "poor")
    with pytest.raises(StoreRefused, match="administrator") as refused:
        await works(poor)
    assert poor.rows("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]

    await works(owned_by(cluster, "maker", "CREATEROLE"))

    with pytest.raises(StoreRefused, match="administrator"):
        await works(poor)
    (grant,) = [part.strip() for part in str(refused.value).split(";") if "GRANT" in part]
    DatabasePlace(cluster.make_database(is_empty=True)).execute(grant.partition(") ")[2])
    await works(poor)


async def test_an_owner_dumps_its_store_past_the_wall_and_puts_it_back(cluster: PostgresCluster) -> None:
    """As docs/OPERATING.md says; without the flag PostgreSQL refuses rather than leave rows out."""
    store = owned_by(cluster, "keeper", "CREATEROLE")
    administrator = DatabasePlace(store.where.set(username="workevo").render_as_string())
    if administrator.rows("SELECT 1 FROM pg_roles WHERE rolname = 'workevo_app'"):
        administrator.execute("GRANT workevo_app TO keeper")  # Who did not make it may need to be given it.
    await works(store)
    database, dump = str(store.where.database), "dump"

    refused = cluster.client("pg_dump", "keeper", "-Fc", "-f", dump, database)
    assert "row-level security" in refused.stderr
    dumped = cluster.client("pg_dump", "keeper", "-Fc", "--enable-row-security", "-f", dump, database)
    assert dumped.returncode == 0, dumped.stderr

    copy = DatabasePlace(cluster.make_database(is_empty=True))
    copy.execute(f"ALTER DATABASE {copy.where.database} OWNER TO keeper")
    put_back = cluster.client(
        "pg_restore", "keeper", "--no-owner", "--exit-on-error", "-d", str(copy.where.database), dump
    )
    assert put_back.returncode == 0, put_back.stderr
    there = DatabasePlace(copy.where.set(username="keeper").render_as_string())
    assert there.problems() == ()
    assert there.rows("SELECT count(*) FROM events") == [(1,)]
    await works(there)
    assert there.rows("SELECT count(*) FROM events") == [(2,)]


async def test_servers_that_begin_at_once_in_an_empty_database_make_one_store(
    cluster: PostgresCluster,
) -> None:
    """Other tests begin where the tables are already."""
    place = DatabasePlace(cluster.make_database(is_empty=True))

    stores = await asyncio.gather(
        *(SqlStore.open(place.where, simulated_clock=False, fatal=end_of_test) for _ in range(3))
    )

    for store in stores:
        await store.close()
    assert place.rows("SELECT count(*) FROM alembic_version") == [(1,)]
    assert place.problems() == ()
    await works(place)


async def test_a_role_without_a_right_is_told_to_look_at_the_server_and_not_at_its_address(
    cluster: PostgresCluster,
) -> None:
    place = owned_by(cluster, "guest")
    DatabasePlace(place.where.set(username="workevo").render_as_string()).execute(
        "REVOKE ALL ON SCHEMA public FROM PUBLIC, pg_database_owner"
    )

    with pytest.raises(StoreRefused, match="The server answers, so its log says more") as refused:
        await works(place)
    assert "--store" not in str(refused.value)


async def test_an_address_that_asks_for_it_encrypts_every_connection_or_is_refused(
    cluster: PostgresCluster,
) -> None:
    """Of a server that was built without TLS the refusal is all there is to see."""
    place = DatabasePlace(cluster.make_database(is_empty=True))
    address = place.where.set(host="localhost").render_as_string()
    with pytest.raises(StoreRefused, match="cannot be used as the store"):
        await works(DatabasePlace(f"{address}?sslmode=verify-full"))  # It can verify nothing.
    verified = DatabasePlace(f"{address}?sslmode=verify-full&sslrootcert={CERTIFICATE}")
    if not cluster.has_tls:
        with pytest.raises(StoreRefused, match="SSL"):
            await works(verified)
        return

    await works(verified)
    assert verified.problems() == ()
    store = await SqlStore.open(verified.where, simulated_clock=None, fatal=end_of_test)
    following = asyncio.create_task(store.watch(reached := Reached()))
    try:
        await asyncio.wait_for(reached.event.wait(), 10)
        connections = place.rows(
            "SELECT ssl, count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() GROUP BY 1"
        )
        assert [is_encrypted for is_encrypted, _ in connections] == [True]
    finally:
        following.cancel()
        await asyncio.wait([following])
        await store.close()


class Reached:
    """That the store was heard of, on the connection that listens."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def __call__(self, answers: bool) -> None:
        assert answers
        self.event.set()


@pytest.mark.parametrize(
    ("address", "finding"),
    [
        ("mysql://u@h/d", "A PostgreSQL's address is"),
        ("postgresql://u@h", "A PostgreSQL's address is"),
        ("postgresql://u@h:port/d", "A PostgreSQL's address is"),
        ("postgresql://u:secret@h/d?ssl=require", "takes no ssl. Behind its .* may stand: .*sslmode"),
    ],
)
def test_an_address_of_no_use_is_refused_without_its_password(address: str, finding: str) -> None:
    with pytest.raises(StoreRefused, match=finding) as refused:
        read_url(address)
    assert "secret" not in str(refused.value)
