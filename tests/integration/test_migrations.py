"""A store of an earlier release keeps what it knew, and learns what it can of what is new."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from workevo_server.adapters.sql import migrate
from workevo_server.adapters.sql.store import SqlStore
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.naming import name_key
from workevo_server.domain.workspace import WorkspaceSettings
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
