"""Run by Alembic for each upgrade: the connection comes from storage/migrate.py."""

from alembic import context

from backend_demo.storage.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
