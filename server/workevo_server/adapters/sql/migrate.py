"""Brings a store to the schema of this version, at start."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


class StoreRefused(Exception):
    """A store that this process must not open; the text is a sentence for the operator."""


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing, in the caller's transaction. Raises StoreRefused."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise StoreRefused(
            f"This store has schema {current}, written by a newer version of Workevo; this one knows up to "
            f"{scripts.get_current_head()}. Install the version that wrote it, or a newer one."
        )
    command.upgrade(config, "head")
