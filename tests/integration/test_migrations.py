"""A store of an earlier release keeps what it knew, and learns what it can of what is new."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from workevo_server.adapters.sql import ledger_document, migrate
from workevo_server.adapters.sql.integrity import inspect
from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.events import ContactKind, DropReason
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.ledger import STORED, Ledger
from workevo_server.domain.naming import name_key
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.people_search import PeopleFilter
from workevo_testing.sinks import end_of_test

SETTINGS_OF_0002 = (
    '{"key_charset": "any", "metadata_keys_max": 7, "product_identity_window_seconds": 172800,'
    ' "same_install_twins": "merge", "event_names_max": 500}'
)


def make_store(path: Path, revision: str) -> None:
    """As the release made it whose last migration that was."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


async def test_a_store_of_before_the_catalogue_learns_who_did_what_and_keeps_its_settings(
    tmp_path: Path,
) -> None:
    path = tmp_path / "workevo.db"
    make_store(path, "0002")
    run(
        path,
        "INSERT INTO workspaces (workspace_no, workspace_id, app_id, name, created_at, settings)"
        f" VALUES (1, 'ws_1', 'app_1', 'Old', 0, '{SETTINGS_OF_0002}')",
        "INSERT INTO event_definitions (definition_no, workspace_no, name_key, name, description, created_at,"
        " stored_count, duplicate_count, archived_count, last_received_at)"
        " VALUES (1, 1, CAST('opened' AS BLOB), CAST('Opened' AS BLOB), 'As was.', 5, 2, 0, 0, 6)",
        *(
            "INSERT INTO events (workspace_no, contact_no, created_at_seconds, definition_no, ordinal,"
            " occurred_at, created_at, received_at, receipt_no, clock_method, contact_kind, metadata)"
            f" VALUES (1, {no}, 1, 1, 0, 1, 1, 1, {no}, 'DEVICE', '{kind}', '{{}}')"
            for no, kind in enumerate(("VISITOR", "USER"), start=1)
        ),
    )

    store = await SqlStore.open(path, simulated_clock=False, fatal=end_of_test)
    workspace_id = WorkspaceId("ws_1")
    found = await store.catalogue.definition(workspace_id, name_key("opened"))
    settings = store.key_ring.settings(workspace_id)
    await store.close()

    assert found is not None
    assert found.seen_kinds == (ContactKind.VISITOR, ContactKind.USER)
    assert (found.description, found.stored_count, found.disabled) == ("As was.", 2, False)
    assert settings == WorkspaceSettings(metadata_keys_max=7)


async def test_a_store_of_before_the_console_is_summed_up_and_its_people_are_found(tmp_path: Path) -> None:
    """What uploads and changes of people write from then on is worked out once of what is there."""
    path = tmp_path / "workevo.db"
    make_store(path, "0006")
    ledger = Ledger(generated=9, resent=2, folded={STORED: 1})
    ledger.settle(3, STORED)
    ledger.drop([(4, 5, DropReason.EXPIRED)])
    document = ledger_document.encode(ledger)
    run(
        path,
        "INSERT INTO workspaces (workspace_no, workspace_id, app_id, name, created_at, settings)"
        f" VALUES (1, 'ws_1', 'app_1', 'Old', 0, '{SETTINGS_OF_0002}')",
        "INSERT INTO contacts (contact_no, workspace_no, contact_id, kind, id_kind, external_id, attributes,"
        " shared, created_at) VALUES (1, 1, 'c1', 'USER', 'user', CAST('u1' AS BLOB),"
        ' \'{"Name":"Zo\\u00eb M","email":"z@example.org"}\', 0, 0)',
        "INSERT INTO installs (install_no, workspace_no, install_id, epoch, description, first_seen,"
        " last_seen) VALUES (1, 1, CAST('i' AS BLOB), CAST('e' AS BLOB), '{}', 0, 0)",
        "INSERT INTO ledgers (workspace_no, install_no, epoch, started_at, document, erased_count)"
        f" VALUES (1, 1, CAST('e' AS BLOB), 0, '{document}', 1)",
    )

    store = await SqlStore.open(path, simulated_clock=False, fatal=end_of_test)
    workspace_id = WorkspaceId("ws_1")
    balance = await store.delivery.balance(workspace_id)
    found = await store.people_search.find_people(
        workspace_id, PeopleFilter(text="zoe"), beyond=None, count_max=5
    )
    by_address = await store.people_search.find_people(
        workspace_id, PeopleFilter(text="z@"), beyond=None, count_max=5
    )
    await store.close()

    assert replace(ledger.balance(), dropped_by_reason={}, erased=1) == balance
    assert (balance.generated, balance.dropped, balance.open) == (9, 2, 6)
    assert [row.contact.user_id for row in (*found.people, *by_address.people)] == ["u1", "u1"]
    (problem,) = inspect(path).problems  # There are no events; nothing else is amiss.
    assert "stored count differs" in problem


@pytest.mark.parametrize(
    "change", ["UPDATE audit_entries SET made_by = 'nobody'", "DELETE FROM audit_entries"]
)
async def test_nothing_takes_back_what_the_audit_says(tmp_path: Path, change: str) -> None:
    path = tmp_path / "workevo.db"
    await (await SqlStore.open(path, simulated_clock=False, fatal=end_of_test)).close()
    run(
        path,
        "INSERT INTO audit_entries (workspace_no, made_at, made_by, action, subject)"
        " VALUES (1, 0, 'operator', 'setting.change', 'key_charset')",
    )

    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        run(path, change)
