"""Brings a store to the schema of this version, at start."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"


class StoreRefused(Exception):
    """A store that this process must not open; the text is a sentence for the operator."""


def upgrade(connection: Connection, *, before_change: Callable[[], None] = lambda: None) -> None:
    """Run the migrations that are missing, in the caller's transaction. Raises StoreRefused.

    `before_change` is called before a store that is there already is changed.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise StoreRefused(
            f"This store has schema {current}, written by a newer version of Workevo; this one knows up to "
            f"{scripts.get_current_head()}. Install the version that wrote it, or a newer one."
        )
    if current not in {None, scripts.get_current_head()}:
        before_change()
    command.upgrade(config, "head")
