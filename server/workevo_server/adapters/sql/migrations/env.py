"""Alembic's entry: runs inside the connection and transaction that migrate.upgrade hands over."""

from alembic import context

from workevo_server.adapters.sql.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
